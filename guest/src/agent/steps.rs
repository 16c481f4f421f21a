//! The steps of a request, each timed.

use std::time::Instant;

use protocol::Step;

/// The steps that were done.
#[derive(Debug, Default)]
pub(super) struct Steps(Vec<Step>);

/// The step that could not be done, and why.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) step: &'static str,
    pub(super) error: anyhow::Error,
}

impl Failure {
    /// For `map_err`: says in which step it was.
    pub(super) fn of(step: &'static str) -> impl FnOnce(anyhow::Error) -> Self {
        move |error| Self { step, error }
    }
}

/// Does a step that may run beside others, and times it.
pub(super) async fn timed<T>(
    step: &'static str,
    work: impl Future<Output = anyhow::Result<T>>,
) -> Result<(T, Step), Failure> {
    let started = Instant::now();
    let value = work.await.map_err(Failure::of(step))?;
    Ok((value, Step { step: step.to_owned(), seconds: started.elapsed().as_secs_f64() }))
}

impl Steps {
    /// Does a step and records how long it took.
    pub(super) async fn run<T>(
        &mut self,
        step: &'static str,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> Result<T, Failure> {
        let (value, step) = timed(step, work).await?;
        self.note(step);
        Ok(value)
    }

    /// Records a step that [`timed`] has timed.
    pub(super) fn note(&mut self, step: Step) {
        self.0.push(step);
    }
}

impl From<Steps> for Vec<Step> {
    fn from(steps: Steps) -> Self {
        steps.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn steps_are_noted_until_one_fails() {
        let mut steps = Steps::default();
        steps.run("one", async { anyhow::Ok(()) }).await.unwrap();
        let failure = steps.run("two", async { anyhow::Result::<()>::Err(anyhow::anyhow!("no")) }).await;
        assert_eq!(failure.unwrap_err().step, "two");
        let names: Vec<_> = Vec::from(steps).into_iter().map(|step| step.step).collect();
        assert_eq!(names, ["one"]);
    }
}
