//! An NTFS volume as a tree: each directory's names in the order of its index, each file from its
//! record; links, streams, descriptors and reparse points with it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use blockio::{ByteCount, Disk};
use mkfs::ntfs::parse::{File, Index, NtfsVolume, ParseError, Value};
use mkfs::{
    Attributes, EntryKind, FileContent, NodeId, NodeName, SecurityDescriptor, Times, TreeEntry,
    TreeError, TreeErrorKind, TreeSource,
};

use super::described::{Described, Descriptions, NAMESPACE_DOS, of_parse};
use super::{VolumeTreeOptions, content, malformed};
use crate::browse::MAX_DEPTH;

/// Record of the root directory.
const ROOT_RECORD: u64 = 5;
/// Records below this are the file system's own.
const FIRST_USER_RECORD: u64 = 16;
/// IO_REPARSE_TAG_MOUNT_POINT, _SYMLINK, _LX_SYMLINK ([MS-FSCC] 2.1.2.1).
const LINK_TAGS: [u32; 3] = [0xA000_0003, 0xA000_000C, 0xA000_001D];
/// Notes that are kept.
const MAX_NOTES: usize = 10_000;

/// An NTFS volume as a stream of entries.
pub(super) struct NtfsTree<'d> {
    volume: Arc<NtfsVolume<'d>>,
    /// The same disk, for the readers of contents, which outlive the volume.
    disk: Arc<dyn Disk>,
    options: VolumeTreeOptions,
    cluster: u64,
    descriptions: Descriptions,
    levels: Vec<Level>,
    /// Directories that were entered.
    entered: HashSet<u64>,
    /// Files with several names, and the entry that has their first.
    linked: HashMap<u64, NodeId>,
    /// Streams of the entry delivered last.
    pending: VecDeque<TreeEntry>,
    next_id: u32,
    root_times: Times,
    root_security: Option<SecurityDescriptor>,
    notes: Vec<String>,
}

/// A directory that is being read.
struct Level {
    id: NodeId,
    /// With `/` at its end; empty for the root.
    prefix: String,
    names: std::vec::IntoIter<Listed>,
}

/// A name in a directory.
struct Listed {
    units: Vec<u16>,
    record: u64,
    sequence: u16,
}

impl<'d> NtfsTree<'d> {
    /// Opens the volume on `disk`, which is the partition alone.
    pub(super) fn open(
        disk: &'d Arc<dyn Disk>,
        options: VolumeTreeOptions,
    ) -> Result<Self, TreeError> {
        let fail = |error: ParseError| of_parse("/", &error);
        let volume = Arc::new(NtfsVolume::open(&**disk).map_err(fail)?);
        let mut tree = Self {
            cluster: volume.geometry().cluster,
            descriptions: Descriptions::open(&volume)?,
            volume: Arc::clone(&volume),
            disk: Arc::clone(disk),
            options,
            levels: Vec::new(),
            entered: HashSet::new(),
            linked: HashMap::new(),
            pending: VecDeque::new(),
            next_id: 1,
            root_times: Times::default(),
            root_security: None,
            notes: Vec::new(),
        };
        let root = volume.read_file(ROOT_RECORD).map_err(fail)?;
        let described = tree.descriptions.describe(&volume, &root, "/")?;
        tree.root_times = described.times;
        tree.root_security = described.security;
        tree.enter(&volume, &root, NodeId::ROOT, String::new())?;
        Ok(tree)
    }

    /// What was left out, a line each.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Goes on with what lies in a directory.
    fn enter(
        &mut self,
        volume: &NtfsVolume<'_>,
        file: &File,
        id: NodeId,
        prefix: String,
    ) -> Result<(), TreeError> {
        if self.levels.len() > MAX_DEPTH {
            return Err(malformed(&prefix, "it lies too deep"));
        }
        if !self.entered.insert(file.base().number()) {
            return Err(malformed(&prefix, "the directory is found in two places"));
        }
        let fail = |error: ParseError| of_parse(&prefix, &error);
        let index = Index::open(volume, file, "$I30").map_err(fail)?;
        let mut names = Vec::new();
        let mut is_sound = true;
        index
            .walk(volume, &mut |entry| {
                let Some(name) = entry.file_name() else {
                    is_sound = false;
                    return ControlFlow::Break(());
                };
                let reference = entry.file();
                if reference.record() >= FIRST_USER_RECORD && name.name_space() != NAMESPACE_DOS {
                    names.push(Listed {
                        units: name.name_units(),
                        record: reference.record(),
                        sequence: reference.sequence(),
                    });
                }
                ControlFlow::Continue(())
            })
            .map_err(fail)?;
        if !is_sound {
            return Err(malformed(&prefix, "its index holds what is no name"));
        }
        self.levels.push(Level {
            id,
            prefix,
            names: names.into_iter(),
        });
        Ok(())
    }

    /// The next name, with the directory it lies in and its path.
    fn next_name(&mut self) -> Option<(NodeId, String, Listed)> {
        loop {
            let level = self.levels.last_mut()?;
            if let Some(listed) = level.names.next() {
                let mut path = level.prefix.clone();
                path.push_str(&String::from_utf16_lossy(&listed.units));
                return Some((level.id, path, listed));
            }
            self.levels.pop();
        }
    }

