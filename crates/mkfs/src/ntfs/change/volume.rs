//! A volume that is being changed: files are loaded whole, changed in memory, and stored at the end.
//!
//! Invariant: a file is in the table of loaded files exactly once, except while a function works on
//! it (`take_file`, `put_file`); what was changed is marked, and stored before the change is complete.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::bytes::{length, narrow, u16_at, u64_at, wide};
use super::layout::Layout;
use super::record::{Attribute, Record, Stream, Value, join, kind, record_of, reference};
use super::space::{Space, read_stream, write_stream};
use super::table::MFT;
use crate::change::{ChangeError, Overlay};
use crate::ntfs::runs::{Lcn, Run, push_joined, total};
use crate::security::PathRules;
use crate::tree::NtTime;

/// Bytes of an attribute list, and of a value that is read whole.
const MAX_LIST: u64 = 256 * 1024;
/// Bytes of a value that is looked at whole.
pub(super) const MAX_VALUE: u64 = 1 << 20;

/// A file: everything that its records say.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub number: u64,
    pub sequence: u16,
    pub links: u16,
    pub flags: u16,
    pub log_sequence: u64,
    /// All attributes but the list, of all records; streams are joined.
    pub attributes: Vec<Attribute>,
    /// Records besides the first, with their sequence numbers.
    pub extensions: Vec<(u64, u16)>,
    /// The attribute list as it is on the disk.
    pub list: Option<Value>,
    pub is_dirty: bool,
    /// Whether what directories show of the file may have changed.
    pub is_listing_stale: bool,
}

/// A volume that is being changed.
pub(super) struct Volume<'d> {
    pub disk: Overlay<'d>,
    pub layout: Layout,
    pub space: Space,
    pub mirror: Stream,
    pub record_bits: Vec<u8>,
    pub next_record: u64,
    pub upcase: Arc<[u16]>,
    pub now: NtTime,
    /// Whether new names get partners of eight and three characters.
    pub makes_short_names: bool,
    /// Security descriptors that were looked for, and their numbers.
    pub descriptors: HashMap<Vec<u8>, u32>,
    /// Rules of access for what is added.
    pub rules: Option<PathRules>,
    files: BTreeMap<u64, File>,
    /// Files that were removed: nothing may be stored in their records.
    removed: BTreeSet<u64>,
}

impl File {
    pub(super) const fn reference(&self) -> u64 {
        self.number | (u64_from(self.sequence) << 48)
    }

    pub(super) fn find(&self, kind: u32, name: &[u16]) -> Option<&Attribute> {
        self.attributes
            .iter()
            .find(|a| a.kind == kind && a.name == name)
    }

    pub(super) fn attribute(&self, kind: u32, name: &[u16]) -> Result<&Attribute, ChangeError> {
        self.find(kind, name).ok_or_else(|| self.lacks(kind))
    }

    pub(super) fn attribute_mut(
        &mut self,
        kind: u32,
        name: &[u16],
    ) -> Result<&mut Attribute, ChangeError> {
        let error = self.lacks(kind);
        self.attributes
            .iter_mut()
            .find(|a| a.kind == kind && a.name == name)
            .ok_or(error)
    }

    fn lacks(&self, kind: u32) -> ChangeError {
        let reason = match kind {
            kind::STANDARD_INFORMATION => "it has no standard information",
            kind::DATA => "it has no data",
            kind::INDEX_ROOT => "it has no index",
            _ => "it lacks an attribute",
        };
        ChangeError::damaged("file record", self.number, reason)
    }

    /// The stream of an attribute that lies in clusters.
    pub(super) fn stream(&self, kind: u32, name: &[u16]) -> Result<&Stream, ChangeError> {
        match &self.attribute(kind, name)?.value {
            Value::Stream(stream) => Ok(stream),
            Value::Resident(_) => Err(ChangeError::damaged(
                "file record",
                self.number,
                "an attribute of a system file lies in the record",
            )),
        }
    }

    /// Bytes of all attributes in one record.
    pub(super) fn encoded_length(&self) -> usize {
        self.attributes.iter().map(Attribute::encoded_length).sum()
    }
}

const fn u64_from(value: u16) -> u64 {
    let [a, b] = value.to_le_bytes();
    u64::from_le_bytes([a, b, 0, 0, 0, 0, 0, 0])
}

