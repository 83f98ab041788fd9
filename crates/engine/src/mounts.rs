//! Mounts as container runtimes write them, read into requests, planned, and told in the forms that
//! other tools take. Nothing is attached here and nothing changed.
//!
//! This is where volumes (which know no machine) and plans (which know no volume) meet.

use std::fs;
use std::path::Path;

use attach::hcs::RenderError;
use attach::{
    DiskSource, GuestFileSystem, GuestSystem, HostPath, MountRequest, PathError, Plan, PlanError,
    Platform, SmbSource, Source, Target, guest_script, hcs, oci_mounts, qemu_arguments,
};
use blockio::ByteCount;
use serde_json::Value;
use volume::{Backing, DEFAULT_TEMPORARY_SIZE, FileSystemKind, SmbUser, TmpfsSpec, parse_size};

use crate::Engine;
use crate::error::{Error, Result};
use crate::host_paths::HostPlace;
use crate::mount_words::{MountWords, WordError};
use crate::passwords::smb_of;
use crate::volumes::volume_name;

pub use attach::hcs::{DocumentKind, Problem};
pub use attach::{
    GuestSystem as Guest, Hypervisor, PlanDocument, Platform as MachinePlatform, QemuMachine,
    SchemaVersion, StepDocument,
};

/// The forms in which a plan is told to other tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenderForm {
    /// Documents and requests of HCS, schema 2.
    Hcs,
    /// What a document of HCS schema 1 has of mounts.
    HcsFirstSchema,
    /// `mounts` of the OCI specification.
    Oci,
    /// Arguments of QEMU, as a list.
    Qemu(QemuMachine),
    /// Commands for the guest, of what HCS does not bring into it.
    GuestScript,
}

