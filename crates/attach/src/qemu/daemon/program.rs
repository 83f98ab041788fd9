//! Which virtiofs daemon there is, and how it is told what to do.
//!
//! Two are about: that of QEMU up to version 7, in C, and its successor in Rust. Both take a socket
//! that is listened to already; only the younger can refuse writing by itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::sides::{Fault, FaultKind};

/// Where daemons are installed, besides the folders of programs.
const PLACES: [&str; 3] = [
    "/usr/lib/qemu/virtiofsd",
    "/usr/libexec/virtiofsd",
    "/usr/lib/virtiofsd",
];

/// How the daemon locks itself in, once a client is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sandbox {
    /// In namespaces, with the shared directory for its root.
    Namespace,
    /// With the shared directory for its root: for hosts that are containers themselves.
    Chroot,
    /// Not. It has no rights but those of its user then.
    None,
}

/// A daemon.
#[derive(Clone, Debug)]
pub(super) struct Program {
    path: PathBuf,
    /// Whether it takes the options of the younger one.
    is_young: bool,
    /// Whether it can refuse writing itself.
    refuses_writing: bool,
}

impl Program {
    /// The daemon that was named, or the first there is.
    pub(super) fn find(named: Option<&Path>) -> Result<Self, Fault> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => installed().ok_or_else(|| {
                Fault::new(
                    FaultKind::Unsupported,
                    "directories need the virtiofs daemon: install virtiofsd (Debian 12: \
                     qemu-system-common), or name it by CVOL_VIRTIOFSD",
                )
            })?,
        };
        let told = Command::new(&path)
            .arg("--help")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| {
                let what = format!("the virtiofs daemon {} does not run", path.display());
                Fault::new(FaultKind::Unsupported, what).because(error)
            })?;
        let told = [told.stdout, told.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        if !told.contains("--fd") {
            let what = format!("{} is no virtiofs daemon", path.display());
            return Err(Fault::new(FaultKind::Unsupported, what));
        }
        Ok(Self {
            path,
            is_young: told.contains("--shared-dir"),
            refuses_writing: told.contains("--readonly"),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn refuses_writing(&self) -> bool {
        self.refuses_writing
    }

    /// How it may lock itself in, the safest first. It runs without only where it is not root.
    pub(super) fn sandboxes(&self) -> &'static [Sandbox] {
        match (nix::unistd::geteuid().is_root(), self.is_young) {
            (true, _) => &[Sandbox::Namespace, Sandbox::Chroot],
            (false, true) => &[Sandbox::Namespace, Sandbox::None],
            (false, false) => &[Sandbox::Namespace],
        }
    }

    /// Its arguments. The socket is its standard input.
    pub(super) fn arguments(
        &self,
        root: &Path,
        sandbox: Sandbox,
        read_only: bool,
    ) -> Vec<OsString> {
        let sandbox = match sandbox {
            Sandbox::Namespace => "namespace",
            Sandbox::Chroot => "chroot",
            Sandbox::None => "none",
        };
        let mut arguments = vec![OsString::from("--fd=0")];
        if self.is_young {
            arguments.extend(["--shared-dir".into(), root.into()]);
            arguments.extend(["--sandbox", sandbox, "--log-level", "warn"].map(OsString::from));
            if read_only && self.refuses_writing {
                arguments.push("--readonly".into());
            }
            return arguments;
        }
        let mut source = OsString::from("source=");
        source.push(escaped(root));
        arguments.extend(["-o".into(), source]);
        for option in [&format!("sandbox={sandbox}"), "log_level=warn"] {
            arguments.extend(["-o".into(), option.into()]);
        }
        arguments
    }
}

/// A path as a value in a list of options, where a comma parts them.
fn escaped(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut bytes = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b',' | b'\\') {
            bytes.push(b'\\');
        }
        bytes.push(*byte);
    }
    OsString::from_vec(bytes)
}

fn installed() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH");
    let on_path = on_path.iter().flat_map(std::env::split_paths);
    let on_path = on_path.map(|folder| folder.join("virtiofsd"));
    PLACES
        .iter()
        .map(PathBuf::from)
        .chain(on_path)
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_a_path_does_not_end_the_option() {
        let path = escaped(Path::new(r"/a,b\c"));
        assert_eq!(path, OsString::from(r"/a\,b\\c"));
    }

    #[test]
    fn a_program_that_is_no_daemon_is_refused() {
        for program in ["/bin/true", "/no/such/program"] {
            let fault = Program::find(Some(Path::new(program))).unwrap_err();
            assert_eq!(fault.kind(), FaultKind::Unsupported, "{fault}");
        }
    }
}
