//! A moment in UTC as front ends print it: seconds since 1970 and nanoseconds, shown as RFC 3339.
//!
//! Invariant: `nanoseconds` is below one thousand million. Any 64-bit NTFS time and any host time
//! has a value here, so that no date in an image can fail to be shown.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds from 1601-01-01 (where NTFS counts from) to 1970-01-01.
const SECONDS_1601_TO_1970: i64 = 11_644_473_600;
/// NTFS time units (100 ns) in a second.
const NTFS_UNITS_PER_SECOND: u64 = 10_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// A moment in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    seconds: i64,
    nanoseconds: u32,
}

/// A moment as the calendar and the clock name it, in UTC.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Timestamp {
    /// So many seconds after 1970-01-01 00:00 UTC (before, where negative).
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self {
            seconds,
            nanoseconds: 0,
        }
    }

    /// So many milliseconds after 1970-01-01 00:00 UTC.
    pub fn from_unix_milliseconds(milliseconds: u64) -> Self {
        let rest = u32::try_from(milliseconds % 1000).unwrap_or(0);
        Self {
            seconds: i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX),
            nanoseconds: rest * 1_000_000,
        }
    }

    /// A count of 100 ns units since 1601-01-01 UTC, as NTFS keeps it.
    pub fn from_ntfs_time(units: u64) -> Self {
        let seconds = i64::try_from(units / NTFS_UNITS_PER_SECOND).unwrap_or(i64::MAX);
        let rest = u32::try_from(units % NTFS_UNITS_PER_SECOND).unwrap_or(0);
        Self {
            seconds: seconds - SECONDS_1601_TO_1970,
            nanoseconds: rest * 100,
        }
    }

    /// Whole seconds since 1970-01-01 00:00 UTC.
    pub const fn unix_seconds(self) -> i64 {
        self.seconds
    }

    /// The same moment as the host's clock has it; `None` where the host cannot hold it.
    pub fn to_system_time(self) -> Option<SystemTime> {
        let whole = Duration::from_secs(self.seconds.unsigned_abs());
        let base = if self.seconds < 0 {
            UNIX_EPOCH.checked_sub(whole)?
        } else {
            UNIX_EPOCH.checked_add(whole)?
        };
        base.checked_add(Duration::from_nanos(u64::from(self.nanoseconds)))
    }

    /// Date and time to the minute, for tables: `2026-11-22 21:02`.
    pub fn to_minutes(self) -> String {
        let civil = self.civil();
        format!(
            "{:04}-{:02}-{:02} {:02}:{:02}",
            civil.year, civil.month, civil.day, civil.hour, civil.minute
        )
    }

    /// Days to a date in the Gregorian calendar, counted from 0000-03-01 in eras of 400 years.
    fn civil(self) -> Civil {
        let days = self.seconds.div_euclid(SECONDS_PER_DAY);
        let second_of_day = self.seconds.rem_euclid(SECONDS_PER_DAY);
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        Civil {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            hour: second_of_day / 3_600,
            minute: second_of_day % 3_600 / 60,
            second: second_of_day % 60,
        }
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self {
                seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
                nanoseconds: after.subsec_nanos(),
            },
            Err(error) => {
                let before = error.duration();
                let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
                if before.subsec_nanos() == 0 {
                    Self::from_unix_seconds(-seconds)
                } else {
                    Self {
                        seconds: -seconds - 1,
                        nanoseconds: 1_000_000_000 - before.subsec_nanos(),
                    }
                }
            }
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = self.civil();
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            civil.year, civil.month, civil.day, civil.hour, civil.minute, civil.second
        )?;
        if self.nanoseconds != 0 {
            let digits = format!("{:09}", self.nanoseconds);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_print_as_rfc_3339() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (-SECONDS_1601_TO_1970, "1601-01-01T00:00:00Z"),
        ] {
            assert_eq!(Timestamp::from_unix_seconds(seconds).to_string(), text);
        }
    }

    #[test]
    fn an_ntfs_time_keeps_its_hundred_nanoseconds() {
        let time = Timestamp::from_ntfs_time(116_444_736_000_000_001);
        assert_eq!(time.to_string(), "1970-01-01T00:00:00.0000001Z");
    }

    #[test]
    fn the_largest_ntfs_time_can_be_shown() {
        let time = Timestamp::from_ntfs_time(u64::MAX);
        assert_eq!(time.to_minutes(), "60056-05-28 05:36");
    }

    #[test]
    fn a_host_time_comes_back_from_a_timestamp() {
        for (seconds, nanoseconds) in [(0, 0), (1_700_000_000, 5), (1, 999_999_999)] {
            let host = UNIX_EPOCH + Duration::new(seconds, nanoseconds);
            assert_eq!(Timestamp::from(host).to_system_time(), Some(host));
        }
        let early = UNIX_EPOCH - Duration::new(3, 500_000_000);
        assert_eq!(Timestamp::from(early).to_system_time(), Some(early));
        assert_eq!(Timestamp::from(early).to_string(), "1969-12-31T23:59:56.5Z");
    }
}
