//! Health checks: what a compose file says, over what the image says, over what Docker does without either.

use std::time::Duration;

use compose::model::{HealthCheck, HealthTest};
use oci::Healthcheck;
use protocol::containers::Health;

/// Time between two checks, and time that one may take: of Docker.
const DEFAULT: Duration = Duration::from_secs(30);

/// Time between two checks during the start period: of Docker.
const DEFAULT_START_INTERVAL: Duration = Duration::from_secs(5);

/// Failures in a row: of Docker.
const DEFAULT_RETRIES: u32 = 3;

/// The health check of a container, if it has one.
pub(super) fn health(own: Option<&HealthCheck>, image: Option<&Healthcheck>) -> Option<Health> {
    let image = image.cloned().unwrap_or_default();
    let own = own.cloned().unwrap_or(HealthCheck::Check {
        test: None,
        interval: None,
        timeout: None,
        retries: None,
        start_period: None,
        start_interval: None,
    });
    let HealthCheck::Check { test, interval, timeout, retries, start_period, start_interval } = own else {
        return None;
    };
    let test = test.map_or_else(|| of_image(&image.test), |test| Some(program(test)))?;
    let time = |own: Option<Duration>, image: Duration, default: Duration| {
        let image = if image.is_zero() { default } else { image };
        u64::try_from(own.unwrap_or(image).as_millis()).unwrap_or(u64::MAX)
    };
    let image_retries = if image.retries == 0 { DEFAULT_RETRIES } else { image.retries };
    Some(Health {
        test,
        interval_ms: time(interval, image.interval, DEFAULT),
        timeout_ms: time(timeout, image.timeout, DEFAULT),
        retries: retries.unwrap_or(image_retries),
        start_period_ms: time(start_period, image.start_period, Duration::ZERO),
        start_interval_ms: time(start_interval, image.start_interval, DEFAULT_START_INTERVAL),
    })
}

fn program(test: HealthTest) -> Vec<String> {
    match test {
        HealthTest::Exec(words) => words,
        HealthTest::Shell(line) => shell(&line),
    }
}

fn of_image(test: &[String]) -> Option<Vec<String>> {
    match test {
        [kind, words @ ..] if kind == "CMD" && !words.is_empty() => Some(words.to_vec()),
        [kind, line] if kind == "CMD-SHELL" => Some(shell(line)),
        _ => None,
    }
}

/// The shell that Docker runs a line with.
fn shell(line: &str) -> Vec<String> {
    ["/bin/sh", "-c", line].map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(test: &[&str]) -> Healthcheck {
        let test = test.iter().map(|word| (*word).to_owned()).collect();
        Healthcheck { test, interval: Duration::from_secs(7), ..Healthcheck::default() }
    }

    #[test]
    fn a_compose_file_overrides_parts_of_the_images_check() {
        let own = HealthCheck::Check {
            test: None,
            interval: None,
            timeout: Some(Duration::from_millis(1500)),
            retries: Some(9),
            start_period: None,
            start_interval: None,
        };
        let health = health(Some(&own), Some(&image(&["CMD-SHELL", "test -e /ready"]))).unwrap();
        assert_eq!(health.test, ["/bin/sh", "-c", "test -e /ready"]);
        assert_eq!((health.interval_ms, health.timeout_ms, health.retries), (7000, 1500, 9));
        assert_eq!((health.start_period_ms, health.start_interval_ms), (0, 5000));
    }

    #[test]
    fn no_check_is_none_however_it_is_said() {
        assert_eq!(health(None, None), None);
        assert_eq!(health(None, Some(&image(&["NONE"]))), None);
        assert_eq!(health(None, Some(&image(&[]))), None);
        assert_eq!(health(Some(&HealthCheck::Disabled), Some(&image(&["CMD", "true"]))), None);
    }
}
