//! Update sequences: the last word of each 512 bytes of a record or block, kept aside so that a torn
//! write shows.

use super::super::format::FIXUP_STRIDE;

/// Why a block cannot be put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixupProblem {
    /// The update sequence stands outside the block, or has not a word for each 512 bytes.
    Sequence,
    /// A piece of 512 bytes ends with another word than the others: the write was torn.
    Torn {
        /// Which piece.
        stride: usize,
    },
}

impl std::fmt::Display for FixupProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sequence => f.write_str("its update sequence does not fit it"),
            Self::Torn { stride } => {
                write!(
                    f,
                    "its piece {stride} does not end with the update sequence number"
                )
            }
        }
    }
}

/// Puts the words of the update sequence back. The block starts with its magic number, the offset
/// and the length (in words) of the sequence.
///
/// # Errors
/// What is wrong; the words that fit are put back nevertheless.
pub fn unprotect(block: &mut [u8]) -> Result<(), FixupProblem> {
    let word = |at: usize| {
        let bytes = block.get(at..at + 2)?;
        Some(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
    };
    let (Some(offset), Some(count)) = (word(4), word(6)) else {
        return Err(FixupProblem::Sequence);
    };
    let strides = block.len() / FIXUP_STRIDE;
    if offset % 2 != 0
        || offset < 8
        || count != strides + 1
        || offset + 2 * count > FIXUP_STRIDE - 2
    {
        return Err(FixupProblem::Sequence);
    }
    let sequence: Vec<u8> = block[offset..offset + 2 * count].to_vec();
    let (number, words) = sequence.split_at(2);
    let mut problem = None;
    for (stride, saved) in words.chunks_exact(2).enumerate() {
        let end = (stride + 1) * FIXUP_STRIDE;
        let place = &mut block[end - 2..end];
        if place != number {
            problem.get_or_insert(FixupProblem::Torn { stride });
        }
        place.copy_from_slice(saved);
    }
    problem.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Vec<u8> {
        let mut block = vec![0; 1024];
        block[4..12].copy_from_slice(&[0x30, 0, 3, 0, 0, 0, 0, 0]);
        block[0x30..0x36].copy_from_slice(&[7, 0, 0xAA, 0xAB, 0xBA, 0xBB]);
        block[510] = 7;
        block[1022] = 7;
        block
    }

    #[test]
    fn words_are_put_back() {
        let mut block = block();
        assert_eq!(unprotect(&mut block), Ok(()));
        assert_eq!(block[510..512], [0xAA, 0xAB]);
        assert_eq!(block[1022..], [0xBA, 0xBB]);
    }

    #[test]
    fn torn_and_nonsensical_blocks_are_refused() {
        let mut torn = block();
        torn[1022] = 8;
        assert_eq!(unprotect(&mut torn), Err(FixupProblem::Torn { stride: 1 }));
        for (at, value) in [(5, 0xFF), (6, 4), (7, 9), (4, 0x31), (4, 2)] {
            let mut wrong = block();
            wrong[at] = value;
            assert_eq!(unprotect(&mut wrong), Err(FixupProblem::Sequence));
        }
        for length in 0..8 {
            assert!(unprotect(&mut vec![0; length]).is_err());
        }
    }
}
