//! Names in records against names in directories: counts, orphans, strangers, and directories that
//! hold each other. Sums told which records differ; these alone are looked at again.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::super::parse::{File, FileNameView, FileReference, Index, kind};
use super::context::Context;
use super::directories::{is_below_extend, text};
use super::facts::{Facts, Marks, RecordKind, name_number};
use super::names::POSIX;
use crate::error::MkfsError;
use crate::findings::VolumeFinding;

/// Record of the root directory.
const ROOT: u64 = 5;
/// Reserved records, which have no names.
const RESERVED: std::ops::Range<u64> = 12..24;
/// Files whose names are compared one by one; there are findings enough before.
const MAX_SUSPECTS: usize = 20_000;

/// Compares the names of all files.
pub(super) fn check(context: &mut Context<'_, '_>) -> Result<(), MkfsError> {
    let mut suspects = HashMap::new();
    let bases = context
        .facts
        .numbers(|facts| facts.kind == RecordKind::Base);
    for number in bases {
        let Some(facts) = context.facts.get(number).copied() else {
            continue;
        };
        if facts.marks.has(Marks::DIRECTORY) {
            context.report.directories += 1;
        } else if number >= RESERVED.end {
            context.report.files += 1;
        }
        check_counts(context, number, &facts);
        let differs = facts.name_sum != facts.listed_sum || facts.names != facts.listed;
        if differs && !facts.marks.has(Marks::BROKEN) && suspects.len() < MAX_SUSPECTS {
            let names = check_names(context, number, &facts)?;
            suspects.insert(number, names);
        }
    }
    if !suspects.is_empty() {
        find_strangers(context, &suspects)?;
    }
    check_loops(context);
    Ok(())
}

fn check_counts(context: &mut Context<'_, '_>, number: u64, facts: &Facts) {
    let error = |class, message: &str| VolumeFinding::error(class, message).of(number);
    if facts.links != facts.names && !facts.marks.has(Marks::BROKEN) {
        let finding = error("link-count", "the links are counted wrongly");
        context.add(finding.versus(facts.names, facts.links));
    }
    if facts.names == 0 {
        if !RESERVED.contains(&number) && !facts.marks.has(Marks::BROKEN) {
            context.add(error("orphan", "the file has no name"));
        }
        return;
    }
    if facts.marks.has(Marks::SYSTEM)
        && number >= RESERVED.end
        && !is_below_extend(context, u64::from(facts.parent))
    {
        let message = "the record is marked as one of $Extend, but stands elsewhere";
        context.add(error("record-flags", message));
    }
    if facts.dos_names != facts.win32_names {
        let finding = error("name-pair", "names of Windows and of DOS are not in pairs");
        context.add(finding.versus(facts.win32_names, facts.dos_names));
    }
    if facts.marks.has(Marks::DIRECTORY) && facts.names > facts.dos_names + 1 {
        context.add(error(
            "directory-links",
            "the directory has more than one name",
        ));
    }
}

/// Looks for each name of a record in its directory; returns numbers of the names, without regard to
/// their name spaces.
fn check_names(
    context: &mut Context<'_, '_>,
    number: u64,
    facts: &Facts,
) -> Result<Vec<u64>, MkfsError> {
    let file = context.volume.read_file(number);
    // What is wrong with its records was found before.
    let Ok(file) = file else {
        return Ok(Vec::new());
    };
    let Ok(attributes) = file.attributes() else {
        return Ok(Vec::new());
    };
    let (mut numbers, mut found) = (Vec::new(), 0);
    let mut problems = Vec::new();
    for (_, attribute) in &attributes {
        let name = attribute
            .value()
            .filter(|_| attribute.kind == kind::FILE_NAME)
            .and_then(FileNameView::parse);
        let Some(name) = name else {
            continue;
        };
        numbers.push(name_number(name.parent(), POSIX, name.name()));
        match look_up(context, number, &name)? {
            None => found += 1,
            Some((class, message)) => {
                if class == "name-space" {
                    found += 1;
                }
                problems.push(VolumeFinding::error(class, message).of(number));
            }
        }
    }
    for problem in problems {
        context.add(problem);
    }
    if found == 0 && facts.names > 0 {
        let finding = VolumeFinding::error("orphan", "no directory leads to the file");
        context.add(finding.of(number));
    }
    Ok(numbers)
}

