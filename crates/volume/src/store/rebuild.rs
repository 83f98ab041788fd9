//! Making the database again from the rescue records beside the images.
//!
//! Nothing that may be a volume is removed here: a folder that cannot be listed is left alone and
//! named, since its image may be all that is left of somebody's data.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use cap_std::fs::Dir;

use super::folder::{self, DATABASE, Folders, LOCKS, REMOVED_SUFFIX, RESCUE_RECORD, VOLUMES};
use crate::error::{Result, VolumeError};
use crate::record::{VolumeRecord, parse_id};
use crate::state::VolumeState;

/// What SQLite keeps beside a database.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// What a rebuild found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RebuildReport {
    /// Volumes that are whole and listed again, by name.
    pub restored: Vec<String>,
    /// Folders that were left alone, each with the reason.
    pub left: Vec<(String, String)>,
    /// The name in the store that the database before this one was kept under, if there was one.
    pub set_aside: Option<String>,
}

impl RebuildReport {
    /// Whether there was nothing to rebuild, and nothing to rebuild it from.
    pub fn is_empty(&self) -> bool {
        self.restored.is_empty() && self.left.is_empty() && self.set_aside.is_none()
    }
}

/// The volumes whose folders are whole. Folders of removals that had begun are removed.
pub(super) fn collect(folders: &Folders) -> Result<(Vec<VolumeRecord>, RebuildReport)> {
    let mut report = RebuildReport::default();
    let mut records: BTreeMap<String, VolumeRecord> = BTreeMap::new();
    for name in folder::names(folders.volumes(), VOLUMES)? {
        let removed = name.strip_suffix(REMOVED_SUFFIX).and_then(parse_id);
        if removed.is_some() {
            folders.remove_entry(&name)?;
            continue;
        }
        match read_volume(folders, &name) {
            Ok(record) if records.contains_key(&record.name.key()) => {
                let reason = format!("another folder holds a volume named \"{}\"", record.name);
                report.left.push((name, reason));
            }
            Ok(record) => {
                records.insert(record.name.key(), record);
            }
            Err(reason) => report.left.push((name, reason)),
        }
    }
    let name = |record: &VolumeRecord| record.name.as_str().to_owned();
    report.restored = records.values().map(name).collect();
    Ok((records.into_values().collect(), report))
}

/// Removes what SQLite left beside a database that is gone.
pub(super) fn remove_leftovers(folders: &Folders) -> Result<()> {
    for companion in COMPANIONS {
        let name = format!("{DATABASE}{companion}");
        if folder::metadata(folders.root(), &name)?.is_some() {
            folders
                .root()
                .remove_file(&name)
                .map_err(|error| VolumeError::host("removing", name, error))?;
        }
    }
    Ok(())
}

/// Gives the database and what belongs to it another name, which is returned. Refused while anybody
/// works.
pub(super) fn set_database_aside(folders: &Folders) -> Result<Option<String>> {
    for name in folder::names(folders.locks(), LOCKS)? {
        let file = folder::open_existing(folders.locks(), &name);
        let free = file.is_ok_and(|file| file.into_std().try_lock().is_ok());
        if !free && folder::metadata(folders.locks(), &name)?.is_some() {
            return Err(VolumeError::WorkInProgress);
        }
    }
    let stamp = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    let mut database = None;
    for companion in ["", "-wal", "-shm"] {
        let name = format!("{DATABASE}{companion}");
        if folder::metadata(folders.root(), &name)?.is_some() {
            let aside = format!("{DATABASE}.set-aside-{stamp}{companion}");
            folder::retry(|| folders.root().rename(&name, folders.root(), &aside))
                .map_err(|error| VolumeError::host("renaming", name, error))?;
            database.get_or_insert(aside);
        }
    }
    Ok(database)
}

/// The rescue record of a folder, if its image is there too.
fn read_volume(folders: &Folders, name: &str) -> std::result::Result<VolumeRecord, String> {
    let id = parse_id(name).ok_or("its name is no id")?;
    let folder = folders
        .open_volume_folder(id)
        .map_err(|error| error.to_string())?
        .ok_or("it vanished")?;
    let record = read_rescue_record(&folder).map_err(|error| error.to_string())?;
    let record = record.ok_or("it has no rescue record: its create did not finish")?;
    if record.id != id {
        return Err("its rescue record is of another volume".to_owned());
    }
    match folder::metadata(&folder, record.image_file_name()) {
        Ok(Some(found)) if found.is_file() => Ok(record),
        Ok(_) => Err("its image is missing".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The rescue record in the folder of a volume; `None` where there is none.
pub(crate) fn read_rescue_record(folder: &Dir) -> Result<Option<VolumeRecord>> {
    let Some(text) = folder::read_text(folder, RESCUE_RECORD)? else {
        return Ok(None);
    };
    VolumeRecord::from_document(&text, VolumeState::Ready)
        .map(Some)
        .map_err(|reason| VolumeError::damaged(RESCUE_RECORD, reason))
}
