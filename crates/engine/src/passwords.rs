//! Passwords of volumes of SMB servers: kept, tried, changed, and handed to whoever mounts for a guest.

use std::fs::File;
use std::path::Path;

use attach::Credentials;
use secrecy::SecretString;
use uuid::Uuid;
use volume::secret::{RotateOutcome, SecretError, password_of_file, password_of_reader};
use volume::{SmbSpec, VolumeRecord};

use crate::Engine;
use crate::error::Result;
use crate::volumes::volume_name;

impl Engine {
    /// Refuses a volume that has no password.
    ///
    /// # Errors
    /// As for [`Engine::set_password`].
    pub fn has_password(&self, volume: &str) -> Result<()> {
        smb_of(&self.store()?.get(&volume_name(volume)?)?)?;
        Ok(())
    }

    /// Gives a volume of an SMB server another password. Unless `unchecked`, the server is asked first
    /// whether it lets the user in with it.
    ///
    /// # Errors
    /// `InvalidArgument` (the name), `NotFound`, `Unsupported` (a volume that has none), `Denied`, `Io`.
    pub fn set_password(
        &self,
        volume: &str,
        password: &SecretString,
        unchecked: bool,
    ) -> Result<()> {
        let name = volume_name(volume)?;
        let store = self.store()?;
        let record = store.get(&name)?;
        if !unchecked {
            self.try_login(smb_of(&record)?, password)?;
        }
        Ok(store.set_secret(&name, password)?)
    }

    /// Logs in at the server of a volume with the password that is kept for it.
    ///
    /// # Errors
    /// As for [`Engine::set_password`]; `Damaged` where the kept password does not open.
    pub fn check_password(&self, volume: &str) -> Result<VolumeRecord> {
        let name = volume_name(volume)?;
        let store = self.store()?;
        let record = store.get(&name)?;
        let smb = smb_of(&record)?;
        let password = store.secret(&name)?;
        self.try_login(smb, &password)?;
        Ok(record)
    }

    /// Seals the kept passwords with a new key.
    ///
    /// # Errors
    /// `InUse`, `Damaged`, `Io`; what cannot be sealed anew is told in the outcome.
    pub fn rotate_passwords(&self) -> Result<RotateOutcome> {
        Ok(self.store()?.rotate_secrets()?)
    }

    /// Who logs in for a volume, by the identifier that its mounts carry ([`attach::SmbSource::login`]);
    /// `None` where there is no such volume any more.
    ///
    /// # Errors
    /// `NotFound` (no password is kept), `Damaged`, `Io`.
    pub fn credentials(&self, login: &str) -> Result<Option<Credentials>> {
        let Ok(id) = login.parse::<Uuid>() else {
            return Ok(None);
        };
        let store = self.store()?;
        let Some(record) = store.volume_by_id(id)? else {
            return Ok(None);
        };
        let smb = smb_of(&record)?;
        Ok(Some(Credentials {
            user: smb.user().name().to_owned(),
            domain: smb.user().domain().map(str::to_owned),
            password: store.secret(&record.name)?,
        }))
    }
}

/// The password in a file, or with `-` on standard input.
pub(crate) fn read_password(file: &str) -> Result<SecretString> {
    let read = match file {
        "-" => password_of_stdin(),
        file => password_of_file(Path::new(file)),
    };
    Ok(read?)
}

/// The password on standard input, which is read to its end.
///
/// # Errors
/// As for [`password_of_file`].
pub fn password_of_stdin() -> std::result::Result<SecretString, SecretError> {
    // Opened by its name where it has one, since nobody zeroes the buffer of the library; where it cannot be
    // opened again (a socket), that is better than nothing.
    match File::open("/dev/stdin") {
        Ok(input) if cfg!(unix) => password_of_reader(input),
        _ => password_of_reader(std::io::stdin().lock()),
    }
}

pub(crate) fn smb_of(record: &VolumeRecord) -> Result<&SmbSpec> {
    let none = || SecretError::NoneHere(record.name.as_str().to_owned());
    Ok(record.spec.smb().ok_or_else(none)?)
}
