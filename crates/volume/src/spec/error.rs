//! Why a specification is refused: what, which option, and where it stands.

use std::fmt;

/// The class of a [`SpecError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpecErrorKind {
    /// The text is wrong, or its values do not fit together.
    Invalid,
    /// The text asks for something that exists but is not supported.
    Unsupported,
}

/// A refused specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", display_place(*column, option))]
pub struct SpecError {
    kind: SpecErrorKind,
    column: Option<usize>,
    option: Option<&'static str>,
    message: String,
}

fn display_place(column: Option<usize>, option: &Option<&'static str>) -> String {
    match (column, option) {
        (Some(column), Some(option)) => format!("column {column}, option {option}: "),
        (Some(column), None) => format!("column {column}: "),
        (None, Some(option)) => format!("option {option}: "),
        (None, None) => String::new(),
    }
}

impl SpecError {
    /// The class of the error.
    pub fn kind(&self) -> SpecErrorKind {
        self.kind
    }

    /// Where in the option string it stands: the character, from 1. `None` for a specification that
    /// was not read from one string.
    pub fn column(&self) -> Option<usize> {
        self.column
    }

    /// The option it is about, where it is a known one.
    pub fn option(&self) -> Option<&'static str> {
        self.option
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self {
            kind: SpecErrorKind::Invalid,
            column: None,
            option: None,
            message: message.into(),
        }
    }

    pub(super) fn unsupported(message: impl Into<String>) -> Self {
        Self {
            kind: SpecErrorKind::Unsupported,
            ..Self::invalid(message)
        }
    }

    /// An error of the value of a known option.
    pub(super) fn of_option(option: &'static str, message: impl Into<String>) -> Self {
        Self {
            option: Some(option),
            ..Self::invalid(message)
        }
    }

    /// The same of the value of a known option.
    pub(super) fn of(mut self, option: &'static str) -> Self {
        self.option = Some(option);
        self
    }

    /// The same with the column, where none is known yet.
    pub(super) fn at(mut self, column: Option<usize>) -> Self {
        self.column = self.column.or(column);
        self
    }
}

impl fmt::Display for SpecErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "invalid",
            Self::Unsupported => "unsupported",
        })
    }
}
