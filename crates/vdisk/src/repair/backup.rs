//! What a repair replaces: the bytes before and the bytes after, kept in a file beside the image.
//!
//! The file is durable before the first byte of the image is changed. So it is the journal of the
//! repair as well: a repair that a crash cut short is completed from it (or undone), and a repair
//! that is done is undone from it. Neither is done to an image that was changed otherwise since:
//! every byte of the patches must be what it was before or what it was given.
//!
//! ```text
//!   0   8  CVOLREP1
//!   8   8  length of the image before
//!  16   8  length of the image after
//!  24   4  number of patches
//!  28      patches: offset (8), bytes (4), the bytes before, the bytes after
//!  end  4  CRC-32C of all before it
//! ```
//! All integers are little-endian.

use blockio::{ByteCount, ByteOffset, Storage};

use crate::bounds::{buffer_len, to_index};
use crate::error::ImageError;

/// Patches are made of whole sectors of this many bytes.
pub(super) const SECTOR: usize = 512;
/// Largest file that is read.
const MAX_LENGTH: u64 = 1 << 30;
/// What the file begins with.
const SIGNATURE: &[u8; 8] = b"CVOLREP1";
/// Bytes before the first patch.
const HEAD: usize = 28;
/// Where structures that name others stand: written last.
const HEADER_SECTION: u64 = blockio::MIB;

const RULE: &str = "repair backup";

/// Bytes of an image that a repair replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Patch {
    pub(super) offset: u64,
    before: Vec<u8>,
    after: Vec<u8>,
}

/// All that a repair does to an image, and how it is undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairBackup {
    pub(super) length_before: u64,
    pub(super) length_after: u64,
    pub(super) patches: Vec<Patch>,
}

/// How far a repair has come in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairState {
    /// Nothing of it is in the image.
    NotBegun,
    /// Some of it is: a crash cut it short.
    Begun,
    /// All of it is.
    Done,
    /// The image holds at this place what it held neither before the repair nor after it.
    ChangedSince(ByteOffset),
}

impl Patch {
    pub(super) fn new(offset: u64, before: &[u8], after: &[u8]) -> Self {
        Self {
            offset,
            before: before.to_vec(),
            after: after.to_vec(),
        }
    }

    pub(super) fn end(&self) -> u64 {
        self.offset.saturating_add(buffer_len(&self.after))
    }

    pub(super) fn extend(&mut self, before: &[u8], after: &[u8]) {
        self.before.extend_from_slice(before);
        self.after.extend_from_slice(after);
    }

    /// The part that lies before `length`.
    fn cut<'a>(&self, bytes: &'a [u8], length: u64) -> &'a [u8] {
        let kept = to_index(length.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        &bytes[..bytes.len().min(kept)]
    }
}

impl RepairBackup {
    /// Whether the repair changes nothing.
    pub fn is_empty(&self) -> bool {
        self.length_before == self.length_after
            && self.patches.iter().all(|patch| patch.before == patch.after)
    }

    /// Bytes of the image that are replaced, in whole sectors.
    pub fn replaced(&self) -> ByteCount {
        let changed = self
            .patches
            .iter()
            .filter(|patch| patch.before != patch.after);
        ByteCount(changed.map(|patch| buffer_len(&patch.after)).sum())
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// `Unsupported` where there is more than a backup may hold.
    pub fn encode(&self) -> Result<Vec<u8>, ImageError> {
        let too_much = || ImageError::unsupported("repair of more than a gibibyte of structures");
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend_from_slice(&self.length_before.to_le_bytes());
        bytes.extend_from_slice(&self.length_after.to_le_bytes());
        let count = u32::try_from(self.patches.len()).map_err(|_| too_much())?;
        bytes.extend_from_slice(&count.to_le_bytes());
        for patch in &self.patches {
            let length = u32::try_from(patch.after.len()).map_err(|_| too_much())?;
            bytes.extend_from_slice(&patch.offset.to_le_bytes());
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(&patch.before);
            bytes.extend_from_slice(&patch.after);
            if buffer_len(&bytes) > MAX_LENGTH - 4 {
                return Err(too_much());
            }
        }
        let sum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        Ok(bytes)
    }

    /// Reads the bytes of the file.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn decode(bytes: &[u8]) -> Result<Self, ImageError> {
        let damaged = |message: &str| ImageError::damaged(RULE, message);
        let body = bytes
            .split_last_chunk::<4>()
            .filter(|(body, sum)| {
                body.starts_with(SIGNATURE) && crc32c::crc32c(body) == u32::from_le_bytes(**sum)
            })
            .map(|(body, _)| body)
            .ok_or_else(|| damaged("no signature, or a wrong checksum"))?;
        let mut rest = body.get(SIGNATURE.len()..).unwrap_or_default();
        let mut number = |width: usize| {
            let mut value = [0; 8];
            let (field, after) = rest.split_at_checked(width)?;
            value[..width].copy_from_slice(field);
            rest = after;
            Some(u64::from_le_bytes(value))
        };
        let head = (number(8), number(8), number(4));
        let (Some(length_before), Some(length_after), Some(count)) = head else {
            return Err(damaged("it ends within its head"));
        };
        let mut patches = Vec::new();
        let mut rest = body.get(HEAD..).unwrap_or_default();
        for _ in 0..count {
            let (patch, after) =
                take_patch(rest).ok_or_else(|| damaged("it ends within a patch"))?;
            patches.push(patch);
            rest = after;
        }
        if !rest.is_empty() || length_after < length_before {
            return Err(damaged("its parts contradict each other"));
        }
        Ok(Self {
            length_before,
            length_after,
            patches,
        })
    }

