//! The option string, read once at the edge: `size=1G,fs=ntfs,persistent=true`.
//!
//! Every error names the column (the 1-based character of the option string) and, where a known
//! word is near, that word.

use std::fmt;

use blockio::{ByteCount, SectorSize};
use mkfs::SecurityDescriptor;
use mkfs::security::{Preset, SddlErrorKind};
use vdisk::{ImageFormat, Provisioning};

use super::kind::{FileSystemKind, PartitionLayout, VolumeKind};
use super::size::parse_size;
use super::{DEFAULT_SIZE, VolumeSpec, limits};

/// The longest option string, in bytes.
const MAX_OPTIONS_LENGTH: usize = 4096;
/// The longest descriptor of a specification as it is recorded, in bytes; longer ones belong into a
/// file of rules.
const MAX_ACL_LENGTH: usize = 2048;
/// How much of a refused word an error repeats, in characters.
const MAX_QUOTED_CHARS: usize = 60;

/// The keys, each with what it stands for in other tools.
const KEYS: [(&str, &[&str]); 12] = [
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
];

/// The class of a [`SpecError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpecErrorKind {
    /// The text is wrong, or its values do not fit together.
    Invalid,
    /// The text asks for something that exists but is not supported.
    Unsupported,
}

/// A refused specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", display_place(*column, option))]
pub struct SpecError {
    kind: SpecErrorKind,
    column: Option<usize>,
    option: Option<&'static str>,
    message: String,
}

fn display_place(column: Option<usize>, option: &Option<&'static str>) -> String {
    match (column, option) {
        (Some(column), Some(option)) => format!("column {column}, option {option}: "),
        (Some(column), None) => format!("column {column}: "),
        (None, Some(option)) => format!("option {option}: "),
        (None, None) => String::new(),
    }
}

impl SpecError {
    /// The class of the error.
    pub fn kind(&self) -> SpecErrorKind {
        self.kind
    }

    /// Where in the option string it stands: the character, from 1. `None` for a specification that
    /// was not read from one string.
    pub fn column(&self) -> Option<usize> {
        self.column
    }

    /// The option it is about, where it is a known one.
    pub fn option(&self) -> Option<&'static str> {
        self.option
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self {
            kind: SpecErrorKind::Invalid,
            column: None,
            option: None,
            message: message.into(),
        }
    }

    fn unsupported(message: impl Into<String>) -> Self {
        Self {
            kind: SpecErrorKind::Unsupported,
            ..Self::invalid(message)
        }
    }

    /// An error of the value of a known option.
    pub(super) fn of_option(option: &'static str, message: impl Into<String>) -> Self {
        Self {
            option: Some(option),
            ..Self::invalid(message)
        }
    }

    fn at(mut self, column: Option<usize>) -> Self {
        self.column = self.column.or(column);
        self
    }
}

/// A value and the column it was read at.
#[derive(Clone, Debug)]
struct Given<T> {
    value: T,
    column: Option<usize>,
}

/// Options as they are collected, before defaults and limits: from one string, or one by one.
#[derive(Clone, Debug, Default)]
pub struct SpecOptions {
    kind: Option<Given<VolumeKind>>,
    size: Option<Given<ByteCount>>,
    file_system: Option<Given<FileSystemKind>>,
    format: Option<Given<ImageFormat>>,
    provisioning: Option<Given<Provisioning>>,
    partition: Option<Given<PartitionLayout>>,
    block_size: Option<Given<ByteCount>>,
    sector: Option<Given<SectorSize>>,
    cluster_size: Option<Given<ByteCount>>,
    label: Option<Given<String>>,
    persistent: Option<Given<bool>>,
    acl: Option<Given<SecurityDescriptor>>,
}

