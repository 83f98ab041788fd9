//! A volume that is memory of the machine that uses it: here it is its size and nothing else. A machine that
//! cannot have one in memory is given an image, made and removed by whoever attaches it.

use blockio::FileStorage;

use super::{Driver, KnownFile, Making, refuse_content, refuse_password};
use crate::error::Result;
use crate::lifecycle::fill::Filled;
use crate::lifecycle::{BackingDetails, CreateRequest};
use crate::record::VolumeRecord;
use crate::store::Store;

pub(super) struct Tmpfs;

impl Driver for Tmpfs {
    fn check(&self, request: &CreateRequest) -> Result<()> {
        refuse_content(request)?;
        refuse_password(request)
    }

    fn make(&self, _making: &Making<'_>) -> Result<Filled> {
        Ok(Filled::default())
    }

    fn lock(&self, _: &Store, _: &VolumeRecord, _force: bool) -> Result<Vec<FileStorage>> {
        Ok(Vec::new())
    }

    fn used_bytes(&self, _: &Store, _: &VolumeRecord) -> Result<Option<u64>> {
        Ok(Some(0))
    }

    fn look(&self, _: &Store, _: &VolumeRecord) -> Result<BackingDetails> {
        Ok(BackingDetails::Memory)
    }

    fn files(&self, _: &Store, _: &VolumeRecord) -> Result<Vec<KnownFile>> {
        Ok(Vec::new())
    }
}