    /// Reads a backup file.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub fn read(file: &dyn Storage) -> Result<Self, ImageError> {
        let length = file.len()?.get();
        let size = to_index(length).filter(|_| length <= MAX_LENGTH);
        let size = size.ok_or_else(|| ImageError::damaged(RULE, "it is larger than any is"))?;
        let mut bytes = vec![0; size];
        file.read_at(&mut bytes, ByteOffset(0))?;
        Self::decode(&bytes)
    }

    /// How far the repair has come in `image`.
    ///
    /// # Errors
    /// `Io`.
    pub fn state(&self, image: &dyn Storage) -> Result<RepairState, ImageError> {
        let length = image.len()?.get();
        // A crash may leave any length in between: a write that grew the file without the rest.
        if !(self.length_before..=self.length_after).contains(&length) {
            let at = ByteOffset(length.min(self.length_before));
            return Ok(RepairState::ChangedSince(at));
        }
        let (mut all_before, mut all_after) =
            (length == self.length_before, length == self.length_after);
        for patch in &self.patches {
            let mut found = vec![0; patch.after.len()];
            let stored = to_index(length.saturating_sub(patch.offset)).unwrap_or(usize::MAX);
            let stored = stored.min(found.len());
            if stored > 0 {
                image.read_at(&mut found[..stored], ByteOffset(patch.offset))?;
            }
            // Byte by byte: a host that fails may do a part of a write, not only whole sectors.
            let pairs = patch.before.iter().zip(&patch.after);
            for ((offset, now), (before, after)) in (patch.offset..).zip(&found).zip(pairs) {
                if now != before && now != after {
                    return Ok(RepairState::ChangedSince(ByteOffset(offset)));
                }
                all_before &= now == before;
                all_after &= now == after;
            }
        }
        Ok(match (all_before, all_after) {
            (_, true) => RepairState::Done,
            (true, false) => RepairState::NotBegun,
            (false, false) => RepairState::Begun,
        })
    }

    /// Does the repair, also one that a crash cut short.
    ///
    /// # Errors
    /// `Damaged` where the image was changed since, `NoSpace`, `Io`.
    pub fn apply(&self, image: &dyn Storage) -> Result<(), ImageError> {
        self.refuse_changed(image)?;
        if image.len()?.get() < self.length_after {
            image.set_len(ByteCount(self.length_after))?;
        }
        self.write(image, |patch| patch.cut(&patch.after, self.length_after))
    }

    /// Undoes the repair, also one that a crash cut short.
    ///
    /// # Errors
    /// `Damaged` where the image was changed since, `NoSpace`, `Io`.
    pub fn undo(&self, image: &dyn Storage) -> Result<(), ImageError> {
        self.refuse_changed(image)?;
        // Behind its old end the image held nothing: that part is cut off below.
        self.write(image, |patch| patch.cut(&patch.before, self.length_before))?;
        if image.len()?.get() > self.length_before {
            image.set_len(ByteCount(self.length_before))?;
            // The caller removes the backup when this returns: it must not be needed any more.
            image.sync()?;
        }
        Ok(())
    }

    fn refuse_changed(&self, image: &dyn Storage) -> Result<(), ImageError> {
        match self.state(image)? {
            RepairState::ChangedSince(at) => Err(ImageError::damaged_at(
                RULE,
                at,
                "the image was changed after the repair",
            )),
            _ => Ok(()),
        }
    }

    fn write<'a>(
        &'a self,
        image: &dyn Storage,
        bytes: impl Fn(&'a Patch) -> &'a [u8],
    ) -> Result<(), ImageError> {
        for in_header in [false, true] {
            for patch in &self.patches {
                let bytes = bytes(patch);
                if (patch.offset < HEADER_SECTION) == in_header && !bytes.is_empty() {
                    image.write_at(bytes, ByteOffset(patch.offset))?;
                }
            }
            // Once: what headers and footers name is durable before they are. Twice: the repair
            // counts as done when this returns. A crash in between is mended from the backup.
            image.sync()?;
        }
        Ok(())
    }
}

