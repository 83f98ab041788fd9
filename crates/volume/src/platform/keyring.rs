//! The key retention service of Linux.

use std::io;

use linux_keyutils::{KeyError, KeyRing, KeyRingIdentifier};
use secrecy::zeroize::Zeroizing;

/// The longest key that is read; the kernel keeps up to 32767 bytes.
const MAX_LENGTH: usize = 32 * 1024;

/// What the key `name` of type `user` holds, in the keyring of the session or of the user.
pub(crate) fn read_keyring(name: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let search = |ring| KeyRing::from_special_id(ring, false)?.search(name);
    let key = search(KeyRingIdentifier::Session)
        .or_else(|_| search(KeyRingIdentifier::User))
        .map_err(explain)?;
    let mut bytes = Zeroizing::new(vec![0; MAX_LENGTH]);
    let length = key.read(&mut *bytes).map_err(explain)?;
    if length > MAX_LENGTH {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long"));
    }
    bytes.truncate(length);
    Ok(bytes)
}

fn explain(error: KeyError) -> io::Error {
    let (kind, what) = match error {
        KeyError::KeyDoesNotExist | KeyError::KeyExpired | KeyError::KeyRevoked => (
            io::ErrorKind::NotFound,
            "there is none; `keyctl padd user NAME @u` adds one",
        ),
        KeyError::AccessDenied => (io::ErrorKind::PermissionDenied, "reading it is not allowed"),
        KeyError::OperationNotSupported | KeyError::KeyringDoesNotExist => {
            (io::ErrorKind::Unsupported, "this system has no keyring")
        }
        other => return io::Error::other(format!("{other:?}")),
    };
    io::Error::new(kind, what)
}
