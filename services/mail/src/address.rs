//! Which mailbox an address leads to.

use std::str::FromStr;

use anyhow::bail;

/// Longest address in bytes: RFC 5321 allows 64 for the local part and 255 for the domain.
const LONGEST: usize = 320;

/// How mailboxes are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    /// By the part before the `@`.
    Local,
    /// By the whole address.
    Full,
    /// By the part after the `@`.
    Domain,
}

impl FromStr for Naming {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "local" => Self::Local,
            "full" => Self::Full,
            "domain" => Self::Domain,
            _ => bail!("invalid naming of mailboxes `{text}`: use `local`, `full` or `domain`"),
        })
    }
}

impl Naming {
    /// Returns the mailbox of an address, or of what a program asks for: the name itself, or an address. Case does not matter, and
    /// what follows a `+` belongs to the sender.
    pub(crate) fn mailbox(self, address: &str) -> Option<String> {
        if address.len() > LONGEST || address.chars().any(char::is_control) {
            return None;
        }
        let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
        let local = unquoted(local).to_lowercase();
        let local = match local.find('+') {
            None | Some(0) => local.as_str(),
            Some(at) => &local[..at],
        };
        let domain = domain.to_lowercase();
        let name = match self {
            Self::Full if !domain.is_empty() && !local.is_empty() => format!("{local}@{domain}"),
            Self::Domain if !domain.is_empty() => domain,
            Self::Local | Self::Full | Self::Domain => local.to_owned(),
        };
        (!name.is_empty()).then_some(name)
    }
}

/// The local part without the quotes that SMTP needs around some characters.
fn unquoted(local: &str) -> String {
    let Some(inside) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return local.to_owned();
    };
    let mut text = String::with_capacity(inside.len());
    let mut characters = inside.chars();
    while let Some(character) = characters.next() {
        text.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_the_local_part_unless_configured() {
        let named = |naming: Naming| naming.mailbox("Anna.Lee+news@Shop.Test").unwrap();
        assert_eq!(named(Naming::Local), "anna.lee");
        assert_eq!(named(Naming::Full), "anna.lee@shop.test");
        assert_eq!(named(Naming::Domain), "shop.test");
    }

    #[test]
    fn a_name_leads_to_the_same_mailbox_as_its_address() {
        for naming in [Naming::Local, Naming::Full, Naming::Domain] {
            let name = naming.mailbox("a+b@x.test").unwrap();
            assert_eq!(naming.mailbox(&name), Some(name), "{naming:?}");
        }
    }

    #[test]
    fn unusual_local_parts_have_mailboxes_too() {
        let cases = [
            (r#""a b"@x.test"#, "a b"),
            (r#""a\"b"@x.test"#, "a\"b"),
            ("jörg@x.test", "jörg"),
            ("+tag@x.test", "+tag"),
            ("postmaster", "postmaster"),
            ("a/../b?c#d@x.test", "a/../b?c#d"),
        ];
        for (address, name) in cases {
            assert_eq!(Naming::Local.mailbox(address).as_deref(), Some(name), "{address}");
        }
    }

    #[test]
    fn what_is_no_address_has_no_mailbox() {
        for address in ["", "@x.test", "\"\"@x.test", "a\r\nb@x.test", "a\0@x.test", &"a".repeat(321)] {
            assert_eq!(Naming::Local.mailbox(address), None, "{address:?}");
        }
    }
}
