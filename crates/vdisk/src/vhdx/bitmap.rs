//! Sector bitmap blocks, which differencing images have: one for each chunk of payload blocks.
//!
//! Bit `n` of byte `m` stands for sector `8m + n` of the chunk, least significant bit first
//! ([MS-VHDX] 2.4). Images without a parent have the entries and no bitmaps.

use super::bat::{BatEntry, BlockState};

/// Whether the entry of a bitmap block leads to a bitmap.
pub(super) fn is_present(entry: BatEntry) -> bool {
    entry.state == BlockState::FullyPresent
}
