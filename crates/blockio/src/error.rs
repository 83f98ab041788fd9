//! The one error of positional input and output: which operation, where, and why.

use std::io;

use crate::units::{ByteCount, ByteOffset};

/// What a storage or disk operation returns.
pub type Result<T> = std::result::Result<T, IoError>;

/// The operation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reading bytes.
    Read,
    /// Writing bytes.
    Write,
    /// Making earlier writes durable.
    Flush,
    /// Changing the length.
    Resize,
    /// Giving space back.
    Discard,
    /// Writing zeros.
    Zero,
    /// Asking which ranges hold data.
    Status,
    /// Opening.
    Open,
}

/// What went wrong, in the classes that callers act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IoErrorKind {
    /// The operating system (or a simulated disk) refused; the source says why.
    Host,
    /// No space is left on the host.
    NoSpace,
    /// The range lies outside the storage or disk.
    OutOfRange,
    /// The storage or disk was opened for reading only.
    ReadOnly,
    /// Somebody else holds the file open in a way that excludes this use.
    InUse,
    /// An earlier failure to write or flush metadata made this disk unusable for writing.
    Poisoned,
    /// The bytes of an image contradict its format.
    Damaged,
    /// The operation is not supported by this kind of storage or disk.
    Unsupported,
}

/// A failed operation on a storage or a disk.
#[derive(Debug, thiserror::Error)]
#[error(
    "{operation:?} of {length} at {offset} failed: {kind:?}{}",
    display_source(source)
)]
pub struct IoError {
    kind: IoErrorKind,
    operation: Operation,
    offset: ByteOffset,
    length: ByteCount,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

fn display_source(source: &Option<Box<dyn std::error::Error + Send + Sync>>) -> String {
    source
        .as_ref()
        .map_or_else(String::new, |source| format!(" ({source})"))
}

impl IoError {
    /// An error of `kind` at a place, without a cause below it.
    pub fn new(
        kind: IoErrorKind,
        operation: Operation,
        offset: ByteOffset,
        length: ByteCount,
    ) -> Self {
        Self {
            kind,
            operation,
            offset,
            length,
            source: None,
        }
    }

    /// An error of the host's operating system, classified.
    pub fn host(
        operation: Operation,
        offset: ByteOffset,
        length: ByteCount,
        source: io::Error,
    ) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => IoErrorKind::NoSpace,
            io::ErrorKind::UnexpectedEof => IoErrorKind::OutOfRange,
            io::ErrorKind::ReadOnlyFilesystem => IoErrorKind::ReadOnly,
            io::ErrorKind::WouldBlock | io::ErrorKind::ResourceBusy => IoErrorKind::InUse,
            io::ErrorKind::Unsupported => IoErrorKind::Unsupported,
            _ => IoErrorKind::Host,
        };
        Self {
            kind,
            operation,
            offset,
            length,
            source: Some(Box::new(source)),
        }
    }

    /// The same error with the cause below it.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The class of the error.
    pub fn kind(&self) -> IoErrorKind {
        self.kind
    }

    /// The operation that failed.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Where it failed, in bytes from the start.
    pub fn offset(&self) -> ByteOffset {
        self.offset
    }

    /// How many bytes the operation covered.
    pub fn length(&self) -> ByteCount {
        self.length
    }
}
