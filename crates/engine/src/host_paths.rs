//! Which paths of the host may be shown to a machine, judged where the path leads and not by its name.
//!
//! Never: the root of the host, what the kernel shows of itself, and the store with all that holds it.
//! Where the configuration names folders (`CVOL_MOUNT_ROOTS`), only what lies in one of them. Links are
//! followed first, and it is the place they led to that is mounted: a link that is turned elsewhere later
//! changes nothing.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use volume::plain_path;

use crate::Engine;
use crate::error::{Error, Result};

/// What stands at a path, all links followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostPlace {
    /// A directory.
    Directory(PathBuf),
    /// A file.
    File(PathBuf),
    /// Nothing yet; the folders above it that are there have been followed.
    Missing(PathBuf),
}

impl HostPlace {
    fn path(&self) -> &Path {
        match self {
            Self::Directory(path) | Self::File(path) | Self::Missing(path) => path,
        }
    }
}

impl Engine {
    /// Where a path of this host leads, if that may be mounted.
    ///
    /// # Errors
    /// `InvalidArgument` where it may not, `Io`.
    pub(crate) fn allowed_host_path(&self, path: &Path) -> Result<HostPlace> {
        if !path.is_absolute() {
            return Err(Error::InvalidRequest {
                message: format!("{} is no absolute path of this host", path.display()),
            });
        }
        let place = resolve(path)?;
        let found = place.path();
        let refused = |reason: &str| {
            let led = if found == path {
                String::new()
            } else {
                format!(", which leads to {},", found.display())
            };
            Err(Error::InvalidRequest {
                message: format!("{}{led} {reason}", path.display()),
            })
        };
        if found.parent().is_none() {
            return refused("is the root of the host, which is not shown to machines");
        }
        if let Some(kernel) = system::OF_THE_KERNEL
            .iter()
            .find(|kernel| found.starts_with(kernel))
        {
            return refused(&format!(
                "lies in {kernel}, where the kernel shows itself, and is not mounted"
            ));
        }
        // The store may not be there yet.
        let root = std::path::absolute(self.config().root()).unwrap_or_default();
        let root = resolve(&root)?;
        let root = root.path();
        if found.starts_with(root) || root.starts_with(found) {
            return refused("holds the store of volumes, or is a part of it, and is not mounted");
        }
        if let Some(roots) = self.config().mount_roots() {
            let mut is_inside = false;
            for root in roots {
                is_inside |= found.starts_with(resolve(root)?.path());
            }
            if !is_inside {
                return refused("lies in none of the folders of CVOL_MOUNT_ROOTS");
            }
        }
        Ok(place)
    }
}

