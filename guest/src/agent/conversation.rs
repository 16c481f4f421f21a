//! Requests and answers as lines of text.

use protocol::{Answer, Outcome, Request, VERSION};
use serde::Deserialize;

/// A request has a few KiB; a longer line is not a request.
pub(super) const LONGEST_LINE: usize = 256 * 1024;

/// The step in which an invalid request fails.
const PROTOCOL: &str = "protocol";

/// What a line from the host contains.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// Begins a connection.
    Empty,
    /// Not a whole request: the rest of a connection that broke.
    Garbage,
    /// A request that must not be carried out.
    Refused(Answer),
    /// A request.
    Request(Request),
}

/// What every version has.
#[derive(Deserialize)]
struct Envelope {
    v: u32,
    id: u64,
}

impl Line {
    pub(super) fn parse(line: &str) -> Self {
        if line.trim().is_empty() {
            return Self::Empty;
        }
        let error = match serde_json::from_str::<Request>(line) {
            Ok(request) if request.v <= VERSION => return Self::Request(request),
            Ok(request) => return newer(request.id, request.v),
            Err(error) => error,
        };
        match serde_json::from_str(line) {
            Ok(Envelope { v, id }) if v > VERSION => newer(id, v),
            // The position only: the text of the error could quote a secret.
            Ok(Envelope { id, .. }) => {
                refused(id, format!("invalid request before column {}", error.column()))
            }
            Err(_) => Self::Garbage,
        }
    }
}

fn newer(id: u64, version: u32) -> Line {
    refused(id, format!("the request has version {version}, this guest knows up to {VERSION}"))
}

fn refused(id: u64, reason: String) -> Line {
    Line::Refused(Answer::new(id, Outcome::Failed { step: PROTOCOL.to_owned(), reason }))
}

/// The answer with its line's end.
pub(super) fn to_line(answer: &Answer) -> String {
    let mut line = serde_json::to_string(answer).expect("answers are made of strings and numbers");
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use protocol::Command;

    use super::*;

    #[test]
    fn a_request_is_distinguished_from_the_rest_of_a_broken_connection() {
        assert_eq!(
            Line::parse(r#"{"v":1,"id":7,"command":"hello"}"#),
            Line::Request(Request::new(7, Command::Hello))
        );
        assert_eq!(Line::parse(""), Line::Empty);
        assert_eq!(Line::parse(r#"{"v":1,"id":7,"comm"#), Line::Garbage);
    }

    #[test]
    fn a_newer_request_is_refused_by_its_number_whatever_else_is_in_it() {
        let Line::Refused(answer) = Line::parse(r#"{"v":2,"id":9,"command":"levitate"}"#) else { panic!() };
        assert!(matches!(Line::parse(r#"{"v":2,"id":9,"command":"hello"}"#), Line::Refused(_)));
        insta::assert_snapshot!(to_line(&answer), @r#"{"v":1,"id":9,"outcome":"failed","step":"protocol","reason":"the request has version 2, this guest knows up to 1"}"#);
    }

    #[test]
    fn a_request_that_is_wrong_is_refused_without_showing_what_is_in_it() {
        let line = r#"{"v":1,"id":3,"command":"resume","time":"hunter2","entropy":"hunter2"}"#;
        let Line::Refused(answer) = Line::parse(line) else { panic!() };
        assert!(!to_line(&answer).contains("hunter2"), "{answer:?}");
    }
}
