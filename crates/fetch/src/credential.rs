//! What a client identifies itself with.

use protocol::Secret;

/// A bearer token, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    secret: Secret,
    source: &'static str,
}

impl Credential {
    /// A token from `source`, a variable or a command, which messages name.
    pub fn new(secret: Secret, source: &'static str) -> Self {
        Self { secret, source }
    }

    /// The token itself.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Where it was found: a variable or a command.
    pub fn source(&self) -> &'static str {
        self.source
    }
}
