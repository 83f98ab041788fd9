//! A tree in memory: for tests, and for volumes whose content is made, not read.

use std::io::Cursor;
use std::sync::Arc;

use blockio::{ByteCount, ByteOffset, ByteRange};

use super::{
    Attributes, EntryKind, FileContent, NodeId, NodeName, Times, TreeEntry, TreeError,
    TreeErrorKind, TreeSource, TreeTotals,
};
use crate::security::SecurityDescriptor;

/// A tree in memory. Entries are delivered in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    nodes: Vec<MemoryNode>,
    times: Times,
    attributes: Attributes,
    security: Option<SecurityDescriptor>,
    root_security: Option<SecurityDescriptor>,
}

#[derive(Clone, Debug)]
struct MemoryNode {
    parent: NodeId,
    name: NodeName,
    times: Times,
    attributes: Attributes,
    security: Option<SecurityDescriptor>,
    kind: MemoryKind,
}

#[derive(Clone, Debug)]
enum MemoryKind {
    Directory,
    File(MemoryContent),
    Symlink { target: Vec<u16>, directory: bool },
    HardLink { target: NodeId },
    Stream(MemoryContent),
    ReparsePoint { data: Vec<u8>, directory: bool },
}

#[derive(Clone, Debug)]
struct MemoryContent {
    size: ByteCount,
    islands: Vec<ByteRange>,
    data: Arc<[u8]>,
}

impl MemoryContent {
    fn new(size: ByteCount, islands: &[(ByteOffset, &[u8])]) -> Self {
        let mut data = Vec::new();
        let mut ranges = Vec::new();
        for (start, bytes) in islands {
            let len = ByteCount(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            ranges.extend(ByteRange::new(*start, len).filter(|range| !range.is_empty()));
            data.extend_from_slice(bytes);
        }
        Self {
            size,
            islands: ranges,
            data: data.into(),
        }
    }

    fn dense(data: &[u8]) -> Self {
        let size = ByteCount(u64::try_from(data.len()).unwrap_or(u64::MAX));
        Self::new(size, &[(ByteOffset(0), data)])
    }

    fn deliver(&self) -> FileContent {
        FileContent {
            size: self.size,
            islands: self.islands.clone(),
            reader: Box::new(Cursor::new(Arc::clone(&self.data))),
        }
    }
}

/// A stream over a [`MemoryTree`].
#[derive(Debug)]
pub struct MemorySource<'a> {
    tree: &'a MemoryTree,
    next: usize,
}

impl MemoryTree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Times of the entries added from now on, and of the root.
    pub fn use_times(&mut self, times: Times) {
        self.times = times;
    }

    /// Attributes of the entries added from now on.
    pub fn use_attributes(&mut self, attributes: Attributes) {
        self.attributes = attributes;
    }

    /// Who may do what with the entries added from now on.
    pub fn use_security(&mut self, security: Option<SecurityDescriptor>) {
        self.security = security;
    }

    /// Who may do what with the root.
    pub fn set_root_security(&mut self, security: SecurityDescriptor) {
        self.root_security = Some(security);
    }

    /// Adds a directory.
    pub fn add_directory(&mut self, parent: NodeId, name: NodeName) -> NodeId {
        self.add(parent, name, MemoryKind::Directory)
    }

    /// Adds a file without holes.
    pub fn add_file(&mut self, parent: NodeId, name: NodeName, data: &[u8]) -> NodeId {
        self.add(parent, name, MemoryKind::File(MemoryContent::dense(data)))
    }

    /// Adds a file of `size` bytes with data at the given offsets (ascending) and holes elsewhere.
    pub fn add_sparse_file(
        &mut self,
        parent: NodeId,
        name: NodeName,
        size: ByteCount,
        islands: &[(ByteOffset, &[u8])],
    ) -> NodeId {
        let content = MemoryContent::new(size, islands);
        self.add(parent, name, MemoryKind::File(content))
    }

    /// Adds one more name of a file.
    pub fn add_hard_link(&mut self, parent: NodeId, name: NodeName, target: NodeId) -> NodeId {
        self.add(parent, name, MemoryKind::HardLink { target })
    }

    /// Adds a named stream to what was added last and is no stream.
    pub fn add_stream(&mut self, name: NodeName, data: &[u8]) -> NodeId {
        let content = MemoryContent::dense(data);
        self.add(NodeId::ROOT, name, MemoryKind::Stream(content))
    }

    /// Adds a reparse point with its data as Windows hands it out.
    pub fn add_reparse_point(
        &mut self,
        parent: NodeId,
        name: NodeName,
        data: Vec<u8>,
        directory: bool,
    ) -> NodeId {
        self.add(parent, name, MemoryKind::ReparsePoint { data, directory })
    }

    /// Adds a symbolic link.
    pub fn add_symlink(
        &mut self,
        parent: NodeId,
        name: NodeName,
        target: &str,
        directory: bool,
    ) -> NodeId {
        let target = target.encode_utf16().collect();
        self.add(parent, name, MemoryKind::Symlink { target, directory })
    }

    /// A stream over the tree; may be asked for again and again.
    pub fn source(&self) -> MemorySource<'_> {
        MemorySource {
            tree: self,
            next: 0,
        }
    }

    fn add(&mut self, parent: NodeId, name: NodeName, kind: MemoryKind) -> NodeId {
        self.nodes.push(MemoryNode {
            parent,
            name,
            times: self.times,
            attributes: self.attributes,
            security: self.security.clone(),
            kind,
        });
        NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX))
    }
}

