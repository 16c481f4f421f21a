//! Errors as text for journals and answers.

/// Formats an error and its causes on one line. Some libraries repeat a cause's text in their own: it appears once.
pub fn report(error: &dyn std::error::Error) -> String {
    let mut report = error.to_string();
    for cause in std::iter::successors(error.source(), |error| error.source()) {
        let cause = cause.to_string();
        if !report.ends_with(&cause) {
            report = format!("{report}: {cause}");
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<Link>>,
    }

    #[test]
    fn a_report_has_every_cause_once() {
        let end = Link { text: "no such file", source: None };
        let middle = Link { text: "cannot connect: no such file", source: Some(Box::new(end)) };
        let outer = Link { text: "cannot reach it", source: Some(Box::new(middle)) };
        assert_eq!(report(&outer), "cannot reach it: cannot connect: no such file");
    }
}
