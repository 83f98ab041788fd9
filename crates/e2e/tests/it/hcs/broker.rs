//! The broker, a test double of what runs machines on a Windows host: what the double of computecore.dll
//! asks of it is done to a machine of QEMU. Disks are served by cvol's own server, which alone reads
//! and writes images.
//!
//! ```text
//!   cvol.exe ── computecore.dll (the double) ── TCP ── Broker ── QMP ── QEMU
//!                                                        └── an image ── NBD ──┘
//! ```

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use attach::{DiskAttachment, Fault, FaultKind, HostPath, Machine as _, QemuVm, Slot};
use computecore::{BrokerAnswer, BrokerRequest};

use super::served::Served;

/// A broker that listens until the end of the test.
pub(super) struct Broker {
    place: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    vm: QemuVm,
    /// What the guest is to know the disk of an image by, which no document of the service says.
    serials: HashMap<PathBuf, String>,
    disks: HashMap<(u8, u8), (String, Served)>,
    /// What was asked, in order.
    asked: Vec<BrokerRequest>,
}

impl Broker {
    pub(super) fn new(vm: QemuVm) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            vm,
            serials: HashMap::new(),
            disks: HashMap::new(),
            asked: Vec::new(),
        }));
        let served = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                answer(&served, &stream.unwrap());
            }
        });
        Self { place, state }
    }

    /// Where it listens.
    pub(super) fn place(&self) -> SocketAddr {
        self.place
    }

    /// Has the guest know the disk of an image by this.
    pub(super) fn name(&self, image: &Path, serial: &str) {
        let mut state = self.state.lock().unwrap();
        state.serials.insert(image.to_owned(), serial.to_owned());
    }

    /// The places of the disks that the machine has.
    pub(super) fn places(&self) -> Vec<(u8, u8)> {
        let state = self.state.lock().unwrap();
        let mut places: Vec<_> = state.disks.keys().copied().collect();
        places.sort_unstable();
        places
    }

    /// How often it was asked for something.
    pub(super) fn asked(&self) -> usize {
        self.state.lock().unwrap().asked.len()
    }
}

/// Answers one request: a line each way.
fn answer(state: &Mutex<State>, stream: &TcpStream) {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    let request: BrokerRequest = serde_json::from_str(&line).unwrap();
    let mut state = state.lock().unwrap();
    let done = state.carry_out(&request);
    state.asked.push(request);
    // The monitor talks to one at a time, and the test has questions too.
    state.vm.hang_up();
    let answer = match done {
        Ok(()) => BrokerAnswer {
            code: 0,
            words: String::new(),
        },
        Err(fault) => BrokerAnswer {
            code: code(fault.kind()),
            words: fault.to_string(),
        },
    };
    let answer = serde_json::to_string(&answer).unwrap();
    let mut stream = stream;
    // Whoever asked may be gone.
    let _ = writeln!(stream, "{answer}");
}

/// What the service says of a fault of this kind.
fn code(kind: FaultKind) -> u32 {
    match kind {
        FaultKind::AlreadyExists => 0x8007_00B7,
        FaultKind::Busy => 0x8007_0020,
        FaultKind::NotFound => 0x8007_0490,
        FaultKind::Gone => 0x8037_0110,
        _ => 0x8000_4005,
    }
}

impl State {
    fn carry_out(&mut self, request: &BrokerRequest) -> Result<(), Fault> {
        match request {
            BrokerRequest::AddDisk {
                controller,
                lun,
                path,
                read_only,
                ..
            } => self.add((*controller, *lun), path, *read_only),
            BrokerRequest::RemoveDisk {
                controller, lun, ..
            } => self.remove((*controller, *lun)),
            BrokerRequest::End { .. } => {
                let places: Vec<_> = self.disks.keys().copied().collect();
                places.into_iter().try_for_each(|place| self.remove(place))
            }
        }
    }

    fn add(&mut self, place: (u8, u8), path: &str, read_only: bool) -> Result<(), Fault> {
        let image = on_this_machine(path);
        let serial = self.serials.get(&image).cloned();
        let serial = serial.unwrap_or_else(|| format!("disk-{}-{}", place.0, place.1));
        let socket = self.vm.options().sockets.join(format!("{serial}.nbd"));
        let served = Served::start(&image, &socket, &serial, read_only);
        let served = served.map_err(|error| {
            let what = format!("{} cannot be served", image.display());
            Fault::new(FaultKind::Busy, what).because(error)
        })?;
        let disk = DiskAttachment {
            slot: slot(place),
            path: HostPath::parse(image.to_str().unwrap()).unwrap(),
            serial: serial.clone(),
            read_only,
        };
        if let Err(fault) = self.vm.add_disk(&disk) {
            served.stop();
            return Err(fault);
        }
        self.disks.insert(place, (serial, served));
        Ok(())
    }

    /// What was written is in the image when this returns.
    fn remove(&mut self, place: (u8, u8)) -> Result<(), Fault> {
        let Some((serial, _)) = self.disks.get(&place) else {
            return Err(Fault::new(FaultKind::NotFound, "no disk is there"));
        };
        self.vm.remove_disk(slot(place), serial)?;
        if let Some((_, served)) = self.disks.remove(&place) {
            served.stop();
        }
        Ok(())
    }
}

fn slot((controller, lun): (u8, u8)) -> Slot {
    Slot { controller, lun }
}

/// A path of Windows under Wine: Z: is the root of this machine, C: a folder of the prefix.
pub(super) fn on_this_machine(path: &str) -> PathBuf {
    let plain = path.strip_prefix(r"\\?\").unwrap_or(path);
    let (drive, rest) = plain.split_once(':').unwrap();
    let rest = rest.replace('\\', "/");
    if drive.eq_ignore_ascii_case("z") {
        return PathBuf::from(rest);
    }
    assert!(drive.eq_ignore_ascii_case("c"), "{path}");
    let prefix = std::env::var_os("WINEPREFIX").unwrap();
    Path::new(&prefix).join(format!("drive_c{rest}"))
}
