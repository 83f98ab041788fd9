//! Names of eight and three characters, as Windows makes them for names that are none.
//!
//! The first six characters that can be in such a name, `~`, a number; from the fifth such name on the
//! first two characters and a checksum of the long name. T. Galvin published the checksum that Windows
//! has used since Windows 7 ("A Tale of Two File Names", 2015). Characters beyond ASCII are left out,
//! which is the state of Windows where `fsutil behavior set allowextchar` was not used.

/// Characters before and after the dot.
const MAX_STEM: usize = 8;
const MAX_EXTENSION: usize = 3;
/// Characters of the long name that are kept before the number.
const KEPT: usize = 6;
/// Characters of the long name that are kept before its checksum.
const KEPT_BEFORE_CHECKSUM: usize = 2;
/// The last number without a checksum.
const LAST_PLAIN: u32 = 4;
/// Numbers that are tried, as Windows does.
const MAX_NUMBER: u32 = 1_000_000;

const DOT: u16 = 0x2E;

/// What becomes of a character of a long name.
enum Kept {
    As(u8),
    Not,
}

/// Whether Windows takes a name as its own 8.3 partner: lower case counts as upper case.
pub(super) fn is_legal(name: &[u16]) -> bool {
    let mut parts = name.split(|unit| *unit == DOT);
    let stem = parts.next().unwrap_or_default();
    let extension = parts.next();
    let fits = |part: &[u16], most: usize| {
        (1..=most).contains(&part.len()) && part.iter().all(|unit| is_legal_unit(*unit))
    };
    fits(stem, MAX_STEM)
        && extension.is_none_or(|extension| fits(extension, MAX_EXTENSION))
        && parts.next().is_none()
}

