//! The processes that serve a disk: the keeper, which starts a server, and again when it dies; and the
//! server.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Wanted;
use super::process::{Files, Program};
use super::who::{self, Part};
use crate::Engine;
use crate::error::{Error, Result};
use crate::image::ImageReference;
use crate::machine::{Machine, MachineFailure};
use crate::serve::{ServeEndpoint, ServeImage, ServedImage};

/// How long a lock is tried that somebody holds who merely looks at it.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);
/// How long is waited at most before a server that dies is started again.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A server that lived so long did not die of what it is.
const LONG_LIFE: Duration = Duration::from_secs(10);
/// Clients at once: one of QEMU, and whoever looks whether it serves.
const CONNECTIONS: usize = 16;

impl Engine {
    /// Serves a disk to a machine until `stopping`, or until nobody wants it any more: as the keeper,
    /// by starting servers. `program` is this program. Where another keeper does it already, nothing is
    /// done.
    ///
    /// # Errors
    /// `NotFound` where the ledger of the machine does not say that it is served; what the first server
    /// fails with is told by it.
    pub fn keep_serving(
        &self,
        machine: &str,
        serial: &str,
        program: &Path,
        stopping: &AtomicBool,
    ) -> Result<()> {
        // A session of its own: nothing that ends a terminal ends it. Who leads a session already is
        // alone in it.
        let _ = nix::unistd::setsid();
        let machine = self.machine(machine)?;
        let files = Files::of(&machine.run_folder(), serial);
        let Some(lock) = lock(&files.lock)? else {
            return Ok(());
        };
        let announced = who::announce(&files.who, Part::Keeper);
        let _announced = announced.map_err(Error::host("announce", &files.who))?;
        let program = Program {
            program: program.to_owned(),
            root: self.config().root().to_owned(),
            parents: self.config().parents().to_vec(),
            machine: machine.known.name.clone(),
        };
        let mut keeper = Keeper {
            engine: self,
            machine: &machine,
            serial,
            lock,
            files,
            program,
        };
        keeper.keep(stopping)
    }

    /// Opens a disk and listens for a machine, as the server: [`ServedImage::run`] serves it.
    ///
    /// # Errors
    /// As for [`Engine::keep_serving`]; `InUse`, `Damaged`, `NoSpace`, `Io`.
    pub fn serve_to_machine(&self, machine: &str, serial: &str) -> Result<ServedImage> {
        let machine = self.machine(machine)?;
        let files = Files::of(&machine.run_folder(), serial);
        let announced = who::announce(&files.who, Part::Server);
        let announced = announced.map_err(Error::host("announce", &files.who))?;
        let wanted = self.wanted(&machine, serial)?;
        let disk = self.open_wanted(&machine, &wanted)?;
        let request = ServeImage {
            image: ImageReference::File(wanted.path.as_str().into()),
            format: None,
            read_only: wanted.read_only,
            endpoint: ServeEndpoint::Unix(files.socket),
            export: wanted.serial,
            connections: CONNECTIONS,
            once: false,
        };
        Ok(ServedImage::listen(disk, request)?.keeping(announced))
    }

    fn wanted(&self, machine: &Machine, serial: &str) -> Result<Wanted> {
        self.wanted_disk(machine, serial)?.ok_or_else(|| {
            let name = machine.known.name.clone();
            MachineFailure::NotServed {
                name,
                serial: serial.to_owned(),
            }
            .into()
        })
    }
}

struct Keeper<'k> {
    engine: &'k Engine,
    machine: &'k Machine,
    serial: &'k str,
    lock: File,
    files: Files,
    program: Program,
}

impl Keeper<'_> {
    fn keep(&mut self, stopping: &AtomicBool) -> Result<()> {
        let mut pause = PAUSE;
        let mut is_first = true;
        loop {
            // With the lock held: see the head of the module.
            match self.engine.wanted(self.machine, self.serial) {
                Ok(_) => {}
                Err(error) if is_first => return Err(error),
                Err(_) => return Ok(()),
            }
            if stopping.load(Ordering::SeqCst) {
                return Ok(());
            }
            let begun = Instant::now();
            let status = self.serve()?;
            // What gave up by itself the first time would do so again; it has said why.
            let gave_up = is_first && status.code().is_some_and(|code| code != 0);
            if status.success() || stopping.load(Ordering::SeqCst) {
                return Ok(());
            }
            if gave_up {
                return Err(MachineFailure::ServerFailed {
                    serial: self.serial.to_owned(),
                    code: status.code().unwrap_or_default(),
                }
                .into());
            }
            is_first = false;
            if begun.elapsed() >= LONG_LIFE {
                pause = PAUSE;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One server, from its start to its end.
    fn serve(&self) -> Result<ExitStatus> {
        let failed = || Error::host("start", &self.program.program);
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.files.log)
            .map_err(Error::host("open", &self.files.log))?;
        let lock = self.lock.try_clone().map_err(failed())?;
        let started = self.program.start(self.serial, true, Some(lock), log);
        let mut server = started.map_err(failed())?;
        // Whoever ends serving asks both processes to end, the server as soon as it has announced itself.
        let ended = server.wait();
        ended.map_err(Error::host("wait for", &self.program.program))
    }
}

/// The lock of a disk; `None` where another keeper has it.
fn lock(path: &Path) -> Result<Option<File>> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(Error::host("open", path))?;
        match file.try_lock() {
            Ok(()) => {
                // Whoever ended serving may have removed it in between: then it says nothing to anybody.
                let is_same = match (file.metadata(), std::fs::metadata(path)) {
                    (Ok(held), Ok(there)) => (held.dev(), held.ino()) == (there.dev(), there.ino()),
                    _ => false,
                };
                if is_same {
                    return Ok(Some(file));
                }
            }
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Ok(None),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(Error::host("lock", path)(error)),
        }
        std::thread::sleep(PAUSE);
    }
}
