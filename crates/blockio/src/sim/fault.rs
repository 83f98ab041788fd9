//! Faults that a simulated storage is told to have.

use std::io;

use crate::error::{IoError, IoErrorKind, Operation};
use crate::units::{ByteCount, ByteOffset};

/// Which operations a fault counts and hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultTarget {
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Syncs.
    Sync,
    /// Changes of length.
    SetLen,
    /// Zeroings.
    Zero,
    /// Everything but reads.
    Change,
    /// Everything.
    Any,
}

/// A fault: the `nth` operation of a kind from now on fails, once or for ever.
///
/// ```
/// use blockio::sim::{Fault, FaultTarget};
/// let torn = Fault::new(FaultTarget::Write, 2).after_bytes(512); // the third write from now
/// let full = Fault::new(FaultTarget::Change, 0).no_space().sticky(); // from now on, all changes
/// # let _ = (torn, full);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    target: FaultTarget,
    countdown: u64,
    kind: IoErrorKind,
    is_sticky: bool,
    done_bytes: u64,
}

/// How many operations of each kind were asked for so far, failed ones included; to sweep a fault
/// over all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimCounts {
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Syncs.
    pub syncs: u64,
    /// Changes of length.
    pub set_lens: u64,
    /// Zeroings.
    pub zeroes: u64,
}

impl SimCounts {
    /// How many of them a fault of this target would have counted.
    pub fn of(&self, target: FaultTarget) -> u64 {
        let changes = self.writes + self.syncs + self.set_lens + self.zeroes;
        match target {
            FaultTarget::Read => self.reads,
            FaultTarget::Write => self.writes,
            FaultTarget::Sync => self.syncs,
            FaultTarget::SetLen => self.set_lens,
            FaultTarget::Zero => self.zeroes,
            FaultTarget::Change => changes,
            FaultTarget::Any => changes + self.reads,
        }
    }

    pub(super) fn add(&mut self, operation: Operation) {
        match operation {
            Operation::Read => self.reads += 1,
            Operation::Write => self.writes += 1,
            Operation::Flush => self.syncs += 1,
            Operation::Resize => self.set_lens += 1,
            Operation::Zero => self.zeroes += 1,
            Operation::Discard | Operation::Status | Operation::Open => {}
        }
    }
}

impl FaultTarget {
    fn hits(self, operation: Operation) -> bool {
        match self {
            Self::Read => operation == Operation::Read,
            Self::Write => operation == Operation::Write,
            Self::Sync => operation == Operation::Flush,
            Self::SetLen => operation == Operation::Resize,
            Self::Zero => operation == Operation::Zero,
            Self::Change => operation != Operation::Read,
            Self::Any => true,
        }
    }
}

impl Fault {
    /// The operation that is hit after `nth` others of its target fails with an input/output error
    /// of the host, once, having done nothing.
    pub fn new(target: FaultTarget, nth: u64) -> Self {
        Self {
            target,
            countdown: nth,
            kind: IoErrorKind::Host,
            is_sticky: false,
            done_bytes: 0,
        }
    }

    /// Fails with `NoSpace`.
    #[must_use]
    pub fn no_space(mut self) -> Self {
        self.kind = IoErrorKind::NoSpace;
        self
    }

    /// All later operations of the target fail as well.
    #[must_use]
    pub fn sticky(mut self) -> Self {
        self.is_sticky = true;
        self
    }

    /// A read, write or zeroing is done for so many bytes before it fails.
    #[must_use]
    pub fn after_bytes(mut self, bytes: u64) -> Self {
        self.done_bytes = bytes;
        self
    }

    /// Counts an operation; how many bytes it may do, where it is to fail.
    pub(super) fn strike(&mut self, operation: Operation) -> Option<u64> {
        if !self.target.hits(operation) {
            return None;
        }
        if self.countdown > 0 {
            self.countdown -= 1;
            return None;
        }
        Some(self.done_bytes)
    }

    /// Whether it stays after it struck.
    pub(super) fn is_sticky(&self) -> bool {
        self.is_sticky
    }

    /// The error that it causes.
    pub(super) fn error(
        &self,
        operation: Operation,
        offset: ByteOffset,
        len: ByteCount,
    ) -> IoError {
        let kind = match self.kind {
            IoErrorKind::NoSpace => io::ErrorKind::StorageFull,
            _ => io::ErrorKind::Other,
        };
        IoError::host(
            operation,
            offset,
            len,
            io::Error::new(kind, "simulated fault"),
        )
    }
}
