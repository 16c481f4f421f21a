//! Options of a native service: words of `command` that become lines of its settings.

use image::description::{Command, OptionForm};

/// The lines that `words` become after the program, if the service takes all of them; else the word that it does not take.
pub(super) fn lines<'w>(command: &Command, words: &'w [String]) -> Result<Vec<String>, &'w str> {
    let words = match words {
        [program, rest @ ..] if *program == command.program => rest,
        words => words,
    };
    match command.option {
        OptionForm::Assignment => assignments(command, words),
        OptionForm::Flag => flags(command, words),
    }
}

/// What to write instead.
pub(super) fn instead(command: &Command) -> String {
    let refused: Vec<_> = command.refused.iter().map(|name| format!("`{name}`")).collect();
    let without =
        if refused.is_empty() { String::new() } else { format!(", without {}", refused.join(", ")) };
    format!("write `{} {}`{without}", command.program, command.option.as_str())
}

fn assignments<'w>(command: &Command, words: &'w [String]) -> Result<Vec<String>, &'w str> {
    let mut lines = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let setting = match word.as_str() {
            "-c" => words.next().map(String::as_str),
            word => word.strip_prefix("--").or_else(|| word.strip_prefix("-c")),
        };
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c))
        };
        let pair = setting.and_then(|setting| setting.split_once('='));
        let pair = pair.filter(|(name, value)| is_name(name) && !value.contains(['\\', '\n']));
        let (name, value) = pair.filter(|(name, _)| takes(command, name)).ok_or(setting.unwrap_or(word))?;
        lines.push(format!("{name} = '{}'", value.replace('\'', "''")));
    }
    Ok(lines)
}

fn flags<'w>(command: &Command, words: &'w [String]) -> Result<Vec<String>, &'w str> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        let is_plain = !word.contains(|c: char| c.is_control() || "\"\\".contains(c));
        match (word.strip_prefix("--"), lines.last_mut()) {
            (Some(name), _) if is_plain && !name.is_empty() && takes(command, name) => {
                lines.push(name.to_owned());
            }
            (None, Some(line)) if is_plain => line.extend([" \"", word, "\""]),
            _ => return Err(word),
        }
    }
    Ok(lines)
}

/// Servers take names of settings in upper case too.
fn takes(command: &Command, name: &str) -> bool {
    !command.refused.iter().any(|refused| refused.eq_ignore_ascii_case(name))
}
