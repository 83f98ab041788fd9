//! Changing a FAT32 volume at rest.
//!
//! ```text
//!   mod          what is asked for, in terms of files and names
//!     |
//!   add, remove  files and trees coming in, going, moving
//!     |
//!   directory    slots and names in memory        clusters   chains of the table
//!     |                                              |
//!   change::Overlay   nothing reaches the disk but data in free clusters
//! ```
//! Both tables, FSInfo and both boot sectors are kept up. Times are stored in UTC, as the builder
//! does.

mod add;
mod clusters;
mod directory;
mod evacuate;
mod layout;
mod remove;
mod resize;

use std::collections::BTreeMap;

use super::entry::{self, EntryFields};
use super::format::{
    ATTRIBUTE_ARCHIVE, ATTRIBUTE_DIRECTORY, ATTRIBUTE_LABEL, FIRST_CLUSTER, FSINFO_LEAD, FsInfo,
    MAX_SLOTS, SLOT_BYTES,
};
use super::label::Label;
use super::upcase::upcase;
use crate::change::{ChangeError, ChangeOptions, ChangeSet, Folders, Overlay, PathNames, State};
use crate::error::MkfsError;
use crate::security::SecurityDescriptor;
use crate::tree::{Attributes, NodeName, Times};
use clusters::Clusters;
use directory::{Directory, Entry};
pub(crate) use evacuate::data_start;
use layout::Layout;
use zerocopy::FromBytes;

/// Attributes that can be changed: read-only, hidden, system, archive.
const SETTABLE: u32 = 0x27;
/// Where the label stands in the boot sector.
const BOOT_LABEL: u64 = 71;
const NO_LABEL: [u8; 11] = *b"NO NAME    ";

/// A volume that is being changed.
pub(crate) struct Fat32Change<'d> {
    disk: Overlay<'d>,
    layout: Layout,
    clusters: Clusters,
    /// By first cluster.
    directories: BTreeMap<u32, Directory>,
    options: ChangeOptions,
    /// How the first sector of the table looks while a resize is written.
    guard: Option<(u64, Vec<u8>)>,
}

/// Something found in a directory.
#[derive(Clone, Debug)]
struct Found {
    /// First cluster of the directory.
    parent: u32,
    entry: Entry,
}

impl Found {
    fn slot(&self) -> usize {
        self.entry.slots.end - 1
    }
}

impl<'d> Fat32Change<'d> {
    /// The volume on a partition, if it may be changed.
    pub(crate) fn open(
        disk: Overlay<'d>,
        options: ChangeOptions,
        state: State,
    ) -> Result<Self, ChangeError> {
        let layout = Layout::read(&disk, state)?;
        let cursor =
            read_fsinfo(&disk, &layout)?.map_or(FIRST_CLUSTER, |info| info.next_free.get());
        Ok(Self {
            clusters: Clusters::new(layout, cursor),
            disk,
            layout,
            directories: BTreeMap::new(),
            options,
            guard: None,
        })
    }

    /// A directory, loaded if need be.
    fn directory(&mut self, first: u32) -> Result<&mut Directory, ChangeError> {
        if !self.directories.contains_key(&first) {
            let most = u64::from(MAX_SLOTS) * 32;
            let chain =
                self.clusters
                    .chain(&self.disk, first, most.div_ceil(self.layout.cluster))?;
            let size = usize::try_from(self.layout.cluster).unwrap_or(0);
            let mut bytes = Vec::with_capacity(chain.len() * size);
            for cluster in &chain {
                bytes.extend(self.disk.read_vec(self.layout.place(*cluster)?, size)?);
            }
            self.directories
                .insert(first, Directory::parse(chain, bytes));
        }
        self.directories
            .get_mut(&first)
            .ok_or_else(|| ChangeError::damaged("a directory", u64::from(first), "it is not there"))
    }

    /// The first cluster of the directory that an entry is, the root for zero.
    fn cluster_of(&self, entry: &Entry) -> u32 {
        match entry.first_cluster() {
            0 => self.layout.root,
            first => first,
        }
    }

    fn lookup(&mut self, parent: u32, name: &[u16]) -> Result<Option<Found>, ChangeError> {
        let entry = self.directory(parent)?.find(name).cloned();
        Ok(entry.map(|entry| Found { parent, entry }))
    }

