//! How a name is stored: mapping, collisions, device names.

use std::collections::HashSet;

use super::taken::Taken;
use super::{CasePolicy, NameError, NameNote, NamePolicy, NameProblem};
use crate::tree::{NAME_MAX_UNITS, NodeName};

/// First code unit of the private area that stands for forbidden characters.
const PRIVATE_AREA: u16 = 0xF000;
const DOT: u16 = 0x2E;
const SPACE: u16 = 0x20;

/// How names are treated: the policy, and how the file system folds case.
#[derive(Clone, Copy)]
pub struct NameRules<'a> {
    /// What is done with names that Windows cannot use.
    pub policy: NamePolicy,
    /// What is done with names that differ in case only.
    pub case: CasePolicy,
    /// The upper-case form of a code unit, as the file system compares names.
    pub upcase: &'a dyn Fn(u16) -> u16,
}

/// The names of one directory, upper-cased: decides how each newcomer is stored.
#[derive(Clone, Debug, Default)]
pub struct SiblingNames {
    /// Each name taken.
    taken: Taken,
    /// Names as they are stored, where names that differ in case only keep them.
    exact: HashSet<Box<[u16]>>,
    /// Names that nothing else may have, in whatever case; few.
    reserved: Vec<Box<[u16]>>,
}

/// A name as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmittedName {
    /// The name.
    pub name: NodeName,
    /// Whether the directory has another name that differs from it in case only.
    pub differs_in_case_only: bool,
}

impl SiblingNames {
    /// A directory without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// A directory that holds `names` already (system files in the root, say).
    pub fn with_reserved<'n>(
        names: impl IntoIterator<Item = &'n [u16]>,
        rules: &NameRules<'_>,
    ) -> Self {
        let mut reserved: Vec<Box<[u16]>> =
            names.into_iter().map(|name| upcased(name, rules)).collect();
        reserved.sort_unstable();
        let mut taken = Taken::default();
        for name in &reserved {
            taken.take(name.iter().copied());
        }
        Self {
            taken,
            exact: HashSet::new(),
            reserved,
        }
    }

    /// Whether a name is taken that has this upper-case form.
    pub fn contains(&self, upcased: &[u16]) -> bool {
        self.taken.contains(upcased)
    }

    /// The name under which `name` is stored beside those admitted before. What differs or is worth
    /// a warning goes into `notes`; `path` is asked for only then.
    ///
    /// # Errors
    /// [`NameError`] under [`NamePolicy::Strict`] for every name that would be stored otherwise
    /// than it is (device names are legal on disk and only noted), and under
    /// [`CasePolicy::Refuse`] for names that differ from another in case only, or not at all.
    pub fn admit(
        &mut self,
        name: &NodeName,
        rules: &NameRules<'_>,
        path: &dyn Fn() -> String,
        notes: &mut Vec<NameNote>,
    ) -> Result<AdmittedName, NameError> {
        let (mapped, mut problem) = mapped(name.units());
        let mut stored = mapped;
        let mut keeps_case = false;
        let folded = stored.iter().map(|unit| (rules.upcase)(*unit));
        if !self.taken.take(folded) {
            let key = upcased(&stored, rules);
            keeps_case = self.keeps_case(&stored, &key, rules);
            if rules.case == CasePolicy::Refuse {
                return Err(NameError::new(path(), NameProblem::Collision));
            }
            if keeps_case {
                notes.push(NameNote {
                    path: path(),
                    reason: NameProblem::KeptCase,
                    stored_as: String::from_utf16_lossy(&stored),
                });
            } else {
                problem = problem.or(Some(NameProblem::Collision));
                if rules.policy == NamePolicy::Map {
                    let free;
                    (stored, free) = self.free_variant(&stored, &key, rules);
                    self.taken.take(free.iter().copied());
                }
            }
        }
        if let Some(reason) = problem
            && rules.policy == NamePolicy::Strict
        {
            return Err(NameError::new(path(), reason));
        }
        if problem.is_none() && is_device_name(&stored) {
            problem = Some(NameProblem::ReservedDevice);
        }
        if rules.case == CasePolicy::KeepBoth {
            self.exact.insert(stored.as_slice().into());
        }
        let stored = NodeName::new(stored).map_err(|e| NameError::new(path(), e.reason()))?;
        if let Some(reason) = problem {
            notes.push(NameNote {
                path: path(),
                reason,
                stored_as: stored.to_string(),
            });
        }
        Ok(AdmittedName {
            name: stored,
            differs_in_case_only: keeps_case,
        })
    }

    /// Whether a name whose upper-case form is taken may stay as it is.
    fn keeps_case(&self, name: &[u16], key: &[u16], rules: &NameRules<'_>) -> bool {
        rules.case == CasePolicy::KeepBoth
            && !self.exact.contains(name)
            && !self.reserved.iter().any(|reserved| **reserved == *key)
    }

    /// The first of `name (2)`, `name (3)`, ... that is free, with its upper-cased form. The number
    /// stands before the extension.
    fn free_variant(
        &mut self,
        name: &[u16],
        key: &[u16],
        rules: &NameRules<'_>,
    ) -> (Vec<u16>, Box<[u16]>) {
        let mut number = self.taken.number(key);
        // Ends: every turn that finds its variant taken has found another one of the finitely many.
        loop {
            let variant = numbered(name, number);
            let variant_key = upcased(&variant, rules);
            number = number.saturating_add(1);
            if !self.taken.contains(&variant_key) {
                self.taken.set_number(key, number);
                return (variant, variant_key);
            }
        }
    }
}

