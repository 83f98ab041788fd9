//! The names that cvol stored otherwise than the source has them, as it listed them.

use std::collections::BTreeMap;

/// Stored names by the path in the source.
pub(super) struct StoredNames(BTreeMap<String, String>);

impl StoredNames {
    /// Reads what the command listed.
    pub(super) fn listed(text: &str) -> Self {
        let names = text.lines().filter_map(|line| {
            let (path, rest) = line.strip_prefix("cvol: ")?.split_once(": stored as ")?;
            let (name, _) = rest.rsplit_once(": the name ")?;
            Some((unescaped(path), unescaped(name)))
        });
        Self(names.collect())
    }

    /// The path in the volume of a path in the source.
    pub(super) fn path(&self, source: &str) -> String {
        let mut stored = Vec::new();
        let mut end = 0;
        for name in source.split('/') {
            end += name.len();
            stored.push(self.0.get(&source[..end]).map_or(name, String::as_str));
            end += 1;
        }
        stored.join("/")
    }
}

/// A text in which cvol wrote letters that terminals have not as their numbers.
fn unescaped(text: &str) -> String {
    let mut parts = text.split("\\u{");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (number, rest) = part.split_once('}').unwrap();
        let letter = u32::from_str_radix(number, 16).unwrap();
        whole.push(char::from_u32(letter).unwrap());
        whole.push_str(rest);
    }
    whole
}
