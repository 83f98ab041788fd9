//! The one error of positional input and output: which operation, where, and why.

use std::{fmt, io};

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

/// A failed operation on a storage or a disk. What the host said is the source, not in the text.
#[derive(Debug, thiserror::Error)]
pub struct IoError {
    kind: IoErrorKind,
    operation: Operation,
    offset: ByteOffset,
    length: ByteCount,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (length, offset) = (self.length, self.offset);
        match self.operation {
            Operation::Read => write!(f, "reading {length} at {offset}"),
            Operation::Write => write!(f, "writing {length} at {offset}"),
            Operation::Flush => f.write_str("flushing"),
            Operation::Resize => write!(f, "changing the length to {offset}"),
            Operation::Discard => write!(f, "giving back {length} at {offset}"),
            Operation::Zero => write!(f, "zeroing {length} at {offset}"),
            Operation::Status => write!(f, "asking for the status of {length} at {offset}"),
            Operation::Open => f.write_str("opening"),
        }?;
        f.write_str(match self.kind {
            IoErrorKind::Host => " failed",
            IoErrorKind::NoSpace => " failed: no space left on the host",
            IoErrorKind::OutOfRange => " failed: past the end",
            IoErrorKind::ReadOnly => " failed: open for reading only",
            IoErrorKind::InUse => " failed: in use by another program",
            IoErrorKind::Poisoned => {
                " failed: an earlier change failed, so nothing more is written"
            }
            IoErrorKind::Damaged => " failed: the image is damaged",
            IoErrorKind::Unsupported => " failed: not supported",
        })
    }
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

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn an_error_says_what_failed_where_and_keeps_the_hosts_word_as_its_source() {
        let place = (ByteOffset(0x1000), ByteCount(512));
        let host = |operation, kind: io::ErrorKind| {
            IoError::host(operation, place.0, place.1, io::Error::new(kind, "no luck"))
        };
        for (error, kind, text) in [
            (
                host(Operation::Read, io::ErrorKind::Other),
                IoErrorKind::Host,
                "reading 512 bytes at 0x1000 failed",
            ),
            (
                host(Operation::Open, io::ErrorKind::ResourceBusy),
                IoErrorKind::InUse,
                "opening failed: in use by another program",
            ),
            (
                host(Operation::Write, io::ErrorKind::QuotaExceeded),
                IoErrorKind::NoSpace,
                "writing 512 bytes at 0x1000 failed: no space left on the host",
            ),
            (
                IoError::new(IoErrorKind::OutOfRange, Operation::Zero, place.0, place.1)
                    .with_source("no luck"),
                IoErrorKind::OutOfRange,
                "zeroing 512 bytes at 0x1000 failed: past the end",
            ),
        ] {
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
            assert_eq!(error.source().unwrap().to_string(), "no luck");
        }
    }
}
