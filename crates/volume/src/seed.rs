//! Builds that repeat byte by byte: a seed over everything that goes in. (Times past the epoch are
//! held at it by the source.)

use std::io::Read;

use blockio::ByteCount;
use mkfs::tree::{FileContent, Times};
use mkfs::{
    Amendment, EntryKind, SecurityDescriptor, TreeEntry, TreeError, TreeSource, TreeTotals,
};

use crate::error::{Result, VolumeError};
use crate::lifecycle::CreateRequest;
use crate::progress::{OnProgress, Progress, Stage};

/// Keeps these seeds apart from every other use of the hash.
const CONTEXT: &str = "cvol 2026-11 seed of a reproducible volume, version 1";
/// How much of a file is read at once.
const BUFFER_SIZE: usize = 256 * 1024;

/// A tree whose totals are those that were counted in a first pass: what the host says beforehand
/// (blocks in use, say) may differ from one build to the next.
pub(crate) struct Counted<'a> {
    tree: &'a mut dyn TreeSource,
    totals: Option<TreeTotals>,
}

impl<'a> Counted<'a> {
    /// The same tree with `totals`; with its own where there are none.
    pub(crate) fn new(tree: &'a mut dyn TreeSource, totals: Option<TreeTotals>) -> Self {
        Self { tree, totals }
    }
}

impl TreeSource for Counted<'_> {
    fn next_entry(&mut self) -> std::result::Result<Option<TreeEntry>, TreeError> {
        self.tree.next_entry()
    }

    fn root_times(&self) -> Option<Times> {
        self.tree.root_times()
    }

    fn root_security(&self) -> Option<SecurityDescriptor> {
        self.tree.root_security()
    }

    fn totals(&self) -> Option<TreeTotals> {
        self.totals.or_else(|| self.tree.totals())
    }

    fn amendments(&mut self) -> Vec<Amendment> {
        self.tree.amendments()
    }
}

/// The seed: a hash of the request and of the whole tree (names, kinds, times, attributes, sizes,
/// holes, contents). Where the tree lies and when it was read does not count.
pub(crate) fn seed(
    request: &CreateRequest,
    epoch: u64,
    tree: Option<&mut dyn TreeSource>,
    progress: OnProgress<'_>,
) -> Result<([u8; 32], TreeTotals)> {
    let mut hash = FramedHash(blake3::Hasher::new_derive_key(CONTEXT));
    hash.bytes(request.spec.to_string().as_bytes());
    hash.bytes(request.name.as_str().as_bytes());
    hash.number(request.labels.len().try_into().unwrap_or(u64::MAX));
    for (key, value) in &request.labels {
        hash.bytes(key.as_bytes());
        hash.bytes(value.as_bytes());
    }
    let policies = (request.name_policy, request.case_policy, request.dos_names);
    hash.bytes(format!("{policies:?}").as_bytes());
    hash.number(epoch);
    if let Some(seed) = &request.seed {
        hash.bytes(seed.as_bytes());
    }
    let totals = match tree {
        Some(tree) => hash_tree(&mut hash, tree, progress)?,
        None => TreeTotals::default(),
    };
    Ok((*hash.0.finalize().as_bytes(), totals))
}

/// A hash of values of which none can run into the next.
struct FramedHash(blake3::Hasher);

impl FramedHash {
    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len().try_into().unwrap_or(u64::MAX));
        self.0.update(bytes);
    }

    fn units(&mut self, units: &[u16]) {
        self.number(units.len().try_into().unwrap_or(u64::MAX));
        for unit in units {
            self.0.update(&unit.to_le_bytes());
        }
    }

    fn times(&mut self, times: &Times) {
        for time in [times.created, times.modified, times.changed, times.accessed] {
            self.number(time.ticks());
        }
    }
}

fn hash_tree(
    hash: &mut FramedHash,
    tree: &mut dyn TreeSource,
    progress: OnProgress<'_>,
) -> Result<TreeTotals> {
    let mut totals = TreeTotals::default();
    let mut done = Progress {
        stage: Stage::Hashing,
        bytes: 0,
        files: 0,
    };
    let mut buffer = vec![0; BUFFER_SIZE];
    if let Some(times) = tree.root_times() {
        hash.times(&times);
    }
    if let Some(security) = tree.root_security() {
        hash.bytes(security.as_bytes());
    }
    while let Some(entry) = tree.next_entry().map_err(VolumeError::Source)? {
        totals.entries = totals.entries.saturating_add(1);
        hash.number(u64::from(entry.parent.0));
        hash.number(u64::from(entry.id.0));
        hash.units(entry.name.units());
        hash.times(&entry.times);
        hash.number(u64::from(entry.attributes.bits()));
        match &entry.security {
            Some(security) => hash.bytes(security.as_bytes()),
            None => hash.bytes(b""),
        }
        match entry.kind {
            EntryKind::Directory => hash.bytes(b"directory"),
            EntryKind::Symlink { target, directory } => {
                hash.bytes(b"symlink");
                hash.units(&target);
                hash.number(u64::from(directory));
            }
            EntryKind::File(content) => {
                hash.bytes(b"file");
                hash_content(hash, content, &mut buffer, &mut done, progress)?;
                done.files += 1;
            }
            EntryKind::HardLink { target } => {
                hash.bytes(b"hard link");
                hash.number(u64::from(target.0));
            }
            EntryKind::Stream(content) => {
                hash.bytes(b"stream");
                hash_content(hash, content, &mut buffer, &mut done, progress)?;
            }
            EntryKind::ReparsePoint { data, directory } => {
                hash.bytes(b"reparse point");
                hash.bytes(&data);
                hash.number(u64::from(directory));
            }
            _ => {
                return Err(VolumeError::Request(
                    "the source holds an unknown kind of entry",
                ));
            }
        }
        if progress(done).is_break() {
            return Err(VolumeError::Interrupted);
        }
    }
    for amendment in tree.amendments() {
        hash.number(u64::from(amendment.directory.0));
        hash.times(&amendment.times);
        hash.number(u64::from(amendment.attributes.bits()));
        let security = amendment.security.as_ref();
        hash.bytes(security.map_or(&[], SecurityDescriptor::as_bytes));
    }
    totals.data = ByteCount(done.bytes);
    Ok(totals)
}

fn hash_content(
    hash: &mut FramedHash,
    mut content: FileContent,
    buffer: &mut [u8],
    done: &mut Progress,
    progress: OnProgress<'_>,
) -> Result<()> {
    hash.number(content.size.get());
    hash.number(content.islands.len().try_into().unwrap_or(u64::MAX));
    for island in &content.islands {
        hash.number(island.start().get());
        hash.number(island.len().get());
    }
    loop {
        let count = match content.reader.read(buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(VolumeError::Source(TreeError::from_read(error, || {
                    "a file".to_owned()
                })));
            }
        };
        hash.0.update(&buffer[..count]);
        done.bytes = done
            .bytes
            .saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if progress(*done).is_break() {
            return Err(VolumeError::Interrupted);
        }
    }
    // The islands tell how many bytes should have come; the count closes the frame all the same.
    hash.number(done.bytes);
    Ok(())
}