/// Why mounts cannot be planned or told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountFailure {
    /// The words of a mount make no sense.
    #[error("the mount {mount:?} cannot be read")]
    Words {
        /// The mount as it was given.
        mount: String,
        /// What is wrong.
        source: WordError,
    },
    /// A path is none.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The share of an SMB server is none.
    #[error("{source_text:?} is no share of a server: {reason}")]
    Share {
        /// The source as it was given.
        source_text: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The directory is not there, and is not to be made.
    #[error("the directory {path} is missing")]
    Missing {
        /// The directory.
        path: String,
    },
    /// The combination cannot do it.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The form cannot say it.
    #[error(transparent)]
    Render(#[from] RenderError),
}

impl Engine {
    /// Plans mounts, each written as `type=volume,source=data,target=/data,readonly`.
    ///
    /// # Errors
    /// `InvalidArgument` (a mount, a path), `NotFound` (a volume, a directory), `Unsupported` (what the
    /// machine cannot do, by name), `Damaged`, `Io`.
    pub fn plan_mounts(&self, platform: Platform, mounts: &[String]) -> Result<PlanDocument> {
        Ok(self.plan(platform, mounts)?.document())
    }

    /// Plans mounts and tells the plan in the form of another tool.
    ///
    /// # Errors
    /// As for [`Engine::plan_mounts`]; `Unsupported` where the form cannot say a mount.
    pub fn render_mounts(
        &self,
        platform: Platform,
        mounts: &[String],
        form: &RenderForm,
    ) -> Result<Value> {
        let plan = self.plan(platform, mounts)?;
        let told = match form {
            RenderForm::Hcs => hcs::render(&plan).map(|documents| to_value(&documents)),
            RenderForm::HcsFirstSchema => hcs::render_first_schema(&plan),
            RenderForm::Oci => oci_mounts(&plan).map(|mounts| to_value(&mounts)),
            RenderForm::Qemu(machine) => {
                qemu_arguments(&plan, machine).map(|arguments| to_value(&arguments))
            }
            RenderForm::GuestScript => guest_script(&plan).map(|script| to_value(&script)),
        };
        Ok(told.map_err(MountFailure::Render)?)
    }

    /// Holds a document of HCS against the schema; what it would not take, nothing where it would.
    ///
    /// # Errors
    /// `NotFound`, `Io` (the file), `InvalidArgument` (no JSON, or none of a sensible size).
    pub fn validate_hcs(
        &self,
        file: &Path,
        kind: DocumentKind,
        version: SchemaVersion,
    ) -> Result<Vec<Problem>> {
        /// Documents of whole machines have a few thousand bytes.
        const MAX_LENGTH: u64 = 16 << 20;
        let length = fs::metadata(file).map_err(Error::host("read", file))?.len();
        let invalid = |what: String| Error::InvalidRequest {
            message: format!("{} {what}", file.display()),
        };
        if length > MAX_LENGTH {
            return Err(invalid(format!("is longer than {MAX_LENGTH} bytes")));
        }
        let text = fs::read(file).map_err(Error::host("read", file))?;
        // Windows writes a mark in front of UTF-8.
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&text);
        let document =
            serde_json::from_slice(text).map_err(|e| invalid(format!("is no JSON: {e}")))?;
        Ok(hcs::validate(&document, kind, version))
    }

    fn plan(&self, platform: Platform, mounts: &[String]) -> Result<Plan> {
        let mut requests = Vec::with_capacity(mounts.len());
        for mount in mounts {
            let temporary = self.config().root().join("machines/MACHINE/temporary");
            let (mut request, words) = self.request(platform.guest, mount, &temporary)?;
            if matches!(platform.hypervisor, Hypervisor::Hcs(_)) {
                self.find_parents(&mut request.source, &words)?;
            }
            requests.push(request);
        }
        Ok(Plan::new(platform, &requests).map_err(MountFailure::Plan)?)
    }

    /// A mount in words as a request; `temporary` is where images of temporary volumes are made.
    pub(crate) fn request(
        &self,
        guest: GuestSystem,
        mount: &str,
        temporary: &Path,
    ) -> Result<(MountRequest, MountWords)> {
        let words = MountWords::parse(mount).map_err(|source| MountFailure::Words {
            mount: mount.to_owned(),
            source,
        })?;
        let target = Target::parse(&words.target, guest).map_err(MountFailure::Path)?;
        let (source, only_read) = match words.kind.as_str() {
            "volume" => self.volume_source(&words, temporary)?,
            "vhd" => (disk_source(&words)?, false),
            "bind" => {
                let share_name = words.share_name.clone();
                let source = self.host_source(&words.source, words.create, share_name)?;
                (source, false)
            }
            "smb" => (self.smb_source(&words)?, false),
            _ => (self.temporary_source(&words, temporary)?, false),
        };
        let request = MountRequest {
            source,
            target,
            read_only: words.read_only || only_read,
        };
        Ok((request, words))
    }

    /// What a named volume is mounted as, and whether it is for reading only whatever the mount says.
    fn volume_source(&self, words: &MountWords, temporary: &Path) -> Result<(Source, bool)> {
        let details = self.store()?.inspect(&volume_name(&words.source)?)?;
        let record = &details.record;
        let read_only = record.spec.read_only();
        let source = match record.spec.backing() {
            Backing::Disk(disk) => {
                let image = details
                    .image()
                    .map(|image| image.path.display().to_string());
                Source::Disk(DiskSource {
                    path: HostPath::parse(&image.unwrap_or_default())
                        .map_err(MountFailure::Path)?,
                    parents: Vec::new(),
                    file_system: guest_file_system(disk.file_system()),
                    format_on_first_use: false,
                    serial: record.id.to_string(),
                })
            }
            Backing::Bind(bind) => self.host_source(bind.source(), false, None)?,
            Backing::Smb(smb) => {
                let share = share_of(&smb.share().to_string())?;
                Source::Smb(SmbSource {
                    user: Some(smb.user().name().to_owned()),
                    login: Some(record.id.to_string()),
                    ..share
                })
            }
            Backing::Tmpfs(memory) => temporary_in(temporary, &words.target, memory.size())?,
        };
        Ok((source, read_only))
    }

    /// A share, and who logs in there: a user whose password is read when it is attached, or the user of a
    /// volume with the password that is kept for it.
    fn smb_source(&self, words: &MountWords) -> Result<Source> {
        let share = share_of(&words.source)?;
        let Some(secret) = &words.secret else {
            let user = words.user.clone();
            return Ok(Source::Smb(SmbSource { user, ..share }));
        };
        let record = self.store()?.get(&volume_name(secret)?)?;
        let user = smb_of(&record)?.user();
        let is_his = |named: &String| {
            SmbUser::new(named, None)
                .is_ok_and(|named| named.name() == user.name() && named.domain() == user.domain())
        };
        if words.user.as_ref().is_some_and(|named| !is_his(named)) {
            return Err(Error::InvalidRequest {
                message: format!("the password of {secret} is not that of the user in the mount"),
            });
        }
        Ok(Source::Smb(SmbSource {
            user: Some(user.name().to_owned()),
            login: Some(record.id.to_string()),
            ..share
        }))
    }

    fn temporary_source(&self, words: &MountWords, temporary: &Path) -> Result<Source> {
        let size = match &words.size {
            Some(text) => parse_size(text).map_err(|error| Error::InvalidRequest {
                message: format!("the size of a temporary volume: {error}"),
            })?,
            None => DEFAULT_TEMPORARY_SIZE,
        };
        let size = TmpfsSpec::new(size).map_err(|error| Error::InvalidRequest {
            message: format!("a temporary volume: {error}"),
        })?;
        temporary_in(temporary, &words.target, size.size())
    }

    /// A directory or a file: what stands there, where the path is of this system, else a directory.
    fn host_source(
        &self,
        source: &str,
        create: bool,
        share_name: Option<String>,
    ) -> Result<Source> {
        let mut path = HostPath::parse(source).map_err(MountFailure::Path)?;
        if path.is_windows() == cfg!(windows) {
            match self.allowed_host_path(Path::new(path.as_str()))? {
                HostPlace::File(resolved) => {
                    let path = host_path(&resolved)?;
                    return Ok(Source::File { path });
                }
                HostPlace::Directory(resolved) => path = host_path(&resolved)?,
                HostPlace::Missing(_) if !create => {
                    let path = path.to_string();
                    return Err(MountFailure::Missing { path }.into());
                }
                HostPlace::Missing(resolved) => path = host_path(&resolved)?,
            }
        }
        Ok(Source::Directory {
            path,
            create,
            share_name,
        })
    }
}

