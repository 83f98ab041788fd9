//! Sizes for people: binary units, one digit after the point where the unit does not fit.

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A count of bytes as `512 B`, `1.5 MiB`, `20 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    let mut unit = 0;
    let mut divisor: u64 = 1;
    while unit + 1 < UNITS.len() && count / divisor >= 1024 {
        divisor *= 1024;
        unit += 1;
    }
    let whole = count / divisor;
    let rest = count % divisor;
    if rest == 0 || whole >= 100 {
        return format!("{whole} {}", UNITS[unit]);
    }
    let tenths = u128::from(rest) * 10 / u128::from(divisor);
    format!("{whole}.{tenths} {}", UNITS[unit])
}

/// A count with its noun in the right number: `1 file`, `2 files`.
pub(crate) fn counted(count: u64, singular: &str, plural: &str) -> String {
    if count == 1 {
        format!("1 {singular}")
    } else {
        format!("{count} {plural}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_the_largest_unit_that_keeps_them_above_one() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (20 << 30, "20 GiB"),
            ((64 << 40) - 1, "63.9 TiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn one_is_singular() {
        assert_eq!(counted(1, "leak", "leaks"), "1 leak");
        assert_eq!(counted(0, "leak", "leaks"), "0 leaks");
    }
}
