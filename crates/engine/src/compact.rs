//! Compacting a volume or an image file: what its file systems do not use gives its space back.

use std::fs;
use std::path::{Path, PathBuf};

use blockio::{ByteCount, ByteOffset, FileAccess, FileStorage};
use vdisk::ImageInfo;
use volume::{CompactOptions, Compacted};

use crate::Engine;
use crate::change::options;
use crate::error::{Error, Result};
use crate::image::ImageReference;
use crate::progress::{Progress, ProgressFn};
use crate::volumes::volume_name;

/// Files beside an image that are looked at, whether they are its children.
const MAX_NEIGHBOURS: usize = 10_000;
/// Extensions of files that may be children.
const CHILD_EXTENSIONS: [&str; 4] = ["vhdx", "avhdx", "vhd", "avhd"];

/// What a compaction won, or would win.
#[derive(Clone, Debug)]
pub struct CompactedImage {
    /// The volume or image as the caller named it.
    pub name: String,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Bytes of the disk that are used, as far as is known.
    pub used: ByteCount,
    /// Each partition, in the order of its table.
    pub parts: Vec<CompactedPart>,
    /// Length of the file before and after.
    pub length: (ByteCount, ByteCount),
    /// Bytes that the host keeps for the file before and after.
    pub stored: (ByteCount, ByteCount),
    /// Blocks in the file before and after; 0 where it has none.
    pub blocks: (u64, u64),
    /// Blocks that moved.
    pub moved: u64,
    /// Blocks that hold nothing and keep their space: those of a VHD child over data of its parent.
    pub kept: u64,
    /// Bytes of file systems that were moved out of blocks that were nearly empty, at most.
    pub packed: ByteCount,
    /// Whether Windows did it, which has the image open.
    pub by_system: bool,
}

/// What is to be compacted, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactImage {
    /// The volume or image.
    pub image: ImageReference,
    /// Change nothing, only find out what would be won.
    pub dry_run: bool,
    /// Look for zeros also within blocks that stay, which reads all that is used.
    pub scan_zeros: bool,
    /// Leave every cluster of the file systems where it is.
    pub keep_clusters: bool,
}

/// How a partition is used.
#[derive(Clone, Debug)]
pub struct CompactedPart {
    /// Where it begins on the disk.
    pub start: ByteOffset,
    /// Its bytes.
    pub size: ByteCount,
    /// The file system in it.
    pub file_system: String,
    /// Bytes that it uses.
    pub used: ByteCount,
    /// Why all of it counts as used, where that is so.
    pub left_alone: Option<String>,
}

impl Engine {
    /// Gives back the space in a volume or image that nobody uses, in place; on a dry run it
    /// only finds out what that would be. An image that is the parent of others is refused, as far as
    /// its children lie beside it: they would see what it gave up change.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Damaged`, `Unsupported` (a fixed image, one with children), `NoSpace`,
    /// `Interrupted`, `Io`. What is used reads as before also after an error.
    pub fn compact(
        &self,
        compact: &CompactImage,
        progress: ProgressFn<'_>,
    ) -> Result<CompactedImage> {
        let image = &compact.image;
        let how = CompactOptions {
            dry_run: compact.dry_run,
            scan_zeros: compact.scan_zeros,
            pack: (!compact.keep_clusters).then(options),
        };
        let report = |done, total| {
            progress(Progress {
                done: ByteCount(done),
                total: Some(ByteCount(total)),
                files: None,
            })
        };
        let compacted = match image {
            ImageReference::File(path) => {
                // A file that is not there is said so as by every other verb.
                fs::metadata(path).map_err(Error::host("open", path))?;
                refuse_parent(path, "compacting")?;
                let gate = self.gate(image)?;
                volume::compact_image(path, None, &*gate, how, &report)
            }
            ImageReference::Volume(name) => {
                if let Some((record, claim)) = self.host_claim(name)? {
                    return self.compact_mounted(compact.dry_run, (&record, &claim), progress);
                }
                self.store()?.compact(&volume_name(name)?, how, &report)
            }
        };
        let compacted = compacted.map_err(|error| match error.kind() {
            volume::VolumeErrorKind::Interrupted => Error::Interrupted,
            _ => error.into(),
        })?;
        Ok(describe(image.to_string(), compact.dry_run, &compacted))
    }
}

fn describe(name: String, dry_run: bool, compacted: &Compacted) -> CompactedImage {
    let report = &compacted.report;
    let parts = compacted.used.parts().iter().map(|part| CompactedPart {
        start: part.range.start(),
        size: part.range.len(),
        file_system: part.file_system.to_string(),
        used: part.used,
        left_alone: part.left_alone.clone(),
    });
    CompactedImage {
        name,
        dry_run,
        used: compacted.used.used(),
        parts: parts.collect(),
        length: (report.length_before, report.length_after),
        stored: (report.stored_before, report.stored_after),
        blocks: (report.blocks_before, report.blocks_after),
        moved: report.blocks_moved,
        kept: report.blocks_kept,
        packed: compacted.packed,
        by_system: false,
    }
}

/// Refuses to write an image that differencing images beside it were made on. Those that lie elsewhere are
/// not known; a VHDX child of an image that was written since notices it, a VHD child does not.
pub(crate) fn refuse_parent(image: &Path, what: &'static str) -> Result<()> {
    let Some(child) = child_beside(image, None)? else {
        return Ok(());
    };
    Err(Error::Unsupported {
        feature: format!(
            "{what} an image that is the parent of {}, which would see other bytes,",
            child.display()
        ),
    })
}

/// A differencing image in the folder of `image` that was made on it, and is not the one `but`.
pub(crate) fn child_beside(image: &Path, but: Option<&Path>) -> Result<Option<PathBuf>> {
    // What cannot be read is told by the verb itself.
    let Ok(own) = info_of(image) else {
        return Ok(None);
    };
    let canonical = fs::canonicalize(image).map_err(Error::host("open", image))?;
    let but = but.and_then(|but| fs::canonicalize(but).ok());
    let Some(folder) = canonical.parent() else {
        return Ok(None);
    };
    let entries = fs::read_dir(folder).map_err(Error::host("read", folder))?;
    for entry in entries.take(MAX_NEIGHBOURS) {
        let path = entry.map_err(Error::host("read", folder))?.path();
        let is_image = path.extension().is_some_and(|extension| {
            let mut known = CHILD_EXTENSIONS.iter();
            known.any(|known| extension.eq_ignore_ascii_case(known))
        });
        if !is_image || path == canonical || Some(&path) == but.as_ref() || !path.is_file() {
            continue;
        }
        // A neighbour that is in use or no image is nobody's child as far as can be told.
        let parent = info_of(&path).ok().and_then(|info| info.parent);
        let is_ours = parent.is_some_and(|parent| {
            let linkages = [parent.linkage, parent.linkage2].into_iter().flatten();
            let mut named = linkages.map(|id| id.to_string());
            named.any(|id| own.ids.iter().any(|(_, own)| *own == id))
        });
        if is_ours {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn info_of(path: &Path) -> std::result::Result<ImageInfo, vdisk::ImageError> {
    // One that is in use is not waited for: there may be many.
    let storage = FileStorage::open_at_once(path, FileAccess::ReadOnly)?;
    vdisk::info(&storage, None)
}
