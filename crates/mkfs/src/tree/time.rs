//! Time as NTFS counts it, and the conversions from what hosts say.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds from 1601-01-01 to 1970-01-01.
const UNIX_EPOCH_SECONDS: i128 = 11_644_473_600;
/// Ticks of 100 ns in a second.
const TICKS_PER_SECOND: i128 = 10_000_000;
/// The last tick: file times are signed on Windows ([MS-DTYP] 2.3.3).
const MAX_TICKS: i128 = 0x7FFF_FFFF_FFFF_FFFF;

/// A moment: 100 ns ticks since 1601-01-01 00:00 UTC ([MS-DTYP] 2.3.3 FILETIME).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NtTime(u64);

impl NtTime {
    /// 1970-01-01 00:00 UTC.
    pub const UNIX_EPOCH: Self = Self(116_444_736_000_000_000);

    /// The moment of so many ticks; ticks past the last one that Windows accepts become that one.
    pub fn from_ticks(ticks: u64) -> Self {
        Self::clamped(i128::from(ticks))
    }

    /// Ticks since 1601.
    pub const fn ticks(self) -> u64 {
        self.0
    }

    /// The moment `nanoseconds` after `seconds` of Unix time; moments before 1601 and past the
    /// last one that Windows accepts (in the year 30828) become the nearest that exists.
    pub fn from_unix(seconds: i64, nanoseconds: u32) -> Self {
        let ticks = (i128::from(seconds) + UNIX_EPOCH_SECONDS) * TICKS_PER_SECOND
            + i128::from(nanoseconds / 100);
        Self::clamped(ticks)
    }

    /// Seconds of Unix time and the nanoseconds after them.
    pub fn to_unix(self) -> (i64, u32) {
        let ticks = i128::from(self.0) - UNIX_EPOCH_SECONDS * TICKS_PER_SECOND;
        let seconds = ticks.div_euclid(TICKS_PER_SECOND);
        let nanoseconds = ticks.rem_euclid(TICKS_PER_SECOND) * 100;
        // Both always fit: ticks are 63 bits, and the remainder is below a second.
        (
            i64::try_from(seconds).unwrap_or(i64::MAX),
            u32::try_from(nanoseconds).unwrap_or(0),
        )
    }

    /// The same moment as the host's type, or `None` where that cannot hold it.
    pub fn to_system_time(self) -> Option<SystemTime> {
        let (seconds, nanoseconds) = self.to_unix();
        let whole = Duration::from_secs(seconds.unsigned_abs());
        let start = if seconds < 0 {
            UNIX_EPOCH.checked_sub(whole)?
        } else {
            UNIX_EPOCH.checked_add(whole)?
        };
        start.checked_add(Duration::from_nanos(u64::from(nanoseconds)))
    }

    fn clamped(ticks: i128) -> Self {
        Self(u64::try_from(ticks.clamp(0, MAX_TICKS)).unwrap_or(0))
    }
}

impl From<SystemTime> for NtTime {
    fn from(time: SystemTime) -> Self {
        let nanoseconds = |span: Duration| i128::try_from(span.as_nanos()).unwrap_or(i128::MAX);
        let since_epoch = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => nanoseconds(after),
            Err(before) => -nanoseconds(before.duration()),
        };
        let epoch = UNIX_EPOCH_SECONDS * TICKS_PER_SECOND;
        Self::clamped(since_epoch.div_euclid(100).saturating_add(epoch))
    }
}

/// The four times that NTFS keeps of each file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Times {
    /// When it was made.
    pub created: NtTime,
    /// When its content last changed.
    pub modified: NtTime,
    /// When its record (name, attributes) last changed.
    pub changed: NtTime,
    /// When it was last read.
    pub accessed: NtTime,
}

impl Times {
    /// One moment for all four.
    pub const fn all(time: NtTime) -> Self {
        Self {
            created: time,
            modified: time,
            changed: time,
            accessed: time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_time_becomes_ticks_since_1601() {
        assert_eq!(NtTime::from_unix(0, 0), NtTime::UNIX_EPOCH);
        assert_eq!(NtTime::from_unix(-11_644_473_600, 0).ticks(), 0);
        // 2038-01-19 03:14:08.1234567
        assert_eq!(
            NtTime::from_unix(2_147_483_648, 123_456_789).ticks(),
            137_919_572_481_234_567
        );
        assert_eq!(
            NtTime::from_unix(-1, 999_999_999).ticks(),
            116_444_735_999_999_999
        );
    }

    #[test]
    fn moments_out_of_range_become_the_nearest_that_exists() {
        assert_eq!(NtTime::from_unix(-11_644_473_601, 999_999_999).ticks(), 0);
        assert_eq!(NtTime::from_unix(i64::MIN, 0).ticks(), 0);
        assert_eq!(
            NtTime::from_unix(i64::MAX, 999_999_999).ticks(),
            i64::MAX.unsigned_abs()
        );
        assert_eq!(
            NtTime::from_ticks(u64::MAX).ticks(),
            i64::MAX.unsigned_abs()
        );
    }

    #[test]
    fn a_moment_survives_the_way_to_unix_time_and_back() {
        for (seconds, nanoseconds) in [
            (0, 0),
            (-1, 100),
            (-11_644_473_600, 0),
            (1_700_000_000, 999_999_900),
            (4_294_967_296, 5_000),
        ] {
            let time = NtTime::from_unix(seconds, nanoseconds);
            assert_eq!(time.to_unix(), (seconds, nanoseconds));
            if let Some(system) = time.to_system_time() {
                assert_eq!(NtTime::from(system), time);
            }
        }
    }
}
