//! A machine of QEMU that runs, behind [`Machine`].
//!
//! QEMU keeps the only book of what is attached: every call looks there, so that it may be repeated
//! after any crash of either side, and an answer of QEMU that is not true is found out. All calls of
//! one process share one conversation with the monitor; it is begun by the first and begun again after
//! it broke. While it lasts nobody else can talk to that monitor, which is what keeps two programs from
//! taking the same place at once.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::qmp::{Qmp, QmpAddress, QmpError, QmpLimits, QmpStream};
use super::{disks, shares};
use crate::path::HostPath;
use crate::plan::Share;
use crate::sides::{DiskAttachment, Fault, FaultKind, Machine};
use crate::slots::Slot;

/// A conversation with the monitor of a machine.
pub(super) type Monitor = Qmp<Box<dyn QmpStream>>;

/// What has to be known of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QemuVmOptions {
    /// Where its monitor listens.
    pub qmp: QmpAddress,
    /// The folder of sockets: exports are at `SERIAL.nbd` in it; what belongs to the share NAME has
    /// names beginning with `NAME.`.
    pub sockets: PathBuf,
    /// The identifiers of its virtio-scsi controllers, in the order of [`Slot::controller`].
    pub controllers: Vec<String>,
    /// The virtiofs daemon, where it is not to be looked for.
    pub virtiofsd: Option<PathBuf>,
    /// How much the monitor may say, and how long it may take.
    pub limits: QmpLimits,
    /// How long the guest may take to let a device go.
    pub unplug_patience: Duration,
}

impl QemuVmOptions {
    /// A machine as `cvol vm run` starts it: controllers `scsi0` to `scsi3`. The virtiofs daemon is
    /// that of `CVOL_VIRTIOFSD`, if that is set.
    pub fn new(qmp: QmpAddress, sockets: impl Into<PathBuf>) -> Self {
        Self {
            qmp,
            sockets: sockets.into(),
            controllers: (0..4).map(|number| format!("scsi{number}")).collect(),
            virtiofsd: std::env::var_os("CVOL_VIRTIOFSD")
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            limits: QmpLimits::default(),
            unplug_patience: Duration::from_secs(15),
        }
    }
}

/// A machine of QEMU.
pub struct QemuVm {
    options: QemuVmOptions,
    monitor: Mutex<Option<Monitor>>,
}

impl QemuVm {
    /// A machine that is reached so. Nothing is done before it is asked for something.
    pub fn new(options: QemuVmOptions) -> Self {
        Self {
            options,
            monitor: Mutex::new(None),
        }
    }

    /// What it was told of the machine.
    pub fn options(&self) -> &QemuVmOptions {
        &self.options
    }

    /// Whether the machine is there, and its state in QEMU's word: `running`, `paused`, ...
    ///
    /// # Errors
    /// A [`Fault`]; `Gone` where there is no machine.
    pub fn status(&self) -> Result<String, Fault> {
        self.talk(|monitor| {
            let answer = monitor.execute("query-status", json!({}))?;
            text(&answer, "status")
        })
    }

