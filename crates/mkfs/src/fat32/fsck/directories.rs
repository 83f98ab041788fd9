//! Every directory from the root down: its entries, their names, and what their sizes say of their
//! clusters.

use std::collections::HashSet;

use blockio::ByteOffset;
use zerocopy::FromBytes;

use super::super::format::{
    ATTRIBUTE_DIRECTORY, ATTRIBUTE_LABEL, ATTRIBUTE_LONG_NAME, MAX_SLOTS, SLOT_BYTES, ShortEntry,
};
use super::super::upcase::upcase;
use super::Context;
use super::chains::{Chain, follow};
use super::long_names::LongName;
use crate::error::MkfsError;
use crate::findings::VolumeFinding;

/// Directories that a path leads through.
const MAX_DEPTH: usize = 256;
const DELETED: u8 = 0xE5;
/// Attribute bits that mean something.
const ATTRIBUTES: u8 = 0x3F;
const DOT: [u8; 11] = *b".          ";
const DOT_DOT: [u8; 11] = *b"..         ";

/// A directory to be gone through.
struct Pending {
    path: String,
    depth: usize,
    first: u32,
    /// What its `..` must name; none in the root, which has no such entry.
    parent: Option<u32>,
    clusters: Vec<u32>,
}

/// Goes through all directories.
pub(super) fn check(context: &mut Context<'_>) -> Result<(), MkfsError> {
    let root = context.layout.root;
    let chain = follow_directory(context, "/", root);
    let mut pending = vec![Pending {
        path: String::new(),
        depth: 0,
        first: root,
        parent: None,
        clusters: chain.clusters,
    }];
    while let Some(directory) = pending.pop() {
        context.report.directories += 1;
        context.tell()?;
        check_directory(context, &directory, &mut pending)?;
    }
    Ok(())
}

fn most_clusters(context: &Context<'_>) -> u64 {
    let most = u64::from(MAX_SLOTS) * 32;
    most.div_ceil(context.layout.cluster_bytes())
}

/// The clusters of a directory; no more than a directory may have.
fn follow_directory(context: &mut Context<'_>, path: &str, first: u32) -> Chain {
    let most = most_clusters(context);
    let chain = follow(context, path, first, usize::try_from(most).unwrap_or(1));
    if chain.length > most {
        let finding = VolumeFinding::error("directory-long", "the directory is too long").at(path);
        let finding = finding.of(u64::from(first));
        context.add(finding.versus(format_args!("{most} clusters"), chain.length));
    }
    chain
}

/// What is remembered from entry to entry of a directory.
struct Scan<'p> {
    directory: &'p Pending,
    long: Option<LongName>,
    short_names: HashSet<[u8; 11]>,
    long_names: HashSet<Vec<u16>>,
    labels: u32,
    /// Entries so far, deleted ones counted.
    index: u64,
}

fn check_directory(
    context: &mut Context<'_>,
    directory: &Pending,
    pending: &mut Vec<Pending>,
) -> Result<(), MkfsError> {
    let mut scan = Scan {
        directory,
        long: None,
        short_names: HashSet::new(),
        long_names: HashSet::new(),
        labels: 0,
        index: 0,
    };
    let size = usize::try_from(context.layout.cluster_bytes()).unwrap_or(0);
    let mut bytes = vec![0; size];
    'clusters: for cluster in &directory.clusters {
        let position = context.layout.position(*cluster);
        context.disk.read_at(&mut bytes, ByteOffset(position))?;
        for slot in bytes.chunks_exact(SLOT_BYTES) {
            if slot[0] == 0 {
                break 'clusters;
            }
            scan.slot(context, slot, pending);
            scan.index += 1;
        }
    }
    scan.drop_long(context);
    if directory.parent.is_some() && scan.index < 2 {
        scan.error(
            context,
            "dot-entry",
            "the directory has not its first two entries".into(),
        );
    }
    if scan.labels > 1 {
        scan.error(
            context,
            "label",
            "the volume has more than one label".into(),
        );
    }
    Ok(())
}

