//! Engines for many threads.
//!
//! An engine serves one thread at a time, and opening its store takes longer than most calls. So each
//! manager keeps engines that are idle: a call takes one, or makes one where all are at work, and brings
//! it back. Calls of several threads thus run at the same time, as those of several processes do; no lock
//! is held while one runs, and a callback may call again. An engine whose call panicked, or failed for a
//! reason of the store, is not used again, nor is one that came here through `fork`: databases do not
//! survive that.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::{Config, Engine, ErrorKind, Notice};

use crate::failure::Result;

/// Engines that are kept; more threads at once make more, which go when they are done.
const MOST_IDLE: usize = 4;
/// Where programs that are not told a store find it, as the command does.
const ROOT_VARIABLE: &str = "CVOL_ROOT";

/// Where the command is that serves disks to machines in the background, where it is not on the path.
const PROGRAM_VARIABLE: &str = "CVOL_PROGRAM";

/// A store, and engines for it.
pub(crate) struct Manager {
    config: Config,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    engine: Engine,
    process: u32,
}

static OF_PROCESS: Mutex<Option<Arc<Manager>>> = Mutex::new(None);

impl Manager {
    /// The manager of a store; of the default one without a folder. Touches nothing yet.
    pub(crate) fn new(root: Option<&str>) -> Result<Self> {
        let config = match root {
            Some(root) => Config::with_root(root),
            None => match std::env::var_os(ROOT_VARIABLE).filter(|root| !root.is_empty()) {
                Some(root) => Config::with_root(PathBuf::from(root)),
                None => Config::from_system()?,
            },
        };
        Ok(Self {
            // By itself an engine starts its own program, which is the command; here it is anything.
            config: config.with_program(command()),
            idle: Mutex::new(Vec::new()),
        })
    }

    /// The one that functions without a handle use.
    pub(crate) fn of_process() -> Result<Arc<Self>> {
        let mut of_process = OF_PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(manager) = &*of_process {
            return Ok(Arc::clone(manager));
        }
        let manager = Arc::new(Self::new(None)?);
        *of_process = Some(Arc::clone(&manager));
        Ok(manager)
    }

    /// Has functions without a handle use another store from now on; without a folder, the default one.
    pub(crate) fn set_of_process(root: Option<&str>) -> Result<()> {
        let new = match root {
            Some(root) => Some(Arc::new(Self::new(Some(root))?)),
            None => None,
        };
        let mut of_process = OF_PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
        *of_process = new;
        Ok(())
    }

    /// Lets an engine work.
    pub(crate) fn with<T>(
        &self,
        work: impl FnOnce(&Engine) -> std::result::Result<T, engine::Error>,
    ) -> Result<T> {
        let (engine, is_new) = match self.take() {
            Some(engine) => (engine, false),
            None => (Engine::new(self.config.clone()), true),
        };
        let outcome = work(&engine);
        if is_new {
            for notice in engine.notices() {
                tell(notice);
            }
        }
        match outcome {
            Ok(value) => {
                self.bring_back(engine);
                Ok(value)
            }
            Err(error) => {
                if is_of_the_request(error.kind()) {
                    self.bring_back(engine);
                }
                Err(error.into())
            }
        }
    }

    fn take(&self) -> Option<Engine> {
        let process = std::process::id();
        let mut idle = self.idle();
        while let Some(kept) = idle.pop() {
            if kept.process == process {
                return Some(kept.engine);
            }
            // Closing it here would end what belongs to the process that it was made in.
            std::mem::forget(kept.engine);
        }
        None
    }

    fn bring_back(&self, engine: Engine) {
        let mut idle = self.idle();
        if idle.len() < MOST_IDLE {
            idle.push(Idle {
                engine,
                process: std::process::id(),
            });
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let process = std::process::id();
        let idle = self.idle.get_mut();
        for kept in idle.unwrap_or_else(PoisonError::into_inner).drain(..) {
            if kept.process != process {
                std::mem::forget(kept.engine);
            }
        }
    }
}

/// The command `cvol`: from the environment or the path; else the bare name, which an attachment that
/// needs it then says is missing.
fn command() -> PathBuf {
    let name = format!("cvol{}", std::env::consts::EXE_SUFFIX);
    if let Some(program) = std::env::var_os(PROGRAM_VARIABLE).filter(|path| !path.is_empty()) {
        return PathBuf::from(program);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(&name))
        .find(|program| program.is_absolute() && program.is_file())
        .unwrap_or_else(|| PathBuf::from(name))
}

/// Whether an error says nothing about the store: the engine is as good as before.
fn is_of_the_request(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::InvalidArgument
            | ErrorKind::AlreadyExists
            | ErrorKind::InUse
            | ErrorKind::Unsupported
    )
}

fn tell(notice: &Notice) {
    match notice {
        Notice::Rebuilt(report) => tracing::warn!(
            restored = report.restored.len(),
            left_alone = report.left.len(),
            "the database of the store was missing or damaged, and was built anew"
        ),
        Notice::OpenToOthers(others) => tracing::warn!(
            others = others.join(", "),
            "the folder of the store is open to others than the system and administrators"
        ),
        _ => tracing::warn!("opening the store mended it"),
    }
}
