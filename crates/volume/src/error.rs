//! The one error of volumes at rest. Callers act on [`VolumeError::kind`] alone.

use std::io;

use blockio::{IoError, IoErrorKind};
use mkfs::change::{ChangeError, ChangeErrorKind};
use mkfs::security::RuleError;
use mkfs::{MkfsError, MkfsErrorKind, TreeError, TreeErrorKind};
use vdisk::{ImageError, ImageErrorKind, ImageFormat};

use crate::claim::Claim;
use crate::filter::FilterError;
use crate::labels::LabelError;
use crate::lifecycle::FormatFault;
use crate::name::NameError;
use crate::secret::SecretError;
use crate::spec::kind::{FileSystemKind, VolumeKind};
use crate::spec::path::PathError;
use crate::spec::{SpecError, SpecErrorKind};
use crate::state::VolumeState;

/// What an operation on volumes returns.
pub type Result<T> = std::result::Result<T, VolumeError>;

/// The class of a [`VolumeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VolumeErrorKind {
    /// A name, option, label or path is wrong, or values do not fit together.
    InvalidArgument,
    /// There is no such volume, file or folder.
    NotFound,
    /// A volume of that name exists.
    AlreadyExists,
    /// Somebody uses the volume, or works on it.
    InUse,
    /// The store, an image or a file system contradicts itself.
    Damaged,
    /// It exists but is not supported.
    Unsupported,
    /// The host failed or refused.
    Io,
    /// No space is left, on the host or in the volume.
    NoSpace,
    /// The caller asked to stop.
    Interrupted,
}

