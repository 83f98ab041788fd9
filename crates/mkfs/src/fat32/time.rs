//! Time as FAT stores it: from 1980 to 2107, in steps of two seconds.

use crate::tree::NtTime;

const SECONDS_PER_DAY: i64 = 86_400;
/// 1980-01-01 00:00:00.
const FIRST_SECOND: i64 = 315_532_800;
/// 2107-12-31 23:59:59.
const LAST_SECOND: i64 = 4_354_819_199;

/// A moment as a directory entry stores it ([FAT] "Date and Time Formats").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DosTime {
    /// Day 0-4, month 5-8, years since 1980 9-15.
    pub(super) date: u16,
    /// Two seconds 0-4, minute 5-10, hour 11-15.
    pub(super) time: u16,
    /// Units of 10 ms past `time`, below 200.
    pub(super) fine: u8,
}

impl From<NtTime> for DosTime {
    /// Moments out of range become the nearest that can be stored.
    fn from(time: NtTime) -> Self {
        let (seconds, nanoseconds) = match time.to_unix() {
            (seconds, _) if seconds < FIRST_SECOND => (FIRST_SECOND, 0),
            (seconds, _) if seconds > LAST_SECOND => (LAST_SECOND, 990_000_000),
            within => within,
        };
        let (year, month, day) = civil_date(seconds.div_euclid(SECONDS_PER_DAY));
        let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (
            second_of_day / 3600,
            second_of_day / 60 % 60,
            second_of_day % 60,
        );
        let fine = second % 2 * 100 + i64::from(nanoseconds / 10_000_000);
        // All parts are within their bits: the range was cut above.
        let bits = |value: i64| u16::try_from(value).unwrap_or(0);
        Self {
            date: bits(((year - 1980) << 9) | (month << 5) | day),
            time: bits((hour << 11) | (minute << 5) | (second / 2)),
            fine: u8::try_from(fine).unwrap_or(0),
        }
    }
}

/// Year, month (from 1) and day (from 1) of the day so many days after 1970-01-01, by the
/// proleptic Gregorian calendar: years are counted from March, so that the leap day comes last.
fn civil_date(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    /// 0000-03-01 to 1970-01-01.
    const DAYS_BEFORE: i64 = 719_468;
    let days = days + DAYS_BEFORE;
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(seconds: i64, nanoseconds: u32) -> [u16; 7] {
        let dos = DosTime::from(NtTime::from_unix(seconds, nanoseconds));
        [
            1980 + (dos.date >> 9),
            (dos.date >> 5) & 15,
            dos.date & 31,
            dos.time >> 11,
            (dos.time >> 5) & 63,
            dos.time & 31,
            u16::from(dos.fine),
        ]
    }

    #[test]
    fn moments_become_dates_of_the_calendar() {
        assert_eq!(
            parts(951_782_399, 990_000_000),
            [2000, 2, 28, 23, 59, 29, 199]
        );
        assert_eq!(parts(951_782_400, 0), [2000, 2, 29, 0, 0, 0, 0]);
        assert_eq!(parts(951_868_800, 0), [2000, 3, 1, 0, 0, 0, 0]);
        assert_eq!(
            parts(1_700_000_001, 120_000_000),
            [2023, 11, 14, 22, 13, 10, 112]
        );
        assert_eq!(parts(4_107_542_400, 0), [2100, 3, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn moments_out_of_range_become_the_nearest_that_can_be_stored() {
        assert_eq!(parts(0, 5), [1980, 1, 1, 0, 0, 0, 0]);
        assert_eq!(parts(FIRST_SECOND, 0), [1980, 1, 1, 0, 0, 0, 0]);
        assert_eq!(parts(i64::MAX, 0), [2107, 12, 31, 23, 59, 29, 199]);
        assert_eq!(parts(LAST_SECOND + 1, 0), [2107, 12, 31, 23, 59, 29, 199]);
    }
}
