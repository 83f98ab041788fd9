//! Which clusters of a volume nobody uses, by its `$Bitmap`.

use super::bytes::{narrow, wide};
use super::space::read_stream;
use super::volume::Volume;
use crate::change::{ChangeError, Overlay};
use crate::ntfs::parse::count_ones_from;
use crate::tree::NtTime;

/// Bytes of the bitmap that are read at a time.
const PIECE: u64 = 1 << 20;

/// Calls `visit` with the start and end, in bytes of the partition, of every run of clusters that
/// `$Bitmap` says is free. Only a volume that was unmounted cleanly and whose log holds nothing to
/// be done is believed: then the bitmap is what the volume goes by, and no entry of the log leads to
/// a free cluster. Clusters that are bad, and those of `$LogFile`, are in use by it.
///
/// # Errors
/// `Unclean`, `Unsupported`, `Damaged`, `Io`.
pub(crate) fn visit_free(
    disk: Overlay<'_>,
    visit: &mut dyn FnMut(u64, u64),
) -> Result<(), ChangeError> {
    let mut volume = Volume::load(disk, NtTime::UNIX_EPOCH)?;
    volume.refuse_unclean()?;
    let (cluster, clusters) = (volume.layout.cluster, volume.layout.clusters);
    let bitmap = volume.space.stream().clone();
    let bytes = clusters.div_ceil(8);
    let mut offset = 0;
    while offset < bytes {
        let mut bits = vec![0; narrow(PIECE.min(bytes - offset))];
        read_stream(&volume.disk, &bitmap, cluster, &mut bits, offset)?;
        let first = offset * 8;
        let end = (first + wide(bits.len()) * 8).min(clusters);
        let mut at = first;
        while at < end {
            let (is_used, length) = count_ones_from(&bits, at - first);
            // Ends: a bit that is there begins a run of one at least.
            let stop = (at + length.max(1)).min(end);
            if !is_used {
                visit(at * cluster, stop * cluster);
            }
            at = stop;
        }
        offset += wide(bits.len());
    }
    Ok(())
}
