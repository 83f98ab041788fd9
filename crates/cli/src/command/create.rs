//! `cvol create`: a new volume: an image, empty or filled, or what stands for something elsewhere.

use std::io;
use std::path::PathBuf;

use engine::{
    ByteCount, CasePolicy, CloneVolume, CreateOutcome, CreateVolume, DosNames, NamePolicy,
    SourceFormat, TarInput, VolumeSource,
};
use serde::Serialize;

use super::{Context, Outcome, Result, clone, values};
use crate::failure::Failure;
use crate::output::{Form, quantity, terminal};
use crate::password::PasswordArguments;

/// Make a volume: an image, a directory of the host, a share of an SMB server, or memory
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The name of the volume is printed on standard output; what was renamed or left out is listed on
standard error. With SOURCE_DATE_EPOCH set, identifiers are derived from the input, and equal input
gives equal bytes; a stream is read once, so that its identifiers are derived from the name of the
volume, its options and --seed alone.

A tar archive may be packed with gzip, zstd or xz, whatever its name. Its PAX records of Windows
(MSWINDOWS.*: attributes, security descriptors, links) are kept, and streams (FILE:STREAM behind
FILE); of a Windows layer of a container image the part `Files` becomes the volume.

An option string holds KEY=VALUE pairs: kind, size, fs, format, type, block, sector, cluster, layout,
label, persistent, acl, source, username, domain, readonly. One that holds a comma stands in double quotes as
a whole. Options may be given as flags or in the string, but not twice.

Kinds of volumes: vhd, an image in the store (the default); bind, a directory or file of the host (--source);
smb, a share of an SMB server (--source //SERVER/SHARE, --username); tmpfs, memory of the machine that uses it
(--size). The password of a share is asked for or read from where a flag says, tried at the server, and kept
sealed; nothing shows it again.

Access control (NTFS): --acl says it for the root and, by inheritance, for all below it, as SDDL or
as one of these names:
  container-users  O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;S-1-5-93-2-1)
                   (A;OICI;0x1301bf;;;S-1-5-93-2-2)(A;OICI;0x1200a9;;;BU)
                   ContainerAdministrator everything, ContainerUser changes, users read
  administrators   O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)
                   the system and administrators everything, nobody else anything
  everyone-read    O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;WD)
                   as administrators, and everybody reads and runs
Each line of the file of --acl-file is a path, blanks, and SDDL, a name as above, or `inherit`. In a
path `*` stands for any characters of a name, `?` for one, and a name `**` for any number of names;
a path with blanks stands in double quotes; `#` begins a comment. The last line that matches wins.

Examples:
  cvol create data
  cvol create app --from ./app --acl container-users
  cvol create app --from ./app --acl-file rules.txt
  cvol create data --size 20G --fs ntfs --from /usr/share
  cvol create web --from site.tar.zst
  docker export box | cvol create box --from -
  cvol create scratch -o size=1G,fs=fat32,persistent=false
  cvol create web --from ./site --label app=web --keep-going
  cvol create tools --from ./tools --dos-names generate --case sensitive --xattr-streams
  cvol create web1 --base web@v1
  cvol create src --type bind --source /srv/src --readonly
  cvol create share --type smb --source //nas/data --username ann
  cvol create share --type smb --source //nas:1445/data/web --username CORP\\\\ann --password-file pw
  cvol create scratch --type tmpfs --size 256M
  cvol create big --size 100G --fs refs
  cvol create disk --fs none --format vhd --type fixed --size 64M")]
pub(crate) struct Arguments {
    /// Name of the volume: letters, digits, `.`, `_` and `-`
    name: String,

    /// Size of its disk, such as 512M or 20G [default: 20G]
    #[arg(short, long, value_parser = values::size)]
    size: Option<ByteCount>,

    /// File system to make in it: ntfs, fat32 or none; on Windows also refs, or scratch for the writable
    /// layer of a container, both made by Windows [default: ntfs]
    #[arg(long, value_name = "FS")]
    fs: Option<String>,

    /// Directory or tar archive to fill it from; `-` for an archive on standard input
    #[arg(long, value_name = "PATH")]
    from: Option<PathBuf>,

    /// Stand on a snapshot of another volume and share its space, as `cvol clone` does; of a volume
    /// alone, on one that is taken now
    #[arg(long, value_name = "VOLUME[@SNAPSHOT]", conflicts_with_all = ["from", "acl_file", "seed"])]
    base: Option<String>,

    /// What the source is, where it should not be told by looking
    #[arg(long, value_name = "FORMAT", requires = "from")]
    from_format: Option<FromFormat>,

    /// With SOURCE_DATE_EPOCH and a stream: what identifiers are derived from besides name and
    /// options, such as the digest of the archive
    #[arg(long, value_name = "TEXT", requires = "from")]
    seed: Option<String>,

    /// Who may do what with all of it: SDDL, or container-users, administrators or everyone-read
    /// [default: as Windows makes a new volume]
    #[arg(long, value_name = "SDDL")]
    acl: Option<String>,

