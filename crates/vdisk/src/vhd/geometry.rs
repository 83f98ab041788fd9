//! Cylinders, heads and sectors: the shadow of a disk's size that old readers go by.
//!
//! VHD "Appendix: CHS Calculation".

/// The largest geometry; a disk that has it is of that size or any larger one.
const MAX_SECTORS: u64 = 65535 * 16 * 255;

/// Bytes that the largest geometry can address.
pub(crate) const LARGEST_BYTES: u64 = MAX_SECTORS * 512;

/// A geometry as a footer holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) cylinders: u16,
    pub(crate) heads: u8,
    pub(crate) sectors_per_track: u8,
}

impl Geometry {
    /// The geometry that the specification computes for a disk of `sectors`; it holds at most that
    /// many.
    pub(crate) fn of_sectors(sectors: u64) -> Self {
        let total = sectors.min(MAX_SECTORS);
        let (sectors_per_track, heads, tracks) = if total >= 65535 * 16 * 63 {
            (255, 16, total / 255)
        } else {
            let tracks = total / 17;
            let heads = tracks.div_ceil(1024).max(4);
            if tracks < heads * 1024 && heads <= 16 {
                (17, heads, tracks)
            } else if total / 31 < 16 * 1024 {
                (31, 16, total / 31)
            } else {
                (63, 16, total / 63)
            }
        };
        Self {
            cylinders: u16::try_from(tracks / heads).unwrap_or(u16::MAX),
            heads: u8::try_from(heads).unwrap_or(u8::MAX),
            sectors_per_track,
        }
    }

    /// Sectors that the geometry can address.
    pub(crate) fn sectors(self) -> u64 {
        u64::from(self.cylinders) * u64::from(self.heads) * u64::from(self.sectors_per_track)
    }

    /// Whether the geometry is the largest, which says nothing of the size beyond it.
    pub(crate) fn is_largest(self) -> bool {
        self.sectors() == MAX_SECTORS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: u64, cylinders: u16, heads: u8, sectors_per_track: u8) {
        let expected = Geometry {
            cylinders,
            heads,
            sectors_per_track,
        };
        assert_eq!(Geometry::of_sectors(bytes / 512), expected, "{bytes} bytes");
    }

    #[test]
    fn geometries_are_those_that_windows_wrote() {
        check(4_194_304, 120, 4, 17);
        check(10_485_760, 301, 4, 17);
    }

    #[test]
    fn each_branch_of_the_calculation_is_taken_at_its_bound() {
        check(0, 0, 4, 17);
        check(17 * 16 * 1024 * 512 - 512, 1023, 16, 17);
        check(17 * 16 * 1024 * 512, 561, 16, 31);
        check(31 * 16 * 1024 * 512 - 512, 1023, 16, 31);
        check(31 * 16 * 1024 * 512, 503, 16, 63);
        check(65535 * 16 * 63 * 512 - 512, 65534, 16, 63);
        check(65535 * 16 * 63 * 512, 16191, 16, 255);
        check(2040 << 30, 65535, 16, 255);
    }

    #[test]
    fn a_geometry_never_holds_more_than_the_disk() {
        for sectors in (0..70_000_000).step_by(99_991) {
            assert!(Geometry::of_sectors(sectors).sectors() <= sectors.max(1));
        }
    }
}
