//! Rules for documents: links lead somewhere, decisions are numbered, and the commands that the
//! README shows exist.

use std::path::Path;

use super::Findings;
use super::files::TextFile;
use crate::failure::Outcome;
use crate::workspace;

pub(crate) fn check(files: &[TextFile], findings: &mut Findings) -> Outcome {
    for file in files
        .iter()
        .filter(|file| file.path.extension().is_some_and(|end| end == "md"))
    {
        check_links(file, findings);
        if file.name().starts_with("docs/adr/") {
            check_decision(file, findings);
        }
        check_chores(file, findings);
        check_verbs(file, files, findings);
    }
    Ok(())
}

/// The targets of the links in a document that lead to files.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?;
        let path = target.split('#').next()?;
        let elsewhere = target.contains("://") || target.starts_with("mailto:");
        (!elsewhere && !path.is_empty()).then_some(path)
    })
}

fn check_links(file: &TextFile, findings: &mut Findings) {
    let folder = workspace::root().join(file.path.parent().unwrap_or(Path::new("")));
    for target in links(&file.text) {
        if !folder.join(target).exists() {
            findings.error(file.name(), format!("the link to {target} leads nowhere"));
        }
    }
}

/// `docs/adr/0007-some-words.md` begins with `# 0007`.
fn check_decision(file: &TextFile, findings: &mut Findings) {
    let name = file.path.file_stem().unwrap_or_default().to_string_lossy();
    let number = name.split('-').next().unwrap_or_default();
    let numbered = number.len() == 4 && number.chars().all(|c| c.is_ascii_digit());
    let plain = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !numbered || !plain || name.len() <= 5 {
        findings.error(file.name(), "a decision is named NNNN-some-words.md");
    } else if !file.text.starts_with(&format!("# {number}")) {
        findings.error(
            file.name(),
            format!("its first line begins with \"# {number}\""),
        );
    }
}

/// The word after each `command ` that is a word of small letters and digits.
fn words_after<'a>(text: &'a str, command: &str) -> Vec<&'a str> {
    let after = text
        .match_indices(command)
        .filter_map(|(index, _)| text.get(index + command.len()..));
    after
        .map(|rest| {
            rest.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '-')
                .next()
                .unwrap_or("")
        })
        .filter(|word| !word.is_empty() && !word.starts_with('-'))
        .collect()
}

/// Every `cargo xtask VERB` in a document is a verb.
fn check_chores(file: &TextFile, findings: &mut Findings) {
    for verb in words_after(&file.text, "cargo xtask ") {
        if verb != "help" && !crate::VERBS.iter().any(|known| known.name == verb) {
            findings.error(file.name(), format!("there is no cargo xtask {verb}"));
        }
    }
}

/// Every line of a README's examples that begins with `cvol VERB` names a verb: one has a file of
/// its own in the command line's crate.
fn check_verbs(file: &TextFile, files: &[TextFile], findings: &mut Findings) {
    if file.name() != "README.md" {
        return;
    }
    let lines = file
        .text
        .lines()
        .map(|line| line.trim().trim_start_matches("$ "));
    for line in lines.filter(|line| line.starts_with("cvol ")) {
        for verb in words_after(line, "cvol ").into_iter().take(1) {
            let home = format!("crates/cli/src/command/{}.rs", verb.replace('-', "_"));
            if verb != "help" && !files.iter().any(|file| file.name() == home) {
                findings.error("README.md", format!("there is no cvol {verb}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> TextFile {
        TextFile {
            path: name.into(),
            text: text.to_owned(),
        }
    }

    fn errors(name: &str, text: &str) -> usize {
        let mut findings = Findings::default();
        let verb = file("crates/cli/src/command/create.rs", "");
        check(&[file(name, text), verb], &mut findings).unwrap();
        findings.errors().len()
    }

    #[test]
    fn links_lead_somewhere() {
        assert_eq!(
            errors(
                "x.md",
                "[a](Cargo.toml) [b](https://docs.rs/) [c](#d) [e](xtask#f)"
            ),
            0
        );
        assert_eq!(errors("x.md", "[a](no-such-file.md)"), 1);
    }

    #[test]
    fn decisions_are_numbered() {
        assert_eq!(
            errors("docs/adr/0007-some-words.md", "# 0007: some words\n"),
            0
        );
        assert_eq!(errors("docs/adr/0007-some-words.md", "# Some words\n"), 1);
        assert_eq!(errors("docs/adr/7-some-words.md", "# 7: some words\n"), 1);
    }

    #[test]
    fn commands_in_documents_exist() {
        assert_eq!(errors("x.md", "`cargo xtask tidy` and cargo xtask VERB"), 0);
        assert_eq!(errors("x.md", "`cargo xtask nothing`"), 1);
        assert_eq!(
            errors("README.md", "    $ cvol create data\n    cvol --help\n"),
            0
        );
        assert_eq!(errors("README.md", "    cvol nothing data\n"), 1);
    }
}
