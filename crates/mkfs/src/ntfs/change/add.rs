//! Files and directories coming in: one at a time, or as a tree.

use std::collections::HashMap;

use super::content::Incoming;
use super::index::{Index, IndexKind};
use super::names::{
    FILE_REPARSE_POINT, Found, IS_DIRECTORY, ROOT, search_key, standard_information,
};
use super::node::{Entry, Node};
use super::record::{Attribute, FLAG_COMPRESSED, FLAG_ENCRYPTED, Record, Value, kind};
use super::rules::is_kept_as_directory;
use super::volume::{File, Volume};
use crate::change::{ChangeError, Meter, PathNames};
use crate::names::{CasePolicy, NamePolicy, NameRules, SiblingNames};
use crate::ntfs::narrow::{align8, to_u8, to_u32};
use crate::ntfs::reparse::{self, Destination};
use crate::report::{BuildReport, Change, Changed, SkipReason, Skipped};
use crate::security::PathProgress;
use crate::tree::{
    Attributes, EntryKind, NodeId, NodeName, Times, TreeEntry, TreeError, TreeErrorKind, TreeSource,
};

const ARCHIVE: u32 = 0x20;
const SPARSE: u32 = 0x200;
/// Attributes that a file takes over from the one that replaces its content.
const REPLACED: u32 = 0x2027;

/// A directory of the source and what became of it.
struct Place {
    record: u64,
    /// Names that came in here, so that two of them do not become one.
    siblings: SiblingNames,
    path: String,
    /// How far rules of access have matched.
    rules: PathProgress,
}

/// A symbolic link that waits for what it leads to.
struct PendingLink {
    parent: u64,
    name: NodeName,
    target: Vec<u16>,
    directory: bool,
    entry: TreeEntry,
    id: NodeId,
    path: String,
}

/// A tree on its way in.
struct Arrival<'a, 'p> {
    places: HashMap<NodeId, Place>,
    /// Records of all entries that may have more names or streams.
    records: HashMap<NodeId, u64>,
    last: Option<(u64, String)>,
    links: Vec<PendingLink>,
    policy: NamePolicy,
    report: BuildReport,
    meter: &'a mut Meter<'p>,
}