impl SpecOptions {
    /// Reads an option string; the empty one gives no option.
    ///
    /// # Errors
    /// [`SpecError`] with the column of the first option that is wrong.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        if text.len() > MAX_OPTIONS_LENGTH {
            let message = format!("option string is longer than {MAX_OPTIONS_LENGTH} bytes");
            return Err(SpecError::invalid(message).at(Some(1)));
        }
        let mut options = Self::default();
        if text.is_empty() {
            return Ok(options);
        }
        let mut column = 1;
        for item in text.split(',') {
            let Some((key, value)) = item.split_once('=') else {
                return Err(without_value(item).at(Some(column)));
            };
            let value_column = column + key.chars().count() + 1;
            options.add_at(key, value, Some((column, value_column)))?;
            column += item.chars().count() + 1;
        }
        Ok(options)
    }

    /// Adds one option, as from a flag of a command line.
    ///
    /// # Errors
    /// [`SpecError`] without a column: an unknown or repeated key, or a wrong value.
    pub fn add(&mut self, key: &str, value: &str) -> Result<(), SpecError> {
        self.add_at(key, value, None)
    }

    /// The specification with defaults for what was not given, checked against every limit.
    ///
    /// # Errors
    /// [`SpecError`] at the option that breaks a limit or does not fit the others.
    pub fn build(&self) -> Result<VolumeSpec, SpecError> {
        fn or<T: Clone>(given: &Option<Given<T>>, default: T) -> T {
            given.as_ref().map_or(default, |given| given.value.clone())
        }
        let default = VolumeSpec::default();
        let format = or(&self.format, default.format);
        let spec = VolumeSpec {
            kind: or(&self.kind, default.kind),
            size: or(&self.size, DEFAULT_SIZE),
            file_system: or(&self.file_system, default.file_system),
            format,
            provisioning: or(&self.provisioning, default.provisioning),
            partition: or(&self.partition, default.partition),
            block_size: self.block_size.as_ref().map(|given| given.value),
            sector: or(&self.sector, default.sector),
            cluster_size: self.cluster_size.as_ref().map(|given| given.value),
            label: or(&self.label, default.label),
            persistent: or(&self.persistent, default.persistent),
            acl: self.acl.as_ref().map(|given| given.value.clone()),
        };
        match limits::find_problem(&spec) {
            None => Ok(spec),
            Some(problem) => {
                let column = problem.option.and_then(|option| self.column_of(option));
                Err(problem.at(column))
            }
        }
    }

    /// The specification of a volume on a base: the base's, but for its size and whether it is
    /// persistent.
    ///
    /// # Errors
    /// [`SpecError`] at an option that only the base can have, or that breaks a limit.
    pub fn build_on(&self, base: &VolumeSpec) -> Result<VolumeSpec, SpecError> {
        let of_base = [
            ("fs", self.file_system.is_some()),
            ("format", self.format.is_some()),
            ("type", self.provisioning.is_some()),
            ("layout", self.partition.is_some()),
            ("block", self.block_size.is_some()),
            ("sector", self.sector.is_some()),
            ("cluster", self.cluster_size.is_some()),
            ("label", self.label.is_some()),
            ("acl", self.acl.is_some()),
        ];
        if let Some((option, _)) = of_base.into_iter().find(|(_, given)| *given) {
            let message = "a volume on a base has it from the base";
            return Err(SpecError::of_option(option, message).at(self.column_of(option)));
        }
        let mut spec = base.clone();
        // The first layer is all that a fixed image could be, and that is the base's.
        spec.provisioning = Provisioning::Dynamic;
        if let Some(size) = &self.size {
            if size.value < base.size {
                let message = format!("the base has {}", super::size::format_size(base.size));
                return Err(SpecError::of_option("size", message).at(size.column));
            }
            spec.size = size.value;
        }
        if let Some(persistent) = &self.persistent {
            spec.persistent = persistent.value;
        }
        match limits::find_problem(&spec) {
            None => Ok(spec),
            Some(problem) => {
                let column = problem.option.and_then(|option| self.column_of(option));
                Err(problem.at(column))
            }
        }
    }

    fn add_at(
        &mut self,
        key: &str,
        value: &str,
        columns: Option<(usize, usize)>,
    ) -> Result<(), SpecError> {
        let key_column = columns.map(|(key, _)| key);
        let column = columns.map(|(_, value)| value);
        let Some(option) = KEYS
            .iter()
            .map(|(known, _)| *known)
            .find(|known| *known == key)
        else {
            return Err(unknown_key(key).at(key_column));
        };
        let fresh = match option {
            "size" => fill(&mut self.size, size_value(option, value), column),
            "fs" => fill(&mut self.file_system, file_system_value(value), column),
            "format" => fill(&mut self.format, format_value(value), column),
            "type" => fill(&mut self.provisioning, provisioning_value(value), column),
            "block" => fill(&mut self.block_size, size_value(option, value), column),
            "sector" => fill(&mut self.sector, sector_value(value), column),
            "cluster" => fill(&mut self.cluster_size, size_value(option, value), column),
            "layout" => fill(&mut self.partition, layout_value(value), column),
            "label" => fill(&mut self.label, label_value(value), column),
            "persistent" => fill(&mut self.persistent, bool_value(option, value), column),
            "acl" => fill(&mut self.acl, acl_value(value), column),
            _ => fill(&mut self.kind, kind_value(value), column),
        };
        if fresh.map_err(|error| error.at(column))? {
            return Ok(());
        }
        Err(SpecError::of_option(option, "given twice").at(key_column))
    }

    fn column_of(&self, option: &str) -> Option<usize> {
        fn of<T>(given: &Option<Given<T>>) -> Option<usize> {
            given.as_ref().and_then(|given| given.column)
        }
        match option {
            "size" => of(&self.size),
            "fs" => of(&self.file_system),
            "format" => of(&self.format),
            "type" => of(&self.provisioning),
            "block" => of(&self.block_size),
            "sector" => of(&self.sector),
            "cluster" => of(&self.cluster_size),
            "layout" => of(&self.partition),
            "label" => of(&self.label),
            "persistent" => of(&self.persistent),
            "acl" => of(&self.acl),
            _ => of(&self.kind),
        }
    }
}

