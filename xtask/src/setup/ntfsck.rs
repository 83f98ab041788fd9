//! The strictest checker of NTFS: `ntfsck` of ntfsprogs-plus.
//!
//! Its package excludes ntfs-3g, which the tests need too, and wants a newer C library than stable
//! Debian has. So it is unpacked with its libraries into a folder of ours and run from there.

use std::path::PathBuf;

use super::suite::{self, Suite};
use crate::failure::{Failure, Outcome};
use crate::workspace;

/// Suites of Debian that may have it, the stable ones first.
const SUITES: [&str; 2] = ["forky", "sid"];

/// The checker and the libraries that it is linked with.
const PACKAGES: [&str; 3] = ["ntfsprogs-plus", "libc6", "libuuid1"];

/// Where the checker is started from; the end-to-end tests look for it here.
pub(crate) fn program() -> PathBuf {
    workspace::target().join("ntfsck/ntfsck")
}

/// Fetches the checker where it is not here.
pub(crate) fn prepare() -> Outcome {
    if program().is_file() {
        return Ok(());
    }
    let mut last = Failure::new("no suite has ntfsprogs-plus");
    for name in SUITES {
        match fetch(name) {
            Ok(()) => return Ok(()),
            Err(failure) => last = failure,
        }
    }
    Err(Failure::new(format!("ntfsck cannot be had: {last}")))
}

fn fetch(suite_name: &str) -> Outcome {
    let folder = workspace::scratch("ntfsck")?;
    let apt = Suite::configure(&folder, suite_name)?;
    apt.update()?;
    if apt.versions(PACKAGES[0])?.is_empty() {
        return Err(Failure::new(format!("{suite_name} has no {}", PACKAGES[0])));
    }
    let root = folder.join("root");
    for package in PACKAGES {
        suite::unpack(&apt.download(package)?, &root)?;
    }
    let script = "#!/bin/sh\n\
        # ntfsck under the C library that it was linked with.\n\
        root=$(dirname \"$(readlink -f \"$0\")\")/root/usr\n\
        exec \"$root/lib64/ld-linux-x86-64.so.2\" \\\n  \
        --library-path \"$root/lib/x86_64-linux-gnu\" \"$root/sbin/ntfsck\" \"$@\"\n";
    workspace::write(&program(), script)?;
    workspace::make_executable(&program())
}
