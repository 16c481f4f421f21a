//! The texts that come with the program: a page of the manual for each command, and completion scripts.

use anyhow::Context as _;
use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use release::program::{COMPLETIONS, Document, MANUAL, PROGRAM};

/// All of them, made from the program's grammar.
///
/// # Errors
/// When a shell is unknown. Nothing else can fail in memory.
pub(crate) fn all() -> anyhow::Result<Vec<Document>> {
    let mut grammar = emulator::grammar();
    grammar.build();
    let commands = grammar.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let mut documents = Vec::new();
    for command in std::iter::once(grammar.clone()).chain(commands) {
        documents.push(page(command)?);
    }
    for (shell, path) in COMPLETIONS {
        documents.push(completions(shell, path)?);
    }
    Ok(documents)
}

fn page(command: Command) -> anyhow::Result<Document> {
    let page =
        Man::new(command).source(format!("{PROGRAM} {}", release::program::VERSION)).manual("emulator");
    let (path, mut content) = (format!("{MANUAL}/{}", page.get_filename()), Vec::new());
    page.render(&mut content)?;
    Ok(Document { path, content })
}

fn completions(shell: &str, path: &str) -> anyhow::Result<Document> {
    let shell: Shell = shell.parse().ok().with_context(|| format!("unknown shell `{shell}`"))?;
    let mut content = Vec::new();
    clap_complete::generate(shell, &mut emulator::grammar(), PROGRAM, &mut content);
    Ok(Document { path: path.to_owned(), content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_every_shell_a_script() {
        let documents = all().unwrap();
        let text = |path: &str| {
            let document = documents.iter().find(|document| document.path == path);
            String::from_utf8(document.unwrap_or_else(|| panic!("no `{path}`")).content.clone()).unwrap()
        };
        let page = text("share/man/man1/emulator-start.1");
        assert!(page.contains("\\-\\-no\\-snapshot") && page.contains("emulator start"), "{page}");
        assert!(text("share/man/man1/emulator.1").contains("emulator\\-start(1)"));
        assert!(!documents.iter().any(|document| document.path.contains("watch")), "it is hidden");
        assert!(text("share/bash-completion/completions/emulator").contains("--no-snapshot"));
        assert!(text("share/zsh/site-functions/_emulator").starts_with("#compdef emulator"));
        assert!(text("share/fish/vendor_completions.d/emulator.fish").contains("complete -c emulator"));
    }
}