/// Puts a value into its place; `false` where one stands there already.
fn fill<T>(
    place: &mut Option<Given<T>>,
    value: Result<T, SpecError>,
    column: Option<usize>,
) -> Result<bool, SpecError> {
    let value = value?;
    if place.is_some() {
        return Ok(false);
    }
    *place = Some(Given { value, column });
    Ok(true)
}

fn size_value(option: &'static str, value: &str) -> Result<ByteCount, SpecError> {
    parse_size(value).map_err(|error| {
        let message = if value.is_empty() {
            error.to_string()
        } else {
            format!("{}: {error}", quote(value))
        };
        SpecError::of_option(option, message)
    })
}

fn file_system_value(value: &str) -> Result<FileSystemKind, SpecError> {
    if value.eq_ignore_ascii_case("refs") {
        let message = "ReFS cannot be made outside Windows, since its format is not published; \
                       use fs=ntfs, or fs=none and let the guest format the disk";
        return Err(unsupported_value("fs", message));
    }
    let words = ["ntfs", "fat32", "none"];
    FileSystemKind::from_word(&value.to_ascii_lowercase())
        .ok_or_else(|| unknown_word("fs", value, &words))
}

fn format_value(value: &str) -> Result<ImageFormat, SpecError> {
    let words = ["vhdx", "vhd", "raw"];
    let word = value.to_ascii_lowercase();
    if word == "qcow2" {
        let message = "a volume is not kept in qcow2; `cvol convert` makes and reads such images";
        return Err(unsupported_value("format", message));
    }
    let parsed = word.parse();
    parsed.map_err(|_| unknown_word("format", value, &words))
}

fn provisioning_value(value: &str) -> Result<Provisioning, SpecError> {
    let word = value.to_ascii_lowercase();
    if word == "differencing" {
        let message = "differencing images are made by snapshots and clones, which are not \
                       supported yet; use type=dynamic";
        return Err(unsupported_value("type", message));
    }
    if VolumeKind::from_word(&word).is_some() {
        let message = format!("{} is a kind, not a type; write kind={word}", quote(value));
        return Err(SpecError::of_option("type", message));
    }
    let parsed = word.parse();
    parsed.map_err(|_| unknown_word("type", value, &["dynamic", "fixed"]))
}

fn sector_value(value: &str) -> Result<SectorSize, SpecError> {
    let size = size_value("sector", value)?;
    SectorSize::from_bytes(size.get()).ok_or_else(|| {
        SpecError::of_option("sector", format!("{} is none of 512, 4096", quote(value)))
    })
}

fn layout_value(value: &str) -> Result<PartitionLayout, SpecError> {
    let word = value.to_ascii_lowercase();
    if word == "mbr" {
        let message = "an MBR partition table is not supported; use layout=gpt or layout=disk";
        return Err(unsupported_value("layout", message));
    }
    PartitionLayout::from_word(&word).ok_or_else(|| unknown_word("layout", value, &["gpt", "disk"]))
}

