//! A process that holds a password leaves no image of its memory behind when it crashes.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::keep;
#[cfg(windows)]
pub(crate) use windows::keep;