fn temporary_in(folder: &Path, target: &str, size: ByteCount) -> Result<Source> {
    // Where it would be made; a guest that has it in memory never sees it.
    let target: String = target.chars().filter(char::is_ascii_alphanumeric).collect();
    let file = folder.join(format!("{target}.vhdx"));
    let file = std::path::absolute(&file).map_err(Error::host("find", &file))?;
    Ok(Source::Temporary {
        size: size.get(),
        image: HostPath::parse(&file.display().to_string()).map_err(MountFailure::Path)?,
    })
}

fn host_path(path: &Path) -> Result<HostPath> {
    Ok(HostPath::parse(&path.display().to_string()).map_err(MountFailure::Path)?)
}

/// What has a serialisation of text and numbers alone always has a value.
fn to_value(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn guest_file_system(kind: FileSystemKind) -> Option<GuestFileSystem> {
    match kind {
        FileSystemKind::Ntfs | FileSystemKind::ScratchLayer => Some(GuestFileSystem::Ntfs),
        FileSystemKind::Refs => Some(GuestFileSystem::Refs),
        FileSystemKind::Fat32 => Some(GuestFileSystem::Fat32),
        _ => None,
    }
}

fn disk_source(words: &MountWords) -> Result<Source> {
    let path = HostPath::parse(&words.source).map_err(MountFailure::Path)?;
    let file_system = match &words.file_system {
        Some(name) => {
            Some(
                GuestFileSystem::from_name(name).ok_or_else(|| Error::InvalidRequest {
                    message: format!("{name:?} is no file system that guests mount"),
                })?,
            )
        }
        None => None,
    };
    // From the path, so that the same disk has the same serial in every plan.
    let digest = blake3::hash(path.key().as_bytes()).to_hex();
    Ok(Source::Disk(DiskSource {
        format_on_first_use: file_system.is_some(),
        path,
        parents: Vec::new(),
        file_system,
        serial: digest.as_str()[..32].to_owned(),
    }))
}

fn share_of(text: &str) -> Result<SmbSource> {
    let share = SmbSource::parse(text).map_err(|reason| MountFailure::Share {
        source_text: text.to_owned(),
        reason,
    })?;
    Ok(share)
}