/// A failed operation on volumes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// A volume name is wrong.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A specification is wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A label is wrong.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// A path in a volume is wrong.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A filter is wrong.
    #[error(transparent)]
    Filter(FilterError),
    /// A rule of access is wrong.
    #[error("rules of access in \"{file}\"")]
    Rules {
        /// The file, as the caller named it.
        file: String,
        /// What is wrong, and where.
        #[source]
        source: RuleError,
    },
    /// A password cannot be kept or read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The request contradicts itself.
    #[error("{0}")]
    Request(&'static str),
    /// There is no such volume.
    #[error("no volume is named \"{name}\"")]
    NotFound {
        /// The name asked for.
        name: String,
    },
    /// The name is taken.
    #[error("a volume named \"{existing}\" exists")]
    AlreadyExists {
        /// The name as the existing volume has it (it may differ in case).
        existing: String,
    },
    /// Somebody uses the image.
    #[error("volume \"{name}\" is in use")]
    InUse {
        /// The volume.
        name: String,
        /// What the operating system said.
        #[source]
        source: Option<IoError>,
    },
    /// A machine has the volume.
    #[error("volume \"{name}\" is {claim}")]
    Claimed {
        /// The volume.
        name: String,
        /// Who has it, what for, since when.
        claim: Box<Claim>,
    },
    /// What serves a volume to a machine finds that the machine does not have it.
    #[error("volume \"{name}\" is not claimed by the machine that it would be served to")]
    NotClaimed {
        /// The volume.
        name: String,
    },
    /// Another operation is at work on the volume.
    #[error("volume \"{name}\" is {state}")]
    Busy {
        /// The volume.
        name: String,
        /// What is being done with it.
        state: VolumeState,
    },
    /// The volume has no such snapshot.
    #[error("volume \"{volume}\" has no snapshot named \"{snapshot}\"")]
    SnapshotNotFound {
        /// The volume.
        volume: String,
        /// The snapshot asked for.
        snapshot: String,
    },
    /// The name of a snapshot is taken.
    #[error("volume \"{volume}\" has a snapshot named \"{existing}\"")]
    SnapshotExists {
        /// The volume.
        volume: String,
        /// The name as the existing snapshot has it (it may differ in case).
        existing: String,
    },
    /// The removal of the snapshot began.
    #[error("snapshot \"{name}\" is being removed, and can only be removed")]
    SnapshotRemoving {
        /// `VOLUME@SNAPSHOT`.
        name: String,
    },
    /// Others stand on what is to be removed.
    #[error("\"{name}\" is what {} on", stand(dependents))]
    HasDependents {
        /// The volume or snapshot.
        name: String,
        /// Who stands on it: `VOLUME` or `VOLUME@SNAPSHOT`.
        dependents: Vec<String>,
    },
    /// The volume is backed by something else than an image.
    #[error("volume \"{name}\" is of kind {kind} and has no image")]
    NoImage {
        /// The volume.
        name: String,
        /// Its kind.
        kind: VolumeKind,
    },
    /// What a volume shall stand for is not there.
    #[error("\"{path}\" is not there")]
    NoSource {
        /// The path of the host.
        path: String,
    },
    /// Images of this format have no parents.
    #[error("volume \"{name}\" is kept in a {format} image, which cannot stand on another one")]
    NotLayered {
        /// The volume.
        name: String,
        /// Its format.
        format: ImageFormat,
    },
    /// There are as many layers below each other as there may be.
    #[error("\"{name}\" has {limit} layers below it, which is the limit")]
    TooManyLayers {
        /// The volume or snapshot.
        name: String,
        /// The limit.
        limit: usize,
    },
    /// Another process changed the layers of the volume in the middle of an operation.
    #[error("the layers of volume \"{name}\" were changed meanwhile")]
    Overtaken {
        /// The volume.
        name: String,
    },
    /// Somebody works on a volume of a store that is to be rebuilt.
    #[error("somebody works on a volume of the store")]
    WorkInProgress,
    /// Many processes keep the database locked.
    #[error("the database of the store stayed locked for {seconds} s")]
    DatabaseBusy {
        /// How long it was waited for.
        seconds: u64,
    },
    /// The folder is no store and holds other things.
    #[error("\"{root}\" is not a store: it holds \"{found}\" and no state.db")]
    NotAStore {
        /// The folder.
        root: String,
        /// One of the things in it.
        found: String,
    },
    /// Only the system can make the file system, and not here.
    #[error(
        "fs={file_system} is made by Windows, and not here; use fs=ntfs, or fs=none and let the guest \
         format the disk"
    )]
    NeedsSystem {
        /// The file system.
        file_system: FileSystemKind,
    },
    /// The system did not format an image.
    #[error("formatting volume \"{name}\"")]
    System {
        /// The volume.
        name: String,
        /// What it said.
        #[source]
        source: FormatFault,
    },
    /// The folder is on a server.
    #[error(
        "\"{root}\" is on the server {server}, and a store has to be on a disk of this host: its \
         database and its locks need that"
    )]
    RemoteStore {
        /// The folder.
        root: String,
        /// The server.
        server: String,
    },
    /// The store was written by a newer version.
    #[error("state.db has schema {found}, this version knows {known}")]
    NewerStore {
        /// The schema found.
        found: i64,
        /// The newest schema known.
        known: i64,
    },
    /// A part of the store contradicts the rest.
    #[error("{file} in the store is damaged: {reason}")]
    Damaged {
        /// The file or folder, from the root of the store.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The database failed.
    #[error("state.db: {doing} failed")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The host failed or refused.
    #[error("{doing} \"{path}\" failed")]
    Host {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// An image failed.
    #[error("image of volume \"{name}\"")]
    Image {
        /// The volume.
        name: String,
        /// What the format said.
        #[source]
        source: ImageError,
    },
    /// Making a file system failed.
    #[error("making the file system of volume \"{name}\"")]
    Mkfs {
        /// The volume.
        name: String,
        /// What the builder said.
        #[source]
        source: MkfsError,
    },
    /// What is in a volume could not be changed.
    #[error("changing \"{name}\"")]
    Change {
        /// The volume or image.
        name: String,
        /// What the writer said.
        #[source]
        source: ChangeError,
    },
    /// The source tree could not be read.
    #[error("reading the source tree")]
    Source(#[source] TreeError),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// Reading a disk failed.
    #[error(transparent)]
    Disk(#[from] IoError),
}

impl VolumeError {
    /// The class of the error.
    pub fn kind(&self) -> VolumeErrorKind {
        match self {
            Self::Name(_) | Self::Label(_) | Self::Path(_) | Self::Filter(_) | Self::Request(_) => {
                VolumeErrorKind::InvalidArgument
            }
            Self::Spec(error) => match error.kind() {
                SpecErrorKind::Unsupported => VolumeErrorKind::Unsupported,
                SpecErrorKind::Invalid => VolumeErrorKind::InvalidArgument,
            },
            Self::Rules { source, .. } if source.is_unsupported() => VolumeErrorKind::Unsupported,
            Self::Rules { .. } => VolumeErrorKind::InvalidArgument,
            Self::NotFound { .. } | Self::SnapshotNotFound { .. } | Self::NoSource { .. } => {
                VolumeErrorKind::NotFound
            }
            Self::AlreadyExists { .. } | Self::SnapshotExists { .. } => {
                VolumeErrorKind::AlreadyExists
            }
            Self::NoImage { .. } | Self::NotLayered { .. } | Self::TooManyLayers { .. } => {
                VolumeErrorKind::Unsupported
            }
            Self::InUse { .. }
            | Self::Claimed { .. }
            | Self::NotClaimed { .. }
            | Self::Busy { .. }
            | Self::SnapshotRemoving { .. }
            | Self::HasDependents { .. }
            | Self::Overtaken { .. }
            | Self::WorkInProgress
            | Self::DatabaseBusy { .. } => VolumeErrorKind::InUse,
            Self::Secret(error) => error.kind(),
            Self::NotAStore { .. } => VolumeErrorKind::InvalidArgument,
            Self::NewerStore { .. } | Self::RemoteStore { .. } | Self::NeedsSystem { .. } => {
                VolumeErrorKind::Unsupported
            }
            Self::System { source, .. } => source.kind(),
            Self::Damaged { .. } => VolumeErrorKind::Damaged,
            Self::Database { source, .. } => database_kind(source),
            Self::Host { source, .. } => host_kind(source),
            Self::Image { source, .. } => image_kind(source),
            Self::Mkfs { source, .. } => mkfs_kind(source),
            Self::Source(error) => source_kind(error),
            Self::Change { source, .. } => change_kind(source.kind()),
            Self::Interrupted => VolumeErrorKind::Interrupted,
            Self::Disk(error) => io_kind(error),
        }
    }

    /// A failure of the host at a path.
    pub(crate) fn host(doing: &'static str, path: impl Into<String>, source: io::Error) -> Self {
        Self::Host {
            doing,
            path: path.into(),
            source,
        }
    }

    /// A contradiction in the store.
    /// Whether it is about the database of the store, not about one volume.
    pub fn is_of_database(&self) -> bool {
        match self {
            Self::Database { .. } => true,
            Self::Damaged { file, .. } => file == crate::store::folder::DATABASE,
            _ => false,
        }
    }

    pub(crate) fn damaged(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Damaged {
            file: file.into(),
            reason: reason.into(),
        }
    }
}

/// Who stands on something, the first few by name.
fn stand(dependents: &[String]) -> String {
    const SHOWN: usize = 5;
    let quoted: Vec<String> = dependents
        .iter()
        .take(SHOWN)
        .map(|name| format!("\"{name}\""))
        .collect();
    let verb = if dependents.len() == 1 {
        "stands"
    } else {
        "stand"
    };
    match dependents.len().saturating_sub(SHOWN) {
        0 => format!("{} {verb}", quoted.join(", ")),
        more => format!("{} and {more} more {verb}", quoted.join(", ")),
    }
}

fn database_kind(error: &rusqlite::Error) -> VolumeErrorKind {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => VolumeErrorKind::Damaged,
        Some(ErrorCode::DiskFull) => VolumeErrorKind::NoSpace,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => VolumeErrorKind::InUse,
        _ => VolumeErrorKind::Io,
    }
}

fn host_kind(error: &io::Error) -> VolumeErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            VolumeErrorKind::NoSpace
        }
        _ => VolumeErrorKind::Io,
    }
}

