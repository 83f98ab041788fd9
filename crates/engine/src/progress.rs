//! How far an operation is, and the way to stop it.

use std::ops::ControlFlow;

use blockio::ByteCount;

/// How far an operation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes done.
    pub done: ByteCount,
    /// Bytes in all, where that is known.
    pub total: Option<ByteCount>,
    /// Files done, where files are counted.
    pub files: Option<u64>,
}

/// Called now and then during an operation; `Break` stops it, and what is half made is removed.
pub type ProgressFn<'a> = &'a dyn Fn(Progress) -> ControlFlow<()>;

/// The progress of work on images as that of the engine.
pub(crate) fn of_image<'p>(
    progress: ProgressFn<'p>,
) -> impl Fn(vdisk::Progress) -> ControlFlow<()> + 'p {
    move |done| {
        progress(Progress {
            done: done.done,
            total: Some(done.total),
            files: None,
        })
    }
}
