//! What formats an image that nothing here can: the system of the host, reached by whoever assembles the
//! program, since this crate attaches nothing.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::error::VolumeErrorKind;
use crate::spec::kind::FileSystemKind;

type Format = dyn Fn(&Path, FileSystemKind, &str) -> Result<(), FormatFault> + Send + Sync;

/// A way to have an image formatted. The image is blank and closed; when it returns the image is closed
/// again, with the file system in it.
#[derive(Clone)]
pub struct SystemFormatter(Arc<Format>);

/// Why the system did not format an image.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct FormatFault {
    kind: VolumeErrorKind,
    cause: Box<dyn Error + Send + Sync>,
}

impl FormatFault {
    /// A fault of this kind.
    pub fn new(kind: VolumeErrorKind, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind,
            cause: cause.into(),
        }
    }

    /// Its kind.
    pub fn kind(&self) -> VolumeErrorKind {
        self.kind
    }
}

impl SystemFormatter {
    /// One that is given the path of an image, what to make on it, and its label.
    pub fn new(
        format: impl Fn(&Path, FileSystemKind, &str) -> Result<(), FormatFault> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(format))
    }

    pub(crate) fn format(
        &self,
        image: &Path,
        file_system: FileSystemKind,
        label: &str,
    ) -> Result<(), FormatFault> {
        (self.0)(image, file_system, label)
    }
}

impl fmt::Debug for SystemFormatter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemFormatter(..)")
    }
}
