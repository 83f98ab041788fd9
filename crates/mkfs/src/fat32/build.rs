//! The one pass: data as it comes, directories when all is known.

use std::io::Read;
use std::ops::ControlFlow;

use blockio::{ByteCount, ByteOffset, Disk};

use super::alias::{Aliases, ShortName};
use super::entry::{self, EntryFields};
use super::format::{
    ATTRIBUTE_ARCHIVE, ATTRIBUTE_DIRECTORY, ATTRIBUTE_LABEL, MAX_SLOTS, SLOT_BYTES,
};
use super::geometry::Geometry;
use super::label::Label;
use super::output::Output;
use super::table::{Clusters, Extent};
use super::upcase::upcase;
use super::{Fat32Options, MAX_FILE_BYTES};
use crate::error::MkfsError;
use crate::names::{NameRules, SiblingNames};
use crate::report::{BuildReport, SkipReason, Skipped};
use crate::tree::{
    Attributes, EntryKind, FileContent, NodeId, NodeName, Times, TreeEntry, TreeError,
    TreeErrorKind, TreeSource,
};

/// Bytes read from a file at a time.
const READ_BYTES: usize = 256 * 1024;
const DIRECTORY_LIMIT: &str = "65,536 slots of 32 bytes; a name takes up to 21";

type Progress<'p> = &'p dyn Fn(u64, u64) -> ControlFlow<()>;

/// An entry that was taken.
struct Node {
    parent: NodeId,
    name: NodeName,
    /// Where the policy changed it.
    source_name: Option<NodeName>,
    times: Times,
    attributes: Attributes,
    kind: NodeKind,
}

enum NodeKind {
    /// Its number among the directories.
    Directory(usize),
    File {
        first_cluster: u32,
        size: u32,
    },
    /// Not stored.
    Skipped,
}

/// A directory whose entries are gathered.
struct Directory {
    node: NodeId,
    names: SiblingNames,
    slots: u32,
    children: Vec<NodeId>,
    /// In one piece, but for the root, whose first cluster stands alone.
    head: Option<Extent>,
    tail: Option<Extent>,
}

pub(super) struct Builder<'a> {
    geometry: Geometry,
    options: &'a Fat32Options,
    clusters: Clusters,
    output: Output<'a>,
    disk: &'a dyn Disk,
    /// By number, from 1.
    nodes: Vec<Node>,
    /// The root first.
    directories: Vec<Directory>,
    root_times: Times,
    buffer: Vec<u8>,
    report: BuildReport,
    /// The entry that arrived last and is no stream.
    last_entry: NodeId,
}

impl<'a> Builder<'a> {
    pub(super) fn new(
        disk: &'a dyn Disk,
        geometry: Geometry,
        options: &'a Fat32Options,
    ) -> Result<Self, MkfsError> {
        let mut clusters = Clusters::new(geometry);
        let mut root = Directory::new(NodeId::ROOT, 1);
        root.head = clusters.allocate(1)?;
        Ok(Self {
            geometry,
            options,
            clusters,
            output: Output::new(disk),
            disk,
            nodes: Vec::new(),
            directories: vec![root],
            root_times: Times::all(options.time),
            buffer: Vec::new(),
            report: BuildReport::default(),
            last_entry: NodeId::ROOT,
        })
    }

    /// Takes every entry of the tree.
    pub(super) fn take_all(
        &mut self,
        tree: &mut dyn TreeSource,
        progress: Progress<'_>,
    ) -> Result<(), MkfsError> {
        self.root_times = tree.root_times().unwrap_or(self.root_times);
        if let Some(totals) = tree.totals()
            && totals.data > self.geometry.capacity()
        {
            return Err(MkfsError::NoSpace {
                needed: totals.data,
                available: self.geometry.capacity(),
            });
        }
        self.buffer = vec![0; READ_BYTES];
        while let Some(entry) = tree.next_entry()? {
            self.take(entry, progress)?;
            self.tell(progress)?;
        }
        for amendment in tree.amendments() {
            let at = usize::try_from(amendment.directory.0).unwrap_or(usize::MAX);
            // The root has no entry, so nothing is told of it.
            if let Some(node) = at.checked_sub(1).and_then(|at| self.nodes.get_mut(at)) {
                node.times = amendment.times;
                node.attributes = amendment.attributes;
            }
        }
        Ok(())
    }

