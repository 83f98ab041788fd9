//! Unpacking one cluster.
//!
//! Invariant: what comes out is one cluster, whatever the packed bytes are.

use std::io::Read;

use super::header::Compression;

/// Unpacks `packed` into the cluster `out`; `false` where the bytes are not one packed cluster.
pub(super) fn unpack(compression: Compression, packed: &[u8], out: &mut [u8]) -> bool {
    match compression {
        Compression::Deflate => {
            // Raw deflate, without a header; what follows its end belongs to others.
            let mut reader = flate2::read::DeflateDecoder::new(packed);
            reader.read_exact(out).is_ok()
        }
        Compression::Zstd => {
            let Ok(mut reader) = zstd::stream::read::Decoder::with_buffer(packed) else {
                return false;
            };
            // As the largest cluster: a frame that asks for more memory is none of QEMU's.
            if reader.window_log_max(21).is_err() {
                return false;
            }
            reader.single_frame().read_exact(out).is_ok()
        }
    }
}
