//! Host files as storage and disk.

/// How a file is locked against other users of the same image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Many readers, no writer.
    Shared,
    /// One writer, nobody else.
    Exclusive,
}
