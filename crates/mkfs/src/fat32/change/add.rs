//! Trees coming into a FAT32 volume.

use std::collections::HashMap;
use std::io;

use blockio::ByteCount;

use super::{Fat32Change, Found, SETTABLE, file_attributes};
use crate::change::{ChangeError, Meter, PathNames};
use crate::fat32::MAX_FILE_BYTES;
use crate::fat32::entry::{self, EntryFields};
use crate::fat32::format::ATTRIBUTE_DIRECTORY;
use crate::fat32::upcase::upcase;
use crate::names::{CasePolicy, NameRules, SiblingNames};
use crate::report::{BuildReport, SkipReason, Skipped};
use crate::tree::{
    EntryKind, FileContent, NodeId, NodeName, TreeEntry, TreeError, TreeErrorKind, TreeSource,
};

/// Bytes written at once.
const CHUNK: u64 = 1 << 20;

/// A directory of the source and what became of it.
struct Place {
    cluster: u32,
    siblings: SiblingNames,
    path: String,
}

impl Fat32Change<'_> {
    /// Adds a tree to a directory. Directories that exist are filled, files that exist replaced;
    /// what FAT32 cannot hold is left out and listed.
    pub(crate) fn add_tree(
        &mut self,
        directory: &PathNames,
        source: &mut dyn TreeSource,
        meter: &mut Meter<'_>,
    ) -> Result<BuildReport, ChangeError> {
        let cluster = self.resolve_directory(directory)?;
        let path = if directory.is_top() {
            String::new()
        } else {
            directory.to_string()
        };
        let root = Place {
            cluster,
            siblings: SiblingNames::new(),
            path,
        };
        let mut places = HashMap::from([(NodeId::ROOT, root)]);
        let mut report = BuildReport::default();
        while let Some(entry) = source.next_entry()? {
            self.add_entry(&mut places, entry, &mut report, meter)?;
            meter.entries += 1;
            if meter.tell().is_break() {
                return Err(ChangeError::Interrupted);
            }
        }
        report.bytes = ByteCount(meter.bytes);
        Ok(report)
    }

    fn add_entry(
        &mut self,
        places: &mut HashMap<NodeId, Place>,
        mut entry: TreeEntry,
        report: &mut BuildReport,
        meter: &mut Meter<'_>,
    ) -> Result<(), ChangeError> {
        let kind = std::mem::replace(&mut entry.kind, EntryKind::Directory);
        let skipped = match &kind {
            EntryKind::Directory | EntryKind::File(_) => None,
            EntryKind::Symlink { .. } => Some(SkipReason::SymlinkUnsupported),
            EntryKind::HardLink { .. } => Some(SkipReason::HardLinkUnsupported),
            EntryKind::Stream(_) => Some(SkipReason::StreamUnsupported),
            EntryKind::ReparsePoint { .. } => Some(SkipReason::ReparsePointUnsupported),
        };
        let Some(place) = places.get_mut(&entry.parent) else {
            if let Some(reason) = skipped {
                report.skipped.push(Skipped {
                    path: entry.name.to_string(),
                    reason,
                });
                return Ok(());
            }
            let reason = "its directory did not come before it";
            return Err(
                TreeError::new(TreeErrorKind::Malformed, entry.name.to_string(), reason).into(),
            );
        };
        let path = format!("{}/{}", place.path, entry.name);
        if let Some(reason) = skipped {
            report.skipped.push(Skipped { path, reason });
            return Ok(());
        }
        let rules = NameRules {
            policy: self.options.name_policy,
            upcase: &upcase,
            case: CasePolicy::Rename,
        };
        let notes = &mut report.name_notes;
        let name = place
            .siblings
            .admit(&entry.name, &rules, &|| path.clone(), notes)?
            .name;
        let parent = place.cluster;
        let existing = self.lookup(parent, name.units())?;
        match kind {
            EntryKind::File(content) => {
                self.add_file(parent, &name, existing, &entry, content, &path, meter)?;
                report.files += 1;
            }
            _ => {
                let cluster = match existing {
                    Some(found) if found.entry.is_directory() => self.cluster_of(&found.entry),
                    Some(_) => {
                        return Err(ChangeError::WrongKind {
                            path,
                            is: "not a directory",
                        });
                    }
                    None => {
                        let bits = entry.attributes.bits() & SETTABLE & !0x20;
                        let bits = u8::try_from(bits).unwrap_or(0);
                        self.new_directory(parent, &name, bits, entry.times)?
                    }
                };
                report.directories += 1;
                places.insert(
                    entry.id,
                    Place {
                        cluster,
                        siblings: SiblingNames::new(),
                        path,
                    },
                );
            }
        }
        Ok(())
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "each is another part of one entry"
    )]
    fn add_file(
        &mut self,
        parent: u32,
        name: &NodeName,
        existing: Option<Found>,
        entry: &TreeEntry,
        content: FileContent,
        path: &str,
        meter: &mut Meter<'_>,
    ) -> Result<(), ChangeError> {
        if existing
            .as_ref()
            .is_some_and(|found| found.entry.is_directory())
        {
            return Err(ChangeError::WrongKind {
                path: path.to_owned(),
                is: "a directory",
            });
        }
        let size = u32::try_from(content.size.get()).map_err(|_| ChangeError::FileTooLarge {
            path: path.to_owned(),
            size: content.size,
            limit: ByteCount(MAX_FILE_BYTES),
        })?;
        let first_cluster = self.store_content(content, path, meter)?;
        let times = entry.times;
        let attributes = file_attributes(entry.attributes);
        let fields = EntryFields {
            attributes,
            first_cluster,
            size,
            times,
        };
        let mut short = Vec::new();
        entry::append_short(&mut short, [b' '; 11], &fields);
        let Some(found) = existing else {
            return self.insert(parent, name, &short);
        };
        self.give_content(&found.entry)?;
        let mut bytes = found.entry.short;
        // The name stays, and with it the case in which a short one is shown.
        bytes[11] = attributes & !ATTRIBUTE_DIRECTORY;
        bytes[18..].copy_from_slice(&short[18..]);
        self.rewrite(&found, bytes)
    }

    /// Stores content in free clusters; returns the first, 0 for none. FAT has no holes.
    fn store_content(
        &mut self,
        mut content: FileContent,
        path: &str,
        meter: &mut Meter<'_>,
    ) -> Result<u32, ChangeError> {
        if !content.is_well_formed() {
            let reason = "its data does not lie within its size, in order";
            return Err(TreeError::new(TreeErrorKind::Malformed, path, reason).into());
        }
        let size = content.size.get();
        let runs = self
            .clusters
            .take(&mut self.disk, size.div_ceil(self.layout.cluster))?;
        let islands = content.islands.clone();
        let mut islands = islands.iter().peekable();
        let mut at = 0;
        for run in &runs {
            let start = self.layout.place(run.first)?;
            let end = at + u64::from(run.count) * self.layout.cluster;
            let begin = at;
            while at < end {
                let to = (at + CHUNK).min(end);
                let mut buffer = vec![0; usize::try_from(to - at).unwrap_or(0)];
                while let Some(island) = islands.peek().filter(|island| island.start().get() < to) {
                    let (from, until) = (island.start().get().max(at), island.end().get().min(to));
                    let index =
                        |position: u64| usize::try_from(position - at).unwrap_or(usize::MAX);
                    let piece = &mut buffer[index(from)..index(until)];
                    content
                        .reader
                        .read_exact(piece)
                        .map_err(|error| failed(error, path))?;
                    meter.bytes += until - from;
                    if island.end().get() > to {
                        break;
                    }
                    islands.next();
                }
                if meter.tell().is_break() {
                    return Err(ChangeError::Interrupted);
                }
                self.disk.write_data(&buffer, start + (at - begin))?;
                at = to;
            }
        }
        Ok(runs.first().map_or(0, |run| run.first))
    }
}

fn failed(error: io::Error, path: &str) -> ChangeError {
    let is_short = error.kind() == io::ErrorKind::UnexpectedEof
        && error.get_ref().is_none_or(|inner| !inner.is::<TreeError>());
    if is_short {
        let reason = "it ended before the size it had";
        return TreeError::new(TreeErrorKind::Changed, path, reason).into();
    }
    TreeError::from_read(error, || path.to_owned()).into()
}