fn is_legal_unit(unit: u16) -> bool {
    u8::try_from(unit)
        .is_ok_and(|byte| byte.is_ascii_graphic() && !br#""*+,./:;<=>?[\]|"#.contains(&byte))
}

fn kept(unit: u16, upcase: &dyn Fn(u16) -> u16) -> Kept {
    match u8::try_from(upcase(unit)) {
        Ok(b' ' | b'.') => Kept::Not,
        Ok(byte) if is_legal_unit(u16::from(byte)) => Kept::As(byte),
        Ok(byte) if byte.is_ascii() => Kept::As(b'_'),
        _ => Kept::Not,
    }
}

fn taken_from(units: &[u16], most: usize, upcase: &dyn Fn(u16) -> u16) -> Vec<u8> {
    units
        .iter()
        .filter_map(|unit| match kept(*unit, upcase) {
            Kept::As(byte) => Some(byte),
            Kept::Not => None,
        })
        .take(most)
        .collect()
}

/// The first 8.3 name for `name` that is free; `None` where a million are taken.
pub(super) fn generate(
    name: &[u16],
    upcase: &dyn Fn(u16) -> u16,
    is_free: impl Fn(&[u16]) -> bool,
) -> Option<Box<[u16]>> {
    let leading = name.iter().take_while(|unit| **unit == DOT).count();
    let rest = &name[leading..];
    let dot = rest.iter().rposition(|unit| *unit == DOT);
    let (stem, extension) = rest.split_at(dot.unwrap_or(rest.len()));
    let extension = taken_from(extension, MAX_EXTENSION, upcase);
    let plain = taken_from(stem, KEPT, upcase);
    let mut with_checksum = plain.get(..KEPT_BEFORE_CHECKSUM).unwrap_or(&plain).to_vec();
    with_checksum.extend_from_slice(format!("{:04X}", checksum(name)).as_bytes());

    let plain_numbers = if plain.len() <= KEPT_BEFORE_CHECKSUM {
        0
    } else {
        LAST_PLAIN
    };
    let plain = (1..=plain_numbers).map(|number| (plain.as_slice(), number));
    let checked = (1..=MAX_NUMBER).map(|number| (with_checksum.as_slice(), number));
    plain
        .chain(checked)
        .map(|(stem, number)| joined(stem, number, &extension))
        .find(|candidate| is_free(candidate))
}

fn joined(stem: &[u8], number: u32, extension: &[u8]) -> Box<[u16]> {
    let tail = format!("~{number}");
    let room = MAX_STEM.saturating_sub(tail.len());
    let stem = stem.get(..room).unwrap_or(stem);
    let mut bytes = [stem, tail.as_bytes()].concat();
    if !extension.is_empty() {
        bytes.push(b'.');
        bytes.extend_from_slice(extension);
    }
    bytes.into_iter().map(u16::from).collect()
}

/// The checksum of a long name.
fn checksum(name: &[u16]) -> u16 {
    const MULTIPLIER: u32 = 314_159_269;
    const RECIPROCAL: u64 = 1_152_921_497;
    const PRIME: u64 = 1_000_000_007;
    let sum = name.iter().fold(0_u16, |sum, unit| {
        sum.wrapping_mul(0x25).wrapping_add(*unit)
    });
    let spread = u32::from(sum).wrapping_mul(MULTIPLIER).cast_signed();
    let spread = u64::from(spread.unsigned_abs());
    // The remainder by the prime, but for what the reciprocal leaves out.
    let rest = spread.wrapping_sub((spread.wrapping_mul(RECIPROCAL) >> 60).wrapping_mul(PRIME));
    let [low, high, ..] = rest.to_le_bytes();
    // The four digits in reverse.
    u16::from_be_bytes([low.rotate_left(4), high.rotate_left(4)])
}

#[cfg(test)]
mod tests {
    use super::super::upcase::Upcase;
    use super::*;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    fn all(names: &[&str]) -> Vec<String> {
        let upcase = Upcase::new();
        let mut taken: Vec<Box<[u16]>> = Vec::new();
        for name in names {
            let made = generate(&units(name), &|unit| upcase.of(unit), |candidate| {
                taken.iter().all(|name| **name != *candidate)
            });
            taken.push(made.unwrap());
        }
        taken
            .iter()
            .map(|name| String::from_utf16(name).unwrap())
            .collect()
    }

    #[test]
    fn names_of_eight_and_three_are_their_own_partners() {
        for name in [
            "a",
            "README",
            "readme.txt",
            "12345678.123",
            "$MFT",
            "a~1",
            "CON",
        ] {
            assert!(is_legal(&units(name)), "{name}");
        }
        for name in [
            "",
            "123456789",
            "a.1234",
            "a.b.c",
            ".a",
            "a.",
            "a b",
            "a+b",
            "é",
            "a[1]",
            "界",
        ] {
            assert!(!is_legal(&units(name)), "{name}");
        }
    }

    #[test]
    fn names_are_made_as_windows_makes_them() {
        // The examples of T. Galvin.
        assert_eq!(all(&["5+6 June Report.doc"]), ["5_6JUN~1.DOC"]);
        assert_eq!(all(&["1+2+3 Hello World.exe"]), ["1_2_3H~1.EXE"]);
        let five = ["SomeStuff.aspx"; 5];
        assert_eq!(
            all(&five),
            [
                "SOMEST~1.ASP",
                "SOMEST~2.ASP",
                "SOMEST~3.ASP",
                "SOMEST~4.ASP",
                "SOBC84~1.ASP"
            ]
        );
        assert_eq!(
            all(&["Program Files", "a.testing.file.batch"]),
            ["PROGRA~1", "ATESTI~1.BAT"]
        );
    }

    #[test]
    fn short_names_have_their_checksum_at_once_and_long_numbers_cut_the_name() {
        let upcase = Upcase::new();
        let one = all(&["界.txt"]);
        assert!(one[0].ends_with("~1.TXT") && one[0].len() == 10, "{one:?}");
        let late = generate(&units("Some Stuff"), &|unit| upcase.of(unit), |candidate| {
            candidate.ends_with(&units("~1234"))
        });
        assert_eq!(late.unwrap().len(), 8);
        assert!(generate(&units("Some Stuff"), &|unit| upcase.of(unit), |_| false).is_none());
        assert_eq!(all(&["...profile"]), ["PROFIL~1"]);
    }
}
