//! A volume that stands for a directory or a file of the host. Nothing of it is in the store, and removing
//! the volume leaves what it stood for alone.

use std::fs;
use std::io;

use blockio::FileStorage;

use super::{Driver, KnownFile, Making, refuse_content, refuse_password};
use crate::error::{Result, VolumeError};
use crate::lifecycle::fill::Filled;
use crate::lifecycle::{BackingDetails, CreateRequest, HostSource};
use crate::record::VolumeRecord;
use crate::spec::Backing;
use crate::store::Store;

pub(super) struct Bind;

impl Driver for Bind {
    fn check(&self, request: &CreateRequest) -> Result<()> {
        refuse_content(request)?;
        refuse_password(request)?;
        let Backing::Bind(bind) = request.spec.backing() else {
            return Ok(());
        };
        let found = fs::metadata(bind.source()).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => VolumeError::NoSource {
                path: bind.source().to_owned(),
            },
            _ => VolumeError::host("looking at", bind.source(), error),
        })?;
        if !found.is_dir() && !found.is_file() {
            return Err(VolumeError::Request(
                "a device, socket or pipe cannot be mounted; give a directory or a file",
            ));
        }
        Ok(())
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

    fn look(&self, _: &Store, record: &VolumeRecord) -> Result<BackingDetails> {
        let Backing::Bind(bind) = record.spec.backing() else {
            return Ok(BackingDetails::Memory);
        };
        let found = match fs::metadata(bind.source()) {
            Ok(found) if found.is_dir() => HostSource::Directory,
            Ok(found) if found.is_file() => HostSource::File,
            Ok(_) => HostSource::Other,
            Err(error) if error.kind() == io::ErrorKind::NotFound => HostSource::Missing,
            Err(error) => HostSource::Unreadable(error.to_string()),
        };
        Ok(BackingDetails::Host(found))
    }

    fn files(&self, _: &Store, _: &VolumeRecord) -> Result<Vec<KnownFile>> {
        Ok(Vec::new())
    }
}
