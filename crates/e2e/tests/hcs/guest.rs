//! A guest that is played: an agent behind a port of this host, which mounts what the double gives its
//! machine, and is gone when the machine is.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use attach::hcs::schema::CONTROLLER_IDS;
use computecore::{MachineModel, MachineState};
use guest_agent::{Agent, Ending, System, hold};
use guest_proto::{
    ErrorKind, GuestKind, MountDisk, MountMemory, MountShare, MountSmb, Mounted, MountedThing,
    Refusal, ShareTransport, Unmount, UnplugDisk, Usage,
};

/// How the machine of this guest stands.
pub(crate) type Look = Arc<dyn Fn() -> MachineModel + Send + Sync>;

/// A guest at work.
pub(crate) struct PlayedGuest {
    pub(crate) address: SocketAddr,
    mounts: Arc<Mutex<BTreeMap<String, MountedThing>>>,
    ends: Arc<AtomicBool>,
}

struct Played {
    kind: GuestKind,
    look: Look,
    mounts: Arc<Mutex<BTreeMap<String, MountedThing>>>,
}

impl PlayedGuest {
    pub(crate) fn start(kind: GuestKind, look: Look) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mounts = Arc::new(Mutex::new(BTreeMap::new()));
        let system = Played {
            kind,
            look: Arc::clone(&look),
            mounts: Arc::clone(&mounts),
        };
        let agent = Arc::new(Agent::new(Arc::new(system)));
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if told.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, look) = (stream.unwrap(), Arc::clone(&look));
                if !runs(&look) {
                    continue;
                }
                let reader = Line {
                    stream: stream.try_clone().unwrap(),
                    look,
                };
                let agent = Arc::clone(&agent);
                std::thread::spawn(move || hold(reader, stream, agent, Ending::Final));
            }
        });
        Self {
            address,
            mounts,
            ends,
        }
    }

    pub(crate) fn mounts(&self) -> BTreeMap<String, MountedThing> {
        lock(&self.mounts).clone()
    }

    /// It starts anew, and has nothing mounted.
    pub(crate) fn restart(&self) {
        lock(&self.mounts).clear();
    }
}

impl Drop for PlayedGuest {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn runs(look: &Look) -> bool {
    look().state == MachineState::Running
}

/// What the host says, until the machine is gone.
struct Line {
    stream: TcpStream,
    look: Look,
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream
            .set_read_timeout(Some(Duration::from_millis(5)))?;
        loop {
            if !runs(&self.look) {
                let _ = self.stream.shutdown(Shutdown::Both);
                return Ok(0);
            }
            match self.stream.read(buffer) {
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) => {}
                read => return read,
            }
        }
    }
}

fn refused<T>(kind: ErrorKind, text: &str) -> Result<T, Refusal> {
    Err(Refusal {
        kind,
        text: text.to_owned(),
    })
}

impl Played {
    /// Mounts what is there.
    fn mount(
        &self,
        target: &str,
        source: String,
        file_system: &str,
        read_only: bool,
    ) -> Result<Mounted, Refusal> {
        let thing = MountedThing {
            target: target.to_owned(),
            file_system: file_system.to_owned(),
            source,
            read_only,
        };
        let was = lock(&self.mounts).insert(target.to_owned(), thing.clone());
        if was.as_ref().is_some_and(|was| *was != thing) {
            return refused(ErrorKind::AlreadyExists, "something else is mounted there");
        }
        Ok(Mounted {
            target: target.to_owned(),
            file_system: file_system.to_owned(),
            read_only,
            formatted: false,
            was_there: was.is_some(),
        })
    }
}

impl System for Played {
    fn kind(&self) -> GuestKind {
        self.kind
    }

    fn kernel(&self) -> String {
        "played".to_owned()
    }

    fn mount_disk(&self, mount: &MountDisk) -> Result<Mounted, Refusal> {
        let controller = CONTROLLER_IDS[usize::from(mount.controller)];
        let place = format!("{controller}/{}", mount.lun).to_lowercase();
        let Some(disk) = (self.look)().disks.get(&place).cloned() else {
            return refused(ErrorKind::NotFound, "no disk is there");
        };
        if disk.read_only && !mount.read_only {
            return refused(ErrorKind::Failed, "the disk cannot be written");
        }
        let file_system = match self.kind {
            GuestKind::Linux => "ntfs3",
            GuestKind::Windows => "NTFS",
        };
        self.mount(&mount.target, disk.path, file_system, mount.read_only)
    }

    fn mount_share(&self, mount: &MountShare) -> Result<Mounted, Refusal> {
        let machine = (self.look)();
        let found = match &mount.transport {
            ShareTransport::Plan9Vsock { port, tree } => {
                machine.plan9.get(&format!("{port}/{tree}")).cloned()
            }
            ShareTransport::VirtualSmb { unc } => {
                let name = unc.rsplit('\\').next().unwrap_or_default();
                let share = machine.smb.get(&name.to_lowercase());
                share.map(|share| share.path.clone())
            }
            _ => None,
        };
        let Some(path) = found else {
            return refused(ErrorKind::NotFound, "no such share");
        };
        self.mount(&mount.target, path, "9p", mount.read_only)
    }

    fn mount_smb(&self, mount: &MountSmb) -> Result<Mounted, Refusal> {
        // What no guest would tell.
        let (user, password) = (&mount.user, mount.password.reveal());
        let domain = mount.domain.as_deref().unwrap_or_default();
        let source = format!(
            "{domain}/{user}:{password}@{}/{}",
            mount.server, mount.share
        );
        self.mount(&mount.target, source, "cifs", mount.read_only)
    }

    fn mount_memory(&self, mount: &MountMemory) -> Result<Mounted, Refusal> {
        self.mount(&mount.target, "memory".to_owned(), "tmpfs", false)
    }

    fn unmount(&self, unmount: &Unmount) -> Result<(), Refusal> {
        lock(&self.mounts).remove(&unmount.target);
        Ok(())
    }

    /// A disk that is mounted is held on to.
    fn unplug_disk(&self, unplug: &UnplugDisk) -> Result<(), Refusal> {
        let controller = CONTROLLER_IDS[usize::from(unplug.controller)];
        let place = format!("{controller}/{}", unplug.lun).to_lowercase();
        let Some(disk) = (self.look)().disks.get(&place).cloned() else {
            return Ok(());
        };
        if lock(&self.mounts).values().any(|it| it.source == disk.path) {
            return refused(ErrorKind::Busy, "the disk is mounted");
        }
        Ok(())
    }

    fn mounts(&self) -> Result<Vec<MountedThing>, Refusal> {
        Ok(lock(&self.mounts).values().cloned().collect())
    }

    fn sync(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn freeze(&self, _target: &str) -> Result<(), Refusal> {
        refused(ErrorKind::Unsupported, "nothing is frozen here")
    }

    fn thaw(&self, _target: &str) -> Result<(), Refusal> {
        refused(ErrorKind::NotFound, "nothing is frozen here")
    }

    fn usage(&self, _target: &str) -> Result<Usage, Refusal> {
        Ok(Usage { total: 2, free: 1 })
    }

    fn power_off(&self) -> Result<(), Refusal> {
        Ok(())
    }
}
