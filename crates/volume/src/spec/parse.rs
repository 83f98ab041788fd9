//! The option string, read once at the edge: `size=1G,fs=ntfs,persistent=true`.
//!
//! An option that holds a comma stands in double quotes as a whole, in which two double quotes mean
//! one: `kind=bind,"source=/srv/a,b"`. Every error names the column (the 1-based character of the
//! option string) and, where a known word is near, that word.

use blockio::{ByteCount, SectorSize};
use mkfs::SecurityDescriptor;
use vdisk::{ImageFormat, Provisioning};

use super::backing::{Backing, BindSpec, DEFAULT_TEMPORARY_SIZE, SmbSpec, TmpfsSpec};
use super::disk::DiskSpec;
use super::error::SpecError;
use super::kind::{FileSystemKind, PartitionLayout, VolumeKind};
use super::share::{SmbShare, SmbUser};
use super::size::parse_size;
use super::values::*;
use super::words::{KEYS, unknown_key, without_value};
use super::{VolumeSpec, limits};

/// The longest option string, in bytes.
const MAX_OPTIONS_LENGTH: usize = 16 * 1024;

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
    source: Option<Given<String>>,
    user: Option<Given<String>>,
    domain: Option<Given<String>>,
    read_only: Option<Given<bool>>,
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
        for (column, item) in fields(text)? {
            let Some((key, value)) = item.split_once('=') else {
                return Err(without_value(&item).at(Some(column)));
            };
            let value_column = column + key.chars().count() + 1;
            options.add_at(key, value, Some((column, value_column)))?;
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
        let kind = or(&self.kind, VolumeKind::Vhd);
        self.check_fit(kind)?;
        let at = |problem: SpecError| {
            let column = problem.option().and_then(|option| self.column_of(option));
            problem.at(column)
        };
        let backing = match kind {
            VolumeKind::Vhd => Backing::Disk(self.disk().map_err(at)?),
            VolumeKind::HostBind => {
                let source = self.source(kind, "/srv/data")?;
                Backing::Bind(BindSpec::new(source, or(&self.read_only, false)).map_err(at)?)
            }
            VolumeKind::SmbShare => Backing::Smb(self.smb(kind).map_err(at)?),
            VolumeKind::Tmpfs => {
                let size = or(&self.size, DEFAULT_TEMPORARY_SIZE);
                Backing::Tmpfs(TmpfsSpec::new(size).map_err(at)?)
            }
        };
        Ok(VolumeSpec {
            backing,
            persistent: or(&self.persistent, true),
        })
    }

    fn disk(&self) -> Result<DiskSpec, SpecError> {
        let default = DiskSpec::default();
        let disk = DiskSpec {
            size: or(&self.size, default.size),
            file_system: or(&self.file_system, default.file_system),
            format: or(&self.format, default.format),
            provisioning: or(&self.provisioning, default.provisioning),
            partition: or(&self.partition, default.partition),
            block_size: self.block_size.as_ref().map(|given| given.value),
            sector: or(&self.sector, default.sector),
            cluster_size: self.cluster_size.as_ref().map(|given| given.value),
            label: or(&self.label, default.label),
            acl: self.acl.as_ref().map(|given| given.value.clone()),
        };
        match limits::find_problem(&disk) {
            None => Ok(disk),
            Some(problem) => Err(problem),
        }
    }

    fn smb(&self, kind: VolumeKind) -> Result<SmbSpec, SpecError> {
        let source = self.source(kind, "//server/share")?;
        let share = SmbShare::parse(source)
            .map_err(|reason| SpecError::of_option("source", format!("no share: {reason}")))?;
        let Some(user) = &self.user else {
            let message = "missing: a share is not used as a guest; write username=NAME";
            return Err(SpecError::of_option("username", message));
        };
        let domain = self.domain.as_ref().map(|given| given.value.as_str());
        let user = SmbUser::new(&user.value, domain)
            .map_err(|reason| SpecError::of_option("username", reason))?;
        Ok(SmbSpec {
            share,
            user,
            read_only: or(&self.read_only, false),
        })
    }

    fn source(&self, kind: VolumeKind, example: &str) -> Result<&str, SpecError> {
        match &self.source {
            Some(given) => Ok(&given.value),
            None => {
                let message = format!("missing: a volume of kind {kind} needs source={example}");
                Err(SpecError::of_option("source", message))
            }
        }
    }

    /// Refuses an option that a kind does not have.
    fn check_fit(&self, kind: VolumeKind) -> Result<(), SpecError> {
        let of_disk = self.options_of_disk();
        let has_size = matches!(kind, VolumeKind::Vhd | VolumeKind::Tmpfs);
        let lies_elsewhere = matches!(kind, VolumeKind::HostBind | VolumeKind::SmbShare);
        let is_smb = kind == VolumeKind::SmbShare;
        let others = [
            ("size", self.size.is_some() && !has_size),
            ("source", self.source.is_some() && !lies_elsewhere),
            ("readonly", self.read_only.is_some() && !lies_elsewhere),
            ("username", self.user.is_some() && !is_smb),
            ("domain", self.domain.is_some() && !is_smb),
        ];
        let disk_options = of_disk.into_iter().filter(|_| kind != VolumeKind::Vhd);
        match disk_options.chain(others).find(|(_, misplaced)| *misplaced) {
            None => Ok(()),
            Some((option, _)) => {
                let message = match option {
                    "readonly" => format!(
                        "a volume of kind {kind} has no such option; it is a word of the mount"
                    ),
                    _ => format!("a volume of kind {kind} has no such option; leave it out"),
                };
                Err(SpecError::of_option(option, message).at(self.column_of(option)))
            }
        }
    }

    /// The options of disks but for the size, and whether each was given.
    fn options_of_disk(&self) -> [(&'static str, bool); 9] {
        [
            ("fs", self.file_system.is_some()),
            ("format", self.format.is_some()),
            ("type", self.provisioning.is_some()),
            ("layout", self.partition.is_some()),
            ("block", self.block_size.is_some()),
            ("sector", self.sector.is_some()),
            ("cluster", self.cluster_size.is_some()),
            ("label", self.label.is_some()),
            ("acl", self.acl.is_some()),
        ]
    }

    /// The specification of a volume on a base: the base's, but for its size and whether it is
    /// persistent.
    ///
    /// # Errors
    /// [`SpecError`] at an option that only the base can have, or that breaks a limit.
    pub fn build_on(&self, base: &VolumeSpec) -> Result<VolumeSpec, SpecError> {
        if let Some(kind) = &self.kind
            && kind.value != VolumeKind::Vhd
        {
            let message = format!("a volume of kind {} stands on no other", kind.value);
            return Err(SpecError::of_option("kind", message).at(kind.column));
        }
        self.check_fit(VolumeKind::Vhd)?;
        let given = self.options_of_disk();
        if let Some((option, _)) = given.into_iter().find(|(_, given)| *given) {
            let message = "a volume on a base has it from the base";
            return Err(SpecError::of_option(option, message).at(self.column_of(option)));
        }
        let Some(disk) = base.disk() else {
            let message = format!("the base is of kind {} and has no image", base.kind());
            return Err(SpecError::of_option("kind", message));
        };
        let mut disk = disk.clone();
        // The first layer is all that a fixed image could be, and that is the base's.
        disk.provisioning = Provisioning::Dynamic;
        if let Some(size) = &self.size {
            if size.value < disk.size {
                let message = format!("the base has {}", super::size::format_size(disk.size));
                return Err(SpecError::of_option("size", message).at(size.column));
            }
            disk.size = size.value;
        }
        match limits::find_problem(&disk) {
            None => Ok(VolumeSpec {
                backing: Backing::Disk(disk),
                persistent: or(&self.persistent, base.persistent),
            }),
            Some(problem) => {
                let column = problem.option().and_then(|option| self.column_of(option));
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
            // Runtimes call what backs a volume its type.
            "type" if VolumeKind::from_word(&value.to_ascii_lowercase()).is_some() => {
                fill(&mut self.kind, kind_value(value), column)
            }
            "type" => fill(&mut self.provisioning, provisioning_value(value), column),
            "block" => fill(&mut self.block_size, size_value(option, value), column),
            "sector" => fill(&mut self.sector, sector_value(value), column),
            "cluster" => fill(&mut self.cluster_size, size_value(option, value), column),
            "layout" => fill(&mut self.partition, layout_value(value), column),
            "label" => fill(&mut self.label, label_value(value), column),
            "persistent" => fill(&mut self.persistent, bool_value(option, value), column),
            "acl" => fill(&mut self.acl, acl_value(value), column),
            "source" => fill(&mut self.source, Ok(value.to_owned()), column),
            "username" => fill(&mut self.user, Ok(value.to_owned()), column),
            "domain" => fill(&mut self.domain, Ok(value.to_owned()), column),
            "readonly" => fill(&mut self.read_only, bool_value(option, value), column),
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
            "source" => of(&self.source),
            "username" => of(&self.user),
            "domain" => of(&self.domain),
            "readonly" => of(&self.read_only),
            _ => of(&self.kind),
        }
    }
}

fn or<T: Clone>(given: &Option<Given<T>>, default: T) -> T {
    given.as_ref().map_or(default, |given| given.value.clone())
}

/// The options of a string, each with the column it starts in. One in double quotes may hold commas.
fn fields(text: &str) -> Result<Vec<(usize, String)>, SpecError> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut column = 1;
    loop {
        let (item, taken, start) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (item, taken) = quoted_field(quoted).map_err(|error| error.at(Some(column)))?;
                (item, taken + 1, column + 1)
            }
            None => {
                let taken = rest.find(',').unwrap_or(rest.len());
                (rest[..taken].to_owned(), taken, column)
            }
        };
        found.push((start, item));
        column += rest[..taken].chars().count();
        let Some(after) = rest[taken..].strip_prefix(',') else {
            if rest.len() > taken {
                let message = "a comma is missing behind the closing quote";
                return Err(SpecError::invalid(message).at(Some(column)));
            }
            return Ok(found);
        };
        rest = after;
        column += 1;
    }
}

/// What stands before the closing quote, and how many bytes that took, the quote included.
fn quoted_field(text: &str) -> Result<(String, usize), SpecError> {
    let mut item = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if character != '"' {
            item.push(character);
        } else if characters.next_if(|(_, next)| *next == '"').is_some() {
            item.push('"');
        } else {
            return Ok((item, at + 1));
        }
    }
    Err(SpecError::invalid("a quote is not closed"))
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
