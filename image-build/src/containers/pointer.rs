//! Errors that point at a place in the compose file.

use std::path::Path;

use compose::ComposeError;
use compose::model::{Service, Spanned};

/// What is wrong with a compose file.
pub(super) type Result<T> = std::result::Result<T, ComposeError>;

/// Points into a compose file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pointer<'a>(pub(super) &'a Path);

impl Pointer<'_> {
    /// An error about a value.
    pub(super) fn value<T>(
        self,
        value: &Spanned<T>,
        reason: impl Into<String>,
        instead: impl Into<String>,
    ) -> ComposeError {
        ComposeError { place: Some(value.place), ..self.file(&value.key, reason, instead) }
    }

    /// An error about a key of a service, or about the service as a whole (without a key).
    pub(super) fn service(
        self,
        service: &Service,
        key: &str,
        reason: impl Into<String>,
        instead: impl Into<String>,
    ) -> ComposeError {
        let dot = if key.is_empty() { "" } else { "." };
        let key = format!("services.{}{dot}{key}", service.name);
        ComposeError { place: Some(service.place), ..self.file(&key, reason, instead) }
    }

    /// An error about a key whose place is not known.
    pub(super) fn file(
        self,
        key: &str,
        reason: impl Into<String>,
        instead: impl Into<String>,
    ) -> ComposeError {
        ComposeError {
            file: self.0.to_owned(),
            place: None,
            key: key.to_owned(),
            reason: reason.into(),
            instead: Some(instead.into()),
            source: None,
        }
    }
}
