//! The key that passwords are sealed with: where it lies, how it is read, made and changed.
//!
//! A file of keys has one in a line, as 64 hexadecimal digits; the first seals, all of them open. Lines that
//! begin with `#` are not looked at. On Windows a key of the store is `dpapi:` and what the system's data
//! protection made of it for its user.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use secrecy::zeroize::{Zeroize as _, Zeroizing};

use super::error::SecretError;
use crate::error::{Result, VolumeError};
use crate::faults;
use crate::platform;
use crate::store::folder::{self, Folders};

/// The key of a store, in its root.
pub(crate) const KEY_FILE: &str = "secret.key";
/// The lock of whoever seals or changes the key.
pub(crate) const LOCK_FILE: &str = "secret.lock";
/// Bytes of a key.
pub(super) const KEY_LENGTH: usize = 32;
/// The longest file of keys that is read.
const MAX_FILE_LENGTH: u64 = 64 * 1024;
/// The most keys of a file that are taken.
const MAX_KEYS: usize = 64;
/// What stands before a key that the system protects.
const PROTECTED: &str = "dpapi:";

/// Tells keys apart, without telling anything of them.
pub(super) type KeyId = [u8; 8];

/// Where the key is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeySource {
    /// In the root of the store, made when it is needed first.
    #[default]
    Store,
    /// In this file, which is somebody else's to make and change.
    File(PathBuf),
    /// In the keyring of the system, under this name.
    Keyring(String),
}

/// A key; zeroed when it goes.
#[derive(Clone)]
pub(super) struct SecretKey(Zeroizing<[u8; KEY_LENGTH]>);

impl SecretKey {
    /// A new key.
    pub(super) fn random() -> std::result::Result<Self, SecretError> {
        let mut bytes = Zeroizing::new([0; KEY_LENGTH]);
        getrandom::fill(&mut *bytes).map_err(|error| SecretError::Random(error.to_string()))?;
        Ok(Self(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_LENGTH] {
        &self.0
    }

    pub(super) fn id(&self) -> KeyId {
        let mut hash = blake3::derive_key("cvol 2026 id of a key of passwords", &*self.0);
        let mut id = KeyId::default();
        for (to, from) in id.iter_mut().zip(hash) {
            *to = from;
        }
        hash.zeroize();
        id
    }

    fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; KEY_LENGTH]);
        if text.len() != 2 * KEY_LENGTH {
            return None;
        }
        decode(text, &mut *bytes)?;
        Some(Self(bytes))
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

impl KeySource {
    /// Where the key is, for messages.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Store => format!("{KEY_FILE} of the store"),
            Self::File(path) => path.display().to_string(),
            Self::Keyring(name) => format!("\"{name}\" of the keyring"),
        }
    }

    /// The keys that are there, the one that seals first; none where a store has none yet.
    pub(super) fn read(&self, folders: &Folders) -> Result<Vec<SecretKey>> {
        let text = match self {
            Self::Store => {
                let Some(text) = read_own(folders)? else {
                    return Ok(Vec::new());
                };
                text
            }
            Self::File(path) => read_outside(path).map_err(|error| self.unreadable(&error))?,
            Self::Keyring(name) => {
                platform::read_keyring(name).map_err(|error| self.unreadable(&error))?
            }
        };
        let keys = parse(&text).map_err(|problem| self.unusable(problem))?;
        match keys.is_empty() {
            true => Err(self.unusable("holds no key; write 64 hexadecimal digits")),
            false => Ok(keys),
        }
    }

    /// The same, with a key made where a store has none yet. With the lock of secrets held alone.
    pub(super) fn read_or_make(&self, folders: &Folders) -> Result<Vec<SecretKey>> {
        let mut keys = self.read(folders)?;
        if keys.is_empty() {
            keys.push(SecretKey::random()?);
            self.write(folders, &keys)?;
        }
        Ok(keys)
    }

    /// Replaces the keys of a store, durably. The caller has the lock of secrets alone.
    pub(super) fn write(&self, folders: &Folders, keys: &[SecretKey]) -> Result<()> {
        if *self != Self::Store {
            return Err(SecretError::Unsupported(
                "a key outside the store is changed by whoever keeps it there",
            )
            .into());
        }
        let fail = |error| VolumeError::host("writing", KEY_FILE, error);
        let mut text = Zeroizing::new(String::with_capacity(64 * 1024));
        text.push_str("# Opens the passwords that this store keeps. Whoever has both has them.\n");
        for key in keys {
            let protected = platform::protect(key.bytes()).map_err(fail)?;
            if let Some(protected) = &protected {
                text.push_str(PROTECTED);
                encode(protected, &mut text);
            } else {
                encode(key.bytes(), &mut text);
            }
            text.push('\n');
        }
        faults::step("writing the key")?;
        folder::replace_file(folders.root(), KEY_FILE, text.as_bytes())?;
        platform::sync_folder(folders.root()).map_err(fail)
    }

    fn unreadable(&self, error: &io::Error) -> VolumeError {
        SecretError::Key {
            place: self.place(),
            problem: format!("cannot be read: {error}"),
            is_missing: error.kind() == io::ErrorKind::NotFound,
        }
        .into()
    }

    fn unusable(&self, problem: impl Into<String>) -> VolumeError {
        SecretError::Key {
            place: self.place(),
            problem: problem.into(),
            is_missing: false,
        }
        .into()
    }
}