    /// What a path leads to; `None` for the root.
    fn resolve(&mut self, path: &PathNames) -> Result<Option<Found>, ChangeError> {
        let missing = || ChangeError::NotFound {
            path: path.to_string(),
        };
        let mut found: Option<Found> = None;
        for name in path.names() {
            let parent = match &found {
                None => self.layout.root,
                Some(found) if found.entry.is_directory() => self.cluster_of(&found.entry),
                Some(_) => return Err(missing()),
            };
            found = Some(self.lookup(parent, name)?.ok_or_else(missing)?);
        }
        Ok(found)
    }

    fn resolve_directory(&mut self, path: &PathNames) -> Result<u32, ChangeError> {
        match self.resolve(path)? {
            None => Ok(self.layout.root),
            Some(found) if found.entry.is_directory() => Ok(self.cluster_of(&found.entry)),
            Some(_) => Err(ChangeError::WrongKind {
                path: path.to_string(),
                is: "not a directory",
            }),
        }
    }

    /// Writes slots of a directory to the disk.
    fn write_slots(
        &mut self,
        parent: u32,
        slots: std::ops::Range<usize>,
    ) -> Result<(), ChangeError> {
        let cluster = self.layout.cluster;
        let layout = self.layout;
        let directory = self.directory(parent)?;
        let mut writes = Vec::with_capacity(slots.len());
        for slot in slots {
            let at = u64::try_from(slot * SLOT_BYTES).unwrap_or(u64::MAX);
            let index = usize::try_from(at / cluster).unwrap_or(usize::MAX);
            let (Some(number), Some(bytes)) = (
                directory.chain.get(index),
                directory
                    .bytes
                    .get(slot * SLOT_BYTES..(slot + 1) * SLOT_BYTES),
            ) else {
                continue;
            };
            writes.push((layout.place(*number)? + at % cluster, bytes.to_vec()));
        }
        for (place, bytes) in writes {
            self.disk.write(&bytes, place)?;
        }
        Ok(())
    }

    /// Puts an entry into a directory that does not have its name. `short` is what stands in its
    /// last slot after the name.
    fn insert(&mut self, parent: u32, name: &NodeName, short: &[u8]) -> Result<(), ChangeError> {
        let count = usize::try_from(entry::slots(name)).unwrap_or(usize::MAX);
        let start = self.directory(parent)?.room(count);
        let end = start + count;
        if end > usize::try_from(MAX_SLOTS).unwrap_or(usize::MAX) {
            return Err(ChangeError::Mkfs(MkfsError::DirectoryFull {
                path: name.to_string(),
                limit: "65,536 slots of 32 bytes; a name takes up to 21",
            }));
        }
        while self.directory(parent)?.bytes.len() < end * SLOT_BYTES {
            self.extend_directory(parent)?;
        }
        let directory = self.directory(parent)?;
        let alias = directory
            .aliases
            .alias(name.units())
            .ok_or(ChangeError::Unsupported("so many names that begin alike"))?;
        let fields = EntryFields {
            attributes: 0,
            first_cluster: 0,
            size: 0,
            times: Times::default(),
        };
        let mut slots = Vec::with_capacity(count * SLOT_BYTES);
        entry::append(&mut slots, name, alias, &fields);
        if let Some(place) = slots
            .len()
            .checked_sub(SLOT_BYTES - 11)
            .and_then(|at| slots.get_mut(at..))
        {
            place.copy_from_slice(short.get(11..SLOT_BYTES).unwrap_or_default());
            // The case of a short name is that of its letters now.
            place[1] = 0;
        }
        if let Some(place) = directory
            .bytes
            .get_mut(start * SLOT_BYTES..end * SLOT_BYTES)
        {
            place.copy_from_slice(&slots);
        }
        let short = slots.last_chunk().copied().unwrap_or([0; SLOT_BYTES]);
        directory.admit(Entry {
            name: name.units().to_vec(),
            slots: start..end,
            short,
        });
        directory.end = directory.end.max(end);
        let is_last = directory.end == end;
        // What stands behind the last entry must say so, whatever was there.
        self.write_slots(parent, start..end + usize::from(is_last))
    }

