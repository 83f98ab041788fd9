//! A password sealed for one volume: XChaCha20-Poly1305 with a nonce drawn anew each time.
//!
//! ```text
//!   "CVOLSEC" 01   8   what it is, and the version
//!   key            8   which key it is sealed with
//!   nonce         24   drawn for this sealing alone
//!   sealed         n   length, password, zeros up to a multiple of 128, and the tag of 16
//! ```
//!
//! What it is sealed for (volume, server, user) is authenticated with it and not stored: whoever moves the
//! file to another volume, or writes another server into the record, gets nothing out.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::MAX_PASSWORD_LENGTH;
use super::error::SecretError;
use super::key::{KEY_LENGTH, KeyId, SecretKey};
use crate::spec::SmbSpec;

const MAGIC: [u8; 8] = *b"CVOLSEC\x01";
const NONCE_LENGTH: usize = 24;
const TAG_LENGTH: usize = 16;
/// Lengths of passwords are told to this much only.
const PADDING: usize = 128;
/// The longest sealed password.
pub(super) const MAX_SEALED_LENGTH: usize = MAGIC.len()
    + size_of::<KeyId>()
    + NONCE_LENGTH
    + (2 + MAX_PASSWORD_LENGTH).next_multiple_of(PADDING)
    + TAG_LENGTH;

/// Why sealed bytes do not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenError {
    /// They are none, were changed, or are of another place.
    Damaged,
    /// The key is another one.
    OtherKey,
}

/// What a password is sealed for.
pub(super) struct Place(Vec<u8>);

impl Place {
    pub(super) fn new(volume: Uuid, smb: &SmbSpec) -> Self {
        let mut text = b"cvol password of a volume 1\0".to_vec();
        text.extend(volume.as_bytes());
        let share = smb.share();
        let port = share
            .port()
            .map_or_else(String::new, |port| port.to_string());
        let parts = [
            share.server(),
            &port,
            smb.user().name(),
            smb.user().domain().unwrap_or_default(),
        ];
        for part in parts {
            // No part holds a NUL.
            text.extend(part.to_lowercase().as_bytes());
            text.push(0);
        }
        Self(text)
    }
}

/// Seals a password.
pub(super) fn seal(
    key: &SecretKey,
    place: &Place,
    password: &SecretString,
) -> Result<Vec<u8>, SecretError> {
    let mut nonce = [0; NONCE_LENGTH];
    getrandom::fill(&mut nonce).map_err(|error| SecretError::Random(error.to_string()))?;
    let text = password.expose_secret().as_bytes();
    let length = u16::try_from(text.len()).map_err(|_| SecretError::Password("is too long"))?;
    let padded = (2 + text.len()).next_multiple_of(PADDING);
    let mut plain = Zeroizing::new(Vec::with_capacity(padded));
    plain.extend(length.to_le_bytes());
    plain.extend(text);
    plain.resize(padded, 0);
    let payload = Payload {
        msg: &plain,
        aad: &place.0,
    };
    let sealed = cipher(key)
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| SecretError::Password("cannot be sealed"))?;
    Ok([&MAGIC[..], &key.id(), &nonce, &sealed].concat())
}

/// Opens a sealed password with the one of `keys` that it names.
pub(super) fn open(
    keys: &[SecretKey],
    place: &Place,
    bytes: &[u8],
) -> Result<SecretString, OpenError> {
    let (id, nonce, sealed) = split(bytes).ok_or(OpenError::Damaged)?;
    let key = keys.iter().find(|key| key.id() == id);
    let key = key.ok_or(OpenError::OtherKey)?;
    let payload = Payload {
        msg: sealed,
        aad: &place.0,
    };
    let plain = cipher(key).decrypt(&XNonce::from(nonce), payload);
    let plain = Zeroizing::new(plain.map_err(|_| OpenError::Damaged)?);
    let text = (|| {
        let (length, rest) = plain.split_first_chunk::<2>()?;
        let text = rest.get(..usize::from(u16::from_le_bytes(*length)))?;
        std::str::from_utf8(text).ok()
    })();
    text.map(SecretString::from).ok_or(OpenError::Damaged)
}

