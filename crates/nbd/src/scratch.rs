//! Memory for bytes of one request after the other, without asking for it, or filling it with zeros,
//! each time.

/// Memory that is kept, in bytes: for all requests that may be carried out side by side, with their
/// heads.
const KEPT: usize = 1024 * 1024 + 64 * 1024;

/// Bytes that grow, and are forgotten together.
#[derive(Default)]
pub(crate) struct Scratch {
    /// As long as it ever had to be: what stands behind `used` is of earlier requests.
    bytes: Vec<u8>,
    used: usize,
}

impl Scratch {
    /// Forgets all bytes; memory for large requests is given back.
    pub(crate) fn clear(&mut self) {
        self.used = 0;
        if self.bytes.len() > KEPT {
            self.bytes = Vec::new();
        }
    }

    /// What was added.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// How many bytes there are: a place to come back to.
    pub(crate) fn mark(&self) -> usize {
        self.used
    }

    /// Takes back what was added since `mark`.
    pub(crate) fn rewind(&mut self, mark: usize) {
        self.used = self.used.min(mark);
    }

    /// Adds `length` bytes, to be filled by the caller: they hold anything.
    pub(crate) fn room(&mut self, length: usize) -> &mut [u8] {
        let start = self.used;
        self.used += length;
        if self.bytes.len() < self.used {
            self.bytes.resize(self.used, 0);
        }
        &mut self.bytes[start..self.used]
    }
}