    /// File that says who may do what with which path
    #[arg(long, value_name = "FILE")]
    acl_file: Option<PathBuf>,

    /// Format of its image: vhdx, vhd or raw [default: vhdx]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,

    /// What backs it: vhd, bind, smb or tmpfs; or how its image takes space: dynamic or fixed [default: vhd,
    /// dynamic]
    #[arg(long = "type", value_name = "TYPE")]
    provisioning: Option<String>,

    /// What a volume of kind bind or smb stands for: a path of the host, or //SERVER/SHARE/PATH (with
    /// `:PORT` behind the server, where it is not 445)
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,

    /// Who logs in at the SMB server, such as ann or CORP\ann
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,

    /// The domain or workgroup of the user
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,

    #[command(flatten)]
    password: PasswordArguments,

    /// Let no mount of it write (bind, smb)
    #[arg(long)]
    readonly: bool,

    /// Do not try the login at the SMB server
    #[arg(long)]
    no_check: bool,

    /// Attach a label; may be repeated
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = values::pair)]
    labels: Vec<(String, String)>,

    /// Option string, such as size=1G,fs=ntfs,persistent=true; may be repeated
    #[arg(short, long = "opt", value_name = "OPTIONS")]
    options: Vec<String>,

    /// Cluster size of the file system, such as 4K [default: what Windows would choose]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    cluster_size: Option<ByteCount>,

    /// Block size of a dynamic image, such as 2M [default: what Windows would choose]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    block_size: Option<ByteCount>,

    /// Logical sector size: 512 or 4096 [default: 512]
    #[arg(long, value_name = "BYTES", value_parser = values::size)]
    sector_size: Option<ByteCount>,

    /// A GPT with one partition, or the file system on the whole disk: gpt or disk [default: gpt]
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<String>,

    /// Label of the file system, as Windows shows it
    #[arg(long, value_name = "TEXT")]
    volume_label: Option<String>,

    /// What becomes of names that Windows cannot use: map them, or stop
    #[arg(long, value_name = "POLICY", default_value = "map")]
    names: Names,

    /// What becomes of names in one directory that differ in case only
    #[arg(long, value_name = "POLICY", default_value = "rename")]
    case: Case,

    /// Whether names have partners of 8 and 3 characters (NTFS; FAT32 always has them)
    #[arg(long, value_name = "POLICY", default_value = "none")]
    dos_names: DosNameChoice,

    /// Store extended attributes `user.*` of the source as named streams
    #[arg(long, requires = "from")]
    xattr_streams: bool,

    /// Leave out files that cannot be read or change while read, and list them, instead of stopping
    #[arg(long)]
    keep_going: bool,
}

/// What a source is.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FromFormat {
    /// A directory
    Directory,
    /// A tar archive, packed with gzip, zstd or xz or not at all
    Tar,
    /// Such an archive that is a Windows layer of a container image: its `Files` is the volume
    Layer,
}

/// What becomes of names that Windows cannot use.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Names {
    /// Store them in the nearest form that Windows can use, and list them
    Map,
    /// Stop
    Strict,
}

/// What becomes of names that differ in case only.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Case {
    /// The first keeps its name, the others become `name (2)`, and are listed
    Rename,
    /// Stop
    Refuse,
    /// Keep them all: Windows tells names in such a directory apart by case (NTFS)
    Sensitive,
}

/// Whether names have 8.3 partners.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum DosNameChoice {
    /// None, and Windows makes none on the volume
    None,
    /// Made as Windows makes them
    Generate,
}

