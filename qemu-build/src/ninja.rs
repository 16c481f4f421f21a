//! Ninja's own counter.

/// Value of `NINJA_STATUS` that [`Step::parse`] understands: finished and total steps.
pub(crate) const STATUS: &str = "[%f/%t] ";

/// One finished or started step of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step<'a> {
    /// Steps finished so far.
    pub(crate) done: u64,
    /// Steps in all.
    pub(crate) total: u64,
    /// What ninja does: "Compiling C object …".
    pub(crate) what: &'a str,
}

impl<'a> Step<'a> {
    /// Reads a line that ninja wrote under [`STATUS`]; `None` for the output of compilers.
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let (counter, what) = line.strip_prefix('[')?.split_once("] ")?;
        let (done, total) = counter.split_once('/')?;
        let (done, total) = (done.parse().ok()?, total.parse().ok()?);
        (done <= total).then_some(Self { done, total, what })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_status_line_gives_counter_and_step() {
        let step = Step::parse("[12/1586] Compiling C object libqemuutil.a.p/a.c.o").unwrap();
        assert_eq!((step.done, step.total), (12, 1586));
        assert_eq!(step.what, "Compiling C object libqemuutil.a.p/a.c.o");
    }

    #[test]
    fn other_output_is_not_a_step() {
        for line in
            ["", "[", "[1/2]", "[a/b] x", "[3/2] x", "ninja: no work to do.", "a.c:1: warning: [-W] x"]
        {
            assert_eq!(Step::parse(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn every_counter_that_ninja_can_print_is_read_back(done in 0_u64..100_000, more in 0_u64..100_000, what in "[ -~]*") {
            let line = format!("[{done}/{}] {what}", done + more);
            prop_assert_eq!(Step::parse(&line), Some(Step { done, total: done + more, what: &what }));
        }
    }
}
