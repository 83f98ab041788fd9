//! Why a call failed: in words, as a code of the header, and as `errno`.

use std::error::Error as _;
use std::io;

use engine::ErrorKind;

use crate::errno;
use crate::types::containerv_volume_code;

/// What a call comes to.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The engine could not do it.
    Engine(Box<engine::Error>),
    /// An argument makes no sense.
    Argument(String),
    /// It is no handle, or one that was closed.
    Handle(&'static str),
    /// Something is where a call may not be made.
    Busy(&'static str),
    /// The host did not do something with a file.
    File { what: String, source: io::Error },
    /// A fault of ours: what the panic said.
    Panic(String),
    /// Told before, of the same options: the first of their errors.
    Kept(Told),
}

/// An error as it is kept for whoever asks.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) code: containerv_volume_code,
    pub(crate) text: String,
}

impl Failure {
    /// An argument that makes no sense.
    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::Argument(message.into())
    }

    pub(crate) fn code(&self) -> containerv_volume_code {
        use containerv_volume_code as Code;
        match self {
            Self::Engine(error) => match error.kind() {
                ErrorKind::InvalidArgument => Code::CV_VOLUME_INVALID_ARGUMENT,
                ErrorKind::NotFound => Code::CV_VOLUME_NOT_FOUND,
                ErrorKind::AlreadyExists => Code::CV_VOLUME_ALREADY_EXISTS,
                ErrorKind::InUse => Code::CV_VOLUME_IN_USE,
                ErrorKind::Damaged => Code::CV_VOLUME_DAMAGED,
                ErrorKind::Denied => Code::CV_VOLUME_DENIED,
                ErrorKind::Unsupported => Code::CV_VOLUME_UNSUPPORTED,
                ErrorKind::NoSpace => Code::CV_VOLUME_NO_SPACE,
                ErrorKind::Interrupted => Code::CV_VOLUME_INTERRUPTED,
                _ => Code::CV_VOLUME_IO,
            },
            Self::Argument(_) => Code::CV_VOLUME_INVALID_ARGUMENT,
            Self::Handle(_) => Code::CV_VOLUME_BAD_HANDLE,
            Self::Busy(_) => Code::CV_VOLUME_IN_USE,
            Self::File { source, .. } if is_in_use(source) => Code::CV_VOLUME_IN_USE,
            Self::File { .. } => Code::CV_VOLUME_IO,
            Self::Panic(_) => Code::CV_VOLUME_INTERNAL,
            Self::Kept(told) => told.code,
        }
    }

    /// The failure with its causes, in one line.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Engine(error) => {
                let mut text = error.to_string();
                let mut cause = error.source();
                while let Some(error) = cause {
                    // A cause that is told by what stands above it is not told twice.
                    let own = error.to_string();
                    if !text.ends_with(&own) {
                        text = format!("{text}: {own}");
                    }
                    cause = error.source();
                }
                text
            }
            Self::Argument(message) => message.clone(),
            Self::Handle(what) => format!("it is no {what}, or one that was closed before"),
            Self::Busy(message) => (*message).to_owned(),
            Self::File { what, source } => format!("{what}: {source}"),
            Self::Panic(message) => format!("a fault of the library: {message}"),
            Self::Kept(told) => told.text.clone(),
        }
    }

    pub(crate) fn told(&self) -> Told {
        Told {
            code: self.code(),
            text: self.text(),
        }
    }
}

/// Whether somebody has the file open, as Windows says it.
fn is_in_use(error: &io::Error) -> bool {
    /// ERROR_SHARING_VIOLATION.
    const SHARING_VIOLATION: i32 = 32;
    let is_shared = cfg!(windows) && error.raw_os_error() == Some(SHARING_VIOLATION);
    is_shared || error.kind() == io::ErrorKind::ResourceBusy
}

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Self {
        Self::Engine(Box::new(error))
    }
}

/// The `errno` of a code; nothing for success.
pub(crate) fn errno_of(code: containerv_volume_code) -> Option<errno::Number> {
    use containerv_volume_code as Code;
    Some(match code {
        Code::CV_VOLUME_OK => return None,
        Code::CV_VOLUME_INVALID_ARGUMENT => errno::EINVAL,
        Code::CV_VOLUME_NOT_FOUND => errno::ENOENT,
        Code::CV_VOLUME_ALREADY_EXISTS => errno::EEXIST,
        Code::CV_VOLUME_IN_USE => errno::EBUSY,
        Code::CV_VOLUME_DAMAGED => errno::EBADMSG,
        Code::CV_VOLUME_UNSUPPORTED => errno::ENOTSUP,
        Code::CV_VOLUME_NO_SPACE => errno::ENOSPC,
        Code::CV_VOLUME_INTERRUPTED => errno::ECANCELED,
        Code::CV_VOLUME_IO => errno::EIO,
        Code::CV_VOLUME_BAD_HANDLE => errno::EBADF,
        Code::CV_VOLUME_INTERNAL => errno::ENOTRECOVERABLE,
        Code::CV_VOLUME_DENIED => errno::EACCES,
    })
}