fn label_value(value: &str) -> Result<String, SpecError> {
    match value.chars().find(|c| c.is_control()) {
        Some(found) => {
            let message = format!("holds the control character {found:?}");
            Err(SpecError::of_option("label", message))
        }
        None if value.contains(',') => {
            let message = "holds a comma, which separates options";
            Err(SpecError::of_option("label", message))
        }
        None => Ok(value.to_owned()),
    }
}

fn bool_value(option: &'static str, value: &str) -> Result<bool, SpecError> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(unknown_word(option, value, &["true", "false"])),
    }
}

/// SDDL or the name of a preset. SDDL has no commas but in conditions, which are refused.
fn acl_value(value: &str) -> Result<SecurityDescriptor, SpecError> {
    let is_sddl = value.contains(':');
    let descriptor = SecurityDescriptor::from_sddl_or_preset(value).map_err(|error| {
        if !is_sddl {
            return unknown_word("acl", value, &Preset::ALL.map(Preset::name));
        }
        let place = error.column().map(|column| format!("character {column}: "));
        let message = place.unwrap_or_default() + error.message();
        match error.kind() {
            SddlErrorKind::Unsupported => unsupported_value("acl", &message),
            _ => SpecError::of_option("acl", message),
        }
    })?;
    let recorded = descriptor.to_sddl().unwrap_or_default();
    if recorded.is_empty() || recorded.len() > MAX_ACL_LENGTH {
        let message = format!(
            "longer than the {MAX_ACL_LENGTH} bytes that are recorded; put it into a file of rules"
        );
        return Err(SpecError::of_option("acl", message));
    }
    Ok(descriptor)
}

fn kind_value(value: &str) -> Result<VolumeKind, SpecError> {
    let words = ["vhd", "bind", "smb", "tmpfs"];
    match VolumeKind::from_word(&value.to_ascii_lowercase()) {
        Some(VolumeKind::Vhd) => Ok(VolumeKind::Vhd),
        Some(kind) => {
            let message =
                format!("volumes of kind {kind} are not kept in the store yet; use kind=vhd");
            Err(unsupported_value("kind", &message))
        }
        None => Err(unknown_word("kind", value, &words)),
    }
}

fn unsupported_value(option: &'static str, message: &str) -> SpecError {
    SpecError {
        option: Some(option),
        ..SpecError::unsupported(message)
    }
}

fn without_value(item: &str) -> SpecError {
    if item.trim().is_empty() {
        return SpecError::invalid("an option is missing between the commas");
    }
    match nearest_key(item) {
        Some(key) => SpecError::invalid(format!("{} has no value; write {key}=...", quote(item))),
        None => SpecError::invalid(format!("{} is not key=value", quote(item))),
    }
}

fn unknown_key(key: &str) -> SpecError {
    let known: Vec<&str> = KEYS.iter().map(|(known, _)| *known).collect();
    let mut message = format!("unknown option {}", quote(key));
    match nearest_key(key) {
        Some(near) => message.push_str(&format!("; did you mean {near}?")),
        None => message.push_str(&format!("; the options are {}", known.join(", "))),
    }
    SpecError::invalid(message)
}

fn unknown_word(option: &'static str, value: &str, words: &[&'static str]) -> SpecError {
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
fn quote(word: &str) -> String {
    let mut quoted: String = word.chars().take(MAX_QUOTED_CHARS).collect();
    if word.chars().nth(MAX_QUOTED_CHARS).is_some() {
        quoted.push_str("...");
    }
    format!("{quoted:?}")
}

impl fmt::Display for SpecErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "invalid",
            Self::Unsupported => "unsupported",
        })
    }
}

/// What a fuzz target feeds: any bytes; what is accepted reads back from its own text.
///
/// # Panics
/// Where an accepted specification does not read back as itself; that is the finding.
pub fn fuzz_spec(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match VolumeSpec::parse(text) {
        Ok(spec) => assert_eq!(VolumeSpec::parse(&spec.to_string()).as_ref(), Ok(&spec)),
        Err(error) => assert!(error.to_string().len() < 4 * MAX_OPTIONS_LENGTH),
    }
    if let Ok(size) = parse_size(text) {
        assert_eq!(parse_size(&super::size::format_size(size)), Ok(size));
    }
}