/// The key that a sealed password names.
pub(super) fn key_of(bytes: &[u8]) -> Option<KeyId> {
    split(bytes).map(|(id, ..)| id)
}

fn split(bytes: &[u8]) -> Option<(KeyId, [u8; NONCE_LENGTH], &[u8])> {
    if bytes.len() > MAX_SEALED_LENGTH {
        return None;
    }
    let rest = bytes.strip_prefix(&MAGIC)?;
    let (id, rest) = rest.split_first_chunk()?;
    let (nonce, sealed) = rest.split_first_chunk()?;
    Some((*id, *nonce, sealed))
}

fn cipher(key: &SecretKey) -> XChaCha20Poly1305 {
    let bytes: &[u8; KEY_LENGTH] = key.bytes();
    XChaCha20Poly1305::new(<&Key>::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::VolumeSpec;

    fn place(volume: u128, options: &str) -> Place {
        let spec = VolumeSpec::parse(&format!("kind=smb,{options}")).unwrap();
        Place::new(Uuid::from_u128(volume), spec.smb().unwrap())
    }

    fn keys() -> [SecretKey; 2] {
        [SecretKey::random().unwrap(), SecretKey::random().unwrap()]
    }

    const SHARE: &str = "source=//srv/data,username=ann";

    #[test]
    fn a_password_comes_back_from_its_own_place_and_no_other() {
        let [key, other] = keys();
        let here = place(1, SHARE);
        for text in ["a", "P@ss w0rd,=%1\u{e4}", &"x".repeat(MAX_PASSWORD_LENGTH)] {
            let sealed = seal(&key, &here, &SecretString::from(text)).unwrap();
            assert!(sealed.len() <= MAX_SEALED_LENGTH);
            let both = [other.clone(), key.clone()];
            assert_eq!(open(&both, &here, &sealed).unwrap().expose_secret(), text);
            for elsewhere in [
                place(2, SHARE),
                place(1, "source=//other/data,username=ann"),
                place(1, "source=//srv:1/data,username=ann"),
                place(1, "source=//srv/data,username=eve"),
                place(1, "source=//srv/data,username=ann,domain=corp"),
            ] {
                let opened = open(&both, &elsewhere, &sealed);
                assert_eq!(opened.err(), Some(OpenError::Damaged));
            }
            let opened = open(std::slice::from_ref(&other), &here, &sealed);
            assert_eq!(opened.err(), Some(OpenError::OtherKey));
        }
        // Another folder of the same server is the same login.
        let sealed = seal(&key, &here, &SecretString::from("pw")).unwrap();
        let renamed = place(1, "source=//SRV/other/x,username=Ann");
        assert!(open(&[key], &renamed, &sealed).is_ok());
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let [key, _] = keys();
        let here = place(1, SHARE);
        let sealed = seal(&key, &here, &SecretString::from("pw")).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(
                open(std::slice::from_ref(&key), &here, &changed).is_err(),
                "{at}"
            );
            assert!(
                open(std::slice::from_ref(&key), &here, &sealed[..at]).is_err(),
                "{at}"
            );
        }
        let long = [&sealed[..], &[0; 4096]].concat();
        assert!(open(&[key], &here, &long).is_err());
    }

    #[test]
    fn sealing_twice_gives_other_bytes_of_the_same_length_class() {
        let [key, _] = keys();
        let here = place(1, SHARE);
        let [a, b] = ["short", "a good deal longer than that"]
            .map(|text| seal(&key, &here, &SecretString::from(text)).unwrap());
        assert_eq!(a.len(), b.len());
        assert_ne!(a, b);
        let again = seal(&key, &here, &SecretString::from("short")).unwrap();
        assert_ne!(a, again);
    }
}
