//! The source of the standard library, from the distribution's package `rust-src` of the very
//! version of the compiler in use.
//!
//! The package is fetched with an apt configuration of its own (the suites that carry new compilers
//! are not the machine's), unpacked in the target folder and linked to where cargo looks for it in
//! the toolchain. Doing it again changes nothing; a link that leads nowhere is made anew.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, Outcome};
use crate::setup::suite::{self, Suite};
use crate::{process, workspace};

/// Suites of Debian that have carried compilers newer than its stable release's.
const SUITES: [&str; 3] = ["trixie-backports", "forky", "sid"];

/// The folder of the toolchain in use.
pub(crate) fn sysroot() -> Result<PathBuf, Failure> {
    let text = process::capture(Command::new(rustc()).args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(text.trim()))
}

fn rustc() -> std::ffi::OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// The compiler's version, such as `1.95.0`.
fn version() -> Result<String, Failure> {
    let text = process::capture(Command::new(rustc()).arg("-vV"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("release: "));
    line.map(str::to_owned)
        .ok_or_else(|| Failure::new("rustc -vV names no release"))
}

/// Sees to it that the toolchain has the source of its standard library.
pub(crate) fn prepare() -> Outcome {
    let place = sysroot()?.join("lib/rustlib/src/rust/library");
    if place.join("Cargo.lock").is_file() {
        return Ok(());
    }
    let version = version()?;
    let library = unpack(&version)?;
    link(&library, &place)
}

/// Fetches and unpacks the package; returns the folder `library` in it.
fn unpack(version: &str) -> Result<PathBuf, Failure> {
    let folder = workspace::scratch("rust-src")?;
    let library = folder.join(format!("usr/src/rustc-{version}/library"));
    if library.join("Cargo.lock").is_file() {
        return Ok(library);
    }
    for suite in SUITES {
        let apt = Suite::configure(&folder, suite)?;
        if let Some(package) = download(&apt, version)? {
            suite::unpack(&package, &folder)?;
            if library.join("Cargo.lock").is_file() {
                return Ok(library);
            }
        }
    }
    Err(Failure::new(format!(
        "no package rust-src of version {version} in {}; install the target by hand: \
         rustup target add {}",
        SUITES.join(", "),
        super::target::TRIPLE
    )))
}

/// Downloads `rust-src` if the suite has it in the compiler's version.
fn download(apt: &Suite, version: &str) -> Result<Option<PathBuf>, Failure> {
    if let Err(failure) = apt.update() {
        println!("windows: {failure}");
        return Ok(None);
    }
    let wanted = format!("{version}+");
    let versions = apt.versions("rust-src")?;
    match versions.iter().find(|word| word.starts_with(&wanted)) {
        Some(package) => apt.download(&format!("rust-src={package}")).map(Some),
        None => Ok(None),
    }
}

#[cfg(unix)]
fn link(library: &Path, place: &Path) -> Outcome {
    use std::fs;

    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent).map_err(|error| Failure::io("making", parent, &error))?;
    }
    if place.is_symlink() {
        fs::remove_file(place).map_err(|error| Failure::io("removing", place, &error))?;
    }
    std::os::unix::fs::symlink(library, place)
        .map_err(|error| Failure::io("linking", place, &error))
}

#[cfg(not(unix))]
fn link(_library: &Path, place: &Path) -> Outcome {
    Err(Failure::new(format!(
        "the source of the standard library is not at {}",
        place.display()
    )))
}
