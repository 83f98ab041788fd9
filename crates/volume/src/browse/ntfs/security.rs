//! The security descriptor of a file record: by its number in `$Secure`, or in the record itself, as
//! volumes before version 3 and some records of Windows have it.

use blockio::Disk;
use mkfs::SecurityDescriptor;
use mkfs::ntfs::parse::{
    MAX_DESCRIPTOR_BYTES, NtfsVolume, ParseError, SecurityStore, StandardInformationView, kind,
};

use super::super::error::{BrowseError, Result};

/// The largest `$STANDARD_INFORMATION`: version 3 has 72 bytes.
const MAX_INFORMATION_BYTES: u64 = 4096;

/// The descriptor of the record of this number.
pub(super) fn read(disk: &dyn Disk, record: u64, path: &str) -> Result<SecurityDescriptor> {
    let damaged = |error: ParseError| BrowseError::damaged(path, error);
    let volume = NtfsVolume::open(disk).map_err(damaged)?;
    let file = volume.read_file(record).map_err(damaged)?;
    let value = |kind, limit| {
        let value = file.value(&volume, kind, "").map_err(damaged)?;
        let bytes = value.map(|value| value.read_all(&volume, limit));
        bytes.transpose().map_err(damaged)
    };
    let own = value(kind::SECURITY_DESCRIPTOR, MAX_DESCRIPTOR_BYTES)?;
    let bytes = match own {
        Some(bytes) => bytes,
        None => {
            let information = value(kind::STANDARD_INFORMATION, MAX_INFORMATION_BYTES)?;
            let id = information
                .as_deref()
                .and_then(StandardInformationView::parse)
                .and_then(|information| information.security_id())
                .filter(|id| *id != 0)
                .ok_or_else(|| BrowseError::damaged(path, "it has no security descriptor"))?;
            let store = SecurityStore::open(&volume).map_err(damaged)?;
            let stored = store.descriptor(&volume, id).map_err(damaged)?;
            stored.ok_or_else(|| {
                BrowseError::damaged(path, format!("there is no security descriptor {id}"))
            })?
        }
    };
    SecurityDescriptor::from_bytes(&bytes).map_err(|error| BrowseError::damaged(path, error))
}
