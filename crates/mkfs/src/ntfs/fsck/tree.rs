//! An index as a tree: heads and entries of its nodes, blocks against their bitmap, and the order of
//! all keys, which is what looking up each of them would show.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::super::parse::{
    Collation, EntryView, File, Index, MAX_INDEX_DEPTH, Node, NtfsVolume, unprotect,
};
use super::context::Context;
use crate::error::MkfsError;
use crate::findings::VolumeFinding;

/// Bytes of a block before its node.
const BLOCK_HEAD: usize = 0x18;
/// Bytes of an index root before its node.
const ROOT_HEAD: usize = 0x10;
/// Flags that a node may have: its entries have children.
const KNOWN_NODE_FLAGS: u8 = 1;
/// Flags that an entry may have: it has a child, it is the last.
const KNOWN_FLAGS: u16 = 3;
/// Bytes read of a bitmap at a time.
const BITMAP_CHUNK: usize = 64 * 1024;

/// What an index must say of itself.
#[derive(Clone, Copy)]
pub(super) struct IndexRules {
    pub name: &'static str,
    /// Type of the attribute indexed.
    pub attribute: u32,
    /// Number of the rule of order.
    pub collation: u32,
}

/// The names of a directory.
pub(super) const FILE_NAMES: IndexRules = IndexRules {
    name: "$I30",
    attribute: 0x30,
    collation: 1,
};

/// Is shown each entry in order.
pub(super) type Visit<'f, 'v, 'd> = &'f mut dyn FnMut(&mut Context<'v, 'd>, &EntryView<'_>);

/// Goes through an index of a file; whether all of it could be read.
pub(super) fn walk<'v, 'd>(
    context: &mut Context<'v, 'd>,
    file: &File,
    rules: IndexRules,
    visit: Visit<'_, 'v, 'd>,
) -> Result<bool, MkfsError> {
    let record = file.base().number();
    let index = Index::open(context.volume, file, rules.name);
    let Some(index) = context.found("index-root", record, index)? else {
        return Ok(false);
    };
    let root = index.root();
    let Some(root) = context.found("index-root", record, root)? else {
        return Ok(false);
    };
    let mut walker = Walker {
        record,
        index: &index,
        rules,
        volume: context.volume,
        previous: None,
        seen: HashSet::new(),
        is_whole: true,
        visit,
    };
    walker.check_root(context);
    walker.node(context, &root.node, 0)?;
    if walker.is_whole {
        walker.check_bitmap(context)?;
    }
    Ok(walker.is_whole)
}

struct Walker<'w, 'v, 'd> {
    record: u64,
    index: &'w Index,
    rules: IndexRules,
    volume: &'v NtfsVolume<'d>,
    /// The last key shown.
    previous: Option<Vec<u8>>,
    /// Blocks come by, counted from the first.
    seen: HashSet<u64>,
    /// Whether every node could be read.
    is_whole: bool,
    visit: Visit<'w, 'v, 'd>,
}

