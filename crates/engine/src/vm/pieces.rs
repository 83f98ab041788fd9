//! What a machine boots: a kernel, its first file system, and the agent.

use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};

use super::archive::Archive;
use super::{StartVm, VmFailure};
use crate::error::{Error, Result};

/// The environment variable that names the folder of kernel and first file system.
const FOLDER: &str = "CVOL_GUEST";
/// The environment variable that names the agent.
const AGENT: &str = "CVOL_GUEST_AGENT";
/// Where the agent is in the guest.
pub(super) const AGENT_IN_GUEST: &str = "/sbin/cvol-guest-agent";
/// The longest agent that is taken.
const LONGEST_AGENT: u64 = 256 << 20;

/// The pieces, found.
#[derive(Debug)]
pub(super) struct Pieces {
    pub(super) kernel: PathBuf,
    initramfs: PathBuf,
    agent: PathBuf,
}

impl Pieces {
    /// What was named, or else what is where it usually is.
    pub(super) fn find(request: &StartVm) -> Result<Self> {
        let folder = match &request.guest_folder {
            Some(folder) => Some(folder.clone()),
            None => named(FOLDER).or_else(|| beside_program("guest", Path::is_dir)),
        };
        let of_folder = |given: &Option<PathBuf>, name: &str, what: &'static str| {
            let found = given
                .clone()
                .or_else(|| folder.as_ref().map(|folder| folder.join(name)));
            let path = found.ok_or(VmFailure::NoPiece { what, at: None })?;
            there(path, what)
        };
        Ok(Self {
            kernel: of_folder(&request.kernel, "vmlinuz", "kernel")?,
            initramfs: of_folder(&request.initramfs, "initramfs.cpio", "first file system")?,
            agent: agent(request)?,
        })
    }

    /// Writes the first file system with the agent added to it.
    pub(super) fn write_initramfs(&self, to: &Path) -> Result<()> {
        let fail = |error| Error::host("write", to)(error);
        let mut agent = Vec::new();
        File::open(&self.agent)
            .and_then(|file| file.take(LONGEST_AGENT).read_to_end(&mut agent))
            .map_err(Error::host("read", &self.agent))?;
        let mut first =
            File::open(&self.initramfs).map_err(Error::host("read", &self.initramfs))?;
        let mut out = BufWriter::new(File::create(to).map_err(fail)?);
        let fail = |error| Error::host("write", to)(error);
        let length = io::copy(&mut first, &mut out).map_err(fail)?;
        let add = || -> io::Result<()> {
            let mut archive = Archive::after(length, &mut out)?;
            // The folder may be a link in the first archive, and then it stays one.
            archive.directory("sbin")?;
            archive.program(AGENT_IN_GUEST.trim_start_matches('/'), &agent)?;
            archive.finish()?;
            Ok(())
        };
        let fail = |error| Error::host("write", to)(error);
        let mut add = add;
        add().map_err(fail)
    }
}

fn agent(request: &StartVm) -> Result<PathBuf> {
    const WHAT: &str = "agent for the guest";
    let found = request
        .agent
        .clone()
        .or_else(|| named(AGENT))
        .or_else(|| beside_program("cvol-guest-agent", Path::is_file))
        .or_else(|| beside_program("agent/cvol-guest-agent", Path::is_file));
    let path = found.ok_or(VmFailure::NoPiece {
        what: WHAT,
        at: None,
    })?;
    there(path, WHAT)
}

fn there(path: PathBuf, what: &'static str) -> Result<PathBuf> {
    if path.is_file() {
        return Ok(path);
    }
    Err(VmFailure::NoPiece {
        what,
        at: Some(path),
    }
    .into())
}

fn named(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable)?;
    (!path.is_empty()).then(|| PathBuf::from(path))
}

/// Something in the folder of this program or the one above it, which is where builds leave things.
fn beside_program(name: &str, is_it: fn(&Path) -> bool) -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let folders = program.ancestors().skip(1).take(2);
    folders
        .map(|folder| folder.join(name))
        .find(|path| is_it(path))
}
