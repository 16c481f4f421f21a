//! Command lines whose flags have variables that stand in for them: one that is set to nothing does not, nor one whose flag is given,
//! and an error names the variable whose value is invalid, not a flag that was not given.

use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, Error, FromArgMatches};

use crate::text::{indented, is_harmless};

/// Reads this program's arguments by `grammar`.
///
/// # Errors
/// With what is to be printed instead: the help that was asked for, or what is wrong.
pub fn parse<P: FromArgMatches>(grammar: Command) -> Result<P, Error> {
    let args: Vec<_> = std::env::args_os().collect();
    let (grammar, set) = with_what_counts(grammar, &args);
    match grammar.clone().try_get_matches_from(&args) {
        Ok(matches) => P::from_arg_matches(&matches),
        Err(error) => Err(harmless(blamed(error, &grammar, &args, &set), &grammar, &args, &set)),
    }
}

/// A variable that stands in for a flag, and is there.
struct Variable {
    name: OsString,
    value: OsString,
}

/// The grammar where only those variables stand in for flags that are set to something and whose flag is not given; and those.
fn with_what_counts(grammar: Command, args: &[OsString]) -> (Command, Vec<Variable>) {
    let named = variables(&grammar);
    // A flag of every command that is given after the command's name is not seen in time: `clap` would look at its variable.
    let alone = named.iter().fold(grammar.clone(), |alone, variable| without(alone, &variable.name));
    let matches = alone.ignore_errors(true).try_get_matches_from(args);
    let given = matches.map(|matches| given(&grammar, &matches)).unwrap_or_default();
    let idle = |variable: &Variable| variable.value.is_empty() || given.contains(&variable.name);
    let (idle, set): (Vec<_>, Vec<_>) = named.into_iter().partition(idle);
    (idle.iter().fold(grammar, |grammar, variable| without(grammar, &variable.name)), set)
}

/// The variables of the flags that `matches` was given, for `command` and for the one below it.
fn given(command: &Command, matches: &ArgMatches) -> Vec<OsString> {
    let is_given = |arg: &&Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    let own = command.get_arguments().filter(is_given).filter_map(|arg| arg.get_env());
    let mut names: Vec<_> = own.map(OsStr::to_owned).collect();
    if let Some((name, matches)) = matches.subcommand()
        && let Some(below) = command.find_subcommand(name)
    {
        names.extend(given(below, matches));
    }
    names
}

/// Those of `command` and of the commands below it.
fn variables(command: &Command) -> Vec<Variable> {
    let names = command.get_arguments().filter_map(|arg| arg.get_env());
    let set = |name: &OsStr| Some(Variable { name: name.to_owned(), value: value_of(name)? });
    let own = names.filter_map(set);
    own.chain(command.get_subcommands().flat_map(variables)).collect()
}

#[expect(clippy::disallowed_methods, reason = "what is set to nothing is to be seen here")]
fn value_of(name: &OsStr) -> Option<OsString> {
    std::env::var_os(name)
}

/// The same grammar, where the variable `name` stands in for nothing.
fn without(command: Command, name: &OsStr) -> Command {
    let freed =
        command.mut_args(|arg| if arg.get_env() == Some(name) { arg.env(Resettable::Reset) } else { arg });
    freed.mut_subcommands(|below| without(below, name))
}

/// The error with the variable that it is about, if it would be another one without that.
fn blamed(error: Error, grammar: &Command, args: &[OsString], set: &[Variable]) -> Error {
    let said = error.to_string();
    let is_cause = |variable: &&Variable| {
        let other = without(grammar.clone(), &variable.name).try_get_matches_from(args);
        other.err().is_none_or(|other| other.to_string() != said)
    };
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return error;
    }
    let Some(variable) = set.iter().find(is_cause) else { return error };
    let name = variable.name.to_string_lossy();
    match error.kind() {
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            let mut error = error;
            error.insert(ContextKind::InvalidArg, ContextValue::String(name.into_owned()));
            error
        }
        kind => {
            let value = variable.value.to_string_lossy();
            let reason = said.trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned();
            let text = format!("the environment variable `{name}` is `{value}`: {reason}");
            Error::raw(kind, text).format(&mut grammar.clone())
        }
    }
}

