//! Work that blocks, kept off the thread that serves signals and progress bars.

/// Runs `work` where it may block, and returns its result. A panic in it is passed on.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_value_of_the_work_comes_back() {
        assert_eq!(run(|| 7).await, 7);
    }

    #[tokio::test]
    #[should_panic(expected = "the disk is gone")]
    async fn a_panic_in_the_work_is_not_lost() {
        run(|| panic!("the disk is gone")).await;
    }
}
