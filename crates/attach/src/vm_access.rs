//! The access lists of files that machines of Hyper-V open, as text: what `HcsGrantVmAccess` does, for a
//! host whose computecore.dll is without it, or is not there at all.
//!
//! A machine's disks are opened by its worker process, under an identifier of the machine's own. It is
//! `S-1-5-83-1-` and the machine's identifier as four numbers of 32 bits, in the order in which Windows
//! keeps it; `S-1-5-83-0` is all machines. The service maps machines whose names are no GUID to one that it
//! keeps to itself: for these the service alone can do it.

use std::io;
use std::path::Path;

/// The access lists of the files of a host.
pub trait AccessLists: Send + Sync {
    /// The list of a file, as rules in SDDL.
    ///
    /// # Errors
    /// The host's.
    fn rules(&self, file: &Path) -> io::Result<String>;

    /// Gives a file another list.
    ///
    /// # Errors
    /// The host's.
    fn set_rules(&self, file: &Path, rules: &str) -> io::Result<()>;
}

/// Lets `identifier` open a file. Whether that changed anything.
///
/// # Errors
/// The host's.
pub fn grant(
    lists: &dyn AccessLists,
    file: &Path,
    identifier: &str,
    write: bool,
) -> io::Result<bool> {
    change(lists, file, |rules| granted(rules, identifier, write))
}

/// Takes that back. Whether there was anything to take.
///
/// # Errors
/// The host's.
pub fn revoke(lists: &dyn AccessLists, file: &Path, identifier: &str) -> io::Result<bool> {
    change(lists, file, |rules| revoked(rules, identifier))
}

fn change(
    lists: &dyn AccessLists,
    file: &Path,
    change: impl FnOnce(&str) -> Option<String>,
) -> io::Result<bool> {
    match change(&lists.rules(file)?) {
        None => Ok(false),
        Some(changed) => lists.set_rules(file, &changed).map(|()| true),
    }
}

/// The identifier of all machines of a host. A file that many read gets it once, since a list that grows
/// with each machine comes to its end.
pub const ALL_MACHINES: &str = "S-1-5-83-0";

/// Reading, and reading with what a writable disk needs, as Windows writes them: `FILE_GENERIC_READ`, and
/// that with `FILE_GENERIC_WRITE`.
const READ: &str = "0x120089";
const READ_AND_WRITE: &str = "0x12019f";

/// The identifier of the machine with this GUID, in braces or not; `None` for what is none.
pub fn machine_identifier(guid: &str) -> Option<String> {
    let plain = guid
        .strip_prefix('{')
        .map_or(Some(guid), |rest| rest.strip_suffix('}'))?;
    let groups: Vec<&str> = plain.split('-').collect();
    let [first, second, third, fourth, fifth] = groups.as_slice() else {
        return None;
    };
    let lengths = [8, 4, 4, 4, 12];
    let is_hex = |text: &&str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !groups.iter().all(is_hex)
        || !groups
            .iter()
            .zip(lengths)
            .all(|(it, length)| it.len() == length)
    {
        return None;
    }
    let number = |hex: &str| u32::from_str_radix(hex, 16).ok();
    // The first three are numbers in memory, the rest are bytes.
    let rest = format!("{fourth}{fifth}");
    let numbers = [
        number(first)?,
        number(&format!("{third}{second}"))?,
        number(rest.get(..8)?)?.swap_bytes(),
        number(rest.get(8..)?)?.swap_bytes(),
    ];
    let [a, b, c, d] = numbers;
    Some(format!("S-1-5-83-1-{a}-{b}-{c}-{d}"))
}

/// The rules (SDDL) with one that lets `identifier` open the file; `None` where they do already. What was
/// there of it before is replaced.
pub fn granted(rules: &str, identifier: &str, write: bool) -> Option<String> {
    let rights = if write { READ_AND_WRITE } else { READ };
    let wanted = format!("(A;;{rights};;;{identifier})");
    if rules.contains(&wanted) {
        return None;
    }
    let rules = revoked(rules, identifier).unwrap_or_else(|| rules.to_owned());
    let (before, list, after) = parts(&rules)?;
    // What is not inherited stands before what is; of these, what lets in after what keeps out.
    let position = list
        .iter()
        .position(|rule| is_inherited(rule))
        .unwrap_or(list.len());
    let mut all: Vec<&str> = list;
    all.insert(position, &wanted);
    Some(format!("{before}{}{after}", all.concat()))
}

