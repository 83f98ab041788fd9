//! Making the database again from the rescue records beside the images.
//!
//! Nothing that may be a volume is removed here: a folder that cannot be listed is left alone and
//! named, since its image may be all that is left of somebody's data.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use super::folder::{self, DATABASE, Folders, LOCKS, REMOVED_SUFFIX, VOLUMES};
use super::rescue::{self, Rescue};
use crate::error::{Result, VolumeError};
use crate::record::parse_id;

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
pub(super) fn collect(folders: &Folders) -> Result<(Vec<Rescue>, RebuildReport)> {
    let mut report = RebuildReport::default();
    let mut volumes: BTreeMap<String, Rescue> = BTreeMap::new();
    for name in folder::names(folders.volumes(), VOLUMES)? {
        let removed = name.strip_suffix(REMOVED_SUFFIX).and_then(parse_id);
        if removed.is_some() {
            folders.remove_entry(&name)?;
            continue;
        }
        match read_volume(folders, &name) {
            Ok(rescue) if volumes.contains_key(&rescue.record.name.key()) => {
                let reason = format!(
                    "another folder holds a volume named \"{}\"",
                    rescue.record.name
                );
                report.left.push((name, reason));
            }
            Ok(rescue) => {
                volumes.insert(rescue.record.name.key(), rescue);
            }
            Err(reason) => report.left.push((name, reason)),
        }
    }
    leave_those_without_base(&mut volumes, &mut report);
    let name = |rescue: &Rescue| rescue.record.name.as_str().to_owned();
    report.restored = volumes.values().map(name).collect();
    Ok((volumes.into_values().collect(), report))
}

/// Leaves alone the volumes that stand on a layer that is not there, and those that stand on them.
fn leave_those_without_base(volumes: &mut BTreeMap<String, Rescue>, report: &mut RebuildReport) {
    loop {
        let layers: BTreeSet<Uuid> = volumes
            .values()
            .flat_map(|rescue| rescue.layers.iter().map(|layer| layer.id))
            .collect();
        let baseless = volumes.iter().find_map(|(key, rescue)| {
            let mut parents = rescue.layers.iter().filter_map(|layer| layer.parent);
            let missing = parents.find(|parent| !layers.contains(parent))?;
            Some((key.clone(), missing))
        });
        let Some((key, missing)) = baseless else {
            return;
        };
        if let Some(rescue) = volumes.remove(&key) {
            let reason = format!(
                "volume \"{}\" stands on layer {missing}, which is not there",
                rescue.record.name
            );
            report.left.push((rescue.record.id.to_string(), reason));
        }
    }
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

/// The rescue record of a folder, if its images are there too.
pub(super) fn read_volume(folders: &Folders, name: &str) -> std::result::Result<Rescue, String> {
    let id = parse_id(name).ok_or("its name is no id")?;
    let folder = folders
        .open_volume_folder(id)
        .map_err(|error| error.to_string())?
        .ok_or("it vanished")?;
    let rescue = rescue::read(&folder).map_err(|error| error.to_string())?;
    let rescue = rescue.ok_or("it has no rescue record: its create did not finish")?;
    if rescue.record.id != id {
        return Err("its rescue record is of another volume".to_owned());
    }
    for layer in &rescue.layers {
        let disk = rescue.record.disk().map_err(|error| error.to_string())?;
        let file = layer.file_name(disk.format());
        match folder::metadata(&folder, &file) {
            Ok(Some(found)) if found.is_file() => {}
            Ok(_) if rescue.layers.len() == 1 => return Err("its image is missing".to_owned()),
            Ok(_) => return Err(format!("its layer {file} is missing")),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(rescue)
}