impl<'d> Volume<'d> {
    /// The volume on `disk`, with its table and its bitmaps.
    pub(super) fn load(disk: Overlay<'d>, now: NtTime) -> Result<Self, ChangeError> {
        let layout = Layout::read(&disk)?;
        let bytes = disk.read_vec(layout.mft * layout.cluster, layout.record)?;
        let record = Record::decode(bytes, layout.clusters)
            .ok_or_else(|| ChangeError::damaged("file record", MFT, "it contradicts its format"))?;
        let empty = Stream {
            size: layout.clusters.div_ceil(8),
            ..Stream::default()
        };
        let mut volume = Self {
            space: Space::new(empty, &layout, 0)?,
            disk,
            layout,
            mirror: Stream::default(),
            record_bits: Vec::new(),
            next_record: 0,
            upcase: Arc::from([]),
            now,
            makes_short_names: false,
            rules: None,
            descriptors: HashMap::new(),
            files: BTreeMap::new(),
            removed: BTreeSet::new(),
        };
        // The part of the table that its first record describes holds the records with the rest.
        volume.files.insert(MFT, File::of_record(MFT, record));
        volume.join_extensions(MFT)?;
        let data = volume.file(MFT)?.stream(kind::DATA, &[])?;
        let end = data
            .runs
            .last()
            .and_then(|run| run.start.map(|Lcn(lcn)| lcn + run.length));
        // The eighth of the volume behind the table is left to it, as Windows does.
        let cursor = end.unwrap_or(0) + volume.layout.clusters / 8;
        volume.load_record_bits()?;
        volume.mirror = volume.system_stream(1)?;
        let bitmap = volume.system_stream(6)?;
        volume.space = Space::new(bitmap, &volume.layout, cursor)?;
        volume.load_upcase()?;
        Ok(volume)
    }

    fn system_stream(&mut self, number: u64) -> Result<Stream, ChangeError> {
        self.ensure(number)?;
        Ok(self.file(number)?.stream(kind::DATA, &[])?.clone())
    }

    fn load_upcase(&mut self) -> Result<(), ChangeError> {
        let stream = self.system_stream(10)?;
        if stream.size != 0x2_0000 {
            return Err(ChangeError::damaged(
                "$UpCase",
                10,
                "it is not 128 KiB long",
            ));
        }
        let mut bytes = vec![0; 0x2_0000];
        read_stream(&self.disk, &stream, self.layout.cluster, &mut bytes, 0)?;
        self.upcase = bytes
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        Ok(())
    }

    /// The upper-case form of a code unit, as this volume has it.
    pub(super) fn upcased(&self, unit: u16) -> u16 {
        self.upcase.get(usize::from(unit)).copied().unwrap_or(unit)
    }

    /// Loads a file unless it is loaded.
    pub(super) fn ensure(&mut self, number: u64) -> Result<(), ChangeError> {
        if self.files.contains_key(&number) {
            return Ok(());
        }
        let record = self.read_record(number)?;
        if !record.in_use || record.base != 0 || self.removed.contains(&number) {
            return Err(ChangeError::damaged(
                "file record",
                number,
                "it is not that of a file",
            ));
        }
        self.files.insert(number, File::of_record(number, record));
        self.join_extensions(number)
    }

    /// A file that is loaded.
    pub(super) fn file(&self, number: u64) -> Result<&File, ChangeError> {
        self.files
            .get(&number)
            .ok_or_else(|| ChangeError::damaged("file record", number, "it leads to itself"))
    }

    /// A file, loaded if need be.
    pub(super) fn loaded(&mut self, number: u64) -> Result<&File, ChangeError> {
        self.ensure(number)?;
        self.file(number)
    }

    /// Takes a file out of the table, to be put back by [`Volume::put_file`].
    pub(super) fn take_file(&mut self, number: u64) -> Result<File, ChangeError> {
        self.ensure(number)?;
        self.files
            .remove(&number)
            .ok_or_else(|| ChangeError::damaged("file record", number, "it leads to itself"))
    }

    pub(super) fn put_file(&mut self, file: File) {
        self.files.insert(file.number, file);
    }

    /// Changes a file in memory.
    pub(super) fn with_file<T>(
        &mut self,
        number: u64,
        change: impl FnOnce(&mut File) -> Result<T, ChangeError>,
    ) -> Result<T, ChangeError> {
        self.ensure(number)?;
        let file = self
            .files
            .get_mut(&number)
            .ok_or_else(|| ChangeError::damaged("file record", number, "it leads to itself"))?;
        file.is_dirty = true;
        change(file)
    }

