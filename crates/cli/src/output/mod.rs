//! What verbs print, and where: results on standard output, notes on standard error.
//!
//! Invariant: nothing here panics when a reader goes away; a closed pipe comes back as a failure
//! that ends the program quietly.

pub(crate) mod json;
pub(crate) mod quantity;
pub(crate) mod svg;
pub(crate) mod table;
pub(crate) mod terminal;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::failure::Failure;

/// The form in which results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Tables and sentences for people.
    Text,
    /// One JSON document.
    Json,
    /// Names only.
    Quiet,
}

/// Where results go and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    form: Form,
    verbose: bool,
}

impl Output {
    pub(crate) fn new(form: Form, verbose: bool) -> Self {
        Self { form, verbose }
    }

    pub(crate) fn form(self) -> Form {
        self.form
    }

    /// Whether details were asked for.
    pub(crate) fn is_verbose(self) -> bool {
        self.verbose
    }

    /// Prints text that is safe already; line breaks are the caller's.
    pub(crate) fn print(self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()?;
        Ok(())
    }

    /// Prints a name on a line of its own: escaped on a terminal, as it is for a program.
    pub(crate) fn print_name(self, name: &str) -> Result<(), Failure> {
        self.print(&format!("{}\n", name_for_stdout(name)))
    }

    /// Prints one JSON document.
    pub(crate) fn print_json<T: Serialize>(self, value: &T) -> Result<(), Failure> {
        let document = json::to_document(value).map_err(io::Error::from)?;
        self.print(&document)
    }

    /// Prints a result: its document for a program, its text for people, nothing under `--quiet`.
    pub(crate) fn report<T: Serialize>(
        self,
        document: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.form {
            Form::Json => self.print_json(document),
            Form::Quiet => Ok(()),
            Form::Text => self.print(&text()),
        }
    }

    /// The same for a result with a name, which is printed under `--quiet`.
    pub(crate) fn report_as<T: Serialize>(
        self,
        name: &str,
        document: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.form {
            Form::Quiet => self.print_name(name),
            _ => self.report(document, text),
        }
    }

    /// Says something on standard error that is no failure; silent under `--quiet` and `--json`.
    pub(crate) fn note(self, text: &str) {
        if self.form == Form::Text {
            // A closed standard error has no better place to be told of.
            let _ = writeln!(io::stderr().lock(), "cvol: {}", terminal::escape(text));
        }
    }
}

/// A name as standard output should have it: escaped where a person looks at it.
pub(crate) fn name_for_stdout(name: &str) -> std::borrow::Cow<'_, str> {
    if io::stdout().is_terminal() {
        terminal::escape(name)
    } else {
        std::borrow::Cow::Borrowed(name)
    }
}