impl<'v, 'd> Walker<'_, 'v, 'd> {
    fn finding(&self, class: &'static str, message: &str) -> VolumeFinding {
        let message = format!("index {}: {message}", self.rules.name);
        VolumeFinding::error(class, message).of(self.record)
    }

    fn check_root(&self, context: &mut Context<'_, '_>) {
        let Ok(root) = self.index.root() else {
            return;
        };
        let geometry = self.volume.geometry();
        let size = u64::from(root.block_size);
        let units = size / geometry.index_unit(size);
        for (what, expected, actual) in [
            (
                "type",
                u64::from(self.rules.attribute),
                u64::from(root.attribute),
            ),
            (
                "rule of order",
                u64::from(self.rules.collation),
                u64::from(root.collation),
            ),
            ("size of blocks", geometry.index_block, size),
            ("units of a block", units, u64::from(root.units_per_block)),
        ] {
            if expected != actual {
                let finding = self.finding("index-root", &format!("the {what} is wrong"));
                context.add(
                    finding.versus(format_args!("{expected:#x}"), format_args!("{actual:#x}")),
                );
            }
        }
        if root.node.has_children != self.index.blocks().is_some() && root.node.has_children {
            context.add(self.finding(
                "index-root",
                "the root has children, but there are no blocks",
            ));
        }
        let room = self.index.root_length().saturating_sub(ROOT_HEAD);
        let allocated = usize::try_from(root.node.allocated).unwrap_or(usize::MAX);
        if allocated != room || root.node.used > root.node.allocated {
            let finding = self.finding("index-node", "the room of the root is wrong");
            context.add(finding.versus(room, allocated));
        }
    }

    fn node(
        &mut self,
        context: &mut Context<'v, 'd>,
        node: &Node<'_>,
        depth: usize,
    ) -> Result<(), MkfsError> {
        if node.flags & !KNOWN_NODE_FLAGS != 0 {
            let finding = self.finding("index-node", "a node has unknown flags");
            context.add(finding.versus("0 or 1", format_args!("{:#x}", node.flags)));
        }
        let mut entries = node.entries();
        for entry in entries.by_ref() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.is_whole = false;
                    return context.add_damage("index-entry", self.record, error);
                }
            };
            if entry.flags & !KNOWN_FLAGS != 0 {
                let finding = self.finding("index-entry", "an entry has unknown flags");
                context.add(finding.versus("0 to 3", format_args!("{:#x}", entry.flags)));
            }
            if entry.child.is_some() != node.has_children {
                context.add(self.finding(
                    "index-leaf",
                    "an entry has a child in a node without children, or none in one with them",
                ));
            }
            if let Some(child) = entry.child {
                self.block(context, child, depth + 1)?;
            }
            if entry.is_last() {
                if entry.key_length() != 0 {
                    let finding = self.finding("index-entry", "the end of a node has a key");
                    context.add(finding.versus(0, entry.key_length()));
                }
                break;
            }
            self.order(context, &entry);
            (self.visit)(context, &entry);
        }
        let used = usize::try_from(node.used).unwrap_or(usize::MAX);
        if entries.offset() != used {
            let finding = self.finding(
                "index-node",
                "the bytes in use of a node are counted wrongly",
            );
            context.add(finding.versus(entries.offset(), used));
        }
        Ok(())
    }

    fn order(&mut self, context: &mut Context<'_, '_>, entry: &EntryView<'_>) {
        let rule = self.index.collation();
        // How Windows orders account names is not known for sure; there are hardly ever two.
        if let (Some(previous), true) = (&self.previous, rule != Collation::Sid) {
            match rule.compare(previous, entry.key, self.volume.upcase()) {
                Some(Ordering::Less) => {}
                Some(_) => {
                    let shown = entry
                        .file_name()
                        .filter(|_| rule == Collation::FileName)
                        .map_or(String::new(), |name| {
                            format!(" ({})", name.name_text().escape_debug())
                        });
                    context.add(self.finding(
                        "index-order",
                        &format!("an entry{shown} is out of order, so that a search may miss it"),
                    ));
                }
                None => context.add(self.finding("index-entry", "a key is none of its rule")),
            }
        }
        let previous = self.previous.get_or_insert_default();
        previous.clear();
        previous.extend_from_slice(entry.key);
    }

    fn block(
        &mut self,
        context: &mut Context<'v, 'd>,
        number: u64,
        depth: usize,
    ) -> Result<(), MkfsError> {
        let size = self.index.block_size();
        let blocks = self.index.blocks();
        let room = blocks.map_or(0, super::super::parse::Value::size);
        let offset = number
            .checked_mul(self.index.unit())
            .filter(|offset| offset % size == 0 && offset.saturating_add(size) <= room);
        let (Some(offset), Some(blocks)) = (offset, blocks) else {
            self.is_whole = false;
            let message = format!("block {number} lies outside the index");
            context.add(self.finding("index-child", &message));
            return Ok(());
        };
        if !self.seen.insert(offset / size) || depth >= MAX_INDEX_DEPTH {
            self.is_whole = false;
            let message = format!("block {number} is below two entries, or too deep");
            context.add(self.finding("index-loop", &message));
            return Ok(());
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        let read = blocks.read_exact_at(self.volume, &mut bytes, offset);
        if context.found("index-block", self.record, read)?.is_none() {
            self.is_whole = false;
            return Ok(());
        }
        if let Some(problem) = block_problem(&mut bytes) {
            self.is_whole = false;
            let message = format!("block {number} {problem}");
            context.add(self.finding("index-block", &message));
            return Ok(());
        }
        let own = bytes[0x10..]
            .first_chunk::<8>()
            .map_or(0, |own| u64::from_le_bytes(*own));
        if own != number {
            let finding = self.finding("index-vcn", &format!("block {number} says another number"));
            context.add(finding.versus(number, own));
        }
        match Node::parse(&bytes[BLOCK_HEAD..]) {
            Ok(node) => {
                let room = bytes.len() - BLOCK_HEAD;
                if usize::try_from(node.allocated).unwrap_or(0) != room {
                    let finding = self.finding("index-node", "the room of a block is wrong");
                    context.add(finding.versus(room, node.allocated));
                }
                self.node(context, &node, depth)
            }
            Err(error) => {
                self.is_whole = false;
                context.add_damage("index-block", self.record, error)
            }
        }
    }

    /// Blocks that are come by are marked, and no others.
    fn check_bitmap(&self, context: &mut Context<'_, '_>) -> Result<(), MkfsError> {
        let Some(blocks) = self.index.blocks() else {
            return Ok(());
        };
        let room = self.volume.disk().size().get();
        let count = blocks.size().min(room) / self.index.block_size();
        let Some(bitmap) = self.index.bitmap() else {
            context.add(self.finding("index-bitmap", "there is no bitmap of its blocks"));
            return Ok(());
        };
        if bitmap.size().saturating_mul(8) < count {
            context.add(self.finding("index-bitmap", "the bitmap has not a bit for each block"));
        }
        // Blocks behind the end have no room on the disk either.
        let most = count.div_ceil(8) + 4096;
        let mut chunk = vec![0; BITMAP_CHUNK];
        let (mut unmarked, mut unreached) = (self.seen.len(), 0_u64);
        let mut offset = 0;
        while offset < bitmap.size().min(most) {
            let read = bitmap.read_at(self.volume, &mut chunk, offset);
            let Some(read) = context
                .found("index-bitmap", self.record, read)?
                .filter(|n| *n > 0)
            else {
                return Ok(());
            };
            for (byte, bits) in (offset..).zip(&chunk[..read]) {
                for bit in (0..8).filter(|bit| bits >> bit & 1 == 1) {
                    if self.seen.contains(&(byte * 8 + bit)) {
                        unmarked -= 1;
                    } else {
                        unreached += 1;
                    }
                }
            }
            offset += u64::try_from(read).unwrap_or(u64::MAX);
        }
        if unmarked > 0 {
            let message = format!("{unmarked} blocks are in use, but free in the bitmap");
            context.add(self.finding("index-bitmap", &message));
        }
        if unreached > 0 {
            let message = format!("{unreached} blocks are taken in the bitmap, but not in use");
            context.add(self.finding("index-bitmap", &message));
        }
        Ok(())
    }
}

fn block_problem(bytes: &mut [u8]) -> Option<String> {
    if !bytes.starts_with(b"INDX") {
        return Some("has no magic number".into());
    }
    unprotect(bytes)
        .err()
        .map(|problem| format!("is torn: {problem}"))
}
