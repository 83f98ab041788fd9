//! `errno` of the C library: its numbers, and how it is set.
//!
//! On Windows each C runtime has an `errno` of its own; it is that of the one this library is linked
//! with. Programs that use another ask `containerv_volume_last_error_code`.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::{
    EACCES, EBADF, EBADMSG, EBUSY, ECANCELED, EEXIST, EINVAL, EIO, ENOENT, ENOSPC, ENOTRECOVERABLE,
    ENOTSUP, set,
};
#[cfg(windows)]
pub(crate) use windows::{
    EACCES, EBADF, EBADMSG, EBUSY, ECANCELED, EEXIST, EINVAL, EIO, ENOENT, ENOSPC, ENOTRECOVERABLE,
    ENOTSUP, set,
};

/// What `errno` holds.
pub(crate) type Number = std::ffi::c_int;
