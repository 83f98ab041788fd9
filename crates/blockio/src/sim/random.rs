//! The deterministic random numbers of the simulator (SplitMix64): same seed, same crash states.

/// A stream of random numbers.
pub(super) struct Random(u64);

impl Random {
    /// The stream of a seed and a place.
    pub(super) fn new(seed: u64, place: u64) -> Self {
        let mut random = Self(seed ^ place.wrapping_mul(0xD134_2543_DE82_EF95));
        random.next();
        random
    }

    /// Sixty-four random bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True once in so many times.
    pub(super) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
