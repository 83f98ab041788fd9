//! Keeping, reading and changing passwords of volumes, and changing the key.

use cap_std::fs::Dir;
use secrecy::SecretString;

use super::key::{KeySource, SecretKey};
use super::seal::{self, OpenError, Place};
use super::{LOCK_FILE, SECRET_FILE, SecretError};
use crate::error::{Result, VolumeError};
use crate::faults;
use crate::filter::Filter;
use crate::name::VolumeName;
use crate::platform;
use crate::record::VolumeRecord;
use crate::spec::SmbSpec;
use crate::state::VolumeState;
use crate::store::folder::{self, Folders};
use crate::store::{Store, not_found};

/// Whether a volume has a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretState {
    /// One is kept, and it opens.
    Kept,
    /// None is kept.
    Missing,
    /// What is kept does not open.
    Unusable(SecretError),
}

/// What a change of the key did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RotateOutcome {
    /// The volumes whose passwords were sealed anew.
    pub sealed: Vec<String>,
    /// Those whose passwords could not be, each with the reason. While there are any, the old keys stay.
    pub left: Vec<(String, String)>,
}

impl Store {
    /// The same store with the key of its passwords elsewhere.
    #[must_use]
    pub fn with_key_source(mut self, source: KeySource) -> Self {
        self.key_source = source;
        self
    }

    /// The password of a ready volume.
    ///
    /// # Errors
    /// `NotFound` (the volume, or none is kept), `Unsupported` (a volume that has none), `Damaged`, `Io`.
    pub fn secret(&self, name: &VolumeName) -> Result<SecretString> {
        let record = self.ready(name)?;
        smb_of(&record)?;
        self.open_secret(&record)
    }

    /// Whether a password is kept for a volume and opens; `None` for a volume that has none.
    pub fn secret_state(&self, record: &VolumeRecord) -> Option<SecretState> {
        record.spec.smb()?;
        Some(match self.open_secret(record) {
            Ok(_) => SecretState::Kept,
            Err(VolumeError::Secret(SecretError::Missing(_))) => SecretState::Missing,
            Err(VolumeError::Secret(error)) => SecretState::Unusable(error),
            Err(error) => {
                let source = std::error::Error::source(&error);
                let cause = source.map_or_else(String::new, |source| format!(": {source}"));
                SecretState::Unusable(SecretError::Unreadable {
                    place: record.name.as_str().to_owned(),
                    kind: std::io::ErrorKind::Other,
                    problem: format!("{error}{cause}"),
                })
            }
        })
    }

    /// Gives a volume another password.
    ///
    /// # Errors
    /// `NotFound`, `Unsupported` (a volume that has none), `InUse` while it is made or removed, `Io`.
    pub fn set_secret(&self, name: &VolumeName, password: &SecretString) -> Result<()> {
        smb_of(&self.ready(name)?)?;
        let lock = self.lock_keys()?;
        let key = lock.key;
        self.database().write("keeping a password", |transaction| {
            let record = transaction.find(name)?.ok_or_else(|| not_found(name))?;
            if record.state != VolumeState::Ready {
                return Err(VolumeError::Busy {
                    name: record.name.as_str().to_owned(),
                    state: record.state,
                });
            }
            // With the rows locked: nobody removes the volume meanwhile.
            self.replace_secret(&record, &key, password)
        })
    }

    /// Makes a new key and seals all passwords with it. For a key outside the store: seals them with the
    /// first one that is there.
    ///
    /// # Errors
    /// `InUse`, `Damaged`, `Io`. What cannot be sealed anew is told in the outcome.
    pub fn rotate_secrets(&self) -> Result<RotateOutcome> {
        let _alone = lock(self.folders(), true)?;
        let source = &self.key_source;
        let mut keys = source.read_or_make(self.folders())?;
        if *source == KeySource::Store {
            keys.insert(0, SecretKey::random()?);
            // Before the first password: a crash from here on leaves both keys.
            source.write(self.folders(), &keys)?;
        }
        let mut outcome = RotateOutcome::default();
        let records = self.list(&Filter::default())?;
        for record in records {
            let Some(smb) = record.spec.smb() else {
                continue;
            };
            let name = record.name.as_str().to_owned();
            match self.reseal(&record, smb, &keys) {
                Ok(true) => outcome.sealed.push(name),
                Ok(false) => {}
                Err(error) => outcome.left.push((name, error.to_string())),
            }
        }
        if *source == KeySource::Store && outcome.left.is_empty() {
            keys.truncate(1);
            source.write(self.folders(), &keys)?;
        }
        Ok(outcome)
    }

    /// Seals the password of a volume with the first key; `false` where there is none, or the volume is
    /// gone.
    fn reseal(&self, record: &VolumeRecord, smb: &SmbSpec, keys: &[SecretKey]) -> Result<bool> {
        let Some(first) = keys.first() else {
            return Ok(false);
        };
        self.database().write("sealing a password", |transaction| {
            let found = transaction.volume(record.id)?;
            if !found.is_some_and(|found| found.state == VolumeState::Ready) {
                return Ok(false);
            }
            let Some(bytes) = self.sealed_bytes(record)? else {
                return Ok(false);
            };
            if seal::key_of(&bytes) == Some(first.id()) {
                return Ok(true);
            }
            let place = Place::new(record.id, smb);
            let password = seal::open(keys, &place, &bytes)
                .map_err(|error| self.cannot_open(record, error))?;
            self.replace_secret(record, first, &password)?;
            Ok(true)
        })
    }