/// Follows the links of a path as far as it is there.
fn resolve(path: &Path) -> Result<HostPlace> {
    let mut missing: Vec<PathBuf> = Vec::new();
    let mut above = path;
    loop {
        match above.canonicalize() {
            Ok(found) => {
                let found = plain_path(found);
                if missing.is_empty() {
                    return judge(found);
                }
                let rest = missing.iter().rev();
                return Ok(HostPlace::Missing(
                    rest.fold(found, |at, name| at.join(name)),
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A link that leads nowhere could lead anywhere by the time something is there.
                let is_link = above.symlink_metadata().is_ok();
                let name = above.components().next_back();
                let (Some(Component::Normal(name)), Some(parent), false) =
                    (name, above.parent(), is_link)
                else {
                    return Err(Error::host("follow", above)(error));
                };
                missing.push(PathBuf::from(name));
                above = parent;
            }
            Err(error) => return Err(Error::host("look at", path)(error)),
        }
    }
}

fn judge(found: PathBuf) -> Result<HostPlace> {
    let metadata = fs::metadata(&found).map_err(Error::host("look at", &found))?;
    if metadata.is_dir() {
        Ok(HostPlace::Directory(found))
    } else if metadata.is_file() {
        Ok(HostPlace::File(found))
    } else {
        Err(Error::InvalidRequest {
            message: format!(
                "{} is a device, socket or pipe, and is not mounted",
                found.display()
            ),
        })
    }
}

#[cfg(unix)]
mod system {
    //! Unix: one root, and file systems that are the kernel's own.

    pub(super) const OF_THE_KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];
}

#[cfg(windows)]
mod system {
    //! Windows: devices have names of their own.

    pub(super) const OF_THE_KERNEL: [&str; 1] = [r"\\.\"];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::error::ErrorKind;

    fn engine(folder: &Path, roots: Option<&[&str]>) -> Engine {
        let config = Config::with_root(folder.join("var/store"));
        let config = match roots {
            None => config,
            Some(roots) => {
                config.with_mount_roots(roots.iter().map(|root| folder.join(root)).collect())
            }
        };
        Engine::new(config)
    }

    #[test]
    fn places_are_told_apart_and_what_is_missing_is_found_from_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let base = plain_path(folder.path().canonicalize().unwrap());
        fs::create_dir_all(base.join("srv")).unwrap();
        fs::write(base.join("srv/file"), "").unwrap();
        let engine = engine(&base, None);
        let place = |path: &str| engine.allowed_host_path(&base.join(path)).unwrap();
        assert_eq!(place("srv"), HostPlace::Directory(base.join("srv")));
        assert_eq!(place("srv/file"), HostPlace::File(base.join("srv/file")));
        assert_eq!(place("srv/a/b"), HostPlace::Missing(base.join("srv/a/b")));
    }

    #[test]
    fn the_store_and_what_holds_it_are_not_mounted() {
        let folder = tempfile::tempdir().unwrap();
        let base = plain_path(folder.path().canonicalize().unwrap());
        fs::create_dir_all(base.join("var/store/volumes")).unwrap();
        fs::create_dir_all(base.join("var/other")).unwrap();
        let engine = engine(&base, None);
        for path in ["var", "var/store", "var/store/volumes", "var/store/new"] {
            let error = engine.allowed_host_path(&base.join(path)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{path}");
        }
        assert!(engine.allowed_host_path(&base.join("var/other")).is_ok());
        assert!(
            engine
                .allowed_host_path(&base.join("var/storeroom"))
                .is_ok()
        );
        let root = base.ancestors().last().unwrap();
        assert!(engine.allowed_host_path(root).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_before_anything_is_judged() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        for name in ["open", "closed", "var/store"] {
            fs::create_dir_all(base.join(name)).unwrap();
        }
        let link = |to: &str, name: &str| symlink(to, base.join(name)).unwrap();
        link("../closed", "open/out");
        link("/", "open/root");
        link("/proc/self", "open/proc");
        link("/dev/null", "open/device");
        link("../var/store", "open/store");
        link("../nowhere", "open/dangling");
        link("loop", "open/loop");
        link("open", "way");
        let inside = engine(&base, Some(&["open"]));
        let free = engine(&base, None);
        let path = |name: &str| base.join(name);
        for name in [
            "out", "out/new", "root", "proc", "device", "store", "dangling", "loop",
        ] {
            let error = inside.allowed_host_path(&path("open").join(name));
            assert!(error.is_err(), "{name}: {error:?}");
        }
        for name in ["root", "proc", "device", "store", "root/proc/1"] {
            let error = free.allowed_host_path(&path("open").join(name));
            assert!(error.is_err(), "{name}: {error:?}");
        }
        // What leads into an allowed folder is what is there.
        let through = inside.allowed_host_path(&path("way")).unwrap();
        assert_eq!(through, HostPlace::Directory(path("open")));
        assert!(inside.allowed_host_path(&path("closed")).is_err());
        assert!(inside.allowed_host_path(&path("openness")).is_err());
        assert!(free.allowed_host_path(&path("open/out")).is_ok());
    }
}