fn take_patch(bytes: &[u8]) -> Option<(Patch, &[u8])> {
    let (offset, rest) = bytes.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (before, rest) = rest.split_at_checked(length)?;
    let (after, rest) = rest.split_at_checked(length)?;
    let offset = u64::from_le_bytes(*offset);
    offset.checked_add(buffer_len(after))?;
    Some((Patch::new(offset, before, after), rest))
}

#[cfg(test)]
mod tests {
    use blockio::MemoryStorage;
    use blockio::sim::{CrashPlan, Fault, FaultTarget, SimStorage};

    use super::super::draft::Draft;
    use super::*;

    fn old() -> Vec<u8> {
        vec![1; 3 << 20]
    }

    fn backup() -> RepairBackup {
        let image = MemoryStorage::from_bytes(old());
        let draft = Draft::new(&image).unwrap();
        for at in [0, 70_000, 2 << 20, (3 << 20) + 5000] {
            draft.write_at(&[7; 2000], ByteOffset(at)).unwrap();
        }
        draft.into_backup(&[]).unwrap()
    }

    fn bytes(storage: &dyn Storage) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(storage.len().unwrap().get()).unwrap()];
        storage.read_at(&mut bytes, ByteOffset(0)).unwrap();
        bytes
    }

    #[test]
    fn a_backup_reads_back_and_a_changed_one_does_not() {
        let backup = backup();
        let encoded = backup.encode().unwrap();
        assert_eq!(RepairBackup::decode(&encoded).unwrap(), backup);
        for at in (0..encoded.len()).step_by(97) {
            let mut broken = encoded.clone();
            broken[at] ^= 0x10;
            assert!(RepairBackup::decode(&broken).is_err(), "{at}");
            assert!(RepairBackup::decode(&encoded[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn after_any_crash_a_repair_is_completed_and_undone() {
        let backup = backup();
        let start = SimStorage::new();
        start.write_at(&old(), ByteOffset(0)).unwrap();
        let image = SimStorage::from_image(&start.image());
        backup.apply(&image).unwrap();
        let (new, mut tried) = (bytes(&image), 0);
        assert_ne!(new, old());
        for state in image.history().crash_states(CrashPlan::new(3)) {
            let completed = SimStorage::from_image(&state.image());
            backup.apply(&completed).unwrap();
            assert_eq!(backup.state(&completed).unwrap(), RepairState::Done);
            assert!(bytes(&completed) == new, "{}", state.recipe());
            let undone = SimStorage::from_image(&state.image());
            backup.undo(&undone).unwrap();
            assert_eq!(backup.state(&undone).unwrap(), RepairState::NotBegun);
            assert!(bytes(&undone) == old(), "{}", state.recipe());
            tried += 1;
        }
        assert!(tried > 20, "{tried}");
    }

    #[test]
    fn a_failure_of_the_host_at_any_operation_leaves_what_the_next_try_completes() {
        let backup = backup();
        let fresh = || {
            let image = SimStorage::new();
            image.write_at(&old(), ByteOffset(0)).unwrap();
            image
        };
        let whole = fresh();
        let before = whole.counts().of(FaultTarget::Any);
        backup.apply(&whole).unwrap();
        let operations = whole.counts().of(FaultTarget::Any) - before;
        assert!(operations > 8, "{operations}");
        for nth in 0..operations {
            let image = fresh();
            let fault = Fault::new(FaultTarget::Any, nth).after_bytes(700);
            image.inject(if nth % 2 == 0 {
                fault.no_space()
            } else {
                fault
            });
            assert!(backup.apply(&image).is_err(), "{nth}");
            image.clear_faults();
            let undone = SimStorage::from_image(&image.image());
            backup.apply(&image).unwrap();
            assert!(bytes(&image) == bytes(&whole), "{nth}");
            backup.undo(&undone).unwrap();
            assert!(bytes(&undone) == old(), "{nth}");
        }
    }

    #[test]
    fn an_image_that_was_changed_since_is_left_alone() {
        let backup = backup();
        let image = MemoryStorage::from_bytes(old());
        assert_eq!(backup.state(&image).unwrap(), RepairState::NotBegun);
        backup.apply(&image).unwrap();
        assert_eq!(backup.state(&image).unwrap(), RepairState::Done);
        image.write_at(&[3], ByteOffset(70_100)).unwrap();
        let changed = RepairState::ChangedSince(ByteOffset(70_100));
        assert_eq!(backup.state(&image).unwrap(), changed);
        assert!(backup.undo(&image).is_err());
        assert!(backup.apply(&image).is_err());
    }
}
