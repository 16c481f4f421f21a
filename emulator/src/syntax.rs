//! Environment variables in the languages that programs read them in.

mod dotenv;

use std::borrow::Cow;

/// A language that environment variables are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// Files that are called `.env`.
    Dotenv,
    /// Shells as POSIX has them.
    Shell,
    /// PowerShell.
    PowerShell,
    /// What a step of GitHub Actions appends to the file that `GITHUB_ENV` names.
    GitHub,
}

impl Syntax {
    /// Sets the variable `name`; `None` if this language has no way to write the value.
    pub(crate) fn set(self, name: &str, value: &str) -> Option<String> {
        Some(match self {
            Self::Dotenv => format!("{name}={}", dotenv::value(value)?),
            Self::Shell => format!("export {name}='{}'", value.replace('\'', r"'\''")),
            Self::PowerShell => format!("$env:{name} = '{}'", doubled(value)),
            Self::GitHub => {
                let end = absent_from(value);
                format!("{name}<<{end}\n{value}\n{end}")
            }
        })
    }

    /// Says something to people; `None` in a language without comments.
    pub(crate) fn comment(self, text: &str) -> Option<String> {
        match self {
            Self::Dotenv | Self::Shell | Self::PowerShell => Some(format!("# {text}")),
            Self::GitHub => None,
        }
    }
}

/// The value with everything twice that PowerShell takes for a single quote: also those that word processors write.
fn doubled(value: &str) -> String {
    let quote =
        |character: &char| matches!(character, '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}');
    let mut text = String::with_capacity(value.len());
    for character in value.chars() {
        text.push(character);
        text.extend(Some(character).filter(quote));
    }
    text
}

/// A word that is not in `value`, so that it ends the value only where it should.
fn absent_from(value: &str) -> String {
    let mut word = "END_OF_VALUE".to_owned();
    while value.contains(&word) {
        word.push('_');
    }
    word
}

/// What makes GitHub Actions hide `value` in logs from here on: a line of a step's output that it does not show.
pub(crate) fn mask(value: &str) -> String {
    let escaped: Cow<'_, str> = if value.contains(['%', '\r', '\n']) {
        value.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A").into()
    } else {
        value.into()
    };
    format!("::add-mask::{escaped}")
}

#[cfg(test)]
mod tests {
    use base::process::Cmd;

    use super::*;

    /// Values that some reader takes for something else.
    const VALUES: [&str; 16] = [
        "",
        "http://127.0.0.1:26701",
        " spaces around ",
        "it's",
        "\"double\" quotes",
        "both ' and \"",
        "$HOME ${HOME} `id` $(id)",
        "back\\slash \\n \\",
        "# no comment",
        "a#b",
        "two\nlines\n",
        "\r\n",
        "A=B;C&D|E>F",
        "END_OF_VALUE",
        "100 % \u{2019}\u{e4}\u{1f600}",
        "!history ~ * ? [a]",
    ];

    /// What PowerShell makes of assignments to `$env:`, by its own rules: Microsoft, `about_Quoting_Rules`.
    fn powershell(text: &str) -> Vec<(String, String)> {
        let is_quote = |c: &char| matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}');
        let mut rest = text;
        let mut variables = Vec::new();
        while let Some(after) = rest.strip_prefix("$env:") {
            let (name, after) = after.split_once(" = ").unwrap();
            let mut characters = after.chars().peekable();
            assert!(is_quote(&characters.next().unwrap()));
            let mut value = String::new();
            loop {
                let next = characters.next().unwrap();
                if !is_quote(&next) || characters.next_if(is_quote).is_some() {
                    value.push(next);
                } else {
                    break;
                }
            }
            variables.push((name.to_owned(), value));
            let consumed = after.len() - characters.collect::<String>().len();
            rest = after[consumed..].strip_prefix('\n').unwrap();
        }
        assert_eq!(rest, "");
        variables
    }

    /// What a runner makes of the file that `GITHUB_ENV` names: `FileCommandManager` of actions/runner.
    fn github(text: &str) -> Vec<(String, String)> {
        let mut lines = text.strip_suffix('\n').unwrap().split('\n');
        let mut variables = Vec::new();
        while let Some(line) = lines.next() {
            let (name, end) = line.split_once("<<").unwrap();
            let value: Vec<_> = lines.by_ref().take_while(|line| *line != end).collect();
            variables.push((name.to_owned(), value.join("\n")));
        }
        variables
    }

    fn written(syntax: Syntax) -> String {
        let lines = VALUES.iter().enumerate().map(|(number, value)| syntax.set(&format!("V{number}"), value));
        lines.map(|line| line.unwrap() + "\n").collect()
    }

    fn expected() -> Vec<(String, String)> {
        VALUES.iter().enumerate().map(|(number, value)| (format!("V{number}"), (*value).to_owned())).collect()
    }

    #[tokio::test]
    async fn shells_read_back_every_value() {
        let shown: String = (0..VALUES.len())
            .fold(String::new(), |text, number| text + &format!("printf '%s\\0' \"$V{number}\"\n"));
        for shell in ["sh", "bash"] {
            let script = format!("set -u\n{}{shown}", written(Syntax::Shell));
            let output = Cmd::new(shell).args(["-c", &script]).output().await.unwrap();
            let expected: String = VALUES.iter().flat_map(|&value| [value, "\0"]).collect();
            assert_eq!(String::from_utf8(output).unwrap(), expected, "{shell}");
        }
    }

    #[test]
    fn powershell_reads_back_every_value() {
        assert_eq!(powershell(&written(Syntax::PowerShell)), expected());
    }

    #[test]
    fn github_reads_back_every_value() {
        assert_eq!(github(&written(Syntax::GitHub)), expected());
    }

    #[test]
    fn a_mask_is_one_line() {
        assert_eq!(mask("0a1b"), "::add-mask::0a1b");
        assert_eq!(mask("a\r\nb%"), "::add-mask::a%0D%0Ab%25");
    }

    #[test]
    fn only_what_has_comments_gets_one() {
        assert_eq!(Syntax::Dotenv.comment("x"), Some("# x".to_owned()));
        assert_eq!(Syntax::GitHub.comment("x"), None);
    }
}
