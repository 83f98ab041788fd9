//! Rules that say which paths of a tree get which descriptor, and the file they are written in.
//!
//! ```text
//!   # comment
//!   /                       O:BAG:SYD:PAI(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)
//!   /logs                   container-users
//!   "/Program Files/**.exe" inherit
//!   /**/secret*             administrators
//! ```
//!
//! A line is a pattern, blanks, and a descriptor: SDDL, the name of a preset, or `inherit` for none
//! of its own. A pattern with blanks stands in double quotes, which no name of Windows holds. In a
//! name `*` stands for any characters and `?` for one; a name `**` stands for any number of names,
//! also none. Case does not count, as to Windows. Of the lines that match a path the last one wins.
//!
//! Patterns are matched on the way down, name by name: what a directory's path leaves to be matched
//! below it is its [`Progress`]. No path is ever put together.

use std::collections::HashMap;
use std::sync::Arc;

use super::descriptor::SecurityDescriptor;
use super::sddl::{SddlError, SddlErrorKind};
use crate::tree::NodeName;

/// The longest file of rules, in bytes.
const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;
/// The most rules.
const MAX_RULES: usize = 4096;
/// The most names of a pattern.
const MAX_NAMES: usize = 64;
/// The word for no descriptor of its own.
const INHERIT: &str = "inherit";

/// Rules, in the order in which they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessRules {
    rules: Vec<Rule>,
}

/// A line that is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct RuleError {
    line: usize,
    column: usize,
    unsupported: bool,
    message: String,
}

impl RuleError {
    /// The line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The character of the line, from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// Whether the line is right, but asks for what is not supported.
    pub fn is_unsupported(&self) -> bool {
        self.unsupported
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    names: Vec<NamePattern>,
    /// `None` for `inherit`.
    descriptor: Option<SecurityDescriptor>,
}

/// One name of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NamePattern {
    /// `**`: any number of names.
    AnyNames,
    /// A name, in upper case.
    Name(Vec<Piece>),
}

/// A piece of the pattern of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Unit(u16),
    One,
    Many,
}

/// How far the patterns have matched on the way to a directory: for each that may still match, how
/// many of its names are behind. Sorted, each pair once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Progress(Arc<[(u16, u16)]>);

impl AccessRules {
    /// Reads rules from the text of a file.
    ///
    /// # Errors
    /// [`RuleError`], which names line and column.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let fail = |line, column, message: String| RuleError {
            line,
            column,
            unsupported: false,
            message,
        };
        if text.len() > MAX_FILE_BYTES {
            let message = format!("the rules are longer than {MAX_FILE_BYTES} bytes");
            return Err(fail(1, 1, message));
        }
        let mut rules = Self::default();
        let mut known = HashMap::new();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let rest = line.trim_start();
            if rest.is_empty() || rest.starts_with('#') {
                continue;
            }
            if rules.rules.len() == MAX_RULES {
                return Err(fail(number, 1, format!("more than {MAX_RULES} rules")));
            }
            let rule = parse_line(line, &mut known).map_err(|error| RuleError {
                line: number,
                ..error
            })?;
            rules.rules.push(rule);
        }
        Ok(rules)
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// The start of every pattern: how far they have matched at the root.
    pub(super) fn at_root(&self) -> Progress {
        let mut reached = Vec::new();
        for (rule, at) in (0_u16..).zip(&self.rules) {
            reach(&mut reached, rule, &at.names, 0);
        }
        Progress::of(reached)
    }

    /// How far the patterns have matched one name further down.
    pub(super) fn step(&self, progress: &Progress, name: &NodeName, fold: &Fold) -> Progress {
        let mut reached = Vec::new();
        for &(rule, at) in progress.0.iter() {
            let Some(names) = self.rules.get(usize::from(rule)).map(|rule| &rule.names) else {
                continue;
            };
            match names.get(usize::from(at)) {
                Some(NamePattern::AnyNames) => reach(&mut reached, rule, names, at),
                Some(NamePattern::Name(pieces)) if matches(pieces, name.units(), fold) => {
                    reach(&mut reached, rule, names, at.saturating_add(1));
                }
                _ => {}
            }
        }
        Progress::of(reached)
    }

    /// The number of the last rule whose whole pattern has matched.
    pub(super) fn matched(&self, progress: &Progress) -> Option<u16> {
        let whole = |&&(rule, at): &&(u16, u16)| {
            let names = self.rules.get(usize::from(rule)).map(|rule| &rule.names);
            names.is_some_and(|names| names.len() == usize::from(at))
        };
        progress.0.iter().filter(whole).map(|&(rule, _)| rule).max()
    }

    /// What a rule says; `None` for `inherit`.
    pub(super) fn descriptor(&self, rule: u16) -> Option<&SecurityDescriptor> {
        let rule = self.rules.get(usize::from(rule))?;
        rule.descriptor.as_ref()
    }
}

