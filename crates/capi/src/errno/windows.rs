//! `errno` of the C runtime of Windows, with the numbers of its `errno.h`.

use super::Number;

pub(crate) const ENOENT: Number = 2;
pub(crate) const EIO: Number = 5;
pub(crate) const EBADF: Number = 9;
pub(crate) const EACCES: Number = 13;
pub(crate) const EBUSY: Number = 16;
pub(crate) const EEXIST: Number = 17;
pub(crate) const EINVAL: Number = 22;
pub(crate) const ENOSPC: Number = 28;
pub(crate) const EBADMSG: Number = 104;
pub(crate) const ECANCELED: Number = 105;
pub(crate) const ENOTRECOVERABLE: Number = 127;
pub(crate) const ENOTSUP: Number = 129;

unsafe extern "C" {
    /// The address of the calling thread's `errno`.
    fn _errno() -> *mut Number;
}

/// Sets it for this thread.
pub(crate) fn set(number: Number) {
    // SAFETY: the function takes nothing, and returns the address of the calling thread's variable,
    // which is there as long as the thread is.
    unsafe { *_errno() = number }
}
