//! The one error of the engine: what was asked for, on what, and the cause below it.
//!
//! Front ends decide by [`Error::kind`] (exit codes, HTTP and C codes) and [`Error::subject`] (what
//! to advise); causes are kept as sources, never turned into text.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use blockio::{IoError, IoErrorKind};
use nbd::{BindError, ServeError};
use vdisk::{ImageError, ImageErrorKind};
use volume::browse::BrowseError;
use volume::secret::SecretError;
use volume::{ChangeError, ChangeErrorKind, VolumeError, VolumeErrorKind};

use crate::host_mounts::HostMountFailure;
use crate::machine::{MachineFailure, of_plan};
use crate::mounts::MountFailure;
use crate::serve::ServeFailure;
use crate::smb::SmbFailure;
use crate::vm::VmFailure;

/// What an operation of the engine returns.
pub type Result<T> = std::result::Result<T, Error>;

/// The class of an [`Error`], which is all that front ends map to codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request makes no sense.
    InvalidArgument,
    /// The volume, file or path is not there.
    NotFound,
    /// Something of that name is there already.
    AlreadyExists,
    /// Somebody else uses it.
    InUse,
    /// Its bytes contradict its format.
    Damaged,
    /// Somebody is not let in.
    Denied,
    /// It exists, but not here or not yet.
    Unsupported,
    /// The host has no space left.
    NoSpace,
    /// The caller asked to stop.
    Interrupted,
    /// The host failed.
    Io,
}