    fn extend_directory(&mut self, parent: u32) -> Result<(), ChangeError> {
        let last = self
            .directory(parent)?
            .chain
            .last()
            .copied()
            .unwrap_or(parent);
        let new = self.clusters.extend(&mut self.disk, last)?;
        let zeros = vec![0; usize::try_from(self.layout.cluster).unwrap_or(0)];
        self.disk.write(&zeros, self.layout.place(new)?)?;
        let directory = self.directory(parent)?;
        directory.chain.push(new);
        directory.bytes.extend(zeros);
        Ok(())
    }

    /// Takes an entry out of its directory; its clusters stay.
    fn detach(&mut self, found: &Found) -> Result<(), ChangeError> {
        self.directory(found.parent)?.forget(found.slot());
        self.write_slots(found.parent, found.entry.slots.clone())
    }

    /// Overwrites the short entry of what was found, but for its name.
    fn rewrite(&mut self, found: &Found, short: [u8; SLOT_BYTES]) -> Result<(), ChangeError> {
        let slot = found.slot();
        let directory = self.directory(found.parent)?;
        if let Some(place) = directory
            .bytes
            .get_mut(slot * SLOT_BYTES..(slot + 1) * SLOT_BYTES)
        {
            place.copy_from_slice(&short);
        }
        if let Some(entry) = directory.entries.get_mut(&slot) {
            entry.short = short;
        }
        self.write_slots(found.parent, slot..slot + 1)
    }

