//! Members become entries of a tree: where they lie, what they are, and what is refused.

use std::sync::PoisonError;

use blockio::ByteCount;
use mkfs::{
    Amendment, Attributes, EntryKind, FileContent, NodeId, NodeName, SecurityDescriptor, Times,
    TreeEntry, TreeError, TreeErrorKind,
};

use super::content::Content;
use super::format::kind;
use super::member::Member;
use super::name::{components, is_whiteout, shown, units_of};
use super::nodes::NodeKind;
use super::note::TarNoteReason;
use super::pax::Records;
use super::{Last, TarTree, windows};

/// The parts of a Windows layer: the volume, registry hives, and the files of a helper machine.
const LAYER_FILES: &[u8] = b"Files";
const LAYER_PARTS: [&[u8]; 3] = [LAYER_FILES, b"Hives", b"UtilityVM"];
/// What go-winio may leave at the end of a stream's name.
const STREAM_SUFFIX: &[u8] = b":$DATA";

/// Where a path of the stream lies in the tree.
enum Located<'p> {
    /// These names, from the root down; none for the root.
    InTree(Vec<&'p [u8]>),
    /// In a part of a layer that is left out.
    LeftOut,
}

fn malformed(path: &[u8], what: impl Into<String>) -> TreeError {
    TreeError::new(TreeErrorKind::Malformed, shown(path), what)
}

impl TarTree {
    /// Takes in a member: its entry, and those of the directories missing above it, wait to be
    /// delivered; or a note says why there is none.
    pub(super) fn admit(&mut self, mut member: Member) -> Result<(), TreeError> {
        let path = std::mem::take(&mut member.path);
        let names = components(&path).map_err(|what| malformed(&path, what))?;
        let last = std::mem::take(&mut self.last);
        if let Some(owner) = last.owner
            && let Some(stream) = stream_name(&path, &last.path, &member)
        {
            self.add_stream(&path, stream, &member)?;
            // More streams of the same file may follow.
            self.last = Last {
                owner: Some(owner),
                ..last
            };
            return Ok(());
        }
        self.last.path = names.join(&b'/');
        if let Some(whiteout) = names.iter().find(|name| is_whiteout(name)) {
            let what = format!(
                "{} is a whiteout, which takes something from a lower layer; a volume has none",
                shown(whiteout)
            );
            return Err(TreeError::new(
                TreeErrorKind::Unsupported,
                shown(&path),
                what,
            ));
        }
        let names = match self.locate(names, &member) {
            Located::InTree(names) => names,
            Located::LeftOut => {
                self.notes.add(&path, TarNoteReason::LayerPart);
                return Ok(());
            }
        };
        let Some((name, directories)) = names.split_last() else {
            return self.admit_root(&path, member);
        };
        let times = self.times(&member);
        let parent = self.parent(&path, directories, times)?;
        if let Some(known) = self.nodes.find(parent, name) {
            return self.repeated(&path, known, member);
        }
        self.add(&path, parent, name, member)
    }

