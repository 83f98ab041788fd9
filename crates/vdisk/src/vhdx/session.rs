//! The beginning and the end of a session of writing: headers, log, length of the file.

use std::sync::atomic::Ordering;

use blockio::{ByteCount, MIB, Storage};
use uuid::Uuid;

use super::header::CurrentHeader;
use super::image::{Gate, VhdxImage, lock};
use super::log::write::{Lengths, LogWriter};
use crate::error::ImageError;
use crate::ids::IdSource;

/// Headers and log of an open image.
pub(super) struct Session {
    pub(super) header: CurrentHeader,
    pub(super) ids: IdSource,
    pub(super) data_identity: DataIdentity,
    /// The log of this session; `None` before the write gate.
    pub(super) log: Option<LogWriter>,
    /// The file is not cut below this length at close, as far as it is in use at all.
    pub(super) keep_length: u64,
}

/// What becomes of the data write GUID at the first write of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataIdentity {
    /// A new one: what the disk reads changes.
    New,
    /// It stays: what the disk reads does not change.
    Kept,
    /// This one, which a child of the image was told.
    Given(Uuid),
}

impl Session {
    /// A new identifier for the session; a seeded source gives another one in each session.
    fn guid(&self, purpose: &str) -> Uuid {
        let number = self.header.header.sequence_number;
        self.ids.guid(&format!("vhdx {purpose} {number}"))
    }
}

impl VhdxImage {
    /// The write gate: the first change of a session passes here, all others see it open.
    pub(super) fn begin_session(&self) -> Result<(), ImageError> {
        let mut session = lock(&self.session);
        if self.is_poisoned() {
            return Err(ImageError::Poisoned);
        }
        if self.gate() == Gate::Open {
            return Ok(());
        }
        self.open_gate(&mut session).inspect_err(|_| self.poison())
    }

    fn open_gate(&self, session: &mut Session) -> Result<(), ImageError> {
        let length = self.file_length.load(Ordering::Acquire);
        let in_use = self.space.end_bytes();
        if self.metadata.leave_blocks_allocated {
            self.space.extend_dirty(length.div_ceil(MIB));
        } else if length > in_use {
            // The tail may hold blocks of a session that crashed. Cut off and synced below, what
            // the file grows by later reads zero in every crash state.
            self.storage.set_len(ByteCount(in_use))?;
            self.file_length.store(in_use, Ordering::Release);
        }
        let length = self.file_length.load(Ordering::Acquire);
        let mut log = LogWriter::new(self.regions.log, session.guid("log"));
        let log_guid = log.guid();
        let lengths = Lengths {
            flushed: length,
            last: self.space.end_bytes().max(length),
        };
        log.append(&self.storage, lengths, &[])?;
        // Before the header: a header that names a log must find a whole entry in it, whose length
        // of the file must be durable. It also makes the current header durable if a killed
        // process left it in the cache, so that tearing the other one below costs nothing.
        self.sync(&mut log)?;

        let file_write = session.guid("file write");
        let data_write = match session.data_identity {
            DataIdentity::New => session.guid("data write"),
            DataIdentity::Kept => session.header.header.data_write_guid,
            DataIdentity::Given(identity) => identity,
        };
        session.header.write_next(&self.storage, |header| {
            header.file_write_guid = file_write;
            header.data_write_guid = data_write;
            header.log_guid = Some(log_guid);
        })?;
        // Before any table is written: without this header nobody would replay the log.
        self.sync(&mut log)?;
        // The other copy becomes durable with any later sync; until then the first one stands.
        session.header.write_next(&self.storage, |_| {})?;
        session.log = Some(log);
        self.set_gate(Gate::Open);
        Ok(())
    }

    /// Commits, clears the log and cuts the file to what is in use.
    pub(super) fn end_session(&self) -> Result<(), ImageError> {
        if self.is_poisoned() {
            return Err(ImageError::Poisoned);
        }
        if self.gate() == Gate::Closed {
            return Ok(());
        }
        self.flush_session()?;
        let mut session = lock(&self.session);
        let Some(mut log) = session.log.take() else {
            return Err(ImageError::Poisoned);
        };
        self.set_gate(Gate::Closed);
        let result = self.clear_log(&mut session, &mut log);
        if result.is_err() {
            self.poison();
        }
        result
    }

    fn clear_log(&self, session: &mut Session, log: &mut LogWriter) -> Result<(), ImageError> {
        if log.has_unapplied() {
            // Before the header without a log: the pages must stand durably in their places, since
            // nobody will replay them any more.
            self.sync(log)?;
        }
        session
            .header
            .write_next(&self.storage, |header| header.log_guid = None)?;
        // Before the other header and the cut: one of the two must be whole at any time, and a log
        // that still counts would call the shorter file cut off.
        self.sync(log)?;
        session.header.write_next(&self.storage, |_| {})?;
        let wanted = self.space.used_end_bytes().max(session.keep_length);
        if wanted < self.file_length.load(Ordering::Acquire) {
            self.storage.set_len(ByteCount(wanted))?;
            self.file_length.store(wanted, Ordering::Release);
        }
        Ok(())
    }

    /// Lets the file reach to `end` bytes, and further where it is growing anyway.
    pub(super) fn grow_to(&self, end: u64) -> blockio::Result<()> {
        if self.file_length.load(Ordering::Acquire) >= end {
            return Ok(());
        }
        let _growing = lock(&self.growth);
        let length = self.file_length.load(Ordering::Acquire);
        if length >= end {
            return Ok(());
        }
        let step = (length / 8)
            .max(self.geometry.block_size.saturating_mul(4))
            .min(MAX_GROWTH)
            / MIB
            * MIB;
        let ample = end.saturating_add(step);
        // A host that is nearly full may allow what is needed and not what would be convenient.
        let reached = match self.storage.set_len(ByteCount(ample)) {
            Ok(()) => ample,
            Err(_) => {
                self.storage.set_len(ByteCount(end))?;
                end
            }
        };
        self.file_length.store(reached, Ordering::Release);
        Ok(())
    }
}

/// Most bytes that the file grows by beyond what is needed.
const MAX_GROWTH: u64 = 1 << 30;
