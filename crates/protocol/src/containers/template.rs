//! Text with places for secrets: `{secret:VARIABLE}`. `{{` and `}}` are braces, as in the templates of a stack's description.

/// Why a text has places that cannot be filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `{{secret:VARIABLE}}`, or `{{{{` and `}}}}` for braces, at `{at}`")]
pub struct InvalidTemplate {
    /// The text from there on.
    at: String,
}

/// Why a text could not be filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfilled {
    /// It is not a template.
    #[error(transparent)]
    Invalid(#[from] InvalidTemplate),
    /// The session does not have the variable.
    #[error("the session has no variable `{0}`")]
    Missing(String),
}

/// A part of a text.
enum Piece<'a> {
    Text(&'a str),
    Secret(&'a str),
}

/// Puts the values of variables into `text`.
///
/// # Errors
/// When it has another place, or `value` knows no value.
pub fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, Unfilled> {
    let mut filled = String::new();
    for piece in pieces(text)? {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Secret(variable) => {
                filled.push_str(&value(variable).ok_or_else(|| Unfilled::Missing(variable.to_owned()))?);
            }
        }
    }
    Ok(filled)
}

/// The variables that `text` has places for.
///
/// # Errors
/// When it has another place.
pub fn variables(text: &str) -> Result<Vec<&str>, InvalidTemplate> {
    let secret = |piece| if let Piece::Secret(variable) = piece { Some(variable) } else { None };
    Ok(pieces(text)?.into_iter().filter_map(secret).collect())
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, InvalidTemplate> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find(['{', '}']) {
        let (before, brace) = rest.split_at(at);
        pieces.push(Piece::Text(before));
        if brace.starts_with("{{") || brace.starts_with("}}") {
            pieces.push(Piece::Text(&brace[..1]));
            rest = &brace[2..];
        } else {
            let place = brace.strip_prefix("{secret:").and_then(|inside| inside.split_once('}'));
            let Some((variable, after)) = place.filter(|(variable, _)| !variable.is_empty()) else {
                return Err(InvalidTemplate { at: brace.to_owned() });
            };
            pieces.push(Piece::Secret(variable));
            rest = after;
        }
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, Unfilled> {
        fill(text, |variable| (variable == "PASSWORD").then(|| "s3cret".to_owned()))
    }

    #[test]
    fn secrets_are_put_into_their_places() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("{secret:PASSWORD}", "s3cret"),
            ("postgres://app:{secret:PASSWORD}@db/{secret:PASSWORD}", "postgres://app:s3cret@db/s3cret"),
            ("{{secret:PASSWORD}} {{}}", "{secret:PASSWORD} {}"),
        ] {
            assert_eq!(filled(text).unwrap(), expected);
        }
    }

    #[test]
    fn a_variable_that_the_session_lacks_is_named() {
        let error = filled("{secret:OTHER}").unwrap_err().to_string();
        assert_eq!(error, "the session has no variable `OTHER`");
    }

    #[test]
    fn other_places_are_refused() {
        for text in ["{", "}", "a}b", "{secret:}", "{secret:A", "{url:web}", "{}"] {
            assert!(matches!(filled(text), Err(Unfilled::Invalid(_))), "{text}");
            assert!(variables(text).is_err(), "{text}");
        }
        let error = variables("x {url:web}").unwrap_err().to_string();
        assert_eq!(error, "expected `{secret:VARIABLE}`, or `{{` and `}}` for braces, at `{url:web}`");
    }

    #[test]
    fn variables_are_listed_in_their_order() {
        assert_eq!(variables("{secret:B}:{{x}}:{secret:A}").unwrap(), ["B", "A"]);
    }
}
