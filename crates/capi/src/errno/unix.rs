//! `errno` of Unix systems.

pub(crate) use libc::{
    EACCES, EBADF, EBADMSG, EBUSY, ECANCELED, EEXIST, EINVAL, EIO, ENOENT, ENOSPC, ENOTRECOVERABLE,
    ENOTSUP,
};

use super::Number;

/// Sets it for this thread.
pub(crate) fn set(number: Number) {
    // SAFETY: the function takes nothing, and returns the address of the calling thread's variable,
    // which is there as long as the thread is.
    unsafe { *place() = number }
}

#[cfg(target_os = "linux")]
use libc::__errno_location as place;
#[cfg(not(target_os = "linux"))]
use libc::__error as place;