/// The error as it can be shown: where a value has control characters or line breaks, as escapes and indented.
fn harmless(error: Error, grammar: &Command, args: &[OsString], set: &[Variable]) -> Error {
    let plain = |text: &OsString| text.to_str().is_some_and(|text| is_harmless(text) && !text.contains('\n'));
    let mut outside = args.iter().skip(1).chain(set.iter().map(|variable| &variable.value));
    if !error.use_stderr() || outside.all(plain) {
        return error;
    }
    let said = error.to_string();
    // What follows is usage, and made again.
    let said = said.trim_start_matches("error: ").split("\n\n").next().unwrap_or_default();
    Error::raw(error.kind(), indented(said, "    ")).format(&mut grammar.clone())
}

#[cfg(test)]
mod tests {
    use clap::builder::ValueParser;

    use super::*;

    /// What is wrong with these arguments, where a variable stands in for `--cpus` that is text.
    fn complaint(variable: &'static str, parser: impl Into<ValueParser>, args: &[&str]) -> Option<String> {
        let cpus = Arg::new("cpus").long("cpus").env(variable).value_parser(parser).global(true);
        let grammar = Command::new("test").subcommand(Command::new("start")).arg(cpus);
        let args: Vec<_> = ["test"].iter().chain(args).map(OsString::from).collect();
        let (grammar, set) = with_what_counts(grammar, &args);
        let error = grammar.clone().try_get_matches_from(&args).err()?;
        Some(blamed(error, &grammar, &args, &set).to_string())
    }

    #[test]
    fn an_unusable_value_is_blamed_on_the_variable_that_it_came_from() {
        let number = || clap::value_parser!(u32);
        let text = complaint("PATH", number(), &["start"]).unwrap();
        assert!(text.contains("for 'PATH': invalid digit found in string"), "{text}");
        for given in [["start", "--cpus", "2"], ["--cpus", "2", "start"]] {
            assert_eq!(complaint("PATH", number(), &given), None);
        }
        let text = complaint("PATH", number(), &["start", "--cpus", "two"]).unwrap();
        assert!(text.contains("invalid value 'two' for '--cpus <cpus>'"), "{text}");
        let text = complaint("PATH", number(), &["start", "--other"]).unwrap();
        assert!(text.contains("unexpected argument '--other'"), "{text}");
        assert_eq!(complaint("NO_SUCH_VARIABLE", number(), &["start"]), None);
    }

    #[test]
    fn a_value_with_control_characters_is_shown_harmlessly() {
        let grammar = Command::new("test").arg(Arg::new("cpus").value_parser(clap::value_parser!(u32)));
        let args = ["test", "\u{9b}2J\u{7}\nhint: run evil"].map(OsString::from);
        let error = grammar.clone().try_get_matches_from(&args).unwrap_err();
        let text = harmless(error, &grammar, &args, &[]).to_string();
        assert!(text.starts_with("error: invalid value"), "{text}");
        assert!(!text.contains(['\u{9b}', '\u{7}']) && text.contains("\n    hint: run evil"), "{text:?}");
    }

    #[test]
    fn a_variable_can_be_kept_from_standing_in_for_a_flag() {
        let cpus = Arg::new("cpus").long("cpus").env("PATH");
        let grammar = Command::new("test").subcommand(Command::new("start").arg(cpus));
        let given = |grammar: Command| {
            let matches = grammar.get_matches_from(["test", "start"]);
            matches.subcommand().unwrap().1.get_one::<String>("cpus").is_some()
        };
        assert!(given(grammar.clone()));
        assert!(!given(without(grammar, OsStr::new("PATH"))));
    }
}