    /// A new file in a record of its own.
    pub(super) fn new_file(&mut self, flags: u16) -> Result<File, ChangeError> {
        let (number, sequence) = self.take_record()?;
        self.removed.remove(&number);
        Ok(File {
            number,
            sequence,
            links: 0,
            flags,
            log_sequence: 0,
            attributes: Vec::new(),
            extensions: Vec::new(),
            list: None,
            is_dirty: true,
            is_listing_stale: false,
        })
    }

    /// Removes a file that no directory names any more.
    pub(super) fn destroy(&mut self, number: u64) -> Result<(), ChangeError> {
        let file = self.take_file(number)?;
        for attribute in &file.attributes {
            if let Value::Stream(stream) = &attribute.value {
                self.space.give(&self.disk, &stream.runs)?;
            }
        }
        if let Some(Value::Stream(list)) = &file.list {
            self.space.give(&self.disk, &list.runs)?;
        }
        for (extension, _) in &file.extensions {
            self.give_record(*extension)?;
        }
        // What is in memory was perhaps never stored: the record says now how it ended.
        let record = Record {
            log_sequence: file.log_sequence,
            sequence: file.sequence,
            links: 0,
            flags: file.flags,
            in_use: true,
            base: 0,
            attributes: Vec::new(),
        };
        self.write_record(number, &record)?;
        self.give_record(number)?;
        self.removed.insert(number);
        Ok(())
    }

    /// Numbers of loaded files that meet a condition.
    pub(super) fn loaded_files(&self, condition: impl Fn(&File) -> bool) -> Vec<u64> {
        self.files
            .values()
            .filter(|file| condition(file))
            .map(|file| file.number)
            .collect()
    }

    fn join_extensions(&mut self, number: u64) -> Result<(), ChangeError> {
        let damaged = |reason| ChangeError::damaged("attribute list", number, reason);
        let mut file = self.take_loaded(number)?;
        let Some(index) = file
            .attributes
            .iter()
            .position(|a| a.kind == kind::ATTRIBUTE_LIST)
        else {
            self.put_file(file);
            return Ok(());
        };
        let list = file.attributes.remove(index);
        let bytes = self.whole_value(&list, MAX_LIST)?;
        file.list = Some(list.value);
        let mut extensions = BTreeMap::new();
        let mut rest = bytes.as_slice();
        // Ends: each turn takes at least 0x1A bytes.
        while rest.len() >= 0x1A {
            let size = usize::from(u16_at(rest, 4).unwrap_or(0));
            let target = u64_at(rest, 0x10).unwrap_or(0);
            if size < 0x1A {
                return Err(damaged("an entry is too short"));
            }
            if record_of(target) != number {
                extensions.insert(record_of(target), target);
            }
            rest = rest.get(size..).unwrap_or_default();
        }
        // The first record may hold a later part of a stream whose first part stands elsewhere.
        let is_later = |a: &mut Attribute| match &a.value {
            Value::Stream(stream) => stream.first_vcn > 0,
            Value::Resident(_) => false,
        };
        let mut parts: Vec<Attribute> = file.attributes.extract_if(.., is_later).collect();
        self.put_file(file);
        for (extension, target) in extensions {
            let record = self.read_record(extension)?;
            let own = self.file(number)?.reference();
            if !record.in_use
                || record.base != own
                || reference(extension, record.sequence) != target
            {
                return Err(damaged("a record that it names is not of this file"));
            }
            if record
                .attributes
                .iter()
                .any(|a| a.kind == kind::ATTRIBUTE_LIST)
            {
                return Err(damaged("it stands in an extension record"));
            }
            parts.extend(record.attributes.clone());
            self.with_loaded(number, |file| {
                file.extensions.push((extension, record.sequence))
            })?;
            if number == MFT {
                // The rest of the table may lie in what was found just now.
                self.join_parts(number, std::mem::take(&mut parts))?;
            }
        }
        self.join_parts(number, parts)
    }