pub(crate) fn io_kind(error: &IoError) -> VolumeErrorKind {
    match error.kind() {
        IoErrorKind::NoSpace => VolumeErrorKind::NoSpace,
        IoErrorKind::InUse => VolumeErrorKind::InUse,
        IoErrorKind::Damaged => VolumeErrorKind::Damaged,
        IoErrorKind::Unsupported => VolumeErrorKind::Unsupported,
        _ => VolumeErrorKind::Io,
    }
}

fn image_kind(error: &ImageError) -> VolumeErrorKind {
    match error.kind() {
        ImageErrorKind::NotAnImage
        | ImageErrorKind::Damaged
        | ImageErrorKind::ParentMissing
        | ImageErrorKind::ParentDenied
        | ImageErrorKind::ParentMismatch
        | ImageErrorKind::ParentLoop => VolumeErrorKind::Damaged,
        ImageErrorKind::Unsupported | ImageErrorKind::Differencing => VolumeErrorKind::Unsupported,
        ImageErrorKind::InUse => VolumeErrorKind::InUse,
        ImageErrorKind::NoSpace => VolumeErrorKind::NoSpace,
        ImageErrorKind::TooLarge | ImageErrorKind::InvalidOption => {
            VolumeErrorKind::InvalidArgument
        }
        ImageErrorKind::Cancelled => VolumeErrorKind::Interrupted,
        _ => VolumeErrorKind::Io,
    }
}

