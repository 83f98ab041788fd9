//! Looking a whole store over: rows against files, both ways.
//!
//! Nothing that may be a volume, a layer or its data is ever removed here. What is mended is what has
//! one right answer: a record that the rows contradict is written anew, a removal that had begun is
//! carried on, a volume whose folder is whole and whose row is gone is listed again, a change that was
//! cut short is completed.

use std::collections::BTreeSet;

use cap_std::fs::Dir;

use super::folder::{self, DATABASE, REMOVED_SUFFIX, RESCUE_RECORD, VOLUMES};
use super::rebuild::read_volume;
use super::rescue::{self, Rescue};
use super::{Recovered, Store};
use crate::driver::{self, KnownFile};
use crate::error::Result;
use crate::lifecycle::change::JOURNAL_SUFFIX;
use crate::lifecycle::repair::BACKUP_SUFFIX;
use crate::record::{VolumeRecord, parse_id};
use crate::secret::SecretState;
use crate::state::VolumeState;

/// A class of findings; the words stay the same from version to version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreClass {
    /// Work that a dead process had left was finished when the store was opened.
    FinishedWork,
    /// A volume is being made or removed, by a process that lives, or that could not be finished.
    UnfinishedWork,
    /// The database is damaged.
    Database,
    /// A database that was damaged once is kept under another name.
    OldDatabase,
    /// A folder holds a whole volume that is not listed.
    UnlistedVolume,
    /// A folder of volumes holds something that is no volume.
    StrayFolder,
    /// The rest of a removal.
    RemovedVolume,
    /// A volume is listed and its folder, image or a layer is not there.
    MissingFile,
    /// The rescue record is missing, damaged or older than the rows.
    RescueRecord,
    /// A file in the folder of a volume that nothing knows.
    StrayFile,
    /// A change of a volume that was cut short.
    PendingChange,
    /// The bytes that a repair replaced.
    RepairBackup,
    /// The kept password of a volume that cannot be opened.
    Password,
    /// The folder of the store lets in others than those it is for.
    Access,
}

/// What became of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreCure {
    /// It is nothing that needs one.
    NotNeeded,
    /// It was mended.
    Mended,
    /// It can be mended, which was not asked for.
    Mendable,
    /// Somebody has to decide.
    ByHand,
}

/// One thing found in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFinding {
    /// Its class.
    pub class: StoreClass,
    /// The volume, file or folder that it is about.
    pub subject: String,
    /// What is the case, and what can be done.
    pub message: String,
    /// What became of it.
    pub cure: StoreCure,
}

impl StoreClass {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FinishedWork => "finished-work",
            Self::UnfinishedWork => "unfinished-work",
            Self::Database => "database",
            Self::OldDatabase => "old-database",
            Self::UnlistedVolume => "unlisted-volume",
            Self::StrayFolder => "stray-folder",
            Self::RemovedVolume => "removed-volume",
            Self::MissingFile => "missing-file",
            Self::RescueRecord => "rescue-record",
            Self::StrayFile => "stray-file",
            Self::PendingChange => "pending-change",
            Self::RepairBackup => "repair-backup",
            Self::Password => "password",
            Self::Access => "access",
        }
    }
}

impl StoreFinding {
    /// Whether something is wrong and stays so.
    pub fn is_problem(&self) -> bool {
        matches!(self.cure, StoreCure::Mendable | StoreCure::ByHand)
    }
}

/// The findings of one look.
struct Look<'a> {
    store: &'a Store,
    /// Whether what is safe is mended.
    mend: bool,
    findings: Vec<StoreFinding>,
}

impl Store {
    /// Looks over database, folders and records; with `mend`, mends what has one right answer. The
    /// images are not opened.
    ///
    /// # Errors
    /// `InUse`, `Damaged` where the database cannot be read at all, `Io`.
    pub fn examine(&self, mend: bool) -> Result<Vec<StoreFinding>> {
        let mut look = Look {
            store: self,
            mend,
            findings: Vec::new(),
        };
        look.recovered();
        look.access();
        look.database()?;
        look.root()?;
        look.folders()?;
        let records = self.database().all()?;
        for record in &records {
            look.volume(record)?;
        }
        Ok(look.findings)
    }
}