fn upcased(name: &[u16], rules: &NameRules<'_>) -> Box<[u16]> {
    name.iter().map(|unit| (rules.upcase)(*unit)).collect()
}

/// Whether Windows forbids the code unit in names ([MS-FSCC] 2.1.5.2).
fn is_forbidden(unit: u16) -> bool {
    unit < SPACE
        || matches!(
            u8::try_from(unit),
            Ok(b'<' | b'>' | b':' | b'"' | b'/' | b'\\' | b'|' | b'?' | b'*')
        )
}

/// The name with forbidden characters, and one dot or space at its end, in the private area.
fn mapped(name: &[u16]) -> (Vec<u16>, Option<NameProblem>) {
    let mut problem = None;
    let mut units: Vec<u16> = name
        .iter()
        .map(|unit| {
            if is_forbidden(*unit) {
                problem = Some(NameProblem::ForbiddenCharacter);
                PRIVATE_AREA + unit
            } else {
                *unit
            }
        })
        .collect();
    // One is enough: what stands before it is no longer at the end.
    if let Some(last) = units.last_mut()
        && matches!(*last, DOT | SPACE)
    {
        *last += PRIVATE_AREA;
        problem = problem.or(Some(NameProblem::TrailingDotOrSpace));
    }
    (units, problem)
}

/// `stem (number).extension`, the stem cut so that the whole fits.
fn numbered(name: &[u16], number: u32) -> Vec<u16> {
    let suffix: Vec<u16> = format!(" ({number})").encode_utf16().collect();
    let split = match name.iter().rposition(|unit| *unit == DOT) {
        // A leading dot begins a name, not an extension; an overlong extension is none.
        Some(dot) if dot > 0 && name.len() - dot <= 64 => dot,
        _ => name.len(),
    };
    let (stem, extension) = name.split_at(split);
    let room = NAME_MAX_UNITS.saturating_sub(suffix.len() + extension.len());
    let mut stem = stem.get(..room).unwrap_or(stem);
    // A surrogate pair is not cut in two.
    if let [rest @ .., 0xD800..=0xDBFF] = stem {
        stem = rest;
    }
    [stem, &suffix, extension].concat()
}

/// Whether the stem of the name is that of a device: CON, PRN, AUX, NUL, COM1-9, LPT1-9 (also with
/// superscript digits), CONIN$, CONOUT$.
fn is_device_name(name: &[u16]) -> bool {
    // Most names need no second look.
    let first = name.first().and_then(|unit| u8::try_from(*unit).ok());
    if !first.is_some_and(|unit| b"CPANL".contains(&unit.to_ascii_uppercase())) {
        return false;
    }
    let text = String::from_utf16_lossy(name).to_uppercase();
    let stem = text.split('.').next().unwrap_or_default().trim_end();
    if matches!(stem, "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$") {
        return true;
    }
    ["COM", "LPT"].iter().any(|port| {
        stem.strip_prefix(port).is_some_and(|digit| {
            matches!(
                digit,
                "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"
            )
        })
    })
}

#[cfg(test)]
mod tests;
