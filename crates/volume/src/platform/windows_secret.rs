//! What Windows keeps secret: data protection for the user who runs this, and the Credential Manager.
#![allow(unsafe_code)]

use std::io;
use std::ptr;

use secrecy::zeroize::{Zeroize as _, Zeroizing};
use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Credentials::{
    CRED_TYPE_GENERIC, CREDENTIALW, CredFree, CredReadW,
};
use windows_sys::Win32::Security::Cryptography::{
    CRYPT_INTEGER_BLOB, CRYPTPROTECT_UI_FORBIDDEN, CryptProtectData, CryptUnprotectData,
};

/// What only this user on this machine can turn back.
pub(crate) fn protect(bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
    Ok(Some(transform(Direction::Protect, bytes)?.to_vec()))
}

/// Turns back what [`protect`] made.
pub(crate) fn unprotect(bytes: &[u8]) -> io::Result<Zeroizing<Vec<u8>>> {
    transform(Direction::Unprotect, bytes)
}

#[derive(Clone, Copy)]
enum Direction {
    Protect,
    Unprotect,
}

/// Data protection one way or the other, for the user who runs this: no description, no further
/// entropy, and nobody is asked anything.
fn transform(direction: Direction, bytes: &[u8]) -> io::Result<Zeroizing<Vec<u8>>> {
    let length = u32::try_from(bytes.len());
    let given = CRYPT_INTEGER_BLOB {
        cbData: length.map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?,
        pbData: bytes.as_ptr().cast_mut(),
    };
    let mut made = CRYPT_INTEGER_BLOB {
        cbData: 0,
        pbData: ptr::null_mut(),
    };
    let (given, to, flags) = (&raw const given, &raw mut made, CRYPTPROTECT_UI_FORBIDDEN);
    // SAFETY: both blobs are valid for the call, the given one names `bytes`, which is only read; the
    // other pointers may be null.
    let done = unsafe {
        match direction {
            Direction::Protect => CryptProtectData(
                given,
                ptr::null(),
                ptr::null(),
                ptr::null(),
                ptr::null(),
                flags,
                to,
            ),
            Direction::Unprotect => CryptUnprotectData(
                given,
                ptr::null_mut(),
                ptr::null(),
                ptr::null(),
                ptr::null(),
                flags,
                to,
            ),
        }
    };
    match done {
        0 => Err(io::Error::last_os_error()),
        _ => take(made),
    }
}

/// The secret of the generic credential `name`. The Credential Manager keeps text as UTF-16.
pub(crate) fn read_keyring(name: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let wide = super::windows::wide_text(name);
    let mut found: *mut CREDENTIALW = ptr::null_mut();
    // SAFETY: the name ends with a zero, and the place for the answer is valid for the call.
    let done = unsafe { CredReadW(wide.as_ptr(), CRED_TYPE_GENERIC, 0, &raw mut found) };
    if done == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so that `found` is a credential until it is freed, and its blob has the
    // length that stands beside it (or is null with no length).
    let units = unsafe {
        let credential = &*found;
        let length = usize::try_from(credential.CredentialBlobSize).unwrap_or(0);
        let units = match credential.CredentialBlob.is_null() {
            true => Zeroizing::new(Vec::new()),
            false => {
                let bytes = std::slice::from_raw_parts_mut(credential.CredentialBlob, length);
                let pairs = bytes.chunks_exact(2);
                let units: Vec<u16> = pairs
                    .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                    .collect();
                bytes.zeroize();
                Zeroizing::new(units)
            }
        };
        CredFree(found.cast::<std::ffi::c_void>());
        units
    };
    let text = Zeroizing::new(String::from_utf16_lossy(&units));
    Ok(Zeroizing::new(text.as_bytes().to_vec()))
}

/// Copies what the system made, and gives it back zeroed.
fn take(made: CRYPT_INTEGER_BLOB) -> io::Result<Zeroizing<Vec<u8>>> {
    if made.pbData.is_null() {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let length = usize::try_from(made.cbData).unwrap_or(0);
    // SAFETY: the system made these bytes for the caller to free, and nobody else has them.
    let copy = unsafe {
        let bytes = std::slice::from_raw_parts_mut(made.pbData, length);
        let copy = Zeroizing::new(bytes.to_vec());
        bytes.zeroize();
        LocalFree(made.pbData.cast());
        copy
    };
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_protected_is_hidden_and_comes_back_and_a_changed_byte_is_refused() {
        let secret = [0xA5; 32];
        let protected = protect(&secret).unwrap().unwrap();
        assert!(protected.len() > secret.len());
        assert!(!protected.windows(secret.len()).any(|part| part == secret));
        assert_eq!(unprotect(&protected).unwrap().as_slice(), secret);
        let mut changed = protected;
        let last = changed.len() - 1;
        changed[last] ^= 1;
        assert!(unprotect(&changed).is_err());
        assert!(unprotect(b"dpapi").is_err());
    }
}