    /// What a path leads to; whether it is a directory.
    pub(crate) fn find(&mut self, path: &PathNames) -> Result<Option<bool>, ChangeError> {
        match self.resolve(path) {
            Ok(found) => Ok(Some(found.is_none_or(|found| found.entry.is_directory()))),
            Err(ChangeError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn new_directory(
        &mut self,
        parent: u32,
        name: &NodeName,
        attributes: u8,
        times: Times,
    ) -> Result<u32, ChangeError> {
        let first = self
            .clusters
            .take(&mut self.disk, 1)?
            .first()
            .map_or(0, |run| run.first);
        let mut bytes = Vec::new();
        let above = if parent == self.layout.root {
            0
        } else {
            parent
        };
        for (dots, first_cluster) in [(*b".          ", first), (*b"..         ", above)] {
            let attributes = ATTRIBUTE_DIRECTORY;
            let fields = EntryFields {
                attributes,
                first_cluster,
                size: 0,
                times,
            };
            entry::append_short(&mut bytes, dots, &fields);
        }
        bytes.resize(usize::try_from(self.layout.cluster).unwrap_or(0), 0);
        self.disk.write(&bytes, self.layout.place(first)?)?;
        self.directories
            .insert(first, Directory::parse(vec![first], bytes));
        let attributes = attributes | ATTRIBUTE_DIRECTORY;
        let mut short = Vec::new();
        let fields = EntryFields {
            attributes,
            first_cluster: first,
            size: 0,
            times,
        };
        entry::append_short(&mut short, [b' '; 11], &fields);
        self.insert(parent, name, &short)?;
        Ok(first)
    }

    pub(crate) fn set_attributes(
        &mut self,
        path: &PathNames,
        set: Attributes,
        clear: Attributes,
    ) -> Result<(), ChangeError> {
        let Some(found) = self.resolve(path)? else {
            let reason = "the top of a FAT32 volume has no attributes";
            return Err(ChangeError::Refused {
                path: path.to_string(),
                reason,
            });
        };
        if (set.bits() | clear.bits()) & !SETTABLE != 0 {
            return Err(ChangeError::UnsupportedFile {
                path: path.to_string(),
                what: "an attribute that only NTFS has",
            });
        }
        let bits = u32::from(found.entry.attributes());
        let bits = (bits & !clear.bits()) | set.bits();
        let mut short = found.entry.short;
        short[11] = u8::try_from(bits).unwrap_or(short[11]);
        self.rewrite(&found, short)
    }

    pub(crate) fn set_security(
        &mut self,
        path: &PathNames,
        _: &SecurityDescriptor,
    ) -> Result<(), ChangeError> {
        let what = "access control on FAT32";
        Err(ChangeError::UnsupportedFile {
            path: path.to_string(),
            what,
        })
    }

    pub(crate) fn label(&mut self) -> Result<String, ChangeError> {
        let root = self.layout.root;
        let directory = self.directory(root)?;
        let label = directory.label.and_then(|slot| {
            let at = slot * SLOT_BYTES;
            directory
                .bytes
                .get(at..at + 11)
                .map(|label| String::from_utf8_lossy(label).into_owned())
        });
        Ok(label.unwrap_or_default().trim_end().to_owned())
    }

    pub(crate) fn set_label(&mut self, label: &str) -> Result<(), ChangeError> {
        let label = Label::parse(label)?;
        let root = self.layout.root;
        let now = Times::all(self.options.now);
        if let Some(slot) = self.directory(root)?.label.take() {
            let directory = self.directory(root)?;
            if let Some(first) = directory.bytes.get_mut(slot * SLOT_BYTES) {
                *first = 0xE5;
            }
            directory.note_free(slot);
            self.write_slots(root, slot..slot + 1)?;
        }
        if let Some(label) = &label {
            let slot = self.directory(root)?.room(1);
            while self.directory(root)?.bytes.len() < (slot + 1) * SLOT_BYTES {
                self.extend_directory(root)?;
            }
            let attributes = ATTRIBUTE_LABEL;
            let fields = EntryFields {
                attributes,
                first_cluster: 0,
                size: 0,
                times: now,
            };
            let mut bytes = Vec::new();
            entry::append_short(&mut bytes, label.bytes(), &fields);
            let directory = self.directory(root)?;
            if let Some(place) = directory
                .bytes
                .get_mut(slot * SLOT_BYTES..(slot + 1) * SLOT_BYTES)
            {
                place.copy_from_slice(&bytes);
            }
            directory.label = Some(slot);
            directory.end = directory.end.max(slot + 1);
            self.write_slots(root, slot..slot + 2)?;
        }
        let bytes = label.map_or(NO_LABEL, |label| label.bytes());
        for boot in [Some(0), self.layout.backup_boot].into_iter().flatten() {
            self.disk.write(&bytes, boot + BOOT_LABEL)?;
        }
        Ok(())
    }

    /// Stores what is kept beside the table.
    pub(crate) fn finish(mut self) -> Result<ChangeSet, ChangeError> {
        if let (Some(place), Some(info)) =
            (self.layout.fsinfo, read_fsinfo(&self.disk, &self.layout)?)
            && self.clusters.balance != 0
        {
            const COUNT_AT: u64 = 488;
            let free = i64::from(info.free_count.get()) + self.clusters.balance;
            let known = u32::try_from(free)
                .ok()
                .filter(|free| *free < self.layout.end);
            // A number that cannot be right is one that nobody knows.
            let free = known.unwrap_or(u32::MAX);
            let next = self.clusters.cursor();
            self.disk.write(
                &[free.to_le_bytes(), next.to_le_bytes()].concat(),
                place + COUNT_AT,
            )?;
        }
        let guards = match self.guard.take() {
            Some(guard) => vec![guard],
            None => self.clusters.guards(&self.disk)?,
        };
        self.disk.into_change_set(guards)
    }
}

/// The FSInfo sector, where there is a sound one.
fn read_fsinfo(disk: &Overlay<'_>, layout: &Layout) -> Result<Option<FsInfo>, ChangeError> {
    let Some(place) = layout.fsinfo else {
        return Ok(None);
    };
    let bytes = disk.read_vec(place, 512)?;
    let info = FsInfo::read_from_bytes(&bytes).ok();
    Ok(info.filter(|info| info.lead_signature.get() == FSINFO_LEAD))
}

/// The attributes of a file that comes in.
fn file_attributes(attributes: Attributes) -> u8 {
    u8::try_from(attributes.bits() & SETTABLE).unwrap_or(0) | ATTRIBUTE_ARCHIVE
}

impl Folders for Fat32Change<'_> {
    /// Its first cluster.
    type Folder = u32;

    fn top(&self) -> u32 {
        self.layout.root
    }

    fn has(&mut self, folder: u32, name: &[u16]) -> Result<bool, ChangeError> {
        Ok(self.lookup(folder, name)?.is_some())
    }

    fn folder_at(&mut self, path: &PathNames) -> Result<u32, ChangeError> {
        self.resolve_directory(path)
    }

    fn make_folder(&mut self, folder: u32, path: &PathNames) -> Result<u32, ChangeError> {
        let Some((above, name)) = path.split_last() else {
            return Ok(folder);
        };
        path.check_new(above.names().len(), &upcase)?;
        let times = Times::all(self.options.now);
        self.new_directory(folder, &NodeName::new(name.to_vec())?, 0, times)
    }
}
