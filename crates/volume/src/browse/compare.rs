//! Which files differ between two states of a file system.
//!
//! Content is read where the file system does not vouch for it: on NTFS every change of a file
//! changes the time in its record, on FAT a change may leave no trace but the bytes.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;

use super::{
    BrowseError, ContentSink, Details, Entry, EntryKind, FileSystem, FileSystemView, MAX_DEPTH,
    Place, Result,
};

/// How an entry differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryChange {
    /// It is there afterwards only.
    Added,
    /// It was there before only.
    Removed,
    /// Its content differs, or that of a stream, or where the link points.
    Content,
    /// Its times, attributes, names or access control differ, and its content does not.
    Metadata,
}

/// An entry that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedEntry {
    /// Its path.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// How it differs.
    pub change: EntryChange,
    /// Size of the content before, of a file that was there.
    pub size_before: Option<u64>,
    /// Size of the content afterwards, of a file that is there.
    pub size_after: Option<u64>,
}

/// Is shown what differs; `Break` ends the comparison.
pub type OnChange<'c> = &'c mut dyn FnMut(ChangedEntry) -> ControlFlow<()>;

/// Shows every file and directory that differs. Of what was added or removed, all below it is shown
/// too. Directories are not shown for having other entries.
///
/// # Errors
/// `Unsupported` where the two hold different file systems, `Interrupted` where `visit` ends it,
/// `Damaged`, `Io`.
pub fn compare(
    before: &mut dyn FileSystemView,
    after: &mut dyn FileSystemView,
    visit: OnChange<'_>,
) -> Result<()> {
    if before.file_system() != after.file_system() {
        return Err(BrowseError::Unsupported {
            path: "/".to_owned(),
            what: "a comparison of two kinds of file systems",
        });
    }
    let root = Place::new("/")?;
    // Far beyond any honest disk: the walk through one that is not ends.
    let mut left = before.max_entries().saturating_add(after.max_entries());
    let mut open = vec![(Some(root.clone()), Some(root), 0_usize)];
    while let Some((was, is, depth)) = open.pop() {
        let listed = |view: &mut dyn FileSystemView, place: &Option<Place>| match place {
            Some(place) => view.list_at(place),
            None => Ok(Vec::new()),
        };
        let pairs = pair(listed(before, &was)?, listed(after, &is)?);
        let details = both_details(before, after, &pairs)?;
        let some = was.as_ref().or(is.as_ref());
        for ((was_entry, is_entry), details) in pairs.iter().zip(details) {
            let child = |place: &Option<Place>, entry: &Option<Entry>| {
                Some(place.as_ref()?.child(entry.as_ref()?))
            };
            let (was, is) = (child(&was, was_entry), child(&is, is_entry));
            left = match left.checked_sub(1) {
                Some(left) if depth < MAX_DEPTH => left,
                _ => {
                    return Err(BrowseError::Damaged {
                        path: some.map_or("/", Place::path).to_owned(),
                        reason: "folders lie too deep or hold each other".to_owned(),
                    });
                }
            };
            let mut comparison = Pair {
                before: &mut *before,
                after: &mut *after,
                was: was.as_ref().zip(was_entry.as_ref()),
                is: is.as_ref().zip(is_entry.as_ref()),
            };
            for change in comparison.changes(details)? {
                if visit(change).is_break() {
                    return Err(BrowseError::Interrupted);
                }
            }
            let folder = |place: Option<Place>, entry: &Option<Entry>| {
                place.filter(|_| {
                    let kind = entry.as_ref().map(|entry| entry.kind);
                    kind == Some(EntryKind::Directory)
                })
            };
            let (was, is) = (folder(was, was_entry), folder(is, is_entry));
            if was.is_some() || is.is_some() {
                open.push((was, is, depth + 1));
            }
        }
    }
    Ok(())
}

type Pairs = Vec<(Option<Entry>, Option<Entry>)>;
type DetailPair = (Option<Details>, Option<Details>);

/// Entries of one name side by side.
fn pair(before: Vec<Entry>, after: Vec<Entry>) -> Pairs {
    let mut pairs: BTreeMap<String, (Option<Entry>, Option<Entry>)> = BTreeMap::new();
    for entry in before {
        let sides = pairs.entry(entry.name.clone()).or_default();
        sides.0 = Some(entry);
    }
    for entry in after {
        let sides = pairs.entry(entry.name.clone()).or_default();
        sides.1 = Some(entry);
    }
    pairs.into_values().collect()
}

