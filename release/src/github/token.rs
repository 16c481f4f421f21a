//! The token that requests are made with, and where it was found.

use host::process::Cmd;
use host::variables;
use protocol::Secret;

use super::Address;

/// Variables that a token is looked for in, the first one first.
pub const VARIABLES: [&str; 2] = ["GITHUB_TOKEN", "GH_TOKEN"];

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    secret: Secret,
    source: &'static str,
}

impl Token {
    /// A token from `source`, which messages name.
    pub fn new(secret: Secret, source: &'static str) -> Self {
        Self { secret, source }
    }

    /// The token of the environment, else the one that `gh` has for this GitHub; `None` when there is neither.
    pub async fn find(address: &Address) -> Option<Self> {
        for source in VARIABLES {
            let value = variables::text(source).filter(|value| !value.trim().is_empty());
            if let Some(value) = value {
                return Some(Self::new(Secret::new(value.trim()), source));
            }
        }
        let gh = Cmd::new("gh").args(["auth", "token", "--hostname", &address.host()]);
        let value = gh.text().await.ok()?;
        let value = value.trim();
        (!value.is_empty()).then(|| Self::new(Secret::new(value), "gh auth token"))
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
