//! Random numbers that are the same in every run.

/// A linear congruential generator, of which the upper bits are used.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// Bytes, none of them zero, or now and then all of them.
    pub(crate) fn bytes(&mut self, len: u64) -> Vec<u8> {
        if self.below(8) == 0 {
            return vec![0; usize::try_from(len).unwrap()];
        }
        (0..len)
            .map(|_| u8::try_from(self.below(255) + 1).unwrap())
            .collect()
    }
}
