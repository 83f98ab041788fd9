//! Passwords of volumes, kept sealed in the store.
//!
//! ```text
//!   root/secret.key            the key, for its owner alone; or elsewhere (`KeySource`)
//!   root/secret.lock           shared by whoever seals, alone by whoever changes the key
//!   root/volumes/ID/secret     a sealed password; goes with the folder
//! ```
//!
//! Invariants: a password is a [`SecretString`] in memory and nowhere else in clear; it is sealed for one
//! volume with one server and one user, and opens for no other; a file that holds one is replaced whole.
//! Nothing of it gets into a record, a rescue record, an error or a log.
//!
//! # Changing the key
//! 1. The new key is put in front of the old one: both open.
//! 2. Each password is sealed anew, one file after the other, each replaced whole.
//! 3. The old key goes, if every password was sealed anew.
//!
//! A crash anywhere leaves a key for each password; the next change carries on.

mod error;
mod key;
mod lifecycle;
mod seal;
#[cfg(test)]
mod tests;

pub use error::SecretError;
pub use key::KeySource;
pub(crate) use lifecycle::KeyLock;
pub use lifecycle::{RotateOutcome, SecretState};

pub(crate) use key::{KEY_FILE, LOCK_FILE};

use std::io::Read as _;
use std::path::Path;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use crate::platform;

/// The file of a sealed password in the folder of its volume.
pub(crate) const SECRET_FILE: &str = "secret";
/// The longest password, in bytes; Windows takes 256 characters at most.
pub const MAX_PASSWORD_LENGTH: usize = 1024;

/// The password in a file that its owner alone may read. `/dev/fd/N` is what the caller was given there.
///
/// # Errors
/// `NotFound`, `InvalidArgument` (others can read it, or it holds no password), `Io`.
pub fn password_of_file(path: &Path) -> Result<SecretString, SecretError> {
    let read = std::fs::File::open(path).and_then(key::read_private);
    let bytes = read.map_err(|error| unreadable(&path.display().to_string(), &error))?;
    password(&bytes)
}

/// The password that the keyring of the system has under this name: of Linux a key of type `user` in the
/// keyring of the session or of the user, of Windows a generic credential.
///
/// # Errors
/// As for [`password_of_file`]; `Unsupported` where the system has no keyring.
pub fn password_of_keyring(name: &str) -> Result<SecretString, SecretError> {
    let bytes = platform::read_keyring(name)
        .map_err(|error| unreadable(&format!("\"{name}\" of the keyring"), &error))?;
    password(&bytes)
}

/// The password that stands in a stream, which is read to its end.
///
/// # Errors
/// As for [`password_of_file`].
pub fn password_of_reader(reader: impl std::io::Read) -> Result<SecretString, SecretError> {
    let limit = MAX_PASSWORD_LENGTH + 3;
    // Never grown, so that no copy is left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit));
    let mut reader = reader.take(u64::try_from(limit).unwrap_or(u64::MAX));
    match reader.read_to_end(&mut bytes) {
        Ok(_) => password(&bytes),
        Err(error) => Err(unreadable("the stream", &error)),
    }
}

/// That a place cannot be read.
pub fn unreadable(place: &str, error: &std::io::Error) -> SecretError {
    SecretError::Unreadable {
        place: place.to_owned(),
        kind: error.kind(),
        problem: error.to_string(),
    }
}

/// Whether two passwords are the same, in a time that does not tell where they differ.
pub fn same(one: &SecretString, other: &SecretString) -> bool {
    let hash = |password: &SecretString| blake3::hash(password.expose_secret().as_bytes());
    // Hashes are compared in constant time.
    hash(one) == hash(other)
}

/// A password of what was read from a file, a pipe or a terminal; one line break at its end is not part
/// of it.
///
/// # Errors
/// An empty one, one that is too long, or one that holds a line break or a NUL, which no server has.
pub fn password(bytes: &[u8]) -> Result<SecretString, SecretError> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| SecretError::Password("is not UTF-8"))?;
    if text.is_empty() {
        return Err(SecretError::Password("is empty"));
    }
    if text.len() > MAX_PASSWORD_LENGTH {
        return Err(SecretError::Password("is longer than 1024 bytes"));
    }
    if text.contains(['\n', '\r', '\0']) {
        return Err(SecretError::Password("holds a line break or a NUL"));
    }
    // Allocated once in its final size, so that growing leaves no copy behind.
    Ok(SecretString::from(text))
}