#[derive(Serialize)]
struct Document {
    name: String,
    id: String,
    files: u64,
    directories: u64,
    symlinks: u64,
    hard_links: u64,
    streams: u64,
    reparse_points: u64,
    bytes: u64,
    renamed: Vec<RenamedDocument>,
    skipped: Vec<SkippedDocument>,
    changed: Vec<SkippedDocument>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct RenamedDocument {
    path: String,
    stored_as: String,
    reason: String,
}

#[derive(Serialize)]
struct SkippedDocument {
    path: String,
    reason: String,
}

impl Arguments {
    pub(crate) fn run(self: Box<Self>, context: &Context) -> Result {
        let settings = self.settings();
        if let Some(base) = self.base {
            if self.password.is_given() {
                return Err(Failure::usage(
                    "a volume on a base has an image and no password",
                    "leave the password out",
                ));
            }
            let made = context.engine.clone_volume(&CloneVolume {
                name: self.name,
                base,
                options: self.options,
                settings,
                labels: self.labels.into_iter().collect(),
                source_date_epoch: values::source_date_epoch()?,
            })?;
            clone::print(context.output, &made)?;
            return Ok(Outcome::Done);
        }
        let mut request = CreateVolume {
            password: None,
            unchecked: self.no_check,
            name: self.name,
            options: self.options,
            settings,
            from: self.from.map(source),
            from_format: self.from_format.map(|format| match format {
                FromFormat::Directory => SourceFormat::Directory,
                FromFormat::Tar => SourceFormat::Tar,
                FromFormat::Layer => SourceFormat::WindowsLayer,
            }),
            seed: self.seed,
            access_rules: self.acl_file,
            labels: self.labels.into_iter().collect(),
            keep_going: self.keep_going,
            name_policy: match self.names {
                Names::Map => NamePolicy::Map,
                Names::Strict => NamePolicy::Strict,
            },
            case_policy: match self.case {
                Case::Rename => CasePolicy::Rename,
                Case::Refuse => CasePolicy::Refuse,
                Case::Sensitive => CasePolicy::KeepBoth,
            },
            dos_names: match self.dos_names {
                DosNameChoice::None => DosNames::Absent,
                DosNameChoice::Generate => DosNames::Generated,
            },
            xattr_streams: self.xattr_streams,
            source_date_epoch: values::source_date_epoch()?,
        };
        if self.password.is_given() || request.needs_password() {
            let prompt = format!("password for volume {}: ", request.name);
            request.password = Some(self.password.read(&prompt, true)?);
        }
        let made = context.watched("creating", |engine, report| {
            engine.create_volume(&request, report)
        })?;
        let output = context.output;
        match output.form() {
            Form::Json => output.print_json(&document(&made))?,
            Form::Quiet => output.print_name(made.record.name.as_str())?,
            Form::Text => {
                for line in notes(&made) {
                    output.note(&line);
                }
                if output.is_verbose() && made.record.spec.disk().is_some() {
                    output.note(&summary(&made));
                }
                output.print_name(made.record.name.as_str())?;
            }
        }
        Ok(Outcome::Done)
    }

    /// The flags as single options of the specification.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let bytes = |size: Option<ByteCount>| size.map(|size| size.get().to_string());
        let all = [
            ("size", bytes(self.size)),
            ("fs", self.fs.clone()),
            ("format", self.format.clone()),
            ("type", self.provisioning.clone()),
            ("cluster", bytes(self.cluster_size)),
            ("block", bytes(self.block_size)),
            ("sector", bytes(self.sector_size)),
            ("layout", self.layout.clone()),
            ("label", self.volume_label.clone()),
            ("acl", self.acl.clone()),
            ("source", self.source.clone()),
            ("username", self.username.clone()),
            ("domain", self.domain.clone()),
            ("readonly", self.readonly.then(|| "true".to_owned())),
        ];
        all.into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }
}

/// Where `--from` reads: of `-`, standard input.
fn source(from: PathBuf) -> VolumeSource {
    if from.as_os_str() == "-" {
        return VolumeSource::Stream(TarInput::new(Box::new(io::stdin())));
    }
    VolumeSource::Path(from)
}

fn document(made: &CreateOutcome) -> Document {
    let report = &made.report;
    Document {
        name: made.record.name.to_string(),
        id: made.record.id.to_string(),
        files: report.files,
        directories: report.directories,
        symlinks: report.symlinks,
        hard_links: report.hard_links,
        streams: report.streams,
        reparse_points: report.reparse_points,
        bytes: report.bytes.get(),
        renamed: report
            .name_notes
            .iter()
            .map(|note| RenamedDocument {
                path: note.path.clone(),
                stored_as: note.stored_as.clone(),
                reason: note.reason.to_string(),
            })
            .collect(),
        skipped: report
            .skipped
            .iter()
            .map(|skipped| SkippedDocument {
                path: skipped.path.clone(),
                reason: skipped.reason.to_string(),
            })
            .collect(),
        changed: report
            .changed
            .iter()
            .map(|changed| SkippedDocument {
                path: changed.path.clone(),
                reason: changed.change.to_string(),
            })
            .collect(),
        notes: made.source_notes.clone(),
    }
}

/// One line for each entry that is not in the volume as it is in the source.
fn notes(made: &CreateOutcome) -> Vec<String> {
    let report = &made.report;
    let renamed = report.name_notes.iter().map(|note| {
        let path = terminal::escape(&note.path);
        let last = note.path.rsplit('/').next().unwrap_or(&note.path);
        if last == note.stored_as {
            format!("{path}: the name {}", note.reason)
        } else {
            let stored = terminal::escape(&note.stored_as);
            format!("{path}: stored as {stored}: the name {}", note.reason)
        }
    });
    let skipped = report.skipped.iter().map(|skipped| {
        format!(
            "{}: left out: {}",
            terminal::escape(&skipped.path),
            skipped.reason
        )
    });
    let changed = report
        .changed
        .iter()
        .map(|changed| format!("{}: {}", terminal::escape(&changed.path), changed.change));
    renamed
        .chain(skipped)
        .chain(changed)
        .chain(made.source_notes.iter().cloned())
        .collect()
}

fn summary(made: &CreateOutcome) -> String {
    let report = &made.report;
    format!(
        "{}, {}, {}, {} stored",
        quantity::counted(report.files, "file", "files"),
        quantity::counted(report.directories, "directory", "directories"),
        quantity::counted(report.symlinks, "link", "links"),
        quantity::bytes(report.bytes.get())
    )
}