    fn tell(&self, progress: Progress<'_>) -> Result<(), MkfsError> {
        match progress(self.report.bytes.get(), self.report.files) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(MkfsError::Interrupted),
        }
    }

    fn take(&mut self, entry: TreeEntry, progress: Progress<'_>) -> Result<(), MkfsError> {
        let expected = u32::try_from(self.nodes.len() + 1).ok();
        let Some(number) = expected.filter(|number| entry.id == NodeId(*number)) else {
            return Err(malformed(&entry.name, "entries are not numbered in order"));
        };
        if let Some(reason) = self.reason_to_skip(&entry) {
            let path = match entry.kind {
                EntryKind::Stream(_) => format!("{}:{}", self.path(self.last_entry), entry.name),
                _ => self.path_in(entry.parent, &entry.name),
            };
            self.report.skipped.push(Skipped { path, reason });
            if !matches!(entry.kind, EntryKind::Stream(_)) {
                self.last_entry = NodeId(number);
            }
            self.push(&entry, entry.name.clone(), NodeKind::Skipped);
            return Ok(());
        }
        self.last_entry = NodeId(number);
        let Some(parent) = self.directory_of(entry.parent) else {
            return Err(malformed(
                &entry.name,
                "its parent is no directory before it",
            ));
        };
        let name = self.admit(&entry, parent)?;
        let kind = match entry.kind {
            EntryKind::Directory => {
                self.directories.push(Directory::new(entry.id, 2));
                self.report.directories += 1;
                NodeKind::Directory(self.directories.len() - 1)
            }
            EntryKind::File(content) => {
                let path = || self.path_in(entry.parent, &entry.name);
                check_content(&content, path)?;
                // Known to fit: checked just now.
                let size = u32::try_from(content.size.get()).unwrap_or(u32::MAX);
                let extent = self.clusters.allocate(content.size.get())?;
                let first_cluster = extent.map_or(0, |extent| extent.first);
                if let Some(extent) = extent {
                    self.store(content, extent, progress, entry.parent, &entry.name)?;
                }
                self.report.files += 1;
                NodeKind::File {
                    first_cluster,
                    size,
                }
            }
            EntryKind::Symlink { .. }
            | EntryKind::HardLink { .. }
            | EntryKind::Stream(_)
            | EntryKind::ReparsePoint { .. } => NodeKind::Skipped,
        };
        let head = TreeEntry {
            kind: EntryKind::Directory,
            ..entry
        };
        self.push(&head, name, kind);
        Ok(())
    }

    /// Why an entry cannot be stored, if so.
    fn reason_to_skip(&self, entry: &TreeEntry) -> Option<SkipReason> {
        let parent = self.node(entry.parent);
        match entry.kind {
            EntryKind::Stream(_) => Some(SkipReason::StreamUnsupported),
            _ if parent.is_some_and(|node| matches!(node.kind, NodeKind::Skipped)) => {
                Some(SkipReason::ParentSkipped)
            }
            EntryKind::Symlink { .. } => Some(SkipReason::SymlinkUnsupported),
            EntryKind::HardLink { .. } => Some(SkipReason::HardLinkUnsupported),
            EntryKind::ReparsePoint { .. } => Some(SkipReason::ReparsePointUnsupported),
            EntryKind::Directory | EntryKind::File(_) => None,
        }
    }

    /// Decides the stored name and counts its slots.
    fn admit(&mut self, entry: &TreeEntry, parent: usize) -> Result<NodeName, MkfsError> {
        let mut names = std::mem::take(&mut self.directories[parent].names);
        let mut notes = std::mem::take(&mut self.report.name_notes);
        let rules = NameRules {
            policy: self.options.name_policy,
            case: self.options.case_policy,
            upcase: &upcase,
        };
        let path = || self.path_in(entry.parent, &entry.name);
        let name = names.admit(&entry.name, &rules, &path, &mut notes)?.name;
        self.report.name_notes = notes;
        let directory = &mut self.directories[parent];
        directory.names = names;
        directory.children.push(entry.id);
        directory.slots = directory.slots.saturating_add(entry::slots(&name));
        if directory.slots > MAX_SLOTS {
            return Err(MkfsError::DirectoryFull {
                path: self.path(entry.parent),
                limit: DIRECTORY_LIMIT,
            });
        }
        Ok(name)
    }

    fn push(&mut self, entry: &TreeEntry, name: NodeName, kind: NodeKind) {
        let source_name = (name != entry.name).then(|| entry.name.clone());
        self.nodes.push(Node {
            parent: entry.parent,
            name,
            source_name,
            times: entry.times,
            attributes: entry.attributes,
            kind,
        });
    }

    /// Copies the islands of a file into its clusters; holes stay as they are.
    fn store(
        &mut self,
        mut content: FileContent,
        extent: Extent,
        progress: Progress<'_>,
        parent: NodeId,
        name: &NodeName,
    ) -> Result<(), MkfsError> {
        let start = self.geometry.cluster_offset(extent.first).get();
        for island in &content.islands {
            let mut at = island.start().get();
            while at < island.end().get() {
                let wanted = usize::try_from(island.end().get() - at).unwrap_or(READ_BYTES);
                let mut buffer = std::mem::take(&mut self.buffer);
                let room = wanted.min(buffer.len());
                let got = read_some(&mut *content.reader, &mut buffer[..room])
                    .map_err(|error| TreeError::from_read(error, || self.path_in(parent, name)))?;
                if got == 0 {
                    return Err(TreeError::new(
                        TreeErrorKind::Changed,
                        self.path_in(parent, name),
                        "ended before its size",
                    )
                    .into());
                }
                self.output.write(ByteOffset(start + at), &buffer[..got])?;
                self.buffer = buffer;
                let got = u64::try_from(got).unwrap_or(0);
                at += got;
                self.report.bytes = ByteCount(self.report.bytes.get() + got);
                self.tell(progress)?;
            }
        }
        Ok(())
    }

    /// Writes the directories and the tables; returns the report and how many clusters are in use.
    pub(super) fn finish(mut self, label: Option<&Label>) -> Result<(BuildReport, u32), MkfsError> {
        self.place_directories()?;
        for index in 0..self.directories.len() {
            self.write_directory(index, label)?;
        }
        self.output.write_gathered()?;
        self.clusters.write(self.disk)?;
        Ok((self.report, self.clusters.allocated()))
    }

    /// Gives every directory its clusters, so that entries can name them.
    fn place_directories(&mut self) -> Result<(), MkfsError> {
        let slot = u64::try_from(SLOT_BYTES).unwrap_or(32);
        for directory in &mut self.directories {
            let bytes = u64::from(directory.slots) * slot;
            match directory.head {
                None => directory.head = self.clusters.allocate(bytes)?,
                Some(head) => {
                    let rest = bytes.saturating_sub(self.geometry.cluster_bytes());
                    directory.tail = self.clusters.allocate(rest)?;
                    if let Some(tail) = directory.tail {
                        self.clusters.link(head, tail);
                    }
                }
            }
        }
        Ok(())
    }

    fn write_directory(&mut self, index: usize, label: Option<&Label>) -> Result<(), MkfsError> {
        let directory = &self.directories[index];
        let mut bytes = Vec::new();
        if index == 0 {
            if let Some(label) = label {
                let fields = EntryFields {
                    attributes: ATTRIBUTE_LABEL,
                    first_cluster: 0,
                    size: 0,
                    times: Times::all(self.options.time),
                };
                entry::append_short(&mut bytes, label.bytes(), &fields);
            }
        } else {
            self.append_dots(&mut bytes, directory);
        }
        self.append_children(&mut bytes, directory)?;
        // The head alone, but for the root.
        let Some(head) = directory.head else {
            return Ok(());
        };
        let tail = directory.tail;
        let split = match tail {
            Some(_) => usize::try_from(self.geometry.cluster_bytes())
                .unwrap_or(usize::MAX)
                .min(bytes.len()),
            None => bytes.len(),
        };
        let (first, rest) = bytes.split_at(split);
        self.output
            .write(self.geometry.cluster_offset(head.first), first)?;
        if let Some(tail) = tail {
            self.output
                .write(self.geometry.cluster_offset(tail.first), rest)?;
        }
        Ok(())
    }

    /// "." and "..", the latter 0 where it is the root ([FAT] "dot and dotdot").
    fn append_dots(&self, bytes: &mut Vec<u8>, directory: &Directory) {
        let Some(node) = self.node(directory.node) else {
            return;
        };
        let cluster = |directory: &Directory| directory.head.map_or(0, |head| head.first);
        let parent = match self.directory_of(node.parent) {
            Some(0) | None => 0,
            Some(parent) => cluster(&self.directories[parent]),
        };
        for (name, first_cluster) in [
            (*b".          ", cluster(directory)),
            (*b"..         ", parent),
        ] {
            let fields = EntryFields {
                attributes: ATTRIBUTE_DIRECTORY,
                first_cluster,
                size: 0,
                times: node.times,
            };
            entry::append_short(bytes, name, &fields);
        }
    }

    fn append_children(&self, bytes: &mut Vec<u8>, directory: &Directory) -> Result<(), MkfsError> {
        let children = || directory.children.iter().filter_map(|id| self.node(*id));
        let names: Vec<&[u16]> = children().map(|node| node.name.units()).collect();
        let aliases: Vec<ShortName> =
            Aliases::assign(names.iter().copied()).ok_or_else(|| MkfsError::DirectoryFull {
                path: self.path(directory.node),
                limit: DIRECTORY_LIMIT,
            })?;
        for (node, alias) in children().zip(aliases) {
            let own = u8::try_from(node.attributes.bits() & 0x27).unwrap_or(0);
            let fields = match &node.kind {
                NodeKind::Directory(index) => EntryFields {
                    attributes: own | ATTRIBUTE_DIRECTORY,
                    first_cluster: self.directories[*index].head.map_or(0, |head| head.first),
                    size: 0,
                    times: node.times,
                },
                NodeKind::File {
                    first_cluster,
                    size,
                } => EntryFields {
                    attributes: if node.attributes.contains(Attributes::NORMAL) {
                        own
                    } else {
                        own | ATTRIBUTE_ARCHIVE
                    },
                    first_cluster: *first_cluster,
                    size: *size,
                    times: node.times,
                },
                NodeKind::Skipped => continue,
            };
            entry::append(bytes, &node.name, alias, &fields);
        }
        Ok(())
    }

    fn node(&self, id: NodeId) -> Option<&Node> {
        let index = usize::try_from(id.0).ok()?.checked_sub(1)?;
        self.nodes.get(index)
    }

    /// The number of a directory among the directories.
    fn directory_of(&self, id: NodeId) -> Option<usize> {
        if id == NodeId::ROOT {
            return Some(0);
        }
        match self.node(id)?.kind {
            NodeKind::Directory(index) => Some(index),
            _ => None,
        }
    }

    /// Path of a node in the source, `/` for the root.
    fn path(&self, id: NodeId) -> String {
        match self.node(id) {
            Some(node) => {
                let name = node.source_name.as_ref().unwrap_or(&node.name);
                self.path_in(node.parent, name)
            }
            None => "/".into(),
        }
    }

    fn path_in(&self, parent: NodeId, name: &NodeName) -> String {
        let mut names = vec![name.to_string()];
        let mut at = parent;
        // Ends: a parent's number is below its child's.
        while let Some(node) = self.node(at) {
            names.push(node.source_name.as_ref().unwrap_or(&node.name).to_string());
            at = node.parent;
        }
        names.reverse();
        names.join("/")
    }
}

impl Directory {
    fn new(node: NodeId, slots: u32) -> Self {
        Self {
            node,
            names: SiblingNames::new(),
            slots,
            children: Vec::new(),
            head: None,
            tail: None,
        }
    }
}

fn malformed(name: &NodeName, what: &str) -> MkfsError {
    TreeError::new(TreeErrorKind::Malformed, name.to_string(), what).into()
}

fn check_content(content: &FileContent, path: impl Fn() -> String) -> Result<(), MkfsError> {
    if content.size.get() > MAX_FILE_BYTES {
        return Err(MkfsError::FileTooLarge {
            path: path(),
            size: content.size,
            limit: ByteCount(MAX_FILE_BYTES),
        });
    }
    if !content.is_well_formed() {
        let what = "its data ranges overlap or lie outside the file";
        return Err(TreeError::new(TreeErrorKind::Malformed, path(), what).into());
    }
    Ok(())
}

/// One read that is not interrupted.
fn read_some(reader: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
