//! What one sector was told to hold, in order, and what of it a crash may leave.
//!
//! Each sector that is written carries a tag of its own, so that bytes from elsewhere or from before
//! are recognised: [`fill`] makes a sector of one.

/// The versions of a sector.
#[derive(Clone, Default)]
pub(crate) struct Past {
    /// Position of the history where the request began, and what it wrote; 0 is zeros.
    pub(crate) versions: Vec<(usize, u64)>,
    /// How many versions there were when the last request that did not fail had returned.
    pub(crate) done: usize,
    /// Position where a flush had returned, and how many versions it covers.
    pub(crate) flushed: Vec<(usize, usize)>,
}

impl Past {
    /// A sector that holds `tag` before the history begins: what a crash left, or a parent shows.
    pub(crate) fn settled(tag: u64) -> Self {
        Self {
            versions: vec![(0, tag)],
            done: 1,
            flushed: vec![(0, 1)],
        }
    }

    /// Whether the sector may hold `found` after a crash at `position`: what the last flush before
    /// it covers, or anything later. Before anything it is zero.
    pub(crate) fn allows(&self, position: usize, found: u64) -> bool {
        let floor = self.flushed.iter().rev().find(|(at, _)| *at <= position);
        let floor = floor.map_or(0, |(_, versions)| *versions);
        let kept = floor.checked_sub(1).map_or(0, |last| self.versions[last].1);
        let later = &self.versions[floor..];
        found == kept
            || later
                .iter()
                .any(|(at, tag)| *at <= position && *tag == found)
    }

    /// A flush had returned at `position`: what was done before it must be there from here on.
    pub(crate) fn promise(&mut self, position: usize) {
        self.flushed.push((position, self.done));
    }

    /// The last request did not fail.
    pub(crate) fn finish(&mut self) {
        self.done = self.versions.len();
    }
}

/// A sector that says `tag` in all of it.
pub(crate) fn fill(tag: u64) -> Vec<u8> {
    tag.to_le_bytes().repeat(64)
}
