//! Indexes: B-trees of entries whose nodes are the index root and blocks of `$INDEX_ALLOCATION`.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::ControlFlow;

use super::attribute::kind;
use super::collation::Collation;
use super::error::ParseError;
use super::file::File;
use super::name::FileNameView;
use super::node::{Child, EntryView, IndexBlock, Node, OwnedEntry, RootView, damaged};
use super::value::Value;
use super::volume::NtfsVolume;
use super::{MAX_INDEX_BLOCK_BYTES, MAX_INDEX_DEPTH, MAX_RECORD_BYTES};

/// Is shown each entry in order; `Break` ends the walk.
pub type VisitEntry<'v> = &'v mut dyn FnMut(&EntryView<'_>) -> ControlFlow<()>;

/// An index of a file.
#[derive(Clone, Debug)]
pub struct Index {
    owner: u64,
    root: Vec<u8>,
    blocks: Option<Value>,
    bitmap: Option<Value>,
    block_size: u64,
    unit: u64,
    collation: Collation,
}

impl Index {
    /// Opens the index of this name (`$I30` for a directory).
    ///
    /// # Errors
    /// `Damaged`, also where the file has no such index; `Disk`.
    pub fn open(volume: &NtfsVolume<'_>, file: &File, name: &str) -> Result<Self, ParseError> {
        let owner = file.base().number();
        let of_owner = |error: ParseError| error.of_record(owner);
        let root = file
            .value(volume, kind::INDEX_ROOT, name)?
            .ok_or_else(|| of_owner(damaged(format!("there is no index {name}"))))?
            .read_all(volume, MAX_RECORD_BYTES)?;
        let view = RootView::parse(&root).map_err(of_owner)?;
        let block_size = u64::from(view.block_size);
        if !block_size.is_power_of_two() || !(512..=MAX_INDEX_BLOCK_BYTES).contains(&block_size) {
            return Err(of_owner(damaged("the size of its blocks is none")));
        }
        let collation = Collation::from_number(view.collation)
            .ok_or_else(|| of_owner(damaged("its rule of order is none")))?;
        Ok(Self {
            owner,
            blocks: file.value(volume, kind::INDEX_ALLOCATION, name)?,
            bitmap: file.value(volume, kind::BITMAP, name)?,
            root,
            block_size,
            unit: volume.geometry().index_unit(block_size),
            collation,
        })
    }

    /// The root.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn root(&self) -> Result<RootView<'_>, ParseError> {
        RootView::parse(&self.root)
    }

    /// Bytes of the root.
    pub fn root_length(&self) -> usize {
        self.root.len()
    }

    /// The blocks; `None` where the root holds all entries.
    pub fn blocks(&self) -> Option<&Value> {
        self.blocks.as_ref()
    }

    /// Which blocks are in use.
    pub fn bitmap(&self) -> Option<&Value> {
        self.bitmap.as_ref()
    }

    /// Bytes of a block.
    pub fn block_size(&self) -> u64 {
        self.block_size
    }

    /// Bytes in which children are numbered.
    pub fn unit(&self) -> u64 {
        self.unit
    }

    /// The rule of its order.
    pub fn collation(&self) -> Collation {
        self.collation
    }

    /// Reads a block by its number.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn read_block(
        &self,
        volume: &NtfsVolume<'_>,
        number: Child,
    ) -> Result<IndexBlock, ParseError> {
        let fail = |error: ParseError| error.of_record(self.owner).at(number);
        let outside = || fail(damaged("a block lies outside the index"));
        let blocks = self.blocks.as_ref().ok_or_else(outside)?;
        let offset = number.checked_mul(self.unit).ok_or_else(outside)?;
        if offset >= blocks.size() {
            return Err(outside());
        }
        let mut bytes = vec![0; usize::try_from(self.block_size).map_err(|_| outside())?];
        blocks
            .read_exact_at(volume, &mut bytes, offset)
            .map_err(fail)?;
        let block = IndexBlock::parse(bytes).map_err(fail)?;
        if block.number() != number {
            return Err(fail(damaged(format!(
                "a block says it is {}",
                block.number()
            ))));
        }
        Ok(block)
    }

    /// Finds the entry of a key by the rule of the index.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn find(
        &self,
        volume: &NtfsVolume<'_>,
        key: &[u8],
    ) -> Result<Option<OwnedEntry>, ParseError> {
        let upcase = volume.upcase();
        self.find_by(volume, &|other| self.collation.compare(other, key, upcase))
    }

    /// Finds a name in a directory; without regard to case where `exactly` is not asked for.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn find_name(
        &self,
        volume: &NtfsVolume<'_>,
        name: &[u16],
        exactly: bool,
    ) -> Result<Option<OwnedEntry>, ParseError> {
        let upcase = volume.upcase();
        let fold = |units: &[u16]| {
            units
                .iter()
                .map(|unit| upcase.of(*unit))
                .collect::<Vec<u16>>()
        };
        let wanted = fold(name);
        self.find_by(volume, &|key| {
            let other = FileNameView::parse(key)?.name_units();
            let order = fold(&other).cmp(&wanted);
            Some(if exactly {
                order.then_with(|| other.as_slice().cmp(name))
            } else {
                order
            })
        })
    }

    /// Goes down from the root; `compare` says how a key stands to the one that is looked for, and
    /// nothing for a key that is none.
    fn find_by(
        &self,
        volume: &NtfsVolume<'_>,
        compare: &dyn Fn(&[u8]) -> Option<Ordering>,
    ) -> Result<Option<OwnedEntry>, ParseError> {
        let mut block: Option<IndexBlock> = None;
        for _ in 0..MAX_INDEX_DEPTH {
            let node = match &block {
                None => self.root()?.node,
                Some(block) => block.node()?,
            };
            let mut below = None;
            for entry in node.entries() {
                let entry = entry.map_err(|error| error.of_record(self.owner))?;
                let order = if entry.is_last() {
                    Ordering::Greater
                } else {
                    compare(entry.key)
                        .ok_or_else(|| damaged("a key is none of its rule").of_record(self.owner))?
                };
                if order == Ordering::Equal {
                    return Ok(Some(OwnedEntry(entry.bytes.to_vec())));
                }
                if order == Ordering::Greater {
                    below = entry.child;
                    break;
                }
            }
            let Some(child) = below else {
                return Ok(None);
            };
            block = Some(self.read_block(volume, child)?);
        }
        Err(damaged("it is too deep").of_record(self.owner))
    }

    /// Shows every entry in order, without the last ones of nodes.
    ///
    /// # Errors
    /// `Damaged`, also where blocks lead to each other; `Disk`.
    pub fn walk(&self, volume: &NtfsVolume<'_>, visit: VisitEntry<'_>) -> Result<(), ParseError> {
        let fail = |error: ParseError| error.of_record(self.owner);
        let mut seen = HashSet::new();
        let mut open = vec![Open::new(None, self.root()?.node)];
        while let Some(top) = open.last_mut() {
            let node = match &top.block {
                None => self.root()?.node,
                Some(block) => block.node()?,
            };
            let entry = EntryView::parse(node.bytes, top.offset).map_err(fail)?;
            if let (Some(child), false) = (entry.child, top.is_below_done) {
                top.is_below_done = true;
                if !seen.insert(child) {
                    return Err(fail(damaged("a block is in two places").at(child)));
                }
                if open.len() >= MAX_INDEX_DEPTH {
                    return Err(fail(damaged("it is too deep")));
                }
                let block = self.read_block(volume, child)?;
                let start = block.node()?.entries_offset;
                open.push(Open {
                    block: Some(block),
                    offset: usize::try_from(start).unwrap_or(usize::MAX),
                    is_below_done: false,
                });
                continue;
            }
            if entry.is_last() {
                open.pop();
                continue;
            }
            if visit(&entry).is_break() {
                return Ok(());
            }
            let length = entry.bytes.len();
            top.offset += length;
            top.is_below_done = false;
        }
        Ok(())
    }
}

/// A node whose entries are being shown.
struct Open {
    /// None for the root.
    block: Option<IndexBlock>,
    offset: usize,
    is_below_done: bool,
}

impl Open {
    fn new(block: Option<IndexBlock>, node: Node<'_>) -> Self {
        Self {
            block,
            offset: usize::try_from(node.entries_offset).unwrap_or(usize::MAX),
            is_below_done: false,
        }
    }
}
