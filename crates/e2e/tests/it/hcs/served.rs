//! An image served over NBD by cvol's own reader, writer and server, as the worker process of a machine
//! uses it on a Windows host: with all that it stands on, found by the names that Windows gave.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use blockio::{FileAccess, FileStorage};
use nbd::{Endpoint, Export, Server, ServerOptions, StopHandle};
use vdisk::{Access, FileIdentity, ImageError, ImageFormat, OpenedParent, ParentGate, ParentInfo};

use super::broker::on_this_machine;

/// A disk that is served until it is stopped.
pub(super) struct Served {
    stop: StopHandle,
    thread: JoinHandle<()>,
}

impl Served {
    /// Serves an image at a socket; nobody else may have it open.
    pub(super) fn start(
        image: &Path,
        socket: &Path,
        serial: &str,
        read_only: bool,
    ) -> Result<Self, ImageError> {
        let (file_access, access) = if read_only {
            (FileAccess::ReadOnly, Access::ReadOnly)
        } else {
            (FileAccess::ReadWrite, Access::ReadWrite)
        };
        let storage = FileStorage::open(image, file_access)?;
        let gate = NamesOfWindows(image.to_owned());
        let disk = vdisk::open_chain(Box::new(storage), None, access, &gate)?;
        let server = Server::bind(&Endpoint::Unix(socket.to_owned())).unwrap();
        let stop = server.stop_handle();
        let serial = serial.to_owned();
        let thread = std::thread::spawn(move || {
            let disk = disk;
            let export = Export::new(serial, &*disk).unwrap();
            let options = ServerOptions {
                connections: 16,
                once: false,
            };
            server.serve(&[export], options, &|_| {}).unwrap();
            disk.close().unwrap();
        });
        Ok(Self { stop, thread })
    }

    /// Ends it: all that was written is in the image when this returns.
    pub(super) fn stop(self) {
        self.stop.stop();
        self.thread.join().unwrap();
    }
}

/// Finds parents as Windows does, by the names that the image at this path has for its own.
struct NamesOfWindows(PathBuf);

impl ParentGate for NamesOfWindows {
    fn identity(&self) -> Option<FileIdentity> {
        Some(FileIdentity::new(self.0.display().to_string()))
    }

    fn open_parent(
        &self,
        _format: ImageFormat,
        parent: &ParentInfo,
        _descendants: &[FileIdentity],
    ) -> Result<OpenedParent, ImageError> {
        let folder = self.0.parent().unwrap();
        let ways = parent.paths.iter().map(|way| match way.path.get(1..3) {
            Some(":\\") => on_this_machine(&way.path),
            _ => folder.join(way.path.replace('\\', "/")),
        });
        let found = ways.into_iter().find(|way| way.is_file());
        let Some(found) = found else {
            panic!("{:?} of {} lead nowhere", parent.paths, self.0.display());
        };
        Ok(OpenedParent {
            storage: Box::new(FileStorage::open(&found, FileAccess::ReadOnly)?),
            name: found.display().to_string(),
            gate: Box::new(Self(found)),
        })
    }
}
