//! What goes wrong while a tree is read.

use std::io;

/// What went wrong, in the classes that callers act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TreeErrorKind {
    /// The host refused to read it.
    Unreadable,
    /// It changed while it was read.
    Changed,
    /// The source broke a promise of the tree model.
    Malformed,
    /// The tree has more entries or levels than can be numbered.
    TooLarge,
    /// The source holds something that is known and not supported.
    Unsupported,
}

/// A path of a tree that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {what}")]
pub struct TreeError {
    kind: TreeErrorKind,
    path: String,
    what: String,
    source: Option<io::Error>,
}

impl TreeError {
    /// An error of `kind` at `path`; `what` is what happened, in lower case.
    pub fn new(kind: TreeErrorKind, path: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            kind,
            path: path.into(),
            what: what.into(),
            source: None,
        }
    }

    /// `path` cannot be read, for a reason of the host's.
    pub fn unreadable(path: impl Into<String>, source: io::Error) -> Self {
        Self {
            kind: TreeErrorKind::Unreadable,
            path: path.into(),
            what: format!("cannot be read: {source}"),
            source: Some(source),
        }
    }

    /// The tree error inside an error of a content's reader; where there is none, one that names
    /// `path`.
    pub fn from_read(error: io::Error, path: impl FnOnce() -> String) -> Self {
        match error.downcast::<Self>() {
            Ok(inner) => inner,
            Err(error) => Self::unreadable(path(), error),
        }
    }

    /// The class of the error.
    pub fn kind(&self) -> TreeErrorKind {
        self.kind
    }

    /// The path in question.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl From<TreeError> for io::Error {
    /// Lets a content's reader return a tree error; [`TreeError::from_read`] takes it out again.
    fn from(error: TreeError) -> Self {
        Self::other(error)
    }
}