impl Progress {
    fn of(mut reached: Vec<(u16, u16)>) -> Self {
        reached.sort_unstable();
        reached.dedup();
        Self(reached.into())
    }
}

/// Notes that a pattern has matched up to `at`, and past every `**` there, which may match no name.
fn reach(reached: &mut Vec<(u16, u16)>, rule: u16, names: &[NamePattern], at: u16) {
    let mut at = at;
    reached.push((rule, at));
    while names.get(usize::from(at)) == Some(&NamePattern::AnyNames) {
        at = at.saturating_add(1);
        reached.push((rule, at));
    }
}

/// The upper-case table by which names are compared.
pub(super) struct Fold(crate::ntfs::parse::Upcase);

impl Fold {
    pub(super) fn new() -> Self {
        Self(crate::ntfs::parse::Upcase::new())
    }

    fn of(&self, unit: u16) -> u16 {
        self.0.of(unit)
    }
}

/// Whether a name matches; the last `*` that was passed is tried longer where the rest fails, so
/// that the time is at most the product of the lengths.
fn matches(pieces: &[Piece], units: &[u16], fold: &Fold) -> bool {
    let (mut piece, mut unit) = (0, 0);
    let mut retry = None;
    while unit < units.len() {
        match pieces.get(piece) {
            Some(Piece::Many) => {
                retry = Some((piece + 1, unit));
                piece += 1;
            }
            Some(Piece::One) => {
                piece += 1;
                unit += 1;
            }
            Some(Piece::Unit(wanted)) if fold.of(*wanted) == fold.of(units[unit]) => {
                piece += 1;
                unit += 1;
            }
            _ => {
                let Some((after, start)) = retry else {
                    return false;
                };
                retry = Some((after, start + 1));
                piece = after;
                unit = start + 1;
            }
        }
    }
    pieces[piece..].iter().all(|piece| *piece == Piece::Many)
}

/// What a piece of text says, or what is wrong with it; the line is put in by the caller.
fn wrong(column: usize, message: impl Into<String>) -> RuleError {
    RuleError {
        line: 1,
        column,
        unsupported: false,
        message: message.into(),
    }
}

/// Descriptors that were read already, by their text: a file may say the same a thousand times.
type Known = HashMap<String, SecurityDescriptor>;

fn parse_line(line: &str, known: &mut Known) -> Result<Rule, RuleError> {
    let (pattern, pattern_at, rest_at) = split_pattern(line)?;
    let column = |at: usize| {
        line.get(..at)
            .map_or(1, |before| before.chars().count() + 1)
    };
    let names = parse_pattern(pattern, column(pattern_at))?;
    let rest = line.get(rest_at..).unwrap_or_default();
    let text = rest.trim();
    let text_column = column(rest_at + (rest.len() - rest.trim_start().len()));
    if text.is_empty() {
        let message = "a descriptor is missing: SDDL, the name of a preset, or inherit";
        return Err(wrong(text_column, message));
    }
    if text == INHERIT {
        return Ok(Rule {
            names,
            descriptor: None,
        });
    }
    let descriptor = match known.get(text) {
        Some(descriptor) => descriptor.clone(),
        None => {
            let descriptor = SecurityDescriptor::from_sddl_or_preset(text)
                .map_err(|error| of_sddl(text, text_column, &error))?;
            known.insert(text.to_owned(), descriptor.clone());
            descriptor
        }
    };
    Ok(Rule {
        names,
        descriptor: Some(descriptor),
    })
}