/// The rules without those that let `identifier` in; `None` where there is none.
pub fn revoked(rules: &str, identifier: &str) -> Option<String> {
    let (before, list, after) = parts(rules)?;
    let is_its = |rule: &&str| {
        let fields: Vec<&str> = rule.trim_matches(['(', ')']).split(';').collect();
        fields.first() == Some(&"A")
            && fields
                .get(5)
                .is_some_and(|it| it.eq_ignore_ascii_case(identifier))
            && !is_inherited(rule)
    };
    let kept: Vec<&str> = list.iter().copied().filter(|rule| !is_its(rule)).collect();
    (kept.len() < list.len()).then(|| format!("{before}{}{after}", kept.concat()))
}

fn is_inherited(rule: &str) -> bool {
    let flags = rule.split(';').nth(1).unwrap_or_default();
    let pairs = flags.as_bytes().chunks(2);
    pairs.into_iter().any(|pair| pair == b"ID")
}

/// What stands before the rules of the list, these, and what comes after. Conditional rules, which have
/// brackets in brackets, are no files' of machines.
fn parts(rules: &str) -> Option<(&str, Vec<&str>, &str)> {
    let start = rules.find("D:")?;
    let first = rules
        .get(start..)?
        .find('(')
        .map_or(rules.len(), |at| start + at);
    let (before, mut rest) = rules.split_at_checked(first)?;
    let mut list = Vec::new();
    while rest.starts_with('(') {
        let end = rest.find(')')? + 1;
        let (rule, next) = rest.split_at_checked(end)?;
        if rule.get(1..)?.contains('(') {
            return None;
        }
        list.push(rule);
        rest = next;
    }
    Some((before, list, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_the_identifier_that_its_guid_is_in_memory() {
        for (guid, identifier) in [
            (
                "00000001-0002-0003-0405-060708090a0b",
                // 1; 0x0003_0002; the bytes 04 05 06 07 and 08 09 0a 0b, the lowest first.
                "S-1-5-83-1-1-196610-117835012-185207048",
            ),
            (
                "{FFFFFFFF-0000-0000-0000-000000000001}",
                "S-1-5-83-1-4294967295-0-0-16777216",
            ),
        ] {
            assert_eq!(machine_identifier(guid).as_deref(), Some(identifier));
        }
        for wrong in [
            "web",
            "",
            "00000001-0002-0003-0405",
            "{00000001-0002-0003-0405-060708090a0b",
            "0000000g-0002-0003-0405-060708090a0b",
            "000000001-002-0003-0405-060708090a0b",
        ] {
            assert_eq!(machine_identifier(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_rule_is_added_before_the_inherited_ones_replaced_and_taken_away() {
        let sid = machine_identifier("00000001-0002-0003-0405-060708090a0b").unwrap();
        let before = "D:AI(D;;FA;;;AN)(A;;FA;;;BA)(A;OICIID;FA;;;SY)";
        let reads = granted(before, &sid, false).unwrap();
        assert_eq!(
            reads,
            format!("D:AI(D;;FA;;;AN)(A;;FA;;;BA)(A;;0x120089;;;{sid})(A;OICIID;FA;;;SY)")
        );
        assert_eq!(granted(&reads, &sid, false), None);
        let writes = granted(&reads, &sid, true).unwrap();
        assert!(
            writes.contains("0x12019f") && !writes.contains("0x120089"),
            "{writes}"
        );
        assert_eq!(revoked(&writes, &sid).as_deref(), Some(before));
        assert_eq!(revoked(before, &sid), None);
        // Nobody else's, and nothing that is inherited.
        let group = granted(&writes, ALL_MACHINES, false).unwrap();
        assert_eq!(
            revoked(&group, ALL_MACHINES).as_deref(),
            Some(writes.as_str())
        );
        let inherited = format!("D:(A;ID;FR;;;{ALL_MACHINES})S:(ML;;NW;;;LW)");
        assert_eq!(revoked(&inherited, ALL_MACHINES), None);
        let more = granted(&inherited, &sid, false).unwrap();
        assert!(more.ends_with(")S:(ML;;NW;;;LW)"), "{more}");
        assert_eq!(
            granted("D:", &sid, false),
            Some(format!("D:(A;;0x120089;;;{sid})"))
        );
        assert_eq!(granted("O:BA", &sid, false), None);
    }
}