/// What is wrong between a name and its directory.
fn look_up(
    context: &mut Context<'_, '_>,
    number: u64,
    name: &FileNameView<'_>,
) -> Result<Option<(&'static str, String)>, MkfsError> {
    let shown = name.name_text().escape_debug().to_string();
    let parent = name.parent();
    let directory = context.facts.base(parent).map(|facts| facts.marks);
    if directory.is_some_and(|marks| marks.has(Marks::TORN)) {
        // The name may stand in the part that could not be read.
        return Ok(None);
    }
    if !directory.is_some_and(|marks| marks.has(Marks::DIRECTORY)) {
        let message = format!(
            "the name {shown} is said to be in {}, which is no directory",
            text(parent)
        );
        return Ok(Some(("name-parent", message)));
    }
    let found = find(context, parent, name);
    let entry = match found {
        Ok(entry) => entry,
        Err(error) if error.is_of_disk() => return Err(error.into()),
        // The directory itself was found to be damaged.
        Err(_) => None,
    };
    let missing = || {
        let message = format!("the name {shown} is not in its directory, {}", text(parent));
        Ok(Some(("index-missing", message)))
    };
    let Some(entry) = entry else {
        return missing();
    };
    let entry = entry.view()?;
    if entry.file().record() != number {
        return missing();
    }
    let space = entry.file_name().map(|name| name.name_space());
    if space != Some(name.name_space()) {
        let message = format!(
            "the name space of {shown} is {} in the record and {} in the directory",
            name.name_space(),
            space.unwrap_or(0)
        );
        return Ok(Some(("name-space", message)));
    }
    Ok(None)
}

fn find(
    context: &Context<'_, '_>,
    parent: FileReference,
    name: &FileNameView<'_>,
) -> Result<Option<super::super::parse::OwnedEntry>, super::super::parse::ParseError> {
    let volume = context.volume;
    let file: File = volume.read_file(parent.record())?;
    let index = Index::open(volume, &file, "$I30")?;
    index.find_name(volume, &name.name_units(), true)
}

/// Entries that lead to a file which knows nothing of the name. Without the sums this would take a
/// list of all names in memory.
fn find_strangers(
    context: &mut Context<'_, '_>,
    suspects: &HashMap<u64, Vec<u64>>,
) -> Result<(), MkfsError> {
    for directory in context.facts.marked(Marks::DIRECTORY) {
        let volume = context.volume;
        let Ok(file) = volume.read_file(directory) else {
            continue;
        };
        let Ok(index) = Index::open(volume, &file, "$I30") else {
            continue;
        };
        let own = file.base().reference();
        let mut strangers = Vec::new();
        let walked = index.walk(volume, &mut |entry| {
            if let (Some(names), Some(name)) =
                (suspects.get(&entry.file().record()), entry.file_name())
                && !names.contains(&name_number(own, POSIX, name.name()))
            {
                let shown = name.name_text().escape_debug().to_string();
                strangers.push((entry.file().record(), shown));
            }
            ControlFlow::Continue(())
        });
        match walked {
            Err(error) if error.is_of_disk() => return Err(error.into()),
            // The walk of the first round said what is wrong.
            _ => {}
        }
        for (record, shown) in strangers {
            let message =
                format!("the entry {shown} leads to record {record}, which has no such name");
            context.add(VolumeFinding::error("index-stranger", message).of(directory));
        }
    }
    Ok(())
}

/// From every directory the way up leads to the root.
fn check_loops(context: &mut Context<'_, '_>) {
    if let Some(root) = context.facts.get_mut(ROOT) {
        root.marks.set(Marks::ROOTED);
    }
    let is_rooted = |facts: &Facts| facts.marks.has(Marks::ROOTED);
    for start in context.facts.marked(Marks::DIRECTORY) {
        let mut way = Vec::new();
        let mut number = start;
        let mut is_loop = false;
        while let Some(facts) = context.facts.get(number) {
            // A name that leads nowhere was found before.
            if is_rooted(facts) || facts.kind != RecordKind::Base || facts.names == 0 {
                break;
            }
            way.push(number);
            number = u64::from(facts.parent);
            // A way longer than this is looked at for a loop, which it must hold if it never ends.
            if way.len() > 64 && way.len().is_power_of_two() && has_twice(&way) {
                is_loop = true;
                break;
            }
            if way.first() == Some(&number) {
                is_loop = true;
                break;
            }
        }
        if is_loop {
            let message = "directories hold each other; the root does not lead there";
            context.add(VolumeFinding::error("directory-loop", message).of(start));
        }
        for number in way {
            if let Some(facts) = context.facts.get_mut(number) {
                facts.marks.set(Marks::ROOTED);
            }
        }
    }
}

fn has_twice(way: &[u64]) -> bool {
    let mut sorted = way.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}
