//! Values that are only known when a stack runs: text with places for ports and secrets.
//!
//! `{url:NAME}` is the address of a port on the host, `{port:NAME}` its number, `{host}` the address without them, and
//! `{secret:NAME}` the value of a secret. `{{` and `}}` are braces.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text with places for ports and secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template(Vec<Piece>);

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text that stays as it is.
    Text(String),
    /// The address of the host's loopback interface.
    Host,
    /// The host's number of the port of that name.
    Port(String),
    /// The URL of the port of that name.
    Url(String),
    /// The value of the secret of that name.
    Secret(String),
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// A brace that neither opens nor closes a place.
    #[error("{0:?} has a `{{` or `}}` without the other one: write `{{{{` or `}}}}` for a brace")]
    Brace(String),
    /// A place for something else.
    #[error(
        "`{{{0}}}` is not a valid placeholder: use `{{url:PORT}}`, `{{port:PORT}}`, `{{host}}` or `{{secret:NAME}}`"
    )]
    Place(String),
}

impl Template {
    /// Its parts in their order.
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// Names of the ports that it has a place for.
    pub fn ports(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Port(name) | Piece::Url(name) => Some(name.as_str()),
            Piece::Text(_) | Piece::Host | Piece::Secret(_) => None,
        })
    }

    /// Names of the secrets that it has a place for.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Secret(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

impl FromStr for Template {
    type Err = InvalidTemplate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lone = || InvalidTemplate::Brace(text.to_owned());
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from_brace) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = from_brace.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = from_brace.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else {
                let inside = from_brace.strip_prefix('{').ok_or_else(lone)?;
                let (place, after) = inside.split_once('}').ok_or_else(lone)?;
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(piece(place)?);
                rest = after;
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }
}

fn piece(place: &str) -> Result<Piece, InvalidTemplate> {
    match place.split_once(':') {
        None if place == "host" => Ok(Piece::Host),
        Some(("port", name)) => Ok(Piece::Port(name.to_owned())),
        Some(("url", name)) => Ok(Piece::Url(name.to_owned())),
        Some(("secret", name)) => Ok(Piece::Secret(name.to_owned())),
        _ => Err(InvalidTemplate::Place(place.to_owned())),
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}")),
            Piece::Host => f.write_str("{host}"),
            Piece::Port(name) => write!(f, "{{port:{name}}}"),
            Piece::Url(name) => write!(f, "{{url:{name}}}"),
            Piece::Secret(name) => write!(f, "{{secret:{name}}}"),
        })
    }
}

impl TryFrom<String> for Template {
    type Error = InvalidTemplate;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ports_secrets_and_braces_have_their_places() {
        let template: Template = "a{{{host}}}:{port:web}/{url:web}?k={secret:key}".parse().unwrap();
        let text = |text: &str| Piece::Text(text.to_owned());
        let expected = [
            text("a{"),
            Piece::Host,
            text("}:"),
            Piece::Port("web".into()),
            text("/"),
            Piece::Url("web".into()),
            text("?k="),
            Piece::Secret("key".into()),
        ];
        assert_eq!(template.pieces(), expected);
        assert_eq!(template.ports().collect::<Vec<_>>(), ["web", "web"]);
        assert_eq!(template.secrets().collect::<Vec<_>>(), ["key"]);
        assert_eq!("".parse::<Template>().unwrap().pieces(), []);
    }

    #[test]
    fn lone_braces_and_unknown_placeholders_are_refused() {
        for text in ["{", "}", "a{url:web", "a}b", "{{}"] {
            let error = text.parse::<Template>().unwrap_err();
            assert!(matches!(error, InvalidTemplate::Brace(_)), "{text}: {error}");
        }
        for text in ["{}", "{web}", "{file:/etc/passwd}", "{HOST}", "{{{url}"] {
            let error = text.parse::<Template>().unwrap_err();
            assert!(matches!(error, InvalidTemplate::Place(_)), "{text}: {error}");
        }
        assert_eq!(
            "{env:HOME}".parse::<Template>().unwrap_err().to_string(),
            "`{env:HOME}` is not a valid placeholder: use `{url:PORT}`, `{port:PORT}`, `{host}` or `{secret:NAME}`"
        );
    }

    proptest! {
        #[test]
        fn a_template_reads_back_as_it_is_written(text in "[a-z:{}]{0,24}") {
            if let Ok(template) = text.parse::<Template>() {
                prop_assert_eq!(template.to_string().parse::<Template>().unwrap(), template);
            }
        }
    }
}
