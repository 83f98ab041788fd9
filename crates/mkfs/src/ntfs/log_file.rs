//! `$LogFile`: a journal that was never used.
//!
//! All bytes 0xFF is how Windows marks a log that holds nothing; it writes its restart areas at the
//! first mount. A restart area that is right only in part would be worse than none.

use super::narrow::to_usize;
use super::stream::Writer;
use crate::error::MkfsError;

const UNUSED: u8 = 0xFF;
const CHUNK: u64 = 64 * 1024;

/// Writes an empty log of `size` bytes.
pub(super) fn write(writer: &mut Writer<'_>, position: u64, size: u64) -> Result<(), MkfsError> {
    let chunk = vec![UNUSED; to_usize(CHUNK, "a log")?];
    let mut done = 0;
    while done < size {
        let count = to_usize((size - done).min(CHUNK), "a log")?;
        writer.write(position + done, &chunk[..count])?;
        done += CHUNK;
    }
    Ok(())
}
