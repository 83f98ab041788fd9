//! Packages of a suite of Debian that is not the machine's, fetched without installing anything.
//!
//! An apt configuration of its own knows that one suite and keeps all its state in a folder of ours;
//! what it downloads is unpacked beside the system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, Outcome};
use crate::{process, workspace};

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
pub(crate) struct Suite {
    folder: PathBuf,
}

impl Suite {
    /// An apt for `suite` that keeps its state in a folder below `folder`.
    pub(crate) fn configure(folder: &Path, suite: &str) -> Result<Self, Failure> {
        let archive = archive_address()?;
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

    /// Fetches the lists of the suite.
    pub(crate) fn update(&self) -> Outcome {
        process::run(self.command("apt-get").args(["-q", "update"]))
    }

    /// The versions that the suite has of a package.
    pub(crate) fn versions(&self, package: &str) -> Result<Vec<String>, Failure> {
        let listed = process::capture(self.command("apt-cache").args(["madison", package]))?;
        let version = |line: &str| line.split('|').nth(1).map(|word| word.trim().to_owned());
        Ok(listed.lines().filter_map(version).collect())
    }

    /// The packages that a package of the suite depends on.
    pub(crate) fn dependencies(&self, package: &str) -> Result<Vec<String>, Failure> {
        let listed = process::capture(self.command("apt-cache").args(["depends", package]))?;
        let name = |line: &str| line.trim().strip_prefix("Depends: ").map(str::to_owned);
        Ok(listed.lines().filter_map(name).collect())
    }

    /// The packages that have to be there before a package of the suite is.
    pub(crate) fn libraries(&self, package: &str) -> Result<Vec<String>, Failure> {
        let listed = process::capture(self.command("apt-cache").args(["depends", package]))?;
        let name = |line: &str| line.trim().strip_prefix("PreDepends: ").map(str::to_owned);
        let names = listed.lines().filter_map(name);
        Ok(names.filter(|name| name.starts_with("lib")).collect())
    }

    /// Downloads a package (`NAME` or `NAME=VERSION`) and returns its file.
    pub(crate) fn download(&self, package: &str) -> Result<PathBuf, Failure> {
        process::run(self.command("apt-get").args(["-q", "download", package]))?;
        let name = package.split('=').next().unwrap_or(package);
        let start = format!("{name}_");
        let entries = fs::read_dir(&self.folder)
            .map_err(|error| Failure::io("listing", &self.folder, &error))?;
        let is_wanted = |path: &PathBuf| {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            file.starts_with(&start) && file.ends_with(".deb")
        };
        let mut files = entries.flatten().map(|entry| entry.path());
        files
            .find(is_wanted)
            .ok_or_else(|| Failure::new(format!("apt-get downloaded no {name}")))
    }
}

/// Unpacks a package into a folder.
pub(crate) fn unpack(package: &Path, folder: &Path) -> Outcome {
    process::run(Command::new("dpkg-deb").arg("-x").arg(package).arg(folder))
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