impl Volume<'_> {
    /// Adds a tree to a directory. Directories that exist are filled; files that exist get the new
    /// content and keep their access control and their other names.
    pub(super) fn add_tree(
        &mut self,
        directory: &PathNames,
        source: &mut dyn TreeSource,
        policy: NamePolicy,
        meter: &mut Meter<'_>,
    ) -> Result<BuildReport, ChangeError> {
        let record = self.resolve_directory(directory)?;
        let path = if directory.names().is_empty() {
            String::new()
        } else {
            directory.to_string()
        };
        let root = Place {
            record,
            siblings: SiblingNames::new(),
            path,
            rules: self.rules_at(directory)?,
        };
        let mut arrival = Arrival {
            places: HashMap::from([(NodeId::ROOT, root)]),
            records: HashMap::from([(NodeId::ROOT, record)]),
            last: None,
            links: Vec::new(),
            policy,
            report: BuildReport::default(),
            meter,
        };
        while let Some(entry) = source.next_entry()? {
            self.add_entry(&mut arrival, entry)?;
            arrival.meter.entries += 1;
            if arrival.meter.tell().is_break() {
                return Err(ChangeError::Interrupted);
            }
        }
        for link in std::mem::take(&mut arrival.links) {
            self.add_link(&mut arrival, link)?;
        }
        arrival.report.bytes = blockio::ByteCount(arrival.meter.bytes);
        Ok(arrival.report)
    }

    fn add_entry(
        &mut self,
        arrival: &mut Arrival<'_, '_>,
        mut entry: TreeEntry,
    ) -> Result<(), ChangeError> {
        let kind = std::mem::replace(&mut entry.kind, EntryKind::Directory);
        if let EntryKind::Stream(content) = kind {
            return self.add_stream(arrival, &entry, content);
        }
        let upcase = self.upcase.clone();
        let fold = move |unit: u16| upcase.get(usize::from(unit)).copied().unwrap_or(unit);
        let Some(place) = arrival.places.get_mut(&entry.parent) else {
            let reason = "its directory did not come before it";
            return Err(
                TreeError::new(TreeErrorKind::Malformed, entry.name.to_string(), reason).into(),
            );
        };
        let rules = NameRules {
            policy: arrival.policy,
            upcase: &fold,
            case: if self.loaded(place.record)?.is_case_sensitive() {
                CasePolicy::KeepBoth
            } else {
                CasePolicy::Rename
            },
        };
        let path = format!("{}/{}", place.path, entry.name);
        let notes = &mut arrival.report.name_notes;
        let name = place
            .siblings
            .admit(&entry.name, &rules, &|| path.clone(), notes)?
            .name;
        let parent = place.record;
        let rules = self.rules_below(&place.rules, &name);
        let existing = self.lookup(parent, name.units())?;
        let ruled = self.ruled(parent, &rules, is_kept_as_directory(&kind))?;
        if let (Some(ruled), false) = (&ruled, matches!(kind, EntryKind::HardLink { .. })) {
            entry.security = Some(ruled.clone());
            // What is there stays there, and has to be told.
            if let (Some(found), EntryKind::Directory | EntryKind::File(_)) = (&existing, &kind) {
                self.refuse_system(found, &path)?;
                self.set_descriptor(found.record, ruled.as_bytes())?;
            }
        }
        arrival.last = None;
        if entry.attributes.contains(Attributes::COMPRESSED) {
            let (path, change) = (path.clone(), Change::Decompressed);
            arrival.report.changed.push(Changed { path, change });
        }
        match kind {
            EntryKind::Directory => {
                let record = self.add_directory(parent, &name, existing, &entry, &path)?;
                arrival.report.directories += 1;
                let place = Place {
                    record,
                    siblings: SiblingNames::new(),
                    path: path.clone(),
                    rules,
                };
                arrival.places.insert(entry.id, place);
                arrival.records.insert(entry.id, record);
                arrival.last = Some((record, path));
            }
            EntryKind::File(content) => {
                let incoming = Incoming {
                    content,
                    path: &|| path.clone(),
                    meter: arrival.meter,
                };
                let record = self.add_file(parent, &name, existing, &entry, incoming)?;
                arrival.report.files += 1;
                arrival.records.insert(entry.id, record);
                arrival.last = Some((record, path));
            }
            EntryKind::Symlink { target, directory } => {
                let id = entry.id;
                arrival.links.push(PendingLink {
                    parent,
                    name,
                    target,
                    directory,
                    entry,
                    id,
                    path,
                });
            }
            EntryKind::HardLink { target } => {
                self.add_hard_link(arrival, parent, &name, existing, target, &path)?;
            }
            EntryKind::ReparsePoint { data, directory } => {
                self.make_way(existing, &path)?;
                let record = self.new_entry(parent, &entry, directory)?;
                self.set_reparse_point(record, data, directory)?;
                self.link(record, parent, name.units())?;
                arrival.report.symlinks += 1;
                arrival.records.insert(entry.id, record);
                arrival.last = Some((record, path));
            }
            EntryKind::Stream(_) => {}
        }
        Ok(())
    }

    /// Removes what stands where something that is no file and no directory comes in.
    fn make_way(&mut self, existing: Option<Found>, path: &str) -> Result<(), ChangeError> {
        let Some(found) = existing else { return Ok(()) };
        self.refuse_system(&found, path)?;
        if self.loaded(found.record)?.is_directory() {
            return Err(ChangeError::WrongKind {
                path: path.to_owned(),
                is: "a directory",
            });
        }
        self.remove_name(&found)
    }

    fn refuse_system(&self, found: &Found, path: &str) -> Result<(), ChangeError> {
        if found.record < 24 {
            let reason = "it is a system file";
            return Err(ChangeError::Refused {
                path: path.to_owned(),
                reason,
            });
        }
        Ok(())
    }

    fn add_directory(
        &mut self,
        parent: u64,
        name: &NodeName,
        existing: Option<Found>,
        entry: &TreeEntry,
        path: &str,
    ) -> Result<u64, ChangeError> {
        if let Some(found) = existing {
            self.refuse_system(&found, path)?;
            if self.loaded(found.record)?.is_directory() {
                return Ok(found.record);
            }
            return Err(ChangeError::WrongKind {
                path: path.to_owned(),
                is: "not a directory",
            });
        }
        let record = self.new_entry(parent, entry, true)?;
        self.link(record, parent, name.units())?;
        Ok(record)
    }

    /// Makes an empty directory, which has a path then.
    pub(super) fn make_directory(
        &mut self,
        parent: u64,
        name: &[u16],
        path: &PathNames,
    ) -> Result<u64, ChangeError> {
        let at = self.rules_at(path)?;
        let security = self.ruled(parent, &at, true)?;
        let entry = TreeEntry {
            parent: NodeId::ROOT,
            id: NodeId::ROOT,
            name: NodeName::new(name.to_vec())?,
            times: Times::all(self.now),
            attributes: Attributes::NONE,
            security,
            kind: EntryKind::Directory,
        };
        let record = self.new_entry(parent, &entry, true)?;
        self.link(record, parent, name)?;
        Ok(record)
    }

    /// A record with the standard information and, of a directory, an empty index; it has no name.
    fn new_entry(
        &mut self,
        parent: u64,
        entry: &TreeEntry,
        is_directory: bool,
    ) -> Result<u64, ChangeError> {
        let security = match &entry.security {
            Some(descriptor) => self.security_id(descriptor.as_bytes())?,
            None => self.inherited_id(parent, is_directory)?,
        };
        let mut file = self.new_file(if is_directory { IS_DIRECTORY } else { 0 })?;
        let times = &entry.times;
        let times = [times.created, times.modified, times.changed, times.accessed];
        let bits = stored_bits(entry, is_directory);
        file.attributes
            .push(standard_information(times, bits, security));
        if is_directory {
            file.attributes.push(self.empty_index()?);
        }
        let number = file.number;
        self.put_file(file);
        Ok(number)
    }

    fn empty_index(&self) -> Result<Attribute, ChangeError> {
        let block = self.layout.index_block;
        let units = usize::try_from(self.layout.index_unit(block)).map_or(1, |unit| block / unit);
        let mut head = Vec::with_capacity(16);
        head.extend_from_slice(&kind::FILE_NAME.to_le_bytes());
        head.extend_from_slice(&1_u32.to_le_bytes());
        head.extend_from_slice(&to_u32(block, "an index block")?.to_le_bytes());
        head.extend_from_slice(&[to_u8(units, "an index block")?, 0, 0, 0]);
        let name: Vec<u16> = "$I30".encode_utf16().collect();
        let value = Node::empty().encode_root(&head)?;
        Ok(Attribute::resident(kind::INDEX_ROOT, &name, value))
    }

    fn add_file(
        &mut self,
        parent: u64,
        name: &NodeName,
        existing: Option<Found>,
        entry: &TreeEntry,
        incoming: Incoming<'_, '_>,
    ) -> Result<u64, ChangeError> {
        if let Some(found) = existing {
            let path = (incoming.path)();
            self.refuse_system(&found, &path)?;
            let file = self.loaded(found.record)?;
            if file.is_directory() {
                return Err(ChangeError::WrongKind {
                    path,
                    is: "a directory",
                });
            }
            if file.attributes_bits() & FILE_REPARSE_POINT == 0 {
                self.replace_content(found.record, entry, incoming)?;
                return Ok(found.record);
            }
            self.remove_name(&found)?;
        }
        let record = self.new_entry(parent, entry, false)?;
        let name_length = 24 + align8(search_key(name.units())?.len());
        let room = self.room_beside(record, name_length)?;
        let data = self.store_content(&[], room, incoming)?;
        self.set_data(record, data)?;
        self.link(record, parent, name.units())?;
        Ok(record)
    }

    /// Bytes of a resident value beside what a file has and something of a length.
    fn room_beside(&mut self, record: u64, more: usize) -> Result<usize, ChangeError> {
        let room = Record::room(self.layout.record);
        let taken = self.loaded(record)?.encoded_length() + more + 24;
        Ok(room.saturating_sub(taken) / 8 * 8)
    }

    fn set_data(&mut self, record: u64, data: Attribute) -> Result<(), ChangeError> {
        let is_sparse = matches!(&data.value, Value::Stream(s) if s.total_allocated.is_some());
        self.with_file(record, |file| {
            let bits = file.attributes_bits();
            let bits = if is_sparse {
                bits | SPARSE
            } else {
                bits & !SPARSE
            };
            file.change_information(0x20, &bits.to_le_bytes())?;
            file.attributes.push(data);
            Ok(())
        })
    }

    fn replace_content(
        &mut self,
        record: u64,
        entry: &TreeEntry,
        incoming: Incoming<'_, '_>,
    ) -> Result<(), ChangeError> {
        let old = self.with_file(record, |file| {
            let is_kept_so = |flag: u16| {
                file.attributes
                    .iter()
                    .any(|a| a.kind == kind::DATA && a.flags & flag != 0)
            };
            for (flag, what) in [
                (FLAG_COMPRESSED, "writing to a compressed file"),
                (FLAG_ENCRYPTED, "writing to an encrypted file"),
            ] {
                if is_kept_so(flag) {
                    return Err(ChangeError::UnsupportedFile {
                        path: (incoming.path)(),
                        what,
                    });
                }
            }
            let is_data = |a: &mut Attribute| a.kind == kind::DATA && a.name.is_empty();
            Ok(file.attributes.extract_if(.., is_data).collect::<Vec<_>>())
        })?;
        for data in old {
            self.discard_value(&data)?;
        }
        let room = self.room_beside(record, 0)?;
        let data = self.store_content(&[], room, incoming)?;
        self.set_data(record, data)?;
        let now = self.now;
        self.with_file(record, |file| {
            let bits = (file.attributes_bits() & !REPLACED) | stored_bits(entry, false);
            file.change_information(0x08, &entry.times.modified.ticks().to_le_bytes())?;
            file.change_information(0x10, &now.ticks().to_le_bytes())?;
            file.change_information(0x20, &bits.to_le_bytes())
        })
    }

    fn add_stream(
        &mut self,
        arrival: &mut Arrival<'_, '_>,
        entry: &TreeEntry,
        content: crate::tree::FileContent,
    ) -> Result<(), ChangeError> {
        let Some((record, path)) = arrival.last.clone() else {
            let reason = "the stream has no file before it";
            return Err(
                TreeError::new(TreeErrorKind::Malformed, entry.name.to_string(), reason).into(),
            );
        };
        let path = move || format!("{path}:{}", entry.name);
        let name = entry.name.units();
        let is_same = |a: &mut Attribute| a.kind == kind::DATA && a.name == name;
        let old = self.with_file(record, |file| {
            Ok(file.attributes.extract_if(.., is_same).collect::<Vec<_>>())
        })?;
        for data in old {
            self.discard_value(&data)?;
        }
        // Short streams stand in the record while there is room.
        let room = self.room_beside(record, 2 * name.len() + 8)?;
        let incoming = Incoming {
            content,
            path: &path,
            meter: arrival.meter,
        };
        let data = self.store_content(name, room, incoming)?;
        self.with_file(record, |file| {
            file.attributes.push(data);
            Ok(())
        })
    }

    fn add_hard_link(
        &mut self,
        arrival: &mut Arrival<'_, '_>,
        parent: u64,
        name: &NodeName,
        existing: Option<Found>,
        target: NodeId,
        path: &str,
    ) -> Result<(), ChangeError> {
        let record = arrival.records.get(&target).copied();
        let Some(record) = record.filter(|record| *record != ROOT) else {
            let reason = "what it is one more name of did not come before it";
            return Err(TreeError::new(TreeErrorKind::Malformed, path.to_owned(), reason).into());
        };
        if existing
            .as_ref()
            .is_some_and(|found| found.record == record)
        {
            return Ok(());
        }
        if self.loaded(record)?.is_directory() {
            return Err(ChangeError::UnsupportedFile {
                path: path.to_owned(),
                what: "one more name of a directory",
            });
        }
        self.make_way(existing, path)?;
        self.link(record, parent, name.units())?;
        arrival.report.files += 1;
        Ok(())
    }

    fn add_link(
        &mut self,
        arrival: &mut Arrival<'_, '_>,
        link: PendingLink,
    ) -> Result<(), ChangeError> {
        let destination = match self.follow(link.parent, &link.target)? {
            // What lies behind another link, the source alone may know.
            Destination::Link if link.directory => Destination::Directory,
            Destination::Link => Destination::File,
            known => known,
        };
        let Some(point) = reparse::symlink(&link.target, destination)? else {
            let (path, reason) = (link.path, SkipReason::SymlinkTarget);
            arrival.report.skipped.push(Skipped { path, reason });
            return Ok(());
        };
        let existing = self.lookup(link.parent, link.name.units())?;
        self.make_way(existing, &link.path)?;
        // Windows keeps links to directories apart.
        let directory = destination == Destination::Directory && point.is_for_windows();
        let record = self.new_entry(link.parent, &link.entry, directory)?;
        self.set_reparse_point(record, point.value, directory)?;
        self.link(record, link.parent, link.name.units())?;
        arrival.records.insert(link.id, record);
        arrival.report.symlinks += 1;
        Ok(())
    }

    /// Makes a new entry a reparse point, and adds it to the index of them all.
    fn set_reparse_point(
        &mut self,
        record: u64,
        data: Vec<u8>,
        directory: bool,
    ) -> Result<(), ChangeError> {
        const MAX: usize = 16 * 1024;
        if data.len() < 8 || data.len() > MAX {
            return Err(ChangeError::Unsupported("reparse data of this length"));
        }
        let tag = data[..4].to_vec();
        let reference = self.with_file(record, |file: &mut File| {
            let bits = file.attributes_bits() | FILE_REPARSE_POINT;
            file.change_information(0x20, &bits.to_le_bytes())?;
            if !directory {
                file.attributes
                    .push(Attribute::resident(kind::DATA, &[], Vec::new()));
            }
            file.attributes
                .push(Attribute::resident(kind::REPARSE_POINT, &[], data));
            Ok(file.reference())
        })?;
        let key = [tag, reference.to_le_bytes().to_vec()].concat();
        match self.system_file("$Reparse")? {
            Some(file) => {
                let index = Index {
                    file,
                    kind: IndexKind::ReparsePoints,
                };
                self.index_insert(index, Entry::view(&key, &[], &[])?)
            }
            None => Err(ChangeError::Unsupported(
                "a link on a volume without $Extend/$Reparse",
            )),
        }
    }

    /// What a relative target leads to, names spelled exactly.
    fn follow(&mut self, parent: u64, target: &[u16]) -> Result<Destination, ChangeError> {
        const SLASH: u16 = 0x2F;
        const DOT: u16 = 0x2E;
        let mut at = parent;
        let mut is_end = Destination::Directory;
        for name in target.split(|unit| *unit == SLASH) {
            if is_end != Destination::Directory {
                return Ok(if is_end == Destination::Link {
                    Destination::Link
                } else {
                    Destination::Elsewhere
                });
            }
            match name {
                [] => return Ok(Destination::Elsewhere),
                [DOT] => {}
                [DOT, DOT] if at == ROOT => return Ok(Destination::Elsewhere),
                [DOT, DOT] => at = self.parent_of(at)?,
                name if name.len() > 255 => return Ok(Destination::Elsewhere),
                name => {
                    let found = self.lookup(at, name)?;
                    let found = found.filter(|found| super::index::name_units(&found.key) == name);
                    let Some(found) = found else {
                        return Ok(Destination::Elsewhere);
                    };
                    let file = self.loaded(found.record)?;
                    is_end = if file.attributes_bits() & FILE_REPARSE_POINT != 0 {
                        Destination::Link
                    } else if file.is_directory() {
                        Destination::Directory
                    } else {
                        Destination::File
                    };
                    at = found.record;
                }
            }
        }
        Ok(is_end)
    }
}

/// The attributes of an entry that comes in, without those that say how it was stored elsewhere.
fn stored_bits(entry: &TreeEntry, is_directory: bool) -> u32 {
    let given = entry.attributes;
    let kept = given.bits() & !(Attributes::COMPRESSED.bits() | Attributes::NORMAL.bits());
    match is_directory {
        _ if given.contains(Attributes::NORMAL) => kept,
        true => kept & !ARCHIVE,
        // As on every file newly written on Windows.
        false => kept | ARCHIVE,
    }
}
