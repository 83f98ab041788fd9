//! `cvol tree`: all that is in a volume, drawn as a tree.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use engine::{EntryKind, TreeStep};
use serde::Serialize;

use super::ls::EntryDocument;
use super::{Context, Outcome, Result};
use crate::failure::Failure;
use crate::output::{Form, quantity, terminal};
use crate::{interrupt, reference};

/// Draw what is in a volume as a tree
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cvol tree data
  cvol tree data:/img -L 2
  cvol tree --image disk.vhdx
  cvol tree data --json")]
pub(crate) struct Arguments {
    /// A volume, or a folder in it; with --image, the path of a folder
    #[arg(value_name = "NAME[:/PATH]", required_unless_present = "image")]
    place: Option<String>,

    /// Go down so many levels at most
    #[arg(short = 'L', long, value_name = "LEVELS",
          value_parser = clap::value_parser!(u32).range(1..))]
    level: Option<u32>,

    /// Look into this image file instead of a volume
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
}

/// An entry with what is below it, as `--json` shows it.
#[derive(Serialize)]
struct Node {
    #[serde(flatten)]
    entry: EntryDocument,
    #[serde(skip_serializing_if = "Option::is_none")]
    children: Option<Vec<Node>>,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let argument = self.place.as_deref().unwrap_or("/");
        let place = reference::place(argument, self.image.as_deref());
        match context.output.form() {
            Form::Json => {
                let mut builder = Builder::default();
                context
                    .engine
                    .walk_tree(&place, self.level, &mut |step| builder.add(step))?;
                context.output.print_json(&builder.finish())?;
            }
            form => {
                let mut drawing = Drawing::new(argument, form, context.output.is_verbose());
                let walked = context
                    .engine
                    .walk_tree(&place, self.level, &mut |step| drawing.add(step));
                // A reader that went away stops the walk; that is the failure to tell, not the
                // interruption it looks like.
                drawing.flush()?;
                walked?;
                drawing.finish()?;
            }
        }
        Ok(Outcome::Done)
    }
}

/// Builds the nested document: the open folders from the top down, each with what is in it so far.
#[derive(Default)]
struct Builder {
    top: Vec<Node>,
    open: Vec<Node>,
}

impl Builder {
    fn add(&mut self, step: &TreeStep<'_>) -> ControlFlow<()> {
        self.close_to(step.depth);
        let entry = step.entry;
        let is_folder = entry.kind == EntryKind::Directory;
        let node = Node {
            entry: EntryDocument::of(entry),
            children: is_folder.then(Vec::new),
        };
        if is_folder {
            self.open.push(node);
        } else {
            self.put(node);
        }
        interrupt::poll()
    }

    fn close_to(&mut self, depth: usize) {
        while self.open.len() > depth {
            if let Some(node) = self.open.pop() {
                self.put(node);
            }
        }
    }

    fn put(&mut self, node: Node) {
        match self.open.last_mut().and_then(|open| open.children.as_mut()) {
            Some(children) => children.push(node),
            None => self.top.push(node),
        }
    }

    fn finish(mut self) -> Vec<Node> {
        self.close_to(0);
        self.top
    }
}

/// Draws one line an entry.
struct Drawing {
    out: BufWriter<io::StdoutLock<'static>>,
    /// The first line, until it is written: with the first entry, or at the end.
    head: Option<String>,
    failure: Option<io::Error>,
    form: Form,
    verbose: bool,
    /// For each open folder: whether it is the last in its own.
    last: Vec<bool>,
    directories: u64,
    files: u64,
}

impl Drawing {
    fn new(head: &str, form: Form, verbose: bool) -> Self {
        Self {
            out: BufWriter::new(io::stdout().lock()),
            head: Some(format!("{}\n", terminal::escape(head))),
            failure: None,
            form,
            verbose,
            last: Vec::new(),
            directories: 0,
            files: 0,
        }
    }

    fn add(&mut self, step: &TreeStep<'_>) -> ControlFlow<()> {
        let entry = step.entry;
        self.last.truncate(step.depth);
        let mut line: String = self
            .last
            .iter()
            .map(|last| if *last { "    " } else { "│   " })
            .collect();
        self.last.push(step.is_last);
        line.push_str(if step.is_last {
            "└── "
        } else {
            "├── "
        });
        line.push_str(&terminal::escape(&entry.name));
        match entry.kind {
            EntryKind::Directory => {
                self.directories += 1;
                line.push('/');
            }
            EntryKind::File => {
                self.files += 1;
                if self.verbose {
                    line.push_str(&format!("  [{}]", quantity::bytes(entry.size.get())));
                }
            }
            EntryKind::Symlink | EntryKind::Other => self.files += 1,
        }
        if let Some(target) = &entry.link_target {
            line.push_str(&format!(" -> {}", terminal::escape(target)));
        }
        line.push('\n');
        self.write(&line);
        if self.failure.is_some() {
            return ControlFlow::Break(());
        }
        interrupt::poll()
    }

    fn write(&mut self, text: &str) {
        let head = self.head.take().unwrap_or_default();
        if self.failure.is_none() {
            let written = self.out.write_all(head.as_bytes());
            self.failure = written
                .and_then(|()| self.out.write_all(text.as_bytes()))
                .err();
        }
    }

    fn flush(&mut self) -> std::result::Result<(), Failure> {
        match self.failure.take() {
            Some(error) => Err(error.into()),
            None => Ok(self.out.flush()?),
        }
    }

    /// Writes the last line.
    fn finish(&mut self) -> std::result::Result<(), Failure> {
        let directories = quantity::counted(self.directories, "directory", "directories");
        let files = quantity::counted(self.files, "file", "files");
        self.write(&match self.form {
            Form::Text => format!("\n{directories}, {files}\n"),
            Form::Quiet | Form::Json => String::new(),
        });
        self.flush()
    }
}

#[cfg(test)]
mod tests {
    use engine::{ByteCount, Entry, Timestamp};

    use super::*;

    #[test]
    fn entries_are_nested_by_their_depth() {
        let mut builder = Builder::default();
        for (name, kind, depth) in [
            ("a", EntryKind::Directory, 0),
            ("b", EntryKind::Directory, 1),
            ("c", EntryKind::File, 2),
            ("d", EntryKind::File, 1),
            ("e", EntryKind::File, 0),
        ] {
            let entry = Entry {
                name: name.to_owned(),
                kind,
                size: ByteCount(0),
                modified: Timestamp::default(),
                link_target: None,
                attributes: 0,
            };
            let step = TreeStep {
                depth,
                is_last: false,
                entry: &entry,
            };
            assert!(builder.add(&step).is_continue());
        }
        let document = serde_json::to_value(builder.finish()).unwrap();
        assert_eq!(document[0]["children"][0]["children"][0]["name"], "c");
        assert_eq!(document[0]["children"][1]["name"], "d");
        assert_eq!(document[1]["name"], "e");
        assert!(document[1].get("children").is_none());
    }
}