    fn join_parts(&mut self, number: u64, mut parts: Vec<Attribute>) -> Result<(), ChangeError> {
        parts.sort_by_key(|attribute| match &attribute.value {
            Value::Stream(stream) => stream.first_vcn,
            Value::Resident(_) => 0,
        });
        let mut file = self.take_loaded(number)?;
        // A first part may stand in any record, so those come first.
        for attribute in parts {
            match attribute.value {
                Value::Stream(part) if part.first_vcn > 0 => {
                    let joined = match file.attribute_mut(attribute.kind, &attribute.name) {
                        Ok(Attribute {
                            value: Value::Stream(first),
                            ..
                        }) => join(first, part),
                        _ => None,
                    };
                    joined.ok_or_else(|| {
                        ChangeError::damaged(
                            "attribute list",
                            number,
                            "parts of a stream are missing",
                        )
                    })?;
                }
                value => file.attributes.push(Attribute { value, ..attribute }),
            }
        }
        self.put_file(file);
        Ok(())
    }

    fn take_loaded(&mut self, number: u64) -> Result<File, ChangeError> {
        self.files
            .remove(&number)
            .ok_or_else(|| ChangeError::damaged("file record", number, "it leads to itself"))
    }

    fn with_loaded(
        &mut self,
        number: u64,
        change: impl FnOnce(&mut File),
    ) -> Result<(), ChangeError> {
        let mut file = self.take_loaded(number)?;
        change(&mut file);
        self.put_file(file);
        Ok(())
    }

    /// The whole value of an attribute.
    pub(super) fn whole_value(
        &self,
        attribute: &Attribute,
        limit: u64,
    ) -> Result<Vec<u8>, ChangeError> {
        match &attribute.value {
            Value::Resident(value) => Ok(value.clone()),
            Value::Stream(stream) => {
                if stream.size > limit {
                    return Err(ChangeError::damaged(
                        "an attribute",
                        stream.size,
                        "it is too long",
                    ));
                }
                let mut bytes = vec![0; narrow(stream.size)];
                read_stream(&self.disk, stream, self.layout.cluster, &mut bytes, 0)?;
                Ok(bytes)
            }
        }
    }

    /// Makes a value of structures longer, with zeros.
    pub(super) fn grow_value(
        &mut self,
        attribute: &mut Attribute,
        size: u64,
    ) -> Result<(), ChangeError> {
        let cluster = self.layout.cluster;
        match &mut attribute.value {
            Value::Resident(value) => value.resize(narrow(size), 0),
            Value::Stream(stream) => {
                let missing = self
                    .layout
                    .clusters_for(size)
                    .saturating_sub(total(&stream.runs));
                let hint = stream
                    .runs
                    .last()
                    .and_then(|r| r.start.map(|Lcn(lcn)| lcn + r.length));
                for run in self.space.take(&self.disk, missing, hint)? {
                    stream.allocated += run.length * cluster;
                    push_joined(&mut stream.runs, run);
                }
                let mut at = stream.initialized.min(stream.size);
                stream.size = size;
                stream.initialized = size;
                while at < size {
                    let zeros = vec![0; narrow((size - at).min(MAX_VALUE))];
                    write_stream(&mut self.disk, stream, cluster, &zeros, at)?;
                    at += wide(zeros.len());
                }
            }
        }
        Ok(())
    }

    /// Moves a value of structures out of the record.
    pub(super) fn move_to_clusters(
        &mut self,
        attribute: &mut Attribute,
    ) -> Result<(), ChangeError> {
        let Value::Resident(value) = &attribute.value else {
            return Ok(());
        };
        let stream = self.structure_stream(value)?;
        attribute.value = Value::Stream(stream);
        attribute.indexed = 0;
        Ok(())
    }

    /// A stream that holds the bytes of a structure.
    pub(super) fn structure_stream(&mut self, value: &[u8]) -> Result<Stream, ChangeError> {
        let cluster = self.layout.cluster;
        let count = self.layout.clusters_for(wide(value.len()));
        let runs: Vec<Run> = self.space.take(&self.disk, count, None)?;
        let stream = Stream::dense(runs, cluster, wide(value.len()));
        // The rest of the last cluster must not show what lay there before.
        let mut padded = value.to_vec();
        padded.resize(length_of(count, cluster), 0);
        write_stream(&mut self.disk, &stream, cluster, &padded, 0)?;
        Ok(stream)
    }
}

fn length_of(clusters: u64, cluster: u64) -> usize {
    u32::try_from(clusters * cluster).map_or(usize::MAX, length)
}

impl File {
    fn of_record(number: u64, record: Record) -> Self {
        Self {
            number,
            sequence: record.sequence,
            links: record.links,
            flags: record.flags,
            log_sequence: record.log_sequence,
            attributes: record.attributes,
            extensions: Vec::new(),
            list: None,
            is_dirty: false,
            is_listing_stale: false,
        }
    }
}
