//! Words of option strings: the known keys, and what is near a word that is not known.

use super::error::SpecError;

/// How much of a refused word an error repeats, in characters.
const MAX_QUOTED_CHARS: usize = 60;

/// The keys, each with what it stands for in other tools.
pub(super) const KEYS: [(&str, &[&str]); 16] = [
    ("size", &["capacity", "length", "sz", "size_mb", "size-mb"]),
    (
        "fs",
        &["filesystem", "file_system", "fstype", "file-system"],
    ),
    ("format", &["image", "fmt"]),
    ("type", &["provisioning", "variant", "subformat"]),
    ("block", &["block_size", "blocksize", "block-size", "bs"]),
    (
        "sector",
        &["sector_size", "sectorsize", "sector-size", "logical_sector"],
    ),
    (
        "cluster",
        &["cluster_size", "clustersize", "cluster-size", "unit"],
    ),
    ("layout", &["partition", "table", "partitioning"]),
    ("label", &["name", "volume_label"]),
    ("persistent", &["persist", "keep"]),
    ("acl", &["sddl", "security", "permissions"]),
    ("kind", &["driver", "backend"]),
    ("source", &["src", "path", "device", "share"]),
    ("username", &["user", "login"]),
    ("domain", &["workgroup", "realm"]),
    ("readonly", &["ro", "read_only", "read-only"]),
];

pub(super) fn without_value(item: &str) -> SpecError {
    if item.trim().is_empty() {
        return SpecError::invalid("an option is missing between the commas");
    }
    match nearest_key(item) {
        Some(key) => SpecError::invalid(format!("{} has no value; write {key}=...", quote(item))),
        None => SpecError::invalid(format!("{} is not key=value", quote(item))),
    }
}

pub(super) fn unknown_key(key: &str) -> SpecError {
    let known: Vec<&str> = KEYS.iter().map(|(known, _)| *known).collect();
    if key.to_ascii_lowercase().starts_with("pass") {
        let message =
            "a password never stands in an option: `--password-file` and its like read it";
        return SpecError::invalid(message);
    }
    let mut message = format!("unknown option {}", quote(key));
    match nearest_key(key) {
        Some(near) => message.push_str(&format!("; did you mean {near}?")),
        None => message.push_str(&format!("; the options are {}", known.join(", "))),
    }
    SpecError::invalid(message)
}

pub(super) fn unknown_word(option: &'static str, value: &str, words: &[&'static str]) -> SpecError {
    let mut message = format!("{} is none of {}", quote(value), words.join(", "));
    if let Some(near) = nearest(value, words.iter().copied()) {
        message.push_str(&format!("; did you mean {near}?"));
    }
    SpecError::of_option(option, message)
}

fn nearest_key(key: &str) -> Option<&'static str> {
    let lower = key.trim().to_ascii_lowercase();
    let alias = KEYS
        .iter()
        .find(|(_, aliases)| aliases.contains(&lower.as_str()));
    alias
        .map(|(known, _)| *known)
        .or_else(|| nearest(&lower, KEYS.iter().map(|(known, _)| *known)))
}

/// The nearest word, at most a third of its letters (and at least one) away.
fn nearest(text: &str, words: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let text: Vec<char> = text.trim().to_ascii_lowercase().chars().take(32).collect();
    words
        .map(|word| (distance(&text, word), word))
        .filter(|(distance, word)| *distance <= (word.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Insertions, removals and replacements between two words, a swap of neighbours counted once.
fn distance(text: &[char], word: &str) -> usize {
    let word: Vec<char> = word.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=word.len()).collect();
    for (row, letter) in text.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, other) in word.iter().enumerate() {
            let replaced = last[column] + usize::from(letter != other);
            let mut best = replaced.min(last[column + 1] + 1).min(next[column] + 1);
            let swapped =
                row > 0 && column > 0 && text[row - 1] == *other && *letter == word[column - 1];
            if swapped {
                best = best.min(before[column - 1] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut last, next);
    }
    last.last().copied().unwrap_or(text.len())
}

/// A word for an error message: cut short, with nothing that a terminal would act on.
pub(super) fn quote(word: &str) -> String {
    let mut quoted: String = word.chars().take(MAX_QUOTED_CHARS).collect();
    if word.chars().nth(MAX_QUOTED_CHARS).is_some() {
        quoted.push_str("...");
    }
    format!("{quoted:?}")
}

/// An option as the string has it: in quotes where it holds a comma.
pub(super) fn field(key: &str, value: &str) -> String {
    let plain = format!("{key}={value}");
    if !value.contains(',') {
        return plain;
    }
    format!("\"{}\"", plain.replace('"', "\"\""))
}
