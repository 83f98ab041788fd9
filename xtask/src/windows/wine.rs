//! Wine, with a prefix of our own in the target folder.
//!
//! Wine 8 has no `bcryptprimitives.dll`, which the standard library takes its random numbers from
//! (a program then ends with status 53 before it begins): where it is missing a small one is
//! compiled with mingw and put into the prefix.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::failure::{Failure, Outcome};
use crate::{process, workspace};

const RANDOM_SOURCE: &str = "\
#include <windows.h>
#include <ntsecapi.h>
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length) {
    while (length > 0) {
        ULONG part = length > 0x10000000 ? 0x10000000 : (ULONG)length;
        if (!RtlGenRandom(data, part)) return FALSE;
        data += part;
        length -= part;
    }
    return TRUE;
}
";

/// A Wine that is ready to start programs.
#[derive(Debug)]
pub(crate) struct Wine {
    program: PathBuf,
    prefix: PathBuf,
}

impl Wine {
    /// Finds Wine, and makes the prefix if it is not there.
    pub(crate) fn prepare() -> Result<Self, Failure> {
        Self::prepare_in("wine")
    }

    /// The same with a prefix of its own: a library in its system folder is there for all its programs.
    pub(crate) fn prepare_in(name: &str) -> Result<Self, Failure> {
        crate::setup::require(&[crate::setup::Group::Wine])?;
        let program = find().ok_or_else(|| Failure::new("wine64 is not installed"))?;
        let prefix = super::target_folder().join(name);
        let wine = Self { program, prefix };
        wine.start_prefix()?;
        wine.add_random_source()?;
        Ok(wine)
    }

    /// Puts a library into the system folder.
    pub(crate) fn add_library(&self, library: &Path) -> Outcome {
        let name = library.file_name().unwrap_or_default();
        let place = self.system_folder().join(name);
        fs::copy(library, &place)
            .map(drop)
            .map_err(|error| Failure::io("copying to", &place, &error))
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Gives a command, and what it starts, the settings under which Wine is quiet and ours.
    pub(crate) fn equip(&self, command: &mut Command) {
        command
            .env("WINEPREFIX", &self.prefix)
            .env("WINEDEBUG", "-all")
            .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
            .env_remove("DISPLAY");
    }

    /// A command that starts a Windows program.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(&self.program);
        self.equip(&mut command);
        command.arg(program);
        command
    }

    /// Keeps Wine's services up until the guard is dropped: they end with the last program, and
    /// starting them takes over a second each time.
    ///
    /// Returns when they are up. Services inherit the output of the program that happens to start
    /// them; were that a program whose output is read to its end, the reader would wait for the
    /// services, and the services for this guard.
    pub(crate) fn stay_up(&self) -> Result<StayingUp, Failure> {
        let mut command = self.command(Path::new("cmd"));
        command.args(["/c", "echo up& set /p line="]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command
            .spawn()
            .map_err(|error| Failure::new(format!("cannot start Wine: {error}")))?;
        let mut first = [0];
        let up = child
            .stdout
            .as_mut()
            .is_some_and(|output| output.read_exact(&mut first).is_ok());
        let staying = StayingUp(child);
        if up {
            Ok(staying)
        } else {
            Err(Failure::new("Wine does not start cmd"))
        }
    }

    fn system_folder(&self) -> PathBuf {
        self.prefix.join("drive_c/windows/system32")
    }

    fn start_prefix(&self) -> Outcome {
        if self.prefix.join("system.reg").is_file() && self.system_folder().is_dir() {
            return Ok(());
        }
        workspace::remove_tree(&self.prefix)?;
        if let Some(parent) = self.prefix.parent() {
            fs::create_dir_all(parent).map_err(|error| Failure::io("making", parent, &error))?;
        }
        println!("windows: making a Wine prefix in {}", self.prefix.display());
        process::run_quietly(self.command(Path::new("wineboot")).arg("--init"))?;
        // The registry is written when the last program of the prefix has ended.
        if let Some(server) = wine_server(&self.program) {
            let mut wait = Command::new(server);
            self.equip(&mut wait);
            process::run_quietly(wait.arg("--wait"))?;
        }
        Ok(())
    }

    fn add_random_source(&self) -> Outcome {
        let library = self.system_folder().join("bcryptprimitives.dll");
        if library.is_file() {
            return Ok(());
        }
        let folder = workspace::scratch("windows/random")?;
        let code = folder.join("random.c");
        workspace::write(&code, RANDOM_SOURCE)?;
        let mut compiler = Command::new("x86_64-w64-mingw32-gcc");
        compiler
            .args(["-shared", "-O2", "-s", "-o"])
            .arg(&library)
            .arg(&code)
            .arg("-ladvapi32");
        process::run(&mut compiler)
    }
}

/// A program that waits for the end of its input.
#[derive(Debug)]
pub(crate) struct StayingUp(Child);

impl Drop for StayingUp {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // Nothing is lost where it ended before.
        let _ = self.0.wait();
    }
}

/// A path as programs of Windows see it: under Wine the drive Z: is the root of this machine.
pub(super) fn in_windows(path: &Path) -> String {
    format!("Z:{}", path.display()).replace('/', "\\")
}

/// Debian and Ubuntu keep the 64-bit loader off the path.
pub(crate) fn find() -> Option<PathBuf> {
    let kept = Path::new("/usr/lib/wine/wine64");
    if kept.is_file() {
        return Some(kept.to_path_buf());
    }
    process::find("wine64").or_else(|| process::find("wine"))
}

fn wine_server(wine: &Path) -> Option<PathBuf> {
    let beside = |name: &str| wine.parent().map(|folder| folder.join(name));
    [
        beside("wineserver64"),
        beside("wineserver"),
        process::find("wineserver"),
    ]
    .into_iter()
    .flatten()
    .find(|program| program.is_file())
}