/// What an [`Error`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// A volume of the store, or the store itself.
    Volume,
    /// The database of the store.
    Database,
    /// A volume or snapshot that others stand on.
    Base,
    /// A snapshot of a volume.
    Snapshot,
    /// An image file.
    Image,
    /// The parent of a differencing image.
    Parent,
    /// A path in a volume or image.
    PathInVolume,
    /// A volume that was not unmounted cleanly.
    UncleanVolume,
    /// A folder in a volume that is not empty.
    FolderWithEntries,
    /// The room in a volume.
    VolumeSpace,
    /// A file or folder of the host.
    HostPath,
    /// The configuration.
    Settings,
    /// A mount of a machine.
    Mount,
    /// A system of the Host Compute Service.
    HcsSystem,
    /// A machine, or what is attached to it.
    Machine,
    /// A volume that a machine has.
    Claim,
    /// A volume that is mounted on this host.
    HostMount,
    /// The program that runs machines.
    Qemu,
    /// What a machine boots.
    GuestPieces,
    /// A machine that does not come up.
    Boot,
    /// A command in a guest.
    GuestCommand,
    /// The place where clients connect.
    Endpoint,
    /// An SMB server.
    Server,
    /// The password of a volume.
    Password,
    /// A volume that is backed by something else than an image.
    NoImage,
    /// The stream that a result is written to.
    Output,
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The environment names no data folder, and none was given.
    #[error("the data folder of this system is not known")]
    NoDataFolder,
    /// An operation on the store or one of its volumes failed.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// An operation on an image failed.
    #[error("cannot {action} {name}")]
    Image {
        /// What was tried: `open`, `check`, ...
        action: &'static str,
        /// The image as the caller named it.
        name: String,
        /// The cause.
        source: ImageError,
    },
    /// Looking into a volume or image failed.
    #[error("cannot read {image}")]
    Browse {
        /// The volume or image as the caller named it.
        image: String,
        /// The cause.
        source: BrowseError,
    },
    /// The host failed on a file or folder.
    #[error("cannot {action} {}", path.display())]
    Host {
        /// What was tried: `create`, `write`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The target of an operation exists, and replacing it was not asked for.
    #[error("{} exists already", path.display())]
    TargetExists {
        /// The file or folder.
        path: PathBuf,
    },
    /// The request makes no sense.
    #[error("{message}")]
    InvalidRequest {
        /// What is wrong with it.
        message: String,
    },
    /// What is asked for is not supported.
    #[error("{feature} is not supported")]
    Unsupported {
        /// What is asked for.
        feature: String,
    },
    /// Mounts could not be planned or told.
    #[error(transparent)]
    Mount(#[from] MountFailure),
    /// Something about a machine failed.
    #[error(transparent)]
    Machine(#[from] MachineFailure),
    /// Something about a volume that is mounted on this host failed.
    #[error(transparent)]
    HostMount(#[from] HostMountFailure),
    /// Something about a machine that cvol starts failed.
    #[error(transparent)]
    Vm(#[from] VmFailure),
    /// A disk could not be served, or its last changes not be kept.
    #[error("cannot serve {name}")]
    Serve {
        /// The volume or image as the caller named it.
        name: String,
        /// The cause.
        source: ServeFailure,
    },
    /// An SMB server could not be used.
    #[error(transparent)]
    Smb(#[from] SmbFailure),
    /// The stream that the result is written to failed.
    #[error("cannot write the result")]
    Output(#[source] io::Error),
    /// The caller asked to stop; what was half made is gone.
    #[error("interrupted")]
    Interrupted,
}

impl From<SecretError> for Error {
    fn from(error: SecretError) -> Self {
        Self::Volume(error.into())
    }
}

impl Error {
    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoDataFolder | Self::InvalidRequest { .. } => ErrorKind::InvalidArgument,
            Self::Volume(error) => of_volume(error.kind()),
            Self::Image { source, .. } => of_image(source),
            Self::Browse { source, .. } => of_volume(source.kind()),
            Self::Host { source, .. } | Self::Output(source) => of_host(source),
            Self::TargetExists { .. } => ErrorKind::AlreadyExists,
            Self::Serve { source, .. } => of_serving(source),
            Self::Mount(failure) => of_mount(failure),
            Self::Machine(failure) => failure.kind(),
            Self::HostMount(failure) => failure.kind(),
            Self::Vm(failure) => failure.kind(),
            Self::Smb(failure) => failure.kind(),
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Interrupted => ErrorKind::Interrupted,
        }
    }

    /// What the error is about.
    pub fn subject(&self) -> Subject {
        match self {
            Self::NoDataFolder => Subject::Settings,
            Self::Volume(error) if error.is_of_database() => Subject::Database,
            Self::Volume(VolumeError::Source(_)) => Subject::HostPath,
            Self::Volume(VolumeError::HasDependents { .. }) => Subject::Base,
            Self::Volume(VolumeError::Claimed { .. }) => Subject::Claim,
            Self::Volume(
                VolumeError::SnapshotNotFound { .. }
                | VolumeError::SnapshotExists { .. }
                | VolumeError::SnapshotRemoving { .. }
                | VolumeError::TooManyLayers { .. },
            ) => Subject::Snapshot,
            Self::Volume(VolumeError::Change { source, .. }) => of_change(source),
            Self::Volume(VolumeError::Secret(_)) => Subject::Password,
            Self::Volume(VolumeError::NoImage { .. }) => Subject::NoImage,
            Self::Volume(VolumeError::NoSource { .. }) => Subject::HostPath,
            Self::Volume(_) | Self::InvalidRequest { .. } | Self::Unsupported { .. } => {
                Subject::Volume
            }
            Self::Image { source, .. } if is_of_parent(source) => Subject::Parent,
            Self::Image { .. } => Subject::Image,
            Self::Browse {
                source: BrowseError::Host { .. },
                ..
            } => Subject::HostPath,
            Self::Browse { .. } => Subject::PathInVolume,
            Self::Host { .. } | Self::TargetExists { .. } | Self::Interrupted => Subject::HostPath,
            Self::Output(_) => Subject::Output,
            Self::Serve { .. } => Subject::Endpoint,
            Self::Mount(_) => Subject::Mount,
            Self::Machine(MachineFailure::Service { .. }) => Subject::HcsSystem,
            Self::Machine(_) => Subject::Machine,
            Self::HostMount(_) => Subject::HostMount,
            Self::Vm(failure) => failure.subject(),
            Self::Smb(_) => Subject::Server,
        }
    }

    /// Whether the reader of the result went away.
    pub fn is_closed_output(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// A failure of the host on `path`; to be used with `map_err`.
    pub(crate) fn host(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Host {
            action,
            path,
            source,
        }
    }

    /// A failure on the image called `name`; to be used with `map_err`.
    pub(crate) fn image<E: Into<ImageError>>(
        action: &'static str,
        name: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        let name = name.into();
        move |source| match source.into() {
            ImageError::Cancelled => Self::Interrupted,
            source => Self::Image {
                action,
                name,
                source,
            },
        }
    }
}

pub(crate) fn of_volume(kind: VolumeErrorKind) -> ErrorKind {
    match kind {
        VolumeErrorKind::InvalidArgument => ErrorKind::InvalidArgument,
        VolumeErrorKind::NotFound => ErrorKind::NotFound,
        VolumeErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
        VolumeErrorKind::InUse => ErrorKind::InUse,
        VolumeErrorKind::Damaged => ErrorKind::Damaged,
        VolumeErrorKind::Unsupported => ErrorKind::Unsupported,
        VolumeErrorKind::NoSpace => ErrorKind::NoSpace,
        VolumeErrorKind::Interrupted => ErrorKind::Interrupted,
        _ => ErrorKind::Io,
    }
}

fn is_of_parent(error: &ImageError) -> bool {
    matches!(
        error.kind(),
        ImageErrorKind::ParentMissing
            | ImageErrorKind::ParentDenied
            | ImageErrorKind::ParentMismatch
            | ImageErrorKind::ParentLoop
            | ImageErrorKind::Differencing
    )
}

fn of_change(error: &ChangeError) -> Subject {
    match error.kind() {
        _ if matches!(error, ChangeError::NotEmpty { .. }) => Subject::FolderWithEntries,
        _ if matches!(error, ChangeError::BelowMinimum { .. }) => Subject::VolumeSpace,
        ChangeErrorKind::Unclean => Subject::UncleanVolume,
        ChangeErrorKind::NoSpace => Subject::VolumeSpace,
        ChangeErrorKind::Source => Subject::HostPath,
        ChangeErrorKind::NotFound
        | ChangeErrorKind::AlreadyExists
        | ChangeErrorKind::InvalidArgument => Subject::PathInVolume,
        _ => Subject::Volume,
    }
}

fn of_image(error: &ImageError) -> ErrorKind {
    match error.kind() {
        ImageErrorKind::NotAnImage
        | ImageErrorKind::Damaged
        | ImageErrorKind::ParentMismatch
        | ImageErrorKind::ParentLoop => ErrorKind::Damaged,
        ImageErrorKind::ParentMissing => ErrorKind::NotFound,
        ImageErrorKind::ParentDenied => ErrorKind::InvalidArgument,
        ImageErrorKind::Unsupported | ImageErrorKind::Differencing => ErrorKind::Unsupported,
        ImageErrorKind::InUse => ErrorKind::InUse,
        ImageErrorKind::NoSpace => ErrorKind::NoSpace,
        ImageErrorKind::TooLarge | ImageErrorKind::InvalidOption => ErrorKind::InvalidArgument,
        ImageErrorKind::Cancelled => ErrorKind::Interrupted,
        _ => match error {
            ImageError::Io(error) => of_io(error),
            _ => ErrorKind::Io,
        },
    }
}

/// The class of a failure of positional input and output: the host's own word where there is one.
pub(crate) fn of_io(error: &IoError) -> ErrorKind {
    match error.kind() {
        IoErrorKind::InUse => ErrorKind::InUse,
        IoErrorKind::NoSpace => ErrorKind::NoSpace,
        IoErrorKind::Damaged => ErrorKind::Damaged,
        IoErrorKind::Unsupported => ErrorKind::Unsupported,
        IoErrorKind::Host => error
            .source()
            .and_then(|source| source.downcast_ref::<io::Error>())
            .map_or(ErrorKind::Io, of_host),
        _ => ErrorKind::Io,
    }
}

fn of_mount(failure: &MountFailure) -> ErrorKind {
    match failure {
        MountFailure::Missing { .. } => ErrorKind::NotFound,
        MountFailure::Render(_) => ErrorKind::Unsupported,
        MountFailure::Plan(error) => of_plan(error),
        _ => ErrorKind::InvalidArgument,
    }
}

fn of_serving(failure: &ServeFailure) -> ErrorKind {
    match failure {
        ServeFailure::Bind(BindError::Taken { .. }) => ErrorKind::InUse,
        ServeFailure::Bind(BindError::Unsupported) => ErrorKind::Unsupported,
        ServeFailure::Bind(BindError::NotLoopback { .. }) | ServeFailure::Export(_) => {
            ErrorKind::InvalidArgument
        }
        ServeFailure::Bind(BindError::Host { source, .. })
        | ServeFailure::Serve(ServeError::Accept(source)) => of_host(source),
        ServeFailure::Serve(ServeError::Flush(source)) => of_io(source),
        _ => ErrorKind::Io,
    }
}

/// The class of a failure of the host.
pub(crate) fn of_host(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ErrorKind::NotFound,
        io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
        io::ErrorKind::ResourceBusy | io::ErrorKind::WouldBlock => ErrorKind::InUse,
        io::ErrorKind::Unsupported => ErrorKind::Unsupported,
        _ => ErrorKind::Io,
    }
}

#[cfg(test)]
mod tests {
    use blockio::{ByteCount, ByteOffset, Operation};

    use super::*;

    fn opening(kind: io::ErrorKind) -> Error {
        let source = io::Error::from(kind);
        let error = IoError::host(Operation::Open, ByteOffset(0), ByteCount(0), source);
        Error::image("open", "a.vhdx")(error)
    }

    #[test]
    fn the_hosts_own_word_decides_the_kind() {
        for (host, kind) in [
            (io::ErrorKind::NotFound, ErrorKind::NotFound),
            (io::ErrorKind::ResourceBusy, ErrorKind::InUse),
            (io::ErrorKind::StorageFull, ErrorKind::NoSpace),
            (io::ErrorKind::PermissionDenied, ErrorKind::Io),
            (io::ErrorKind::Unsupported, ErrorKind::Unsupported),
        ] {
            assert_eq!(opening(host).kind(), kind);
        }
    }

    #[test]
    fn a_cancelled_image_operation_is_an_interruption() {
        let error = Error::image("convert", "a.vhdx")(ImageError::Cancelled);
        assert!(matches!(error, Error::Interrupted));
    }

    #[test]
    fn only_a_closed_output_is_a_closed_output() {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(Error::Output(closed()).is_closed_output());
        assert!(!Error::host("write", "a")(closed()).is_closed_output());
    }
}
