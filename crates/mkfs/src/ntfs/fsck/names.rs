//! The names of a file: their form, their name spaces, and their sums for the comparison with
//! directories.

use super::super::parse::{FileNameView, RecordView};
use super::context::Context;
use super::facts::name_number;
use crate::findings::VolumeFinding;

/// Record of the root directory, whose own name is a dot.
const ROOT: u64 = 5;
/// The attribute of directories, as names keep it.
const DIRECTORY: u32 = 0x1000_0000;
/// Name spaces.
pub(super) const POSIX: u8 = 0;
const WIN32: u8 = 1;
const DOS: u8 = 2;
const WIN32_AND_DOS: u8 = 3;

/// Checks a value of `$FILE_NAME` and takes note of the name.
pub(super) fn check(
    context: &mut Context<'_, '_>,
    holder: RecordView<'_>,
    owner: u64,
    value: &[u8],
) {
    let record = holder.number();
    let error = |class, message: String| VolumeFinding::error(class, message).of(record);
    let Some(name) = FileNameView::parse(value) else {
        return context.add(error("name", "a name is cut short".into()));
    };
    if name.length() != value.len() {
        let finding = error(
            "name",
            "a name has another length than its attribute".into(),
        );
        context.add(finding.versus(value.len(), name.length()));
    }
    if let Some((class, message)) = problem(&name, owner == ROOT) {
        context.add(error(class, message));
    }
    let says = name.attributes() & DIRECTORY != 0;
    if holder.base().is_none() && says != holder.is_directory() {
        let message = format!(
            "the name {} is of a directory, or the file, but not both",
            name.name_text().escape_debug()
        );
        context.add(error("name", message));
    }
    if !name.has_possible_times() {
        let message = "a time of a name is past the last one that Windows accepts";
        context.add(VolumeFinding::warning("time", message).of(record));
    }
    if name.name_space() == POSIX && owner != ROOT && is_refused(&name.name_units()) {
        context.refused.add(owner);
    }
    let is_first = context
        .facts
        .get(owner)
        .is_none_or(|facts| facts.names == 0);
    let Some(facts) = context.facts.get_mut(owner) else {
        return;
    };
    let number = name_number(name.parent(), name.name_space(), name.name());
    facts.name_sum = facts.name_sum.wrapping_add(number);
    facts.names = facts.names.saturating_add(1);
    match name.name_space() {
        DOS => facts.dos_names = facts.dos_names.saturating_add(1),
        WIN32 => facts.win32_names = facts.win32_names.saturating_add(1),
        _ => {}
    }
    if is_first {
        facts.parent = u32::try_from(name.parent().record()).unwrap_or(u32::MAX);
        facts.parent_sequence = name.parent().sequence();
    }
}

/// What is wrong with a name by itself.
pub(super) fn problem(name: &FileNameView<'_>, is_root: bool) -> Option<(&'static str, String)> {
    let units = name.name_units();
    let shown = || name.name_text().escape_debug().to_string();
    if units.is_empty() {
        return Some(("name", "a name is empty".into()));
    }
    let space = name.name_space();
    if space > WIN32_AND_DOS {
        return Some((
            "name-space",
            format!("the name space {space} of {} is none", shown()),
        ));
    }
    let is_dot = is_root && units == [0x2E];
    let is_illegal = |unit: &u16| {
        let always = *unit == 0 || *unit == u16::from(b'/');
        always || (space != POSIX && is_refused_by_win32(*unit))
    };
    if !is_dot && units.iter().any(is_illegal) {
        return Some((
            "name-character",
            format!("the name {} holds a character that no name has", shown()),
        ));
    }
    if matches!(space, DOS | WIN32_AND_DOS) && !is_dot && !is_short(&units) {
        return Some((
            "name-space",
            format!("the name {} is said to be a DOS name, and is none", shown()),
        ));
    }
    None
}

/// Whether a name that is possible on the volume is none for Windows.
fn is_refused(units: &[u16]) -> bool {
    units.iter().any(|unit| is_refused_by_win32(*unit))
}

fn is_refused_by_win32(unit: u16) -> bool {
    unit < 0x20
        || char::from_u32(u32::from(unit)).is_some_and(|letter| "\"*/:<>?\\|".contains(letter))
}

/// Whether a name has the form of DOS: eight letters, and three after a dot.
pub(super) fn is_short(units: &[u16]) -> bool {
    let letters = |part: &[u16], most: usize| {
        part.len() <= most
            && part.iter().all(|unit| {
                let is_refused = char::from_u32(u32::from(*unit))
                    .is_some_and(|letter| " +,.;=[]".contains(letter));
                !is_refused && !is_refused_by_win32(*unit)
            })
    };
    match units.iter().position(|unit| *unit == 0x2E) {
        None => !units.is_empty() && letters(units, 8),
        Some(dot) => {
            let (stem, extension) = (&units[..dot], &units[dot + 1..]);
            !stem.is_empty() && !extension.is_empty() && letters(stem, 8) && letters(extension, 3)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_dos_are_told_from_others() {
        let units = |name: &str| name.encode_utf16().collect::<Vec<_>>();
        for name in ["$MFTMirr", "FILE~1.TXT", "a", "x.y", "file.txt", "É.TXT"] {
            assert!(is_short(&units(name)), "{name}");
        }
        for name in [
            "",
            ".a",
            "a.",
            "ninechars",
            "a.html",
            "a b",
            "a.b.c",
            "a+b",
            "a:b",
        ] {
            assert!(!is_short(&units(name)), "{name}");
        }
    }
}
