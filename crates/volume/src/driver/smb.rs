//! A volume that stands for a share of an SMB server, with the sealed password of who logs in there. The
//! server is not spoken to here.

use blockio::FileStorage;

use super::{Driver, KnownFile, Making, refuse_content};
use crate::error::{Result, VolumeError};
use crate::lifecycle::fill::Filled;
use crate::lifecycle::{BackingDetails, CreateRequest};
use crate::record::VolumeRecord;
use crate::secret::{SECRET_FILE, SecretError, SecretState};
use crate::store::Store;

pub(super) struct Smb;

impl Driver for Smb {
    fn check(&self, request: &CreateRequest) -> Result<()> {
        refuse_content(request)?;
        match request.password {
            Some(_) => Ok(()),
            None => Err(SecretError::Needed(request.name.as_str().to_owned()).into()),
        }
    }

    fn make(&self, making: &Making<'_>) -> Result<Filled> {
        let (Some(password), Some(key)) = (&making.request.password, making.key) else {
            return Err(SecretError::Needed(making.request.name.as_str().to_owned()).into());
        };
        making
            .store
            .write_secret(making.record, making.folder, password, key)?;
        Ok(Filled::default())
    }

    fn lock(&self, _: &Store, _: &VolumeRecord, _force: bool) -> Result<Vec<FileStorage>> {
        Ok(Vec::new())
    }

    fn used_bytes(&self, _: &Store, _: &VolumeRecord) -> Result<Option<u64>> {
        Ok(Some(0))
    }

    fn look(&self, store: &Store, record: &VolumeRecord) -> Result<BackingDetails> {
        let state = store.secret_state(record);
        Ok(BackingDetails::Share(state.unwrap_or(SecretState::Missing)))
    }

    fn files(&self, _: &Store, record: &VolumeRecord) -> Result<Vec<KnownFile>> {
        if record.spec.smb().is_none() {
            return Err(VolumeError::damaged(
                record.id.to_string(),
                "it is no share",
            ));
        }
        Ok(vec![KnownFile {
            name: SECRET_FILE.to_owned(),
            advice: "`cvol secret set` keeps the password again",
        }])
    }
}