pub(crate) fn source_kind(error: &TreeError) -> VolumeErrorKind {
    match error.kind() {
        TreeErrorKind::Malformed => VolumeErrorKind::Damaged,
        TreeErrorKind::TooLarge => VolumeErrorKind::InvalidArgument,
        TreeErrorKind::Unsupported => VolumeErrorKind::Unsupported,
        _ => VolumeErrorKind::Io,
    }
}

fn mkfs_kind(error: &MkfsError) -> VolumeErrorKind {
    match error.kind() {
        MkfsErrorKind::InvalidOption | MkfsErrorKind::InvalidName => {
            VolumeErrorKind::InvalidArgument
        }
        MkfsErrorKind::NoSpace | MkfsErrorKind::TooLarge => VolumeErrorKind::NoSpace,
        MkfsErrorKind::Damaged => VolumeErrorKind::Damaged,
        MkfsErrorKind::NotFound => VolumeErrorKind::NotFound,
        MkfsErrorKind::Unsupported => VolumeErrorKind::Unsupported,
        MkfsErrorKind::Interrupted => VolumeErrorKind::Interrupted,
        _ => VolumeErrorKind::Io,
    }
}

fn change_kind(kind: ChangeErrorKind) -> VolumeErrorKind {
    match kind {
        ChangeErrorKind::InvalidArgument => VolumeErrorKind::InvalidArgument,
        ChangeErrorKind::NotFound => VolumeErrorKind::NotFound,
        ChangeErrorKind::AlreadyExists => VolumeErrorKind::AlreadyExists,
        // Nothing is known to be broken, but until it is mounted or checked nothing may be written.
        ChangeErrorKind::Damaged | ChangeErrorKind::Unclean => VolumeErrorKind::Damaged,
        ChangeErrorKind::Unsupported => VolumeErrorKind::Unsupported,
        ChangeErrorKind::NoSpace => VolumeErrorKind::NoSpace,
        ChangeErrorKind::Interrupted => VolumeErrorKind::Interrupted,
        _ => VolumeErrorKind::Io,
    }
}