    /// The entry that a name leads to.
    fn entry(
        &mut self,
        volume: &NtfsVolume<'_>,
        parent: NodeId,
        path: &str,
        listed: Listed,
    ) -> Result<TreeEntry, TreeError> {
        let name = NodeName::new(listed.units)
            .map_err(|error| malformed(path, format!("its name {}", error.reason())))?;
        let file = volume
            .read_file(listed.record)
            .map_err(|error| of_parse(path, &error))?;
        if file.base().sequence() != listed.sequence {
            return Err(malformed(path, "its record was given to another file"));
        }
        let described = self.descriptions.describe(volume, &file, path)?;
        let kind = match self.linked.get(&listed.record) {
            Some(target) => EntryKind::HardLink { target: *target },
            None => self.kind(&described, path)?,
        };
        let id = self.number(path)?;
        if !matches!(kind, EntryKind::HardLink { .. }) {
            if described.names > 1 {
                self.linked.insert(listed.record, id);
            }
            self.add_streams(described.streams, described.times, path)?;
            if matches!(kind, EntryKind::Directory) {
                self.enter(volume, &file, id, format!("{path}/"))?;
            }
        }
        Ok(TreeEntry {
            parent,
            id,
            name,
            times: described.times,
            attributes: described.attributes,
            security: described.security,
            kind,
        })
    }

    fn kind(&self, described: &Described, path: &str) -> Result<EntryKind, TreeError> {
        let data_size = described.data.as_ref().map_or(0, Value::size);
        if let Some(data) = &described.reparse {
            let tag = data.first_chunk().map_or(0, |tag| u32::from_le_bytes(*tag));
            if data_size > 0 && !LINK_TAGS.contains(&tag) {
                let what = "a file that only Windows can read (reparse point) is not supported";
                return Err(TreeError::new(TreeErrorKind::Unsupported, path, what));
            }
            return Ok(EntryKind::ReparsePoint {
                data: data.clone(),
                directory: described.is_directory,
            });
        }
        if described.is_directory {
            return Ok(EntryKind::Directory);
        }
        Ok(EntryKind::File(match &described.data {
            Some(value) => content::content(value.clone(), &self.disk, self.cluster, path)?,
            None => FileContent::dense(ByteCount(0), Box::new(std::io::empty())),
        }))
    }

    /// The streams of an entry wait to be delivered behind it.
    fn add_streams(
        &mut self,
        streams: Vec<(Vec<u16>, Value)>,
        times: Times,
        path: &str,
    ) -> Result<(), TreeError> {
        for (units, value) in streams {
            let path = format!("{path}:{}", String::from_utf16_lossy(&units));
            let name = NodeName::new(units)
                .map_err(|error| malformed(&path, format!("its name {}", error.reason())))?;
            let content = content::content(value, &self.disk, self.cluster, &path)?;
            let id = self.number(&path)?;
            self.pending.push_back(TreeEntry {
                parent: NodeId::ROOT,
                id,
                name,
                times,
                attributes: Attributes::NONE,
                security: None,
                kind: EntryKind::Stream(content),
            });
        }
        Ok(())
    }

    fn number(&mut self, path: &str) -> Result<NodeId, TreeError> {
        let id = NodeId(self.next_id);
        self.next_id = self.next_id.checked_add(1).ok_or_else(|| {
            let what = "the volume has more entries than can be numbered";
            TreeError::new(TreeErrorKind::TooLarge, path, what)
        })?;
        Ok(id)
    }

    /// Notes an error and goes on, or gives it back.
    fn forgive(&mut self, error: TreeError) -> Result<(), TreeError> {
        if !self.options.keep_going || error.kind() == TreeErrorKind::TooLarge {
            return Err(error);
        }
        if self.notes.len() < MAX_NOTES {
            self.notes.push(format!("left out: {error}"));
        }
        Ok(())
    }
}

impl TreeSource for NtfsTree<'_> {
    fn next_entry(&mut self) -> Result<Option<TreeEntry>, TreeError> {
        if let Some(entry) = self.pending.pop_front() {
            return Ok(Some(entry));
        }
        let volume = Arc::clone(&self.volume);
        while let Some((parent, path, listed)) = self.next_name() {
            let (next_id, record) = (self.next_id, listed.record);
            let is_known = self.linked.contains_key(&record);
            match self.entry(&volume, parent, &path, listed) {
                Ok(entry) => return Ok(Some(entry)),
                Err(error) => self.forgive(error)?,
            }
            // Nothing of what is left out stays: numbers follow each other.
            self.next_id = next_id;
            self.pending.clear();
            if !is_known {
                self.linked.remove(&record);
            }
        }
        Ok(None)
    }

    fn root_times(&self) -> Option<Times> {
        Some(self.root_times)
    }

    fn root_security(&self) -> Option<SecurityDescriptor> {
        self.root_security.clone()
    }
}
