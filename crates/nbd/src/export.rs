//! A disk under the name by which clients ask for it.

use blockio::{ByteCount, Disk};

use crate::format::{MAX_STRING_LENGTH, transmission_flag};

/// A disk that clients may use.
#[derive(Clone)]
pub struct Export<'d> {
    name: String,
    description: Option<String>,
    disk: &'d dyn Disk,
}

/// Why a disk cannot be exported under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The protocol bounds the name.
    #[error("the name of the export has {length} bytes; the protocol has {MAX_STRING_LENGTH}")]
    NameTooLong {
        /// Bytes of the name.
        length: usize,
    },
}

impl<'d> Export<'d> {
    /// A disk under a name (in UTF-8, possibly empty); one that is read-only is exported as such.
    ///
    /// # Errors
    /// [`ExportError::NameTooLong`] past 4096 bytes.
    pub fn new(name: impl Into<String>, disk: &'d dyn Disk) -> Result<Self, ExportError> {
        let name = name.into();
        if name.len() > MAX_STRING_LENGTH {
            let length = name.len();
            return Err(ExportError::NameTooLong { length });
        }
        Ok(Self {
            name,
            description: None,
            disk,
        })
    }

    /// The same with a line that clients show to people; cut to what the protocol allows.
    #[must_use]
    pub fn described(mut self, description: impl Into<String>) -> Self {
        let mut description = description.into();
        while description.len() > MAX_STRING_LENGTH {
            description.pop();
        }
        self.description = Some(description);
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is, for people.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Its disk.
    pub(crate) fn disk(&self) -> &'d dyn Disk {
        self.disk
    }

    /// Its size.
    pub(crate) fn size(&self) -> ByteCount {
        self.disk.size()
    }

    /// What the export can do. Several connections see one disk, so a flush on one of them covers
    /// what was answered on all.
    pub(crate) fn transmission_flags(&self) -> u16 {
        use transmission_flag as flag;
        let both = flag::HAS_FLAGS
            | flag::SEND_FLUSH
            | flag::SEND_FUA
            | flag::SEND_DF
            | flag::CAN_MULTI_CONN;
        if self.disk.is_read_only() {
            both | flag::READ_ONLY
        } else {
            both | flag::SEND_TRIM | flag::SEND_WRITE_ZEROES
        }
    }
}