impl Look<'_> {
    fn add(
        &mut self,
        class: StoreClass,
        subject: impl Into<String>,
        message: impl Into<String>,
        cure: StoreCure,
    ) {
        self.findings.push(StoreFinding {
            class,
            subject: subject.into(),
            message: message.into(),
            cure,
        });
    }

    /// Notes something that `cure` mends, which is done where that is wanted.
    fn mend(
        &mut self,
        class: StoreClass,
        subject: &str,
        message: &str,
        cure: impl FnOnce(&Store) -> Result<()>,
    ) {
        if !self.mend {
            self.add(class, subject, message, StoreCure::Mendable);
            return;
        }
        match cure(self.store) {
            Ok(()) => self.add(class, subject, message, StoreCure::Mended),
            Err(error) => {
                let message = format!("{message}; mending it failed: {error}");
                self.add(class, subject, message, StoreCure::ByHand);
            }
        }
    }

    /// Who may open the folder of the store.
    fn access(&mut self) {
        let others = self.store.folders().open_to();
        if !others.is_empty() {
            let message = format!("the folder of the store is open to {}", others.join(", "));
            let root = self.store.root().to_string_lossy().into_owned();
            self.mend(StoreClass::Access, &root, &message, |store| {
                store.folders().make_private()
            });
        }
    }

    /// What opening the store did by itself.
    fn recovered(&mut self) {
        let Recovered {
            volumes,
            layers,
            records,
        } = self.store.recovered;
        for (count, what) in [
            (
                volumes,
                "a create was undone or a removal carried on, of volumes",
            ),
            (
                layers,
                "a snapshot, merge or restore was undone or carried on, of layers",
            ),
            (records, "rescue records were brought up to date"),
        ] {
            if count > 0 {
                let message = format!("{what}: {count}; a dead process had left it");
                self.add(
                    StoreClass::FinishedWork,
                    "store",
                    message,
                    StoreCure::NotNeeded,
                );
            }
        }
    }

    fn database(&mut self) -> Result<()> {
        for message in self.store.database().integrity()? {
            let message = format!(
                "{message}; move state.db away, and the next command makes it anew from the rescue \
                 records"
            );
            self.add(StoreClass::Database, DATABASE, message, StoreCure::ByHand);
        }
        Ok(())
    }

    fn root(&mut self) -> Result<()> {
        let set_aside = format!("{DATABASE}.set-aside-");
        for name in folder::names(self.store.folders().root(), "the store")? {
            let is_main = !name.ends_with("-wal") && !name.ends_with("-shm");
            if name.starts_with(&set_aside) && is_main {
                let message =
                    "a damaged database of former times; remove it when nothing is missed";
                self.add(StoreClass::OldDatabase, name, message, StoreCure::NotNeeded);
            }
        }
        Ok(())
    }

    /// The folders that no row names.
    fn folders(&mut self) -> Result<()> {
        // The folders before the rows: a volume that is made meanwhile has its row first, and one
        // that is removed loses its folder first.
        let names = folder::names(self.store.folders().volumes(), VOLUMES)?;
        let rows: BTreeSet<String> = self
            .store
            .database()
            .all()?
            .iter()
            .map(|record| record.id.to_string())
            .collect();
        for name in names {
            let of = name.strip_suffix(REMOVED_SUFFIX).unwrap_or(&name);
            if rows.contains(of) {
                continue;
            }
            if of != name && parse_id(of).is_some() {
                let message = "the rest of a volume that was removed";
                self.mend(StoreClass::RemovedVolume, &name, message, |store| {
                    store.folders().remove_entry(&name)?;
                    store.folders().sync_volumes()
                });
                continue;
            }
            match read_volume(self.store.folders(), &name) {
                Ok(rescue) => self.unlisted(&name, &rescue),
                Err(reason) => {
                    let message =
                        format!("no volume that could be listed: {reason}; it is left alone");
                    self.add(StoreClass::StrayFolder, name, message, StoreCure::ByHand);
                }
            }
        }
        Ok(())
    }

    fn unlisted(&mut self, name: &str, rescue: &Rescue) {
        let volume = rescue.record.name.as_str();
        let message = format!("holds the whole volume \"{volume}\", which is not listed");
        self.mend(StoreClass::UnlistedVolume, name, &message, |store| {
            store.database().write("listing a volume again", |rows| {
                if let Some(other) = rows.find(&rescue.record.name)? {
                    return Err(crate::VolumeError::AlreadyExists {
                        existing: other.name.as_str().to_owned(),
                    });
                }
                rows.insert_rescue(rescue)
            })
        });
    }

    fn volume(&mut self, record: &VolumeRecord) -> Result<()> {
        let name = record.name.as_str();
        if record.state != VolumeState::Ready {
            let message = format!(
                "is {}: by a process that lives, or by one whose work could not be finished",
                record.state
            );
            self.add(
                StoreClass::UnfinishedWork,
                name,
                message,
                StoreCure::NotNeeded,
            );
            return Ok(());
        }
        let folder = match self.store.folders().open_volume_folder(record.id) {
            Ok(Some(folder)) => folder,
            Ok(None) => {
                let message = format!(
                    "its folder volumes/{} is missing; `cvol rm --force` takes it off the list",
                    record.id
                );
                self.add(StoreClass::MissingFile, name, message, StoreCure::ByHand);
                return Ok(());
            }
            Err(error) => {
                self.add(
                    StoreClass::MissingFile,
                    name,
                    error.to_string(),
                    StoreCure::ByHand,
                );
                return Ok(());
            }
        };
        self.files(record, &folder)?;
        self.password(record);
        self.rescue_record(record, &folder)
    }

    /// The files of a volume: those that must be there, and those that nothing knows.
    fn files(&mut self, record: &VolumeRecord, folder: &Dir) -> Result<()> {
        let name = record.name.as_str();
        let mut known: BTreeSet<String> = [RESCUE_RECORD.to_owned()].into();
        for KnownFile { name: file, advice } in
            driver::of(record.spec.kind()).files(self.store, record)?
        {
            let found = folder::metadata(folder, &file)?;
            if !found.is_some_and(|found| found.is_file()) {
                let message = format!("its file {file} is missing: {advice}");
                self.add(StoreClass::MissingFile, name, message, StoreCure::ByHand);
            }
            known.insert(file);
        }
        for file in folder::names(folder, name)? {
            let image = |suffix: &str| {
                let end = file.find(suffix)?;
                known.contains(&file[..end]).then_some(())
            };
            if known.contains(&file) {
                continue;
            }
            if image(JOURNAL_SUFFIX).is_some() && file.ends_with(JOURNAL_SUFFIX) {
                let message = "a change that was cut short waits to be completed";
                let volume = record.name.clone();
                self.mend(StoreClass::PendingChange, name, message, |store| {
                    store.complete_pending(&volume)
                });
            } else if file.contains(BACKUP_SUFFIX) {
                let whose = match image(BACKUP_SUFFIX) {
                    Some(()) => "",
                    None => " in an image that is gone",
                };
                let message =
                    format!("{file} holds what a repair replaced{whose}; remove it in time");
                self.add(
                    StoreClass::RepairBackup,
                    name,
                    message,
                    StoreCure::NotNeeded,
                );
            } else {
                let message = format!("{file} in its folder belongs to nothing; it is left alone");
                self.add(StoreClass::StrayFile, name, message, StoreCure::ByHand);
            }
        }
        Ok(())
    }

    /// Whether the password of a volume opens, if it has one.
    fn password(&mut self, record: &VolumeRecord) {
        if let Some(SecretState::Unusable(error)) = self.store.secret_state(record) {
            let message = format!("{error}; `cvol secret set` keeps it again");
            self.add(
                StoreClass::Password,
                record.name.as_str(),
                message,
                StoreCure::ByHand,
            );
        }
    }

    /// Whether the rescue record says what the rows say.
    fn rescue_record(&mut self, record: &VolumeRecord, folder: &Dir) -> Result<()> {
        let found = rescue::read(folder);
        let rows = self
            .store
            .database()
            .write("reading a volume", |rows| rows.rescue(record.id))?;
        let Some(rows) = rows.filter(|rows| rows.record.state == VolumeState::Ready) else {
            return Ok(());
        };
        let message = match found {
            Ok(Some(found)) if found.to_text()? == rows.to_text()? => return Ok(()),
            Ok(Some(found)) if found.record.id != rows.record.id => {
                // Whose folder is this? Not for a program to say.
                let message = "its rescue record is of another volume";
                self.add(
                    StoreClass::RescueRecord,
                    record.name.as_str(),
                    message,
                    StoreCure::ByHand,
                );
                return Ok(());
            }
            Ok(Some(_)) => "its rescue record says something else than its rows".to_owned(),
            Ok(None) => "it has no rescue record".to_owned(),
            Err(error) => format!("its rescue record cannot be read: {error}"),
        };
        let id = record.id;
        self.mend(
            StoreClass::RescueRecord,
            record.name.as_str(),
            &message,
            |store| store.refresh_rescue(id),
        );
        Ok(())
    }
}