    /// Writes the password of a new volume into its folder. The key cannot change until `lock` goes.
    pub(crate) fn write_secret(
        &self,
        record: &VolumeRecord,
        folder: &Dir,
        password: &SecretString,
        lock: &KeyLock,
    ) -> Result<()> {
        let smb = smb_of(record)?;
        let sealed = seal::seal(&lock.key, &Place::new(record.id, smb), password)?;
        faults::step("writing the password")?;
        folder::write_new_file(folder, SECRET_FILE, &sealed)
    }

    /// The key that seals, which cannot change while this value lives; made where there is none.
    pub(crate) fn lock_keys(&self) -> Result<KeyLock> {
        let shared = lock(self.folders(), false)?;
        let first = self.key_source.read(self.folders())?.into_iter().next();
        if let Some(key) = first {
            return Ok(KeyLock { _lock: shared, key });
        }
        drop(shared);
        drop({
            let alone = lock(self.folders(), true)?;
            self.key_source.read_or_make(self.folders())?;
            alone
        });
        let shared = lock(self.folders(), false)?;
        let first = self.key_source.read(self.folders())?.into_iter().next();
        let key = first.ok_or_else(|| {
            VolumeError::damaged(super::KEY_FILE, "it vanished as soon as it was made")
        })?;
        Ok(KeyLock { _lock: shared, key })
    }

    fn open_secret(&self, record: &VolumeRecord) -> Result<SecretString> {
        let smb = smb_of(record)?;
        let missing = || SecretError::Missing(record.name.as_str().to_owned());
        // The keys after the password: a change of the key adds the new one before it seals with it, and
        // takes the old one away after.
        for attempt in [1, 2] {
            let bytes = self.sealed_bytes(record)?.ok_or_else(missing)?;
            let keys = self.key_source.read(self.folders())?;
            match seal::open(&keys, &Place::new(record.id, smb), &bytes) {
                Ok(password) => return Ok(password),
                // Sealed anew, and the old key gone, between the two looks.
                Err(OpenError::OtherKey) if attempt == 1 => {}
                Err(error) => return Err(self.cannot_open(record, error)),
            }
        }
        Err(missing().into())
    }

    /// The sealed password in the folder of a volume; `None` where there is none.
    fn sealed_bytes(&self, record: &VolumeRecord) -> Result<Option<Vec<u8>>> {
        let Some(folder) = self.folders().open_volume_folder(record.id)? else {
            return Ok(None);
        };
        // One byte more: what is longer than any is seen to be none.
        folder::read_bytes(&folder, SECRET_FILE, seal::MAX_SEALED_LENGTH + 1)
    }

    fn replace_secret(
        &self,
        record: &VolumeRecord,
        key: &SecretKey,
        password: &SecretString,
    ) -> Result<()> {
        let smb = smb_of(record)?;
        let sealed = seal::seal(key, &Place::new(record.id, smb), password)?;
        let folder = self.folders().open_volume_folder(record.id)?;
        let folder = folder.ok_or_else(|| {
            VolumeError::damaged(format!("volumes/{}", record.id), "the folder is missing")
        })?;
        faults::step("replacing the password")?;
        folder::replace_file(&folder, SECRET_FILE, &sealed)?;
        faults::step("making the password durable")?;
        platform::sync_folder(&folder)
            .map_err(|error| VolumeError::host("making durable", record.id.to_string(), error))
    }

    fn cannot_open(&self, record: &VolumeRecord, error: OpenError) -> VolumeError {
        let name = record.name.as_str().to_owned();
        match error {
            OpenError::Damaged => SecretError::Damaged(name),
            OpenError::OtherKey => SecretError::OtherKey(name, self.key_source.place()),
        }
        .into()
    }
}

/// The key that seals; nobody changes the keys of the store meanwhile.
pub(crate) struct KeyLock {
    _lock: std::fs::File,
    key: SecretKey,
}

fn smb_of(record: &VolumeRecord) -> Result<&SmbSpec> {
    let none = || SecretError::NoneHere(record.name.as_str().to_owned());
    Ok(record.spec.smb().ok_or_else(none)?)
}

/// Waits for the lock of secrets; it is let go of when the file is dropped.
fn lock(folders: &Folders, alone: bool) -> Result<std::fs::File> {
    let fail = |error| VolumeError::host("locking", LOCK_FILE, error);
    let file = match folder::create_new(folders.root(), LOCK_FILE) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            folder::open_existing(folders.root(), LOCK_FILE)
        }
        result => result,
    };
    let file = file.map_err(fail)?.into_std();
    match alone {
        true => file.lock(),
        false => file.lock_shared(),
    }
    .map_err(fail)?;
    Ok(file)
}
