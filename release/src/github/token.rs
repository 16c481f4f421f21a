//! The token that requests are made with, and where it was found.

use base::process::Cmd;
use base::variables;
use fetch::Credential;
use protocol::Secret;

use super::Address;

/// Variables that a token is looked for in, the first one first.
pub const VARIABLES: [&str; 2] = ["GITHUB_TOKEN", "GH_TOKEN"];

/// What was found for a token is none. It is not repeated: it may be one with something beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{source_name}` holds no token: it has {found} in it")]
pub struct NoToken {
    /// Where it was found.
    source_name: &'static str,
    /// What no token has.
    found: &'static str,
}

impl NoToken {
    /// What to do next.
    pub fn hint(&self) -> String {
        hint(self.source_name)
    }
}

/// What to do about a token from `source` that is not valid.
pub(super) fn hint(source: &str) -> String {
    if source == GH {
        "sign in again with `gh auth login`".to_owned()
    } else {
        format!("set `{source}` to a valid token, or unset it")
    }
}

/// The command that is asked when no variable has one.
const GH: &str = "gh auth token";

/// A token that was found in `source`, where `value` can be one: it becomes the value of a header.
fn checked(value: &str, source: &'static str) -> Result<Credential, NoToken> {
    let is_told = |character: char| match character {
        '\n' | '\r' => Some("more than one line"),
        character if character.is_control() => Some("a control character"),
        character if character.is_whitespace() => Some("a space"),
        character if !character.is_ascii() => Some("a character that is not ASCII"),
        _ => None,
    };
    match value.chars().find_map(is_told) {
        Some(found) => Err(NoToken { source_name: source, found }),
        None => Ok(Credential::new(Secret::new(value), source)),
    }
}

/// The token of the environment, else the one that `gh` has for this GitHub; `None` when there is neither.
///
/// # Errors
/// When what is there is not a valid token.
pub async fn find(address: &Address) -> Result<Option<Credential>, NoToken> {
    for source in VARIABLES {
        let value = variables::text(source).filter(|value| !value.trim().is_empty());
        if let Some(value) = value {
            return checked(value.trim(), source).map(Some);
        }
    }
    let gh = Cmd::new("gh").args(["auth", "token", "--hostname", &address.host()]);
    // Not there, or signed in nowhere.
    let Ok(value) = gh.text().await else { return Ok(None) };
    let value = value.trim();
    if value.is_empty() { Ok(None) } else { checked(value, GH).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_header_can_hold_is_no_token_and_is_not_repeated() {
        for (value, found) in [
            ("a\nb", "more than one line"),
            ("a\r\nb", "more than one line"),
            ("a\u{7f}b", "a control character"),
            ("a b", "a space"),
            ("a\u{fffd}b", "a character that is not ASCII"),
        ] {
            let error = checked(value, VARIABLES[0]).unwrap_err();
            assert_eq!(error.to_string(), format!("`GITHUB_TOKEN` holds no token: it has {found} in it"));
        }
        let token = checked("ghp_A-z.9", VARIABLES[1]).unwrap();
        assert_eq!((token.secret().reveal(), token.source()), ("ghp_A-z.9", "GH_TOKEN"));
    }
}
