//! The host's side of an attachment: directories, images of temporary volumes, disks served in the
//! background.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use attach::{Credentials, Fault, FaultKind, Host, HostPath, SmbSource};
use secrecy::SecretString;
use volume::SmbUser;

use crate::Engine;
use crate::error::Error;
use crate::exports::{Exports, Wanted};
use crate::machine::Machine;
use crate::volumes::CreateVolume;
use crate::windows_paths::of_host;

/// The host, for one machine.
pub(crate) struct HostSide<'h> {
    engine: &'h Engine,
    exports: Exports,
    /// Who logs in at a share with a password that was given for this command.
    given: RefCell<Vec<(SmbSource, SecretString)>>,
}

impl<'h> HostSide<'h> {
    pub(crate) fn new(engine: &'h Engine, machine: &Machine, program: &Path) -> Self {
        Self {
            engine,
            exports: Exports::new(engine, machine, program),
            given: RefCell::default(),
        }
    }

    /// Has a password at hand for a share, as long as this is.
    pub(crate) fn give_password(&self, source: &SmbSource, password: SecretString) {
        self.given.borrow_mut().push((source.clone(), password));
    }

    /// What serves disks.
    pub(crate) fn exports(&self) -> &Exports {
        &self.exports
    }
}

impl Host for HostSide<'_> {
    fn missing_directories(&self, path: &HostPath) -> Result<u32, Fault> {
        let mut missing = 0;
        for directory in of_host(path).ancestors() {
            match fs::metadata(directory) {
                Ok(found) if found.is_dir() => return Ok(missing),
                Ok(_) => {
                    let what = format!("{} is no directory", directory.display());
                    return Err(Fault::new(FaultKind::AlreadyExists, what));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing += 1,
                Err(error) => return Err(host("look at", directory, error)),
            }
        }
        Ok(missing)
    }

    fn make_directory(&self, path: &HostPath) -> Result<(), Fault> {
        let path = of_host(path);
        let mut above: Vec<&Path> = path.ancestors().collect();
        above.reverse();
        for directory in above {
            match fs::create_dir(directory) {
                Ok(()) => {}
                // Links were followed before the path was planned: a link where a directory is missing
                // was put there since.
                Err(error) => match fs::symlink_metadata(directory) {
                    Ok(found) if found.is_dir() => {}
                    Ok(_) => {
                        let what = format!("{} is a link or a file", directory.display());
                        return Err(Fault::new(FaultKind::Denied, what));
                    }
                    Err(_) => return Err(host("make", directory, error)),
                },
            }
        }
        Ok(())
    }

    fn remove_made_directories(&self, path: &HostPath, count: u32) -> Result<(), Fault> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        for directory in of_host(path).ancestors().take(count) {
            match fs::remove_dir(directory) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // Something is in it, or in one of those it is in.
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => return Ok(()),
                Err(error) => return Err(host("remove", directory, error)),
            }
        }
        Ok(())
    }

    fn make_image(&self, path: &HostPath, size: u64) -> Result<(), Fault> {
        let file = of_host(path);
        // Of an attempt that was not told of: nothing was put into it.
        remove_file(&file)?;
        let request = CreateVolume {
            name: "temporary".to_owned(),
            options: vec![format!("size={size},fs=ntfs")],
            ..CreateVolume::default()
        };
        let made = self
            .engine
            .make_image(&file, &request, &|_| ControlFlow::Continue(()));
        made.map(drop)
            .map_err(|error| of_engine("the image of a temporary volume cannot be made", error))
    }

    fn remove_image(&self, path: &HostPath) -> Result<(), Fault> {
        remove_file(&of_host(path))
    }

    fn serve_disk(&self, path: &HostPath, serial: &str, read_only: bool) -> Result<(), Fault> {
        self.exports.start(&Wanted {
            path: path.clone(),
            serial: serial.to_owned(),
            read_only,
        })
    }

    fn stop_serving(&self, serial: &str) -> Result<(), Fault> {
        self.exports.stop(serial)
    }

    fn credentials(&self, source: &SmbSource) -> Result<Option<Credentials>, Fault> {
        match &source.login {
            Some(login) => self.engine.credentials(login).map_err(|error| {
                of_engine(
                    &format!("who logs in at {} cannot be told", source.server),
                    error,
                )
            }),
            None => self.given_credentials(source),
        }
    }
}

