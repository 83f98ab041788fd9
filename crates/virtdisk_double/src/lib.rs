//! A test double of virtdisk.dll, and of the functions for volumes that cvol calls beside it: the model of
//! `attach::virtdisk::double` with the calling rules of the libraries, which it checks.
//!
//! It is a double: what it accepts was read in Microsoft's documentation and was never asked of a real
//! Windows. `docs/windows.md` says what only that can prove.
//!
//! Functions of virtdisk.dll have their own names; those of other libraries begin with `Double`, since the
//! library itself needs the real ones.

#![deny(unsafe_code)]

#[cfg(windows)]
mod exports;
