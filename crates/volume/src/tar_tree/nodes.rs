//! The entries of a tree by number and by name: what hard links and children are found by.
//!
//! Memory for each entry: its name and about 50 bytes.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use mkfs::NodeId;

/// What an entry is, as far as others depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeKind {
    /// Others may lie in it.
    Directory,
    /// Others may be one more name of it.
    Leaf,
    /// One more name of that one.
    HardLink(NodeId),
    /// A stream of a file; found by nobody.
    Stream,
}

#[derive(Debug)]
struct Node {
    parent: NodeId,
    name_at: u64,
    name_bytes: u32,
    kind: NodeKind,
    /// Another node whose name has the same hash.
    next: Option<NodeId>,
}

/// The entries so far, numbered from 1; 0 is the root.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    nodes: Vec<Node>,
    names: Vec<u8>,
    by_name: HashMap<u64, NodeId>,
    hasher: RandomState,
}

impl Nodes {
    /// The number that the next entry gets; `None` where there is none left.
    pub(crate) fn next_id(&self) -> Option<NodeId> {
        let id = u32::try_from(self.nodes.len()).ok()?.checked_add(1)?;
        Some(NodeId(id))
    }

    /// Adds an entry; `None` where there are too many.
    pub(crate) fn add(&mut self, parent: NodeId, name: &[u8], kind: NodeKind) -> Option<NodeId> {
        let id = self.next_id()?;
        let mut node = Node {
            parent,
            name_at: u64::try_from(self.names.len()).ok()?,
            name_bytes: u32::try_from(name.len()).ok()?,
            kind,
            next: None,
        };
        self.names.extend_from_slice(name);
        if kind != NodeKind::Stream {
            let hash = self.hasher.hash_one((parent.0, name));
            node.next = self.by_name.insert(hash, id);
        }
        self.nodes.push(node);
        Some(id)
    }

    /// The entry of a directory that has that very name.
    pub(crate) fn find(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        let hash = self.hasher.hash_one((parent.0, name));
        let mut at = self.by_name.get(&hash).copied();
        while let Some(id) = at {
            let node = self.node(id)?;
            if node.parent == parent && self.name_of(node) == name {
                return Some(id);
            }
            at = node.next;
        }
        None
    }

    /// What an entry is.
    pub(crate) fn kind(&self, id: NodeId) -> Option<NodeKind> {
        if id == NodeId::ROOT {
            return Some(NodeKind::Directory);
        }
        self.node(id).map(|node| node.kind)
    }

    /// Puts the path of an entry, names after slashes, behind what `path` holds.
    pub(crate) fn add_path(&self, id: NodeId, path: &mut Vec<u8>) {
        // Parents have smaller numbers, so this ends.
        let mut chain = Vec::new();
        let mut at = id;
        while let Some(node) = self.node(at) {
            chain.push(node);
            at = node.parent;
        }
        for (count, node) in chain.into_iter().rev().enumerate() {
            if count > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(self.name_of(node));
        }
    }

    fn node(&self, id: NodeId) -> Option<&Node> {
        let index = usize::try_from(id.0).ok()?.checked_sub(1)?;
        self.nodes.get(index)
    }

    fn name_of(&self, node: &Node) -> &[u8] {
        let range = || {
            let start = usize::try_from(node.name_at).ok()?;
            let len = usize::try_from(node.name_bytes).ok()?;
            self.names.get(start..start.checked_add(len)?)
        };
        range().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_their_names_and_tell_their_paths() {
        let mut nodes = Nodes::default();
        let a = nodes.add(NodeId::ROOT, b"a", NodeKind::Directory).unwrap();
        let b = nodes.add(a, b"b", NodeKind::Leaf).unwrap();
        let s = nodes.add(a, b"s", NodeKind::Stream).unwrap();
        assert_eq!((a, b, s), (NodeId(1), NodeId(2), NodeId(3)));
        assert_eq!(nodes.find(NodeId::ROOT, b"a"), Some(a));
        assert_eq!(nodes.find(NodeId::ROOT, b"b"), None);
        assert_eq!(nodes.find(a, b"b"), Some(b));
        assert_eq!(nodes.find(a, b"s"), None);
        let mut path = b"./".to_vec();
        nodes.add_path(b, &mut path);
        assert_eq!(path, b"./a/b");
    }
}