impl HostSide<'_> {
    fn given_credentials(&self, source: &SmbSource) -> Result<Option<Credentials>, Fault> {
        let given = self.given.borrow();
        let found = given.iter().find(|(known, _)| known == source);
        let (Some((_, password)), Some(user)) = (found, &source.user) else {
            return Ok(None);
        };
        let user = SmbUser::new(user, None).map_err(|reason| {
            let what = format!("who logs in at {}: {reason}", source.server);
            Fault::new(FaultKind::Invalid, what)
        })?;
        Ok(Some(Credentials {
            user: user.name().to_owned(),
            domain: user.domain().map(str::to_owned),
            password: password.clone(),
        }))
    }
}

fn remove_file(path: &Path) -> Result<(), Fault> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(host("remove", path, error)),
        _ => Ok(()),
    }
}

fn host(action: &str, path: &Path, error: io::Error) -> Fault {
    let kind = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FaultKind::Failed,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => FaultKind::Denied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FaultKind::NoSpace,
        _ => FaultKind::Failed,
    };
    Fault::new(kind, format!("cannot {action} {}", path.display())).because(error)
}

/// What this program says, as a fault. The error is kept, and its kind is what front ends are told.
fn of_engine(what: &str, error: Error) -> Fault {
    use crate::ErrorKind;
    let kind = match error.kind() {
        ErrorKind::InvalidArgument => FaultKind::Invalid,
        ErrorKind::AlreadyExists => FaultKind::AlreadyExists,
        ErrorKind::Unsupported => FaultKind::Unsupported,
        ErrorKind::NoSpace => FaultKind::NoSpace,
        _ => FaultKind::Failed,
    };
    Fault::new(kind, what).because(error)
}

#[cfg(all(test, unix))]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::Config;

    #[test]
    fn directories_that_were_made_are_removed_and_no_others() {
        let folder = TempDir::new().unwrap();
        let engine = Engine::new(Config::with_root(folder.path().join("store")));
        let host = Bare(&engine);
        let path =
            |text: &str| HostPath::parse(folder.path().join(text).to_str().unwrap()).unwrap();
        let deep = path("a/b/c");
        fs::create_dir(folder.path().join("a")).unwrap();
        assert_eq!(host.side().missing_directories(&deep).unwrap(), 2);
        host.side().make_directory(&deep).unwrap();
        host.side().make_directory(&deep).unwrap();
        assert_eq!(host.side().missing_directories(&deep).unwrap(), 0);
        fs::write(folder.path().join("a/b/kept"), "x").unwrap();
        host.side().remove_made_directories(&deep, 2).unwrap();
        host.side().remove_made_directories(&deep, 2).unwrap();
        assert!(folder.path().join("a/b/kept").is_file());
        assert!(!folder.path().join("a/b/c").exists());
        fs::write(folder.path().join("file"), "x").unwrap();
        let fault = host
            .side()
            .missing_directories(&path("file/x"))
            .unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Failed);
        let fault = host.side().missing_directories(&path("file")).unwrap_err();
        assert_eq!(fault.kind(), FaultKind::AlreadyExists);
    }

    #[test]
    fn the_image_of_a_temporary_volume_is_made_as_often_as_asked_and_removed() {
        let folder = TempDir::new().unwrap();
        let engine = Engine::new(Config::with_root(folder.path().join("store")));
        let file = folder.path().join("memory.vhdx");
        let path = HostPath::parse(file.to_str().unwrap()).unwrap();
        for _ in 0..2 {
            Bare(&engine).side().make_image(&path, 64 << 20).unwrap();
            assert!(file.is_file());
        }
        for _ in 0..2 {
            Bare(&engine).side().remove_image(&path).unwrap();
        }
        assert!(!file.exists());
        Bare(&engine).side().make_image(&path, 1).unwrap_err();
        assert!(!file.exists());
    }

    #[test]
    fn a_link_in_the_place_of_a_directory_is_not_made_use_of() {
        let folder = TempDir::new().unwrap();
        let engine = Engine::new(Config::with_root(folder.path().join("store")));
        std::os::unix::fs::symlink("/nowhere", folder.path().join("link")).unwrap();
        let path = folder.path().join("link/below");
        let path = HostPath::parse(path.to_str().unwrap()).unwrap();
        let fault = Bare(&engine).side().make_directory(&path).unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Denied);
    }

    /// A host that serves nothing.
    struct Bare<'b>(&'b Engine);

    impl Bare<'_> {
        fn side(&self) -> HostSide<'_> {
            HostSide {
                engine: self.0,
                exports: Exports::nowhere(),
                given: RefCell::default(),
            }
        }
    }
}