    /// Ends QEMU at once, as pulling the plug does. A machine that is gone already is no fault.
    ///
    /// # Errors
    /// A [`Fault`].
    pub fn quit(&self) -> Result<(), Fault> {
        let ended = self.talk(|monitor| match monitor.execute("quit", json!({})) {
            // It may be gone before its answer is out.
            Ok(_) | Err(QmpError::Ended { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        });
        match ended {
            Err(fault) if fault.kind() == FaultKind::Gone => Ok(()),
            ended => ended,
        }
    }

    /// Ends the conversation with the monitor, so that others can have it.
    pub fn hang_up(&self) {
        *self.monitor.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Has something done in a conversation with the monitor. It is done once more in a new one where
    /// the first broke off, so it has to be something that may be repeated.
    fn talk<T>(&self, act: impl Fn(&mut Monitor) -> Result<T, Trouble>) -> Result<T, Fault> {
        let mut slot = self.monitor.lock().unwrap_or_else(PoisonError::into_inner);
        for attempt in 0.. {
            let monitor = match slot.as_mut() {
                Some(monitor) if !monitor.is_over() => monitor,
                _ => slot.insert(self.connect()?),
            };
            match act(monitor) {
                Err(Trouble::Qmp(QmpError::Ended { .. })) if attempt == 0 => *slot = None,
                Err(Trouble::Qmp(error)) => return Err(fault(error)),
                Err(Trouble::Fault(fault)) => return Err(fault),
                Ok(value) => return Ok(value),
            }
        }
        Err(Fault::new(FaultKind::Unanswered, "QEMU does not answer"))
    }

    fn connect(&self) -> Result<Monitor, Fault> {
        let address = &self.options.qmp;
        match Qmp::connect(address, self.options.limits) {
            // Who ends while he is greeted is on his way out.
            Err(error @ (QmpError::NotThere { .. } | QmpError::Ended { .. })) => Err(Fault::new(
                FaultKind::Gone,
                format!("no machine answers at {address}"),
            )
            .because(error)),
            Err(error @ QmpError::NoGreeting { .. }) => Err(Fault::new(
                FaultKind::Busy,
                format!("another program talks to the monitor at {address}, or QEMU hangs"),
            )
            .because(error)),
            connected => connected.map_err(fault),
        }
    }
}

impl Machine for QemuVm {
    fn grant_access(&self, _path: &HostPath, _write: bool) -> Result<(), Fault> {
        // QEMU gets exports and daemons, and opens no file.
        Ok(())
    }

    fn revoke_access(&self, _path: &HostPath) -> Result<(), Fault> {
        Ok(())
    }

    fn add_disk(&self, disk: &DiskAttachment) -> Result<(), Fault> {
        self.talk(|monitor| disks::add(monitor, &self.options, disk))
    }

    fn remove_disk(&self, slot: Slot, serial: &str) -> Result<(), Fault> {
        self.talk(|monitor| disks::remove(monitor, &self.options, slot, serial))
    }

    fn has_disk(&self, slot: Slot, serial: &str) -> Result<Option<bool>, Fault> {
        self.talk(|monitor| disks::is_there(monitor, slot, serial).map(Some))
    }

    fn add_share(&self, share: &Share) -> Result<(), Fault> {
        shares::check(share)?;
        self.talk(|monitor| shares::add(monitor, &self.options, share))
    }

    fn remove_share(&self, share: &Share) -> Result<(), Fault> {
        let removed = self.talk(|monitor| shares::remove(monitor, &self.options, share));
        // The daemon is of this host, and ends with or without the machine.
        match removed {
            Err(fault) if fault.kind() == FaultKind::Gone => {
                shares::end_daemon(&self.options, share)?;
                Err(fault)
            }
            removed => removed,
        }
    }
}

/// What goes wrong within a conversation.
#[derive(Debug)]
pub(super) enum Trouble {
    Qmp(QmpError),
    Fault(Fault),
}

impl From<QmpError> for Trouble {
    fn from(error: QmpError) -> Self {
        Self::Qmp(error)
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Trouble {
    pub(super) fn new(kind: FaultKind, what: impl Into<String>) -> Self {
        Self::Fault(Fault::new(kind, what))
    }

    /// The kind of the fault that it is.
    pub(super) fn kind(&self) -> FaultKind {
        match self {
            Self::Qmp(error) => error.kind(),
            Self::Fault(fault) => fault.kind(),
        }
    }

    /// Whether it is not known if what was asked was done.
    pub(super) fn leaves_open(&self) -> bool {
        matches!(self.kind(), FaultKind::Unanswered | FaultKind::Nonsense)
    }

    /// The same, said of what was being done.
    pub(super) fn while_doing(self, what: impl Into<String>) -> Self {
        match self {
            // A broken conversation is tried again by whoever holds it.
            Self::Qmp(error @ QmpError::Ended { .. }) => Self::Qmp(error),
            Self::Qmp(error) => Self::Fault(Fault::new(error.kind(), what).because(error)),
            Self::Fault(fault) => Self::Fault(fault),
        }
    }
}

fn fault(error: QmpError) -> Fault {
    Fault::new(error.kind(), "the monitor of the machine failed").because(error)
}

/// A text in an answer.
pub(super) fn text(answer: &Value, field: &str) -> Result<String, Trouble> {
    let found = answer.get(field).and_then(Value::as_str);
    let missing = || Trouble::new(FaultKind::Nonsense, format!("QEMU does not say {field:?}"));
    found.map(str::to_owned).ok_or_else(missing)
}

/// A property of an object of the machine; `None` where there is no such object.
pub(super) fn property(
    monitor: &mut Monitor,
    path: &str,
    name: &str,
) -> Result<Option<Value>, Trouble> {
    let arguments = json!({"path": path, "property": name});
    match monitor.execute("qom-get", arguments) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The children of an object, as names and types; none where there is no such object.
pub(super) fn children(
    monitor: &mut Monitor,
    path: &str,
) -> Result<Vec<(String, String)>, Trouble> {
    let list = match monitor.execute("qom-list", json!({"path": path})) {
        Ok(list) => list,
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let Value::Array(list) = list else {
        return Err(Trouble::new(
            FaultKind::Nonsense,
            "QEMU lists objects as none",
        ));
    };
    let child = |entry: &Value| Some((text(entry, "name").ok()?, text(entry, "type").ok()?));
    Ok(list.iter().filter_map(child).collect())
}

/// Has a device removed, and returns when it is gone. Without one of this name there is nothing to do.
pub(super) fn remove_device(
    monitor: &mut Monitor,
    options: &QemuVmOptions,
    name: &str,
) -> Result<(), Trouble> {
    /// Events can be lost among many, so that it is looked for now and then.
    const LOOK_EVERY: Duration = Duration::from_millis(250);
    match monitor.execute("device_del", json!({"id": name})) {
        // Somebody else may have asked before us.
        Err(error) if !matches!(error.kind(), FaultKind::NotFound | FaultKind::Busy) => {
            return Err(error.into());
        }
        _ => {}
    }
    let path = super::names::device_path(name);
    let deadline = std::time::Instant::now() + options.unplug_patience;
    loop {
        if property(monitor, &path, "type")?.is_none() {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() {
            return Err(Trouble::new(
                FaultKind::Busy,
                format!("the guest has not let {name} go"),
            ));
        }
        let is_of_it = |event: &super::qmp::Event| {
            let deleted = matches!(
                event.name.as_str(),
                "DEVICE_DELETED" | "DEVICE_UNPLUG_GUEST_ERROR"
            );
            deleted && event.text("device") == Some(name)
        };
        let event = monitor.wait_for_event(LOOK_EVERY.min(left), is_of_it)?;
        if event.is_some_and(|event| event.name == "DEVICE_UNPLUG_GUEST_ERROR") {
            return Err(Trouble::new(
                FaultKind::Busy,
                format!("the guest does not let {name} go"),
            ));
        }
    }
}
