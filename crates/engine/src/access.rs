//! Access control: rules from a file of the host, and what an entry at rest carries.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use volume::browse;
use volume::{AccessRules, SecurityDescriptor, VolumeError};

use crate::Engine;
use crate::error::{Error, Result};
use crate::place::{Place, of_browse};

/// The longest file of rules that is read, in bytes; the parser's own limit is below it.
const MAX_RULES_BYTES: u64 = 8 * 1024 * 1024;

/// Who may do what with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The owner, as SDDL writes accounts.
    pub owner: Option<String>,
    /// The primary group, as SDDL writes accounts.
    pub group: Option<String>,
    /// The whole descriptor as SDDL.
    pub sddl: String,
}

impl Engine {
    /// Who may do what with a file or folder in a volume or image.
    ///
    /// # Errors
    /// `NotFound` (volume, file or path), `InvalidArgument` (name, path), `InUse`, `Damaged`,
    /// `Unsupported` (a file system without access control; a descriptor that has no text), `Io`.
    pub fn access(&self, place: &Place) -> Result<Access> {
        let fail = |error| of_browse(place, error);
        let mut view = self.open_view(place)?;
        let found = browse::Place::new(&place.path).map_err(fail)?;
        access_of(&view.security_at(&found).map_err(fail)?)
    }
}

/// A descriptor in words.
pub(crate) fn access_of(descriptor: &SecurityDescriptor) -> Result<Access> {
    let no_text = |error: &dyn std::fmt::Display| Error::Unsupported {
        feature: format!("a security descriptor with which {error}"),
    };
    let sddl = descriptor.to_sddl().map_err(|error| no_text(&error))?;
    let parts = descriptor.parts().map_err(|error| no_text(&error))?;
    let account = |sid: volume::Sid| sid.alias().map_or_else(|| sid.to_string(), str::to_owned);
    Ok(Access {
        owner: parts.owner.map(account),
        group: parts.group.map(account),
        sddl,
    })
}

/// The rules that a file of the host holds.
pub(crate) fn read_rules(path: &Path) -> Result<AccessRules> {
    let file = File::open(path).map_err(Error::host("read", path))?;
    let mut bytes = Vec::new();
    file.take(MAX_RULES_BYTES)
        .read_to_end(&mut bytes)
        .map_err(Error::host("read", path))?;
    let text = String::from_utf8(bytes).map_err(|_| Error::InvalidRequest {
        message: format!("{} is not UTF-8", path.display()),
    })?;
    let rules = AccessRules::parse(&text).map_err(|source| VolumeError::Rules {
        file: path.display().to_string(),
        source,
    })?;
    Ok(rules)
}