fn of_sddl(text: &str, column: usize, error: &SddlError) -> RuleError {
    let message = if text.contains(':') {
        error.message().to_owned()
    } else {
        let names = super::Preset::ALL.map(super::Preset::name).join(", ");
        let quoted: String = text.chars().take(40).collect();
        format!("{quoted:?} is neither SDDL nor one of {names}, {INHERIT}")
    };
    let inside = match error.column() {
        Some(inside) if text.contains(':') => inside - 1,
        _ => 0,
    };
    RuleError {
        unsupported: error.kind() == SddlErrorKind::Unsupported,
        ..wrong(column + inside, message)
    }
}

/// The pattern of a line, where it begins, and where what follows it begins.
fn split_pattern(line: &str) -> Result<(&str, usize, usize), RuleError> {
    let start = line.len() - line.trim_start().len();
    let rest = line.get(start..).unwrap_or_default();
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        return Ok((rest.get(..end).unwrap_or_default(), start, start + end));
    };
    let column = line
        .get(..start)
        .map_or(1, |before| before.chars().count() + 1);
    let end = quoted
        .find('"')
        .ok_or_else(|| wrong(column, "the quotation mark is not closed"))?;
    let after = start + end + 2;
    let follows = line.get(after..).unwrap_or_default();
    if !follows.is_empty() && !follows.starts_with(char::is_whitespace) {
        let column = line
            .get(..after)
            .map_or(1, |before| before.chars().count() + 1);
        return Err(wrong(column, "a blank should follow the quotation mark"));
    }
    Ok((quoted.get(..end).unwrap_or_default(), start + 1, after))
}

fn parse_pattern(text: &str, column: usize) -> Result<Vec<NamePattern>, RuleError> {
    if text.is_empty() {
        return Err(wrong(column, "a pattern is missing; / is the root"));
    }
    let mut names: Vec<NamePattern> = Vec::new();
    let mut at = column;
    for name in text.split('/') {
        let here = at;
        at += name.chars().count() + 1;
        match name {
            // A slash before the first name and after the last one says nothing.
            "" if here == column || at > column + text.chars().count() => {}
            "" => return Err(wrong(here, "a name is missing between two slashes")),
            "." | ".." => return Err(wrong(here, "a path has neither . nor ..")),
            "**" => {
                // Two in a row say what one says, and would be tried twice.
                if names.last() != Some(&NamePattern::AnyNames) {
                    names.push(NamePattern::AnyNames);
                }
            }
            name => names.push(NamePattern::Name(pieces(name, here)?)),
        }
        if names.len() > MAX_NAMES {
            return Err(wrong(here, format!("more than {MAX_NAMES} names")));
        }
    }
    Ok(names)
}

fn pieces(name: &str, column: usize) -> Result<Vec<Piece>, RuleError> {
    if let Some(at) = name.chars().position(|c| c == '\\' || c == '"') {
        let message = "no name holds this character; names are parted by /";
        return Err(wrong(column + at, message));
    }
    let mut pieces = Vec::new();
    for unit in name.encode_utf16() {
        let piece = match char::from_u32(u32::from(unit)) {
            Some('*') => Piece::Many,
            Some('?') => Piece::One,
            _ => Piece::Unit(unit),
        };
        if piece != Piece::Many || pieces.last() != Some(&Piece::Many) {
            pieces.push(piece);
        }
    }
    if pieces.len() > 2 * crate::tree::NAME_MAX_UNITS {
        return Err(wrong(column, "the name is too long"));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests;