/// The details of entries that are on both sides.
fn both_details(
    before: &mut dyn FileSystemView,
    after: &mut dyn FileSystemView,
    pairs: &Pairs,
) -> Result<Vec<DetailPair>> {
    let both = |pair: &&(Option<Entry>, Option<Entry>)| pair.0.is_some() && pair.1.is_some();
    let shared: Vec<_> = pairs.iter().filter(both).collect();
    let was: Vec<Entry> = shared.iter().filter_map(|pair| pair.0.clone()).collect();
    let is: Vec<Entry> = shared.iter().filter_map(|pair| pair.1.clone()).collect();
    let mut was = before.details(&was)?.into_iter();
    let mut is = after.details(&is)?.into_iter();
    let details = pairs.iter().map(|pair| match both(&pair) {
        true => (was.next().flatten(), is.next().flatten()),
        false => (None, None),
    });
    Ok(details.collect())
}

struct Pair<'a> {
    before: &'a mut dyn FileSystemView,
    after: &'a mut dyn FileSystemView,
    was: Option<(&'a Place, &'a Entry)>,
    is: Option<(&'a Place, &'a Entry)>,
}

impl Pair<'_> {
    fn changes(&mut self, details: DetailPair) -> Result<Vec<ChangedEntry>> {
        let (was, is) = match (self.was, self.is) {
            (Some(was), Some(is)) if was.1.kind == is.1.kind => (was, is),
            (was, is) => {
                let removed = was.map(|was| changed(Some(was), None, EntryChange::Removed));
                let added = is.map(|is| changed(None, Some(is), EntryChange::Added));
                return Ok(removed.into_iter().chain(added).collect());
            }
        };
        let (Some(was_details), Some(is_details)) = details else {
            return Err(BrowseError::Damaged {
                path: is.0.path().to_owned(),
                reason: "its record cannot be read".to_owned(),
            });
        };
        let is_folder = is.1.kind == EntryKind::Directory;
        let metadata_differ = was.1.attributes != is.1.attributes
            || was_details.created != is_details.created
            || was_details.security != is_details.security
            || (!is_folder
                && (was.1.modified != is.1.modified
                    || was_details.changed != is_details.changed
                    || was_details.links != is_details.links));
        let change = if self.content_differs(was, is, &was_details, &is_details, metadata_differ)? {
            EntryChange::Content
        } else if metadata_differ {
            EntryChange::Metadata
        } else {
            return Ok(Vec::new());
        };
        Ok(vec![changed(Some(was), Some(is), change)])
    }

    fn content_differs(
        &mut self,
        was: (&Place, &Entry),
        is: (&Place, &Entry),
        was_details: &Details,
        is_details: &Details,
        metadata_differ: bool,
    ) -> Result<bool> {
        if was_details.streams != is_details.streams {
            return Ok(true);
        }
        // Directories may have streams, and their times say nothing of those.
        let is_vouched_for =
            self.before.file_system() == FileSystem::Ntfs && is.1.kind != EntryKind::Directory;
        if is_vouched_for && !metadata_differ {
            return Ok(false);
        }
        match is.1.kind {
            EntryKind::Symlink => {
                if self.before.read_link_at(was.0)? != self.after.read_link_at(is.0)? {
                    return Ok(true);
                }
            }
            EntryKind::File => {
                if was.1.size != is.1.size || self.digests_differ(was.0, is.0, None)? {
                    return Ok(true);
                }
            }
            EntryKind::Directory | EntryKind::Other => {}
        }
        for stream in &is_details.streams {
            if self.digests_differ(was.0, is.0, Some(&stream.name))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn digests_differ(&mut self, was: &Place, is: &Place, stream: Option<&str>) -> Result<bool> {
        let digest = |view: &mut dyn FileSystemView, place: &Place| {
            let mut sink = Digest(blake3::Hasher::new());
            match stream {
                None => view.read_at(place, &mut sink)?,
                Some(stream) => view.read_stream_at(place, stream, &mut sink)?,
            };
            Ok::<_, BrowseError>(sink.0.finalize())
        };
        Ok(digest(self.before, was)? != digest(self.after, is)?)
    }
}

fn changed(
    was: Option<(&Place, &Entry)>,
    is: Option<(&Place, &Entry)>,
    change: EntryChange,
) -> ChangedEntry {
    let size = |side: Option<(&Place, &Entry)>| {
        side.filter(|(_, entry)| entry.kind == EntryKind::File)
            .map(|(_, entry)| entry.size)
    };
    let some = is.or(was);
    ChangedEntry {
        path: some.map_or("/", |(place, _)| place.path()).to_owned(),
        kind: some.map_or(EntryKind::Other, |(_, entry)| entry.kind),
        change,
        size_before: size(was),
        size_after: size(is),
    }
}

/// A sink that keeps a digest of what it takes.
struct Digest(blake3::Hasher);

impl ContentSink for Digest {
    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.update(bytes);
        Ok(())
    }

    fn hole(&mut self, len: u64) -> io::Result<()> {
        const ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];
        let mut left = len;
        while left > 0 {
            let piece = usize::try_from(left).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            self.0.update(&ZEROS[..piece]);
            left = left.saturating_sub(u64::try_from(piece).unwrap_or(left));
        }
        Ok(())
    }
}
