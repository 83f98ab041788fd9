//! The source of the standard library, from the distribution's package `rust-src` of the very
//! version of the compiler in use.
//!
//! The package is fetched with an apt configuration of its own (the suites that carry new compilers
//! are not the machine's), unpacked in the target folder and linked to where cargo looks for it in
//! the toolchain. Doing it again changes nothing; a link that leads nowhere is made anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, Outcome};
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
    let archive = archive_address()?;
    for suite in SUITES {
        let apt = Apt::configure(&folder, &archive, suite)?;
        if let Some(package) = apt.download(version)? {
            process::run(
                Command::new("dpkg-deb")
                    .arg("-x")
                    .arg(&package)
                    .arg(&folder),
            )?;
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

#[cfg(unix)]
fn link(library: &Path, place: &Path) -> Outcome {
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

/// The address of the Debian archive that this machine uses.
fn archive_address() -> Result<String, Failure> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    files
        .iter()
        .filter(|file| {
            file.extension()
                .is_some_and(|end| end == "list" || end == "sources")
        })
        .filter_map(|file| fs::read_to_string(file).ok())
        .find_map(|text| address_in(&text))
        .ok_or_else(|| Failure::new("no Debian archive is set up in /etc/apt"))
}

/// The first address of a Debian archive in a source list of either style.
fn address_in(text: &str) -> Option<String> {
    let words = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("deb ") || line.starts_with("URIs:"))
        .flat_map(str::split_whitespace);
    let mut addresses = words.filter(|word| word.contains("://"));
    addresses
        .find(|word| word.trim_end_matches('/').ends_with("/debian"))
        .map(str::to_owned)
}

/// An apt that knows one suite and keeps all its state in a folder of ours.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn configure(folder: &Path, archive: &str, suite: &str) -> Result<Self, Failure> {
        let folder = folder.join(suite);
        for name in ["lists/partial", "cache/archives/partial"] {
            let path = folder.join(name);
            fs::create_dir_all(&path).map_err(|error| Failure::io("making", &path, &error))?;
        }
        workspace::write(&folder.join("status"), "")?;
        workspace::write(
            &folder.join("sources.list"),
            format!("deb {archive} {suite} main\n"),
        )?;
        Ok(Self { folder })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let at = |name: &str| self.folder.join(name).display().to_string();
        for setting in [
            format!("Dir::Etc::SourceList={}", at("sources.list")),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            format!("Dir::State::Lists={}", at("lists")),
            format!("Dir::State::Status={}", at("status")),
            format!("Dir::Cache={}", at("cache")),
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
        ] {
            command.arg("-o").arg(setting);
        }
        command.current_dir(&self.folder);
        command
    }

    /// Downloads `rust-src` if the suite has it in the compiler's version.
    fn download(&self, version: &str) -> Result<Option<PathBuf>, Failure> {
        if let Err(failure) = process::run(self.command("apt-get").args(["-q", "update"])) {
            println!("windows: {failure}");
            return Ok(None);
        }
        let listed = process::capture(self.command("apt-cache").args(["madison", "rust-src"]))?;
        let wanted = format!("{version}+");
        let Some(package) = listed
            .split_whitespace()
            .find(|word| word.starts_with(&wanted))
        else {
            return Ok(None);
        };
        let name = format!("rust-src={package}");
        process::run(self.command("apt-get").args(["-q", "download", &name]))?;
        let entries = fs::read_dir(&self.folder)
            .map_err(|error| Failure::io("listing", &self.folder, &error))?;
        let mut files = entries.flatten().map(|entry| entry.path());
        Ok(files.find(|file| file.extension().is_some_and(|end| end == "deb")))
    }
}

#[cfg(test)]
mod tests {
    use super::address_in;

    #[test]
    fn the_archive_is_found_in_source_lists_of_both_styles() {
        let old =
            "# deb http://no.test/debian x\ndeb [a=b] http://mirror.test/debian bookworm main\n";
        assert_eq!(
            address_in(old).as_deref(),
            Some("http://mirror.test/debian")
        );
        let new = "Types: deb\nURIs: http://m.test/debian-security http://m.test/debian/\n";
        assert_eq!(address_in(new).as_deref(), Some("http://m.test/debian/"));
        assert_eq!(address_in("Types: deb\nURIs: http://m.test/ubuntu\n"), None);
    }
}
