//! Where the host is kept: in memory, or in a file that several programs share, one at a time.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::host::HostModel;

/// The host, wherever it is.
#[derive(Debug)]
pub(crate) enum Keep {
    /// In memory.
    Memory(HostModel),
    /// In a file, beside which there is one to lock.
    Shared(PathBuf),
}

impl Keep {
    /// Works on the host, alone among all programs that share it. What cannot be read is an empty host,
    /// and what cannot be written is found out by the test that reads it.
    pub(crate) fn with<T>(&mut self, work: impl FnOnce(&mut HostModel) -> T) -> T {
        match self {
            Self::Memory(host) => work(host),
            Self::Shared(file) => {
                let _alone = lock(file);
                let mut host = read(file).unwrap_or_default();
                let before = host.clone();
                let done = work(&mut host);
                if host != before {
                    // The test that reads it finds the old one.
                    let _ = write(file, &host);
                }
                done
            }
        }
    }
}

/// A lock of its own, since locking bytes of a file on Windows keeps others from reading them.
fn lock(file: &Path) -> io::Result<File> {
    let lock = File::create(file.with_extension("lock"))?;
    lock.lock()?;
    Ok(lock)
}

fn read(file: &Path) -> io::Result<HostModel> {
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}

/// Whoever reads it without the lock finds the whole of it.
fn write(file: &Path, host: &HostModel) -> io::Result<()> {
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, serde_json::to_vec_pretty(host)?)?;
    std::fs::rename(&fresh, file)
}
