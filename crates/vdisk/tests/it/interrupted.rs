//! A storage in the middle of whose work something else is done, as another thread may.

use std::sync::Mutex;

use blockio::{ByteCount, ByteOffset, ByteRange, Extent, Result, SimStorage, Storage, ZeroMode};

/// When it is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// After what was written is durable, and before that is told.
    Sync,
    /// After the length was found out, and before it is told.
    Length,
}

/// A storage that does something else once.
pub(crate) struct Interrupted {
    storage: SimStorage,
    moment: Moment,
    hook: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Interrupted {
    pub(crate) fn new(storage: SimStorage, moment: Moment) -> Self {
        Self {
            storage,
            moment,
            hook: Mutex::default(),
        }
    }

    /// Does this at the next such moment.
    pub(crate) fn then(&self, hook: impl FnOnce() + Send + 'static) {
        *self.hook.lock().unwrap() = Some(Box::new(hook));
    }

    fn passes(&self, moment: Moment) {
        let hook = match moment == self.moment {
            true => self.hook.lock().unwrap().take(),
            false => None,
        };
        if let Some(hook) = hook {
            hook();
        }
    }
}

impl Storage for Interrupted {
    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<()> {
        self.storage.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<()> {
        self.storage.write_at(buf, offset)
    }

    fn sync(&self) -> Result<()> {
        let done = self.storage.sync();
        self.passes(Moment::Sync);
        done
    }

    fn len(&self) -> Result<ByteCount> {
        let length = self.storage.len();
        self.passes(Moment::Length);
        length
    }

    fn set_len(&self, len: ByteCount) -> Result<()> {
        self.storage.set_len(len)
    }

    fn zero(&self, range: ByteRange, mode: ZeroMode) -> Result<()> {
        self.storage.zero(range, mode)
    }

    fn extent_at(&self, range: ByteRange) -> Result<Extent> {
        self.storage.extent_at(range)
    }

    fn is_read_only(&self) -> bool {
        false
    }
}
