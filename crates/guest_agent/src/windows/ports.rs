//! Where the host is heard on Windows: a port of virtio, by the driver of QEMU's guests.

use std::fs::OpenOptions;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::agent::Agent;
use crate::conversation::{Ending, hold};

/// The port, as its driver names it.
const PORT: &str = r"\\.\Global\org.cvol.agent.0";
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(500);

/// Hears the host at the port of virtio, which is waited for.
pub(crate) fn serve(agent: &Arc<Agent>) -> io::Result<()> {
    loop {
        if let Ok(port) = OpenOptions::new().read(true).write(true).open(PORT) {
            let reader = port.try_clone()?;
            hold(reader, port, Arc::clone(agent), Ending::HostMayComeAgain)?;
        }
        std::thread::sleep(LOOK);
    }
}