impl Scan<'_> {
    fn path(&self) -> &str {
        if self.directory.path.is_empty() {
            "/"
        } else {
            &self.directory.path
        }
    }

    fn error(&self, context: &mut Context<'_>, class: &'static str, message: String) {
        let finding = VolumeFinding::error(class, message).at(self.path());
        context.add(finding.of(u64::from(self.directory.first)));
    }

    /// Pieces of a long name that no short name follows.
    fn drop_long(&mut self, context: &mut Context<'_>) {
        if self.long.take().is_some() {
            self.error(
                context,
                "long-name",
                "pieces of a long name belong to no entry".into(),
            );
        }
    }

    fn slot(&mut self, context: &mut Context<'_>, slot: &[u8], pending: &mut Vec<Pending>) {
        if slot[0] == DELETED {
            return self.drop_long(context);
        }
        if slot[11] & ATTRIBUTES == ATTRIBUTE_LONG_NAME {
            let taken = LongName::take(&mut self.long, slot);
            if !taken {
                self.error(
                    context,
                    "long-name",
                    "the pieces of a long name are out of order".into(),
                );
            }
            return;
        }
        let Ok(entry) = ShortEntry::read_from_bytes(slot) else {
            return;
        };
        let long = self.long.take();
        let name = self.name(context, &entry, long);
        if entry.attributes & ATTRIBUTE_LABEL != 0 {
            self.labels += 1;
            if self.directory.parent.is_some() {
                self.error(
                    context,
                    "label",
                    "a label stands in a directory that is not the root".into(),
                );
            }
            if first_cluster(&entry) != 0 || entry.size.get() != 0 {
                self.error(context, "label", "a label has clusters or a size".into());
            }
            return;
        }
        if entry.name == DOT
            || entry.name == DOT_DOT
            || (self.directory.parent.is_some() && self.index < 2)
        {
            return self.dot(context, &entry);
        }
        self.names(context, &entry, &name);
        self.content(context, &entry, &name, pending);
    }

    /// The name of an entry: the long one where there is one that belongs to it.
    fn name(
        &self,
        context: &mut Context<'_>,
        entry: &ShortEntry,
        long: Option<LongName>,
    ) -> Vec<u16> {
        let short = short_units(&entry.name);
        let Some(long) = long else {
            return short;
        };
        match long.finish(&entry.name) {
            Ok(units) => units,
            Err(problem) => {
                let shown = String::from_utf16_lossy(&short).escape_debug().to_string();
                self.error(
                    context,
                    "long-name",
                    format!("the long name of {shown} {problem}"),
                );
                short
            }
        }
    }

    /// `.` and `..`, the first two entries of every directory but the root.
    fn dot(&self, context: &mut Context<'_>, entry: &ShortEntry) {
        let is_right = match (self.directory.parent, self.index) {
            (Some(_), 0) => entry.name == DOT && first_cluster(entry) == self.directory.first,
            (Some(parent), 1) => entry.name == DOT_DOT && first_cluster(entry) == parent,
            _ => false,
        };
        if !is_right || entry.attributes & ATTRIBUTE_DIRECTORY == 0 {
            let message = format!("entry {} is not the . or .. that it should be", self.index);
            self.error(context, "dot-entry", message);
        }
        if entry.size.get() != 0 {
            let message = format!("entry {} is a directory with a size", self.index);
            self.error(context, "directory-size", message);
        }
    }

    /// Dates and times that there are; zeros where none was noted.
    fn times(&self, context: &mut Context<'_>, entry: &ShortEntry, shown: &str) {
        let is_date = |date: u16| {
            date == 0 || ((1..=12).contains(&(date >> 5 & 15)) && (1..=31).contains(&(date & 31)))
        };
        let is_time = |time: u16| time >> 11 < 24 && time >> 5 & 63 < 60 && time & 31 < 30;
        let is_right = is_date(entry.created_date.get())
            && is_date(entry.accessed_date.get())
            && is_date(entry.modified_date.get())
            && is_time(entry.created_time.get())
            && is_time(entry.modified_time.get())
            && entry.created_fine < 200;
        if !is_right {
            let message = format!("{shown} has a date or a time that there is not");
            let finding = VolumeFinding::warning("time", message).at(self.path());
            context.add(finding.of(u64::from(self.directory.first)));
        }
    }

    /// Names by themselves, and against each other.
    fn names(&mut self, context: &mut Context<'_>, entry: &ShortEntry, name: &[u16]) {
        let shown = String::from_utf16_lossy(name).escape_debug().to_string();
        if !is_short_name(&entry.name) {
            let message = format!("the short name of {shown} holds what no short name may");
            self.error(context, "name-character", message);
        }
        let is_refused = |unit: &u16| {
            *unit < 0x20
                || char::from_u32(u32::from(*unit))
                    .is_some_and(|letter| "\"*/:<>?\\|".contains(letter))
        };
        if name.iter().any(is_refused) {
            let message = format!("the name {shown} holds a character that no name has");
            self.error(context, "name-character", message);
        }
        let folded: Vec<u16> = name.iter().map(|unit| upcase(*unit)).collect();
        let is_new = self.short_names.insert(entry.name);
        let is_new_long = self.long_names.insert(folded);
        if !is_new || !is_new_long {
            self.error(
                context,
                "name-duplicate",
                format!("the name {shown} is there twice"),
            );
        }
        if entry.attributes & !ATTRIBUTES != 0 {
            let message = format!("{shown} has unknown attributes");
            self.error(context, "entry-attributes", message);
        }
        self.times(context, entry, &shown);
    }

    /// The clusters of a file or directory.
    fn content(
        &self,
        context: &mut Context<'_>,
        entry: &ShortEntry,
        name: &[u16],
        pending: &mut Vec<Pending>,
    ) {
        let path = format!("{}/{}", self.directory.path, String::from_utf16_lossy(name));
        let first = first_cluster(entry);
        let size = u64::from(entry.size.get());
        let error = |class, message: &str| {
            VolumeFinding::error(class, message)
                .at(&path)
                .of(u64::from(first))
        };
        if entry.attributes & ATTRIBUTE_DIRECTORY == 0 {
            context.report.files += 1;
            let needed = size.div_ceil(context.layout.cluster_bytes());
            let length = match first {
                0 => 0,
                _ => follow(context, &path, first, 0).length,
            };
            if length != needed {
                let (class, message) = if length < needed {
                    (
                        "chain-short",
                        "the file has fewer clusters than its size needs",
                    )
                } else {
                    (
                        "chain-long",
                        "the file has more clusters than its size needs",
                    )
                };
                context.add(error(class, message).versus(needed, length));
            }
            return;
        }
        if size != 0 {
            context.add(error("directory-size", "a directory has a size").versus(0, size));
        }
        if first == 0 || self.directory.depth >= MAX_DEPTH {
            context.add(error(
                "entry-cluster",
                "the directory has no clusters, or lies too deep",
            ));
            return;
        }
        let chain = follow_directory(context, &path, first);
        if chain.clusters.is_empty() {
            return;
        }
        let own = self.directory.first;
        pending.push(Pending {
            path,
            depth: self.directory.depth + 1,
            first,
            // The root is named by a zero.
            parent: Some(if self.directory.parent.is_none() {
                0
            } else {
                own
            }),
            clusters: chain.clusters,
        });
    }
}

