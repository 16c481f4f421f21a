//! A panic ends a released program at once, before any guard has run: what only guards would end is ended first.

use std::panic;

/// Has every panic from here on kill what this program has launched and not let go yet, before it is reported.
pub(crate) fn end_what_was_launched() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        vm::process::kill_guarded();
        tell(panic);
    }));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base::process::Cmd;
    use vm::process::Launched;

    use super::*;

    #[tokio::test]
    async fn a_panic_leaves_nothing_running_though_no_guard_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let launched = Launched::start(&Cmd::new("sleep").arg("600"), &dir.path().join("log")).unwrap();
        let process = launched.identity();
        end_what_was_launched();
        assert!(process.is_alive().unwrap());
        assert!(std::thread::spawn(|| panic!("of a test")).join().is_err());
        process.gone(Duration::from_secs(10)).await.unwrap();
        drop(launched);
    }
}