    /// Where a path lies, by the layout of the stream.
    fn locate<'p>(&mut self, names: Vec<&'p [u8]>, member: &Member) -> Located<'p> {
        let is_windows = member.records.is_windows();
        let Some(first) = names.first() else {
            // Layers have no root of their own.
            if is_windows && self.is_layer.is_none() {
                self.is_layer = Some(false);
            }
            return Located::InTree(names);
        };
        let is_layer = *self
            .is_layer
            .get_or_insert(is_windows && LAYER_PARTS.contains(first));
        match names.split_first() {
            Some((first, rest)) if is_layer => {
                if *first == LAYER_FILES {
                    Located::InTree(rest.to_vec())
                } else {
                    Located::LeftOut
                }
            }
            _ => Located::InTree(names),
        }
    }

    fn admit_root(&mut self, path: &[u8], mut member: Member) -> Result<(), TreeError> {
        if member.kind != kind::DIRECTORY {
            return Err(malformed(path, "the root of the tree is no directory"));
        }
        if self.root_times.is_some() || self.nodes.next_id() != Some(NodeId(1)) {
            return self.amend(path, NodeId::ROOT, member);
        }
        self.root_times = Some(self.times(&member));
        self.root_security = self.security(path, &mut member.records)?;
        Ok(())
    }

    fn repeated(&mut self, path: &[u8], known: NodeId, member: Member) -> Result<(), TreeError> {
        let is_directory = self.nodes.kind(known) == Some(NodeKind::Directory);
        if is_directory && member.kind == kind::DIRECTORY && member.records.reparse.is_none() {
            return self.amend(path, known, member);
        }
        Err(malformed(
            path,
            "comes twice in the archive, and what came first cannot be taken back",
        ))
    }

    /// Takes what is said of a directory once more.
    fn amend(
        &mut self,
        path: &[u8],
        directory: NodeId,
        mut member: Member,
    ) -> Result<(), TreeError> {
        self.notes.add(path, TarNoteReason::RepeatedDirectory);
        let amendment = Amendment {
            directory,
            times: self.times(&member),
            attributes: attributes_of(&member.records),
            security: self.security(path, &mut member.records)?,
        };
        self.amendments.insert(directory, amendment);
        Ok(())
    }

    /// The directory that `names` lead to; those that are missing are made.
    fn parent(&mut self, path: &[u8], names: &[&[u8]], times: Times) -> Result<NodeId, TreeError> {
        let joined = names.join(&b'/');
        if joined == self.directory.0 {
            return Ok(self.directory.1);
        }
        let mut at = NodeId::ROOT;
        for name in names {
            at = match self.nodes.find(at, name) {
                Some(known) if self.nodes.kind(known) == Some(NodeKind::Directory) => known,
                Some(_) => {
                    let what = format!("lies below {}, which is no directory", shown(name));
                    return Err(malformed(path, what));
                }
                None => {
                    let id = self.number(path, at, name, NodeKind::Directory)?;
                    self.pending.push_back(TreeEntry {
                        parent: at,
                        id,
                        name: node_name(path, name)?.0,
                        times,
                        attributes: Attributes::NONE,
                        security: None,
                        kind: EntryKind::Directory,
                    });
                    id
                }
            };
        }
        self.directory = (joined, at);
        Ok(at)
    }

    /// Numbers a new entry.
    fn number(
        &mut self,
        path: &[u8],
        parent: NodeId,
        name: &[u8],
        kind: NodeKind,
    ) -> Result<NodeId, TreeError> {
        self.nodes.add(parent, name, kind).ok_or_else(|| {
            let what = "the archive has more entries than can be numbered";
            TreeError::new(TreeErrorKind::TooLarge, shown(path), what)
        })
    }

    fn add(
        &mut self,
        path: &[u8],
        parent: NodeId,
        name: &[u8],
        mut member: Member,
    ) -> Result<(), TreeError> {
        let (node_name, is_mapped) = node_name(path, name)?;
        let is_windows = member.records.is_windows();
        let times = self.times(&member);
        let attributes = member.records.attributes.unwrap_or(0);
        let security = self.security(path, &mut member.records)?;
        let kind = match self.kind(path, &member)? {
            Some(kind) => kind,
            None => {
                self.notes.add(path, TarNoteReason::SpecialFile);
                return Ok(());
            }
        };
        let node_kind = match &kind {
            EntryKind::Directory => NodeKind::Directory,
            EntryKind::HardLink { target } => NodeKind::HardLink(*target),
            _ => NodeKind::Leaf,
        };
        let id = self.number(path, parent, name, node_kind)?;
        if is_mapped {
            self.notes.add(path, TarNoteReason::NameNotUnicode);
        }
        if member.records.extended_attributes {
            self.notes.add(path, TarNoteReason::ExtendedAttributes);
        }
        // What was compressed, the builder reports.
        if attributes & windows::ATTRIBUTE_ENCRYPTED != 0 {
            self.notes.add(path, TarNoteReason::StoredPlain);
        }
        if is_windows && !matches!(kind, EntryKind::HardLink { .. }) {
            self.last.owner = Some(id);
        }
        self.pending.push_back(TreeEntry {
            parent,
            id,
            name: node_name,
            times,
            attributes: attributes_of(&member.records),
            security,
            kind,
        });
        Ok(())
    }

    /// What a member is; `None` for what a volume cannot hold.
    fn kind(&mut self, path: &[u8], member: &Member) -> Result<Option<EntryKind>, TreeError> {
        let attributes = member.records.attributes.unwrap_or(0);
        let says_directory = attributes & windows::ATTRIBUTE_DIRECTORY != 0;
        if let Some(reparse) = &member.records.reparse {
            if member.kind == kind::FILE && self.left() > 0 {
                return Err(malformed(path, "it is a reparse point and has content"));
            }
            let data = windows::reparse_data(reparse).map_err(|what| malformed(path, what))?;
            return Ok(Some(EntryKind::ReparsePoint {
                data,
                directory: says_directory || member.kind == kind::DIRECTORY,
            }));
        }
        Ok(Some(match member.kind {
            kind::DIRECTORY => EntryKind::Directory,
            kind::FILE => EntryKind::File(self.content(path, member)?),
            kind::SYMLINK => {
                let target = units_of(&member.link).0;
                if member.records.is_windows() {
                    let is_mount_point = member.records.is_mount_point;
                    let data = windows::link_data(&target, is_mount_point)
                        .map_err(|what| malformed(path, what))?;
                    EntryKind::ReparsePoint {
                        data,
                        directory: says_directory || is_mount_point,
                    }
                } else {
                    if target.is_empty() {
                        return Err(malformed(path, "it is a link to nothing"));
                    }
                    EntryKind::Symlink {
                        target,
                        directory: false,
                    }
                }
            }
            kind::HARD_LINK => EntryKind::HardLink {
                target: self.link_target(path, &member.link)?,
            },
            _ => return Ok(None),
        }))
    }

    /// Bytes of content that the stream holds for the member at hand.
    fn left(&self) -> u64 {
        self.stream
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .left()
    }

    fn content(&self, path: &[u8], member: &Member) -> Result<FileContent, TreeError> {
        let (left, number) = {
            let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
            (stream.left(), stream.member())
        };
        let reader = Box::new(Content::new(&self.stream, number, shown(path)));
        if let Some(sparse) = &member.sparse {
            return Ok(FileContent {
                size: ByteCount(sparse.size),
                islands: sparse.checked(left).map_err(|what| malformed(path, what))?,
                reader,
            });
        }
        if i64::try_from(left).is_err() {
            return Err(malformed(path, "its size is impossible"));
        }
        Ok(FileContent::dense(ByteCount(left), reader))
    }

    /// The entry that a hard link leads to: one that came before, and no directory.
    fn link_target(&self, path: &[u8], link: &[u8]) -> Result<NodeId, TreeError> {
        let bad = |what: &str| malformed(path, format!("its target {}: {what}", shown(link)));
        let mut names = components(link).map_err(bad)?;
        if self.is_layer == Some(true) {
            match names.split_first() {
                Some((first, rest)) if *first == LAYER_FILES => names = rest.to_vec(),
                _ => return Err(bad("it was left out")),
            }
        }
        let mut at = NodeId::ROOT;
        for name in names {
            at = self
                .nodes
                .find(at, name)
                .ok_or_else(|| bad("no such member came before"))?;
        }
        match self.nodes.kind(at) {
            Some(NodeKind::Leaf) => Ok(at),
            Some(NodeKind::HardLink(target)) => Ok(target),
            _ => Err(bad("it is a directory")),
        }
    }

    fn add_stream(&mut self, path: &[u8], name: &[u8], member: &Member) -> Result<(), TreeError> {
        let id = self.number(path, NodeId::ROOT, name, NodeKind::Stream)?;
        let content = self.content(path, member)?;
        self.pending.push_back(TreeEntry {
            parent: NodeId::ROOT,
            id,
            name: node_name(path, name)?.0,
            times: self.times(member),
            attributes: Attributes::NONE,
            security: None,
            kind: EntryKind::Stream(content),
        });
        Ok(())
    }

    fn times(&self, member: &Member) -> Times {
        let records = &member.records;
        let latest = self.options.latest_time;
        let held = |time: Option<mkfs::NtTime>| {
            let time = time.unwrap_or(member.modified);
            latest.map_or(time, |latest| time.min(latest))
        };
        Times {
            created: held(records.created),
            modified: held(None),
            changed: held(records.changed),
            accessed: held(records.accessed),
        }
    }

    fn security(
        &mut self,
        path: &[u8],
        records: &mut Records,
    ) -> Result<Option<SecurityDescriptor>, TreeError> {
        if let Some(text) = records.security.take() {
            let decoded = self.descriptors.decode(text);
            return decoded.map(Some).map_err(|what| malformed(path, what));
        }
        let Some(text) = records.security_text.take() else {
            return Ok(None);
        };
        let decoded = String::from_utf8(text)
            .map_err(|error| error.to_string())
            .and_then(|text| {
                SecurityDescriptor::from_sddl(&text).map_err(|error| error.to_string())
            });
        decoded
            .map(Some)
            .map_err(|what| malformed(path, format!("its security descriptor: {what}")))
    }
}

fn attributes_of(records: &Records) -> Attributes {
    match records.attributes {
        Some(attributes) => Attributes::from_bits(attributes).with(Attributes::NORMAL),
        None => Attributes::NONE,
    }
}

fn node_name(path: &[u8], name: &[u8]) -> Result<(NodeName, bool), TreeError> {
    let (units, is_mapped) = units_of(name);
    let name = NodeName::new(units)
        .map_err(|error| malformed(path, format!("its name {}", error.reason())))?;
    Ok((name, is_mapped))
}

/// The name of the stream that a member holds, where it is one of the member `owner`.
fn stream_name<'p>(path: &'p [u8], owner: &[u8], member: &Member) -> Option<&'p [u8]> {
    if member.kind != kind::FILE || member.records.is_windows() {
        return None;
    }
    let path = path.strip_prefix(b"./").unwrap_or(path);
    let name = path.strip_prefix(owner)?.strip_prefix(b":")?;
    let name = name.strip_suffix(STREAM_SUFFIX).unwrap_or(name);
    (!name.is_empty() && !name.contains(&b'/')).then_some(name)
}