/// The key file of a store; `None` where there is none.
fn read_own(folders: &Folders) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let fail = |error| VolumeError::host("reading", KEY_FILE, error);
    let file = match folder::open_existing(folders.root(), KEY_FILE) {
        Ok(file) => file.into_std(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    platform::check_kept(&file)
        .and_then(|()| read_small(file))
        .map(Some)
        .map_err(|error| KeySource::Store.unreadable(&error))
}

fn read_outside(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    read_private(fs::File::open(path)?)
}

/// Reads a small file that only its owner may read; whoever else could would know what is in it.
///
/// # Errors
/// The host's; `PermissionDenied` where others can read the file, or it is another user's.
pub(super) fn read_private(file: fs::File) -> io::Result<Zeroizing<Vec<u8>>> {
    platform::check_private(&file)?;
    read_small(file)
}

/// Reads a file of keys or of a password, to its end.
fn read_small(file: fs::File) -> io::Result<Zeroizing<Vec<u8>>> {
    // Never grown, so that no copy is left behind.
    let capacity = usize::try_from(MAX_FILE_LENGTH + 1).unwrap_or(usize::MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(MAX_FILE_LENGTH + 1).read_to_end(&mut bytes)?;
    if bytes.len() >= capacity {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long"));
    }
    Ok(bytes)
}

/// The keys of a file.
fn parse(bytes: &[u8]) -> std::result::Result<Vec<SecretKey>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not text")?;
    let mut keys = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = || {
            format!(
                "has no key in line {}: 64 hexadecimal digits are one",
                number + 1
            )
        };
        let key = match line.strip_prefix(PROTECTED) {
            None => SecretKey::from_hex(line).ok_or_else(wrong)?,
            Some(protected) => unprotect(protected)
                .map_err(|error| format!("is protected for another user or machine: {error}"))?,
        };
        keys.push(key);
        if keys.len() > MAX_KEYS {
            return Err(format!("has more than {MAX_KEYS} keys"));
        }
    }
    Ok(keys)
}

fn unprotect(hex: &str) -> io::Result<SecretKey> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut protected = vec![0; hex.len() / 2];
    decode(hex, &mut protected).ok_or_else(invalid)?;
    let bytes = platform::unprotect(&protected)?;
    let bytes: &[u8; KEY_LENGTH] = bytes.as_slice().try_into().map_err(|_| invalid())?;
    Ok(SecretKey(Zeroizing::new(*bytes)))
}

fn encode(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or_default());
        }
    }
}

/// Fills `bytes` from two digits for each; `None` where the text is anything else.
fn decode(text: &str, bytes: &mut [u8]) -> Option<()> {
    let digits = text.as_bytes();
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16);
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = u8::try_from((value(*high)? << 4) | value(*low)?).ok()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_keys_is_read_line_by_line_and_anything_else_is_refused() {
        let (a, b) = ("0123456789abcdef".repeat(4), "FEDCBA9876543210".repeat(4));
        let keys = parse(format!("# mine\n\n{a}\r\n {b} \n").as_bytes()).unwrap();
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[0].bytes()[..2], [0x01, 0x23]);
        assert_ne!(keys[0].id(), keys[1].id());
        for text in ["xyz", &a[1..], &format!("{a}0"), "\u{e4}", &"g".repeat(64)] {
            let problem = parse(text.as_bytes()).unwrap_err();
            assert!(!problem.contains(text), "{problem}");
        }
        assert!(parse(b"\xff").is_err());
        assert!(parse(format!("{a}\n").repeat(65).as_bytes()).is_err());
        assert_eq!(format!("{:?}", keys[0]), "SecretKey(..)");
    }
}
