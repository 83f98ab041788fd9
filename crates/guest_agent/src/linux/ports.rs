//! Where the host is heard on Linux: ports of virtio, and sockets.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::agent::Agent;
use crate::conversation::{Ending, hold};

/// How the names of our ports begin; a number follows.
const PORT_NAME: &str = "org.cvol.agent.";
/// How often it is looked for further ports.
const LOOK: Duration = Duration::from_millis(500);

/// Hears the host at every port of virtio with a name of ours, also at those that come later.
pub(crate) fn serve(agent: &Arc<Agent>) -> io::Result<()> {
    let mut heard = HashSet::new();
    loop {
        for device in devices() {
            if heard.contains(&device) {
                continue;
            }
            // It may not be there yet, though its name is.
            let Ok(port) = open(&device) else {
                continue;
            };
            heard.insert(device);
            let (reader, agent) = (port.try_clone()?, Arc::clone(agent));
            std::thread::spawn(move || hold(reader, port, agent, Ending::HostMayComeAgain));
        }
        std::thread::sleep(LOOK);
    }
}

fn devices() -> Vec<PathBuf> {
    let entries = fs::read_dir("/sys/class/virtio-ports")
        .into_iter()
        .flatten();
    let ours = entries.flatten().filter(|entry| {
        fs::read_to_string(entry.path().join("name"))
            .is_ok_and(|name| name.trim().starts_with(PORT_NAME))
    });
    ours.map(|entry| Path::new("/dev").join(entry.file_name()))
        .collect()
}

fn open(device: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(device)
}

/// Hears the host at a Unix socket.
pub(crate) fn serve_unix(path: &Path, agent: &Arc<Agent>) -> io::Result<()> {
    // One that an agent before this one left behind.
    let _ = fs::remove_file(path);
    for stream in UnixListener::bind(path)?.incoming() {
        let stream = stream?;
        let (reader, agent) = (stream.try_clone()?, Arc::clone(agent));
        std::thread::spawn(move || hold(reader, stream, agent, Ending::Final));
    }
    Ok(())
}

/// Hears the host at a socket of the hypervisor.
pub(crate) fn serve_vsock(port: u32, agent: &Arc<Agent>) -> io::Result<()> {
    let listener = super::vsock::listen(port)?;
    loop {
        let stream = super::vsock::accept(&listener)?;
        let (reader, agent) = (stream.try_clone()?, Arc::clone(agent));
        std::thread::spawn(move || hold(reader, stream, agent, Ending::Final));
    }
}
