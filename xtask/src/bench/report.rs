//! Tables of results, and their place in `docs/perf.md`: between `<!-- bench:NAME -->` and
//! `<!-- /bench:NAME -->`.

use crate::failure::Outcome;
use crate::workspace;

use super::memory_folder;

/// A table with the commands that repeat it.
#[derive(Debug)]
pub(super) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    commands: Vec<String>,
    notes: Vec<String>,
}

impl Table {
    pub(super) fn new<const N: usize>(head: [&str; N]) -> Self {
        let head = head.map(str::to_owned).to_vec();
        Self {
            head,
            rows: Vec::new(),
            commands: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// Adds a command line that was measured, with the folders of this machine left out.
    pub(super) fn command(&mut self, name: &str, line: &str) {
        let mut line = line.to_owned();
        for folder in [workspace::target().join("bench"), memory_folder()] {
            line = line.replace(&folder.display().to_string(), ".");
        }
        self.commands.push(format!("{name}: {line}"));
    }

    /// Adds a sentence that stands below the table.
    pub(super) fn note(&mut self, sentence: &str) {
        self.notes.push(sentence.to_owned());
    }

    pub(super) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = line(&self.head);
        text.push_str(&format!("|{}\n", "---|".repeat(self.head.len())));
        for row in &self.rows {
            text.push_str(&line(row));
        }
        if !self.notes.is_empty() {
            text.push_str(&format!("\n{}\n", self.notes.join(" ")));
        }
        if !self.commands.is_empty() {
            text.push_str(&format!("\n```\n{}\n```\n", self.commands.join("\n")));
        }
        text
    }
}

/// Puts a case's text between its markers; a case without markers gets them at the end.
pub(super) fn write(name: &str, text: &str) -> Outcome {
    let path = workspace::root().join("docs/perf.md");
    let document = if path.is_file() {
        workspace::read_text(&path)?
    } else {
        String::new()
    };
    workspace::write(&path, replaced(&document, name, text))
}

fn replaced(document: &str, name: &str, text: &str) -> String {
    let (open, close) = (
        format!("<!-- bench:{name} -->"),
        format!("<!-- /bench:{name} -->"),
    );
    let block = format!("{open}\n{}\n{close}", text.trim_end());
    let parts = document
        .split_once(&open)
        .and_then(|(before, rest)| Some((before, rest.split_once(&close)?.1)));
    match parts {
        Some((before, after)) => format!("{before}{block}{after}"),
        None => format!("{document}\n## {name}\n\n{block}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Table, replaced};

    #[test]
    fn a_table_stands_between_its_markers_and_the_rest_is_kept() {
        let document = "# Speed\n<!-- bench:a -->\nold\n<!-- /bench:a -->\nend\n";
        let once = replaced(document, "a", "new\n");
        assert_eq!(
            once,
            "# Speed\n<!-- bench:a -->\nnew\n<!-- /bench:a -->\nend\n"
        );
        let more = replaced(&once, "b", "more");
        assert_eq!(
            more,
            format!("{once}\n## b\n\n<!-- bench:b -->\nmore\n<!-- /bench:b -->\n")
        );
    }

    #[test]
    fn rows_and_commands_become_markdown() {
        let mut table = Table::new(["case", "ratio"]);
        table.row(["x".to_owned(), "0.5".to_owned()]);
        table.command("ours", "cvol create x");
        let text = "| case | ratio |\n|---|---|\n| x | 0.5 |\n\n```\nours: cvol create x\n```\n";
        assert_eq!(table.markdown(), text);
    }
}