impl TreeSource for MemorySource<'_> {
    fn next_entry(&mut self) -> Result<Option<TreeEntry>, TreeError> {
        let Some(node) = self.tree.nodes.get(self.next) else {
            return Ok(None);
        };
        self.next += 1;
        let id = u32::try_from(self.next).map_err(|_| {
            TreeError::new(
                TreeErrorKind::TooLarge,
                node.name.to_string(),
                "the tree has more entries than can be numbered",
            )
        })?;
        let kind = match &node.kind {
            MemoryKind::Directory => EntryKind::Directory,
            MemoryKind::File(content) => EntryKind::File(content.deliver()),
            MemoryKind::HardLink { target } => EntryKind::HardLink { target: *target },
            MemoryKind::Stream(content) => EntryKind::Stream(content.deliver()),
            MemoryKind::ReparsePoint { data, directory } => EntryKind::ReparsePoint {
                data: data.clone(),
                directory: *directory,
            },
            MemoryKind::Symlink { target, directory } => EntryKind::Symlink {
                target: target.clone(),
                directory: *directory,
            },
        };
        Ok(Some(TreeEntry {
            parent: node.parent,
            id: NodeId(id),
            name: node.name.clone(),
            times: node.times,
            attributes: node.attributes,
            security: node.security.clone(),
            kind,
        }))
    }

    fn root_times(&self) -> Option<Times> {
        Some(self.tree.times)
    }

    fn root_security(&self) -> Option<SecurityDescriptor> {
        self.tree.root_security.clone()
    }

    fn totals(&self) -> Option<TreeTotals> {
        let mut totals = TreeTotals::default();
        for node in &self.tree.nodes {
            if !matches!(
                node.kind,
                MemoryKind::HardLink { .. } | MemoryKind::Stream(_)
            ) {
                totals.entries += 1;
            }
            if let MemoryKind::File(content) | MemoryKind::Stream(content) = &node.kind {
                totals.data.0 += u64::try_from(content.data.len()).unwrap_or(u64::MAX);
            }
        }
        Some(totals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn entries_come_in_the_order_they_were_added_with_their_data() {
        let mut tree = MemoryTree::new();
        let name = |text| NodeName::from_text(text).unwrap();
        let dir = tree.add_directory(NodeId::ROOT, name("dir"));
        tree.add_sparse_file(
            dir,
            name("sparse"),
            ByteCount(100),
            &[(ByteOffset(10), b"abc"), (ByteOffset(50), b"de")],
        );
        assert_eq!(tree.source().totals().unwrap().data, ByteCount(5));
        let mut source = tree.source();
        let first = source.next_entry().unwrap().unwrap();
        assert_eq!((first.parent, first.id), (NodeId::ROOT, dir));
        let second = source.next_entry().unwrap().unwrap();
        assert_eq!(second.parent, dir);
        let EntryKind::File(mut content) = second.kind else {
            panic!("a file was added");
        };
        assert!(content.is_well_formed() && content.has_holes());
        let mut text = String::new();
        content.reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abcde");
        assert!(source.next_entry().unwrap().is_none());
    }
}
