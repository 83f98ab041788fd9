//! Where cvol keeps its data: given by the caller, or the data folder of the system.
//!
//! Front ends read `--root` and `CVOL_ROOT` themselves and hand the result over; the defaults stand
//! here so that the command line and a service agree on one store.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use attach::virtdisk::HostDisks;
use volume::secret::KeySource;

use crate::error::{Error, Result};

/// What an engine needs to know to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    root: PathBuf,
    parents: Vec<PathBuf>,
    program: Option<PathBuf>,
    key_source: KeySource,
    mount_roots: Option<Vec<PathBuf>>,
    host_disks: Option<GivenDisks>,
}

/// What attaches images to this host, where it is not the system.
#[derive(Clone)]
struct GivenDisks(Arc<dyn HostDisks>);

impl fmt::Debug for GivenDisks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GivenDisks(..)")
    }
}

impl PartialEq for GivenDisks {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for GivenDisks {}

impl Config {
    /// A configuration whose store lives in the folder `root`.
    pub fn with_root(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            parents: Vec::new(),
            program: None,
            key_source: KeySource::default(),
            mount_roots: None,
            host_disks: None,
        }
    }

    /// A configuration whose store lives in the data folder of this system and user.
    ///
    /// On Windows `%ProgramData%\cvol`; elsewhere `/var/lib/cvol` for root, and
    /// `$XDG_DATA_HOME/cvol` or `~/.local/share/cvol` for everyone else.
    ///
    /// # Errors
    /// `InvalidArgument` where the environment names no such folder.
    pub fn from_system() -> Result<Self> {
        system::data_folder()
            .map(Self::with_root)
            .ok_or(Error::NoDataFolder)
    }

    /// The same, with files that may be parents of differencing images wherever they lie.
    #[must_use]
    pub fn with_parents(mut self, parents: Vec<PathBuf>) -> Self {
        self.parents = parents;
        self
    }

    /// Files that may be parents of differencing images, besides those beside the image.
    pub fn parents(&self) -> &[PathBuf] {
        &self.parents
    }

    /// The same, with the command `cvol` elsewhere: it serves disks to machines in the background.
    #[must_use]
    pub fn with_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// The command `cvol`: this program, where nothing else was said.
    pub(crate) fn program(&self) -> Result<PathBuf> {
        match &self.program {
            Some(program) => Ok(program.clone()),
            None => std::env::current_exe().map_err(Error::host("find", "cvol")),
        }
    }

    /// The same, with the key of kept passwords elsewhere than in the store.
    #[must_use]
    pub fn with_key_source(mut self, source: KeySource) -> Self {
        self.key_source = source;
        self
    }

    /// Where the key of kept passwords is.
    pub fn key_source(&self) -> &KeySource {
        &self.key_source
    }

    /// The same, with the folders of the host below which alone anything may be mounted.
    #[must_use]
    pub fn with_mount_roots(mut self, roots: Vec<PathBuf>) -> Self {
        self.mount_roots = Some(roots);
        self
    }

    /// The folders of the host below which alone anything may be mounted; `None` where nobody said any.
    pub fn mount_roots(&self) -> Option<&[PathBuf]> {
        self.mount_roots.as_deref()
    }

    /// The same, with something else than the system that attaches images to this host: a double.
    #[must_use]
    pub fn with_host_disks(mut self, disks: Arc<dyn HostDisks>) -> Self {
        self.host_disks = Some(GivenDisks(disks));
        self
    }

    /// What attaches images to this host, where it is not the system.
    pub(crate) fn host_disks(&self) -> Option<&Arc<dyn HostDisks>> {
        self.host_disks.as_ref().map(|given| &given.0)
    }

    /// The folder of the store.
    pub fn root(&self) -> &std::path::Path {
        &self.root
    }
}

/// Whose process this is, as the system calls him.
pub(crate) fn user_name() -> Option<String> {
    system::user_name()
}

/// The value of an environment variable as an absolute path; unset, empty and relative are `None`.
fn absolute_from_environment(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os(name)?);
    path.is_absolute().then_some(path)
}

#[cfg(unix)]
mod system {
    //! The rules of the XDG base directory specification, and `/var/lib` for root.

    use std::path::PathBuf;

    use super::absolute_from_environment;

    pub(super) fn user_name() -> Option<String> {
        let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective());
        Some(user.ok()??.name)
    }

    pub(super) fn data_folder() -> Option<PathBuf> {
        if nix::unistd::Uid::effective().is_root() {
            return Some(PathBuf::from("/var/lib/cvol"));
        }
        absolute_from_environment("XDG_DATA_HOME")
            .or_else(|| absolute_from_environment("HOME").map(|home| home.join(".local/share")))
            .map(|folder| folder.join("cvol"))
    }
}

#[cfg(windows)]
mod system {
    //! `%ProgramData%`, which all users of a host share.

    use std::path::PathBuf;

    use super::absolute_from_environment;

    pub(super) fn user_name() -> Option<String> {
        std::env::var("USERNAME").ok()
    }

    pub(super) fn data_folder() -> Option<PathBuf> {
        absolute_from_environment("ProgramData").map(|folder| folder.join("cvol"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_root_is_taken_as_it_is() {
        let config = Config::with_root("some/folder");
        assert_eq!(config.root(), std::path::Path::new("some/folder"));
    }

    #[test]
    fn the_data_folder_of_the_system_is_absolute_and_ends_in_cvol() {
        let config = Config::from_system().unwrap();
        assert!(config.root().is_absolute());
        assert!(config.root().ends_with("cvol"));
    }
}