fn first_cluster(entry: &ShortEntry) -> u32 {
    u32::from(entry.cluster_high.get()) << 16 | u32::from(entry.cluster_low.get())
}

/// A short name with its dot, each byte a letter.
fn short_units(name: &[u8; 11]) -> Vec<u16> {
    let (stem, extension) = name.split_at(8);
    let trimmed = |part: &[u8]| {
        let end = part
            .iter()
            .rposition(|byte| *byte != b' ')
            .map_or(0, |at| at + 1);
        part[..end]
            .iter()
            .map(|byte| u16::from(*byte))
            .collect::<Vec<_>>()
    };
    let mut units = trimmed(stem);
    let extension = trimmed(extension);
    if !extension.is_empty() {
        units.push(u16::from(b'.'));
        units.extend(extension);
    }
    units
}

/// Whether a short name holds only what one may ([FAT] "FAT Directory Structure", DIR_Name).
fn is_short_name(name: &[u8; 11]) -> bool {
    let is_refused = |byte: &u8| {
        (*byte < 0x20 && *byte != 5)
            || byte.is_ascii_lowercase()
            || b"\"*+,./:;<=>?[\\]|".contains(byte)
    };
    let padded = |part: &[u8]| {
        let end = part
            .iter()
            .position(|byte| *byte == b' ')
            .unwrap_or(part.len());
        // Blanks within are seen, if rarely.
        end > 0 || part.iter().all(|byte| *byte == b' ')
    };
    name[0] != b' ' && !name.iter().any(is_refused) && padded(&name[8..])
}
