//! What a long operation says of itself while it runs, and how it is stopped.

use std::ops::ControlFlow;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Reading the source tree to derive identifiers from it.
    Hashing,
    /// Making the image and its file system, and filling it.
    Writing,
    /// Waiting until everything is durable.
    Finishing,
    /// Copying from one layer into another; bytes are those of the disk that were dealt with.
    Merging,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Bytes of file data done in this stage.
    pub bytes: u64,
    /// Files done in this stage.
    pub files: u64,
}

/// Called now and then from the thread at work; `Break` stops the operation, which then undoes
/// itself and fails with the kind `Interrupted`.
pub type OnProgress<'a> = &'a dyn Fn(Progress) -> ControlFlow<()>;

/// An [`OnProgress`] that never stops and shows nothing.
pub fn ignore_progress(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
