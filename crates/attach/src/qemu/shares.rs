//! Shares of a machine that runs: a virtiofs daemon of the host, a character device that talks to it,
//! and a PCI device for the guest.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::machine::{Monitor, QemuVmOptions, Trouble, children, property, remove_device, text};
use super::names;
use crate::plan::{Share, ShareTransport};
use crate::sides::{Fault, FaultKind};

#[cfg(target_os = "linux")]
use super::daemon;

/// Whether it is a share of this hypervisor at all.
pub(super) fn check(share: &Share) -> Result<(), Fault> {
    if share.transport == ShareTransport::VirtioFs && !share.path.is_windows() {
        return Ok(());
    }
    let what = "directories come into a machine of QEMU over virtiofs, from a Linux host";
    Err(Fault::new(FaultKind::Unsupported, what))
}

/// Adds a share. The same one there already is fine.
pub(super) fn add(
    monitor: &mut Monitor,
    options: &QemuVmOptions,
    share: &Share,
) -> Result<(), Trouble> {
    let name = names::share(&share.name);
    let folder = &options.sockets;
    if property(monitor, &names::device_path(&name), "type")?.is_some() {
        if !daemon::is_of(folder, share)? {
            let what = format!("another share is called {:?} in the machine", share.name);
            return Err(Trouble::new(FaultKind::AlreadyExists, what));
        }
        if daemon::is_running(folder, &share.name)? {
            return Ok(());
        }
        // A device whose daemon is dead answers nobody.
        remove_device(monitor, options, &name)?;
    }
    // Whatever somebody who died left.
    remove_character_device(monitor, options, &name)?;
    daemon::end(folder, &share.name)?;
    needs_shared_memory(monitor)?;
    let port = free_port(monitor)?;
    let mut attempts = daemon::attempts(options, share)?;
    loop {
        let Some(attempt) = attempts.next() else {
            return Err(Trouble::new(
                FaultKind::Unsupported,
                attempts.told(&share.name),
            ));
        };
        daemon::start(options, share, &attempt)?;
        match connect(monitor, options, share, &port) {
            Ok(()) => return Ok(()),
            Err(trouble) if trouble.leaves_open() => return Err(trouble),
            Err(trouble) => {
                // QEMU noticed first that the daemon went.
                let died = daemon::has_died(folder, &share.name)?;
                attempts.failed(folder, &share.name);
                remove_character_device(monitor, options, &name)?;
                daemon::end(folder, &share.name)?;
                if !died {
                    return Err(trouble);
                }
            }
        }
    }
}

/// Removes a share, also one whose daemon is dead. Where it is not, nothing is done.
pub(super) fn remove(
    monitor: &mut Monitor,
    options: &QemuVmOptions,
    share: &Share,
) -> Result<(), Trouble> {
    let name = names::share(&share.name);
    let is_other = daemon::is_other(&options.sockets, share)?;
    if is_other {
        return Ok(());
    }
    if property(monitor, &names::device_path(&name), "type")?.is_some() {
        remove_device(monitor, options, &name)?;
    }
    remove_character_device(monitor, options, &name)?;
    daemon::end(&options.sockets, &share.name)?;
    Ok(())
}

/// Ends the daemon of a share of a machine that is no more.
pub(super) fn end_daemon(options: &QemuVmOptions, share: &Share) -> Result<(), Fault> {
    if daemon::is_other(&options.sockets, share)? {
        return Ok(());
    }
    daemon::end(&options.sockets, &share.name)
}

/// Gives the machine a device behind which the daemon is.
fn connect(
    monitor: &mut Monitor,
    options: &QemuVmOptions,
    share: &Share,
    port: &str,
) -> Result<(), Trouble> {
    let name = names::share(&share.name);
    let socket = daemon::socket(&options.sockets, &share.name);
    let address = json!({"type": "unix", "data": {"path": socket}});
    let backend = json!({"type": "socket", "data": {"addr": address, "server": false}});
    let arguments = json!({"id": name, "backend": backend});
    monitor.execute("chardev-add", arguments).map_err(|error| {
        Trouble::from(error).while_doing("the machine does not reach virtiofsd")
    })?;
    let device = json!({
        "driver": "vhost-user-fs-pci",
        "id": name,
        "chardev": name,
        "tag": share.name,
        "bus": port,
    });
    monitor.execute("device_add", device).map_err(|error| {
        let what = format!("the machine does not take the share {}", share.name);
        Trouble::from(error).while_doing(what)
    })?;
    match property(monitor, &names::device_path(&name), "tag")? {
        Some(tag) if tag.as_str() == Some(&share.name) => Ok(()),
        _ => Err(Trouble::new(
            FaultKind::Nonsense,
            format!(
                "QEMU says that it added the share {}, but it is not there",
                share.name
            ),
        )),
    }
}

/// The daemon reads and writes the memory of the guest, so that it has to be shared.
fn needs_shared_memory(monitor: &mut Monitor) -> Result<(), Trouble> {
    let memory = monitor.execute("query-memdev", json!({}))?;
    let memory = memory.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_shared = |device: &Value| device.get("share").and_then(Value::as_bool) == Some(true);
    if memory.iter().any(is_shared) {
        return Ok(());
    }
    Err(Trouble::new(
        FaultKind::Unsupported,
        "directories need a machine whose memory is shared: start it with \
         `-object memory-backend-memfd,id=memory,size=SIZE,share=on -machine memory-backend=memory`",
    ))
}

/// A PCI Express port with nothing behind it. The root bus itself takes nothing while the machine runs.
fn free_port(monitor: &mut Monitor) -> Result<String, Trouble> {
    const PORT: &str = "child<pcie-root-port>";
    let mut ports: Vec<String> = children(monitor, "/machine/peripheral")?
        .into_iter()
        .filter(|(_, kind)| kind == PORT)
        .map(|(name, _)| name)
        .collect();
    // QEMU lists them in no order.
    ports.sort_by_key(|name| (name.len(), name.clone()));
    let count = ports.len();
    for port in ports {
        let path = names::device_path(&port);
        if property(monitor, &path, "hotplug")? == Some(Value::Bool(false)) {
            continue;
        }
        let behind = children(monitor, &format!("{path}/{port}"))?;
        if !behind.iter().any(|(name, _)| name.starts_with("child[")) {
            return Ok(port);
        }
    }
    let what = match count {
        0 => "the machine has no PCI Express port with an identifier".to_owned(),
        count => format!("the {count} PCI Express ports of the machine are taken"),
    };
    Err(Trouble::new(
        FaultKind::Unsupported,
        format!(
            "{what}: each directory needs one, and it has to be there from the start, as by \
             `-machine q35 -device pcie-root-port,id=port0,chassis=1`"
        ),
    ))
}

/// Removes a character device. It is in use for a moment after its device is gone.
fn remove_character_device(
    monitor: &mut Monitor,
    options: &QemuVmOptions,
    name: &str,
) -> Result<(), Trouble> {
    const PAUSE: Duration = Duration::from_millis(10);
    let deadline = Instant::now() + options.unplug_patience;
    loop {
        let Err(error) = monitor.execute("chardev-remove", json!({"id": name})) else {
            return Ok(());
        };
        if error.is_not_found() || !has_character_device(monitor, name)? {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let what = format!("the machine does not give up the character device {name}");
            return Err(Trouble::from(error).while_doing(what));
        }
        std::thread::sleep(PAUSE);
    }
}

fn has_character_device(monitor: &mut Monitor, name: &str) -> Result<bool, Trouble> {
    let devices = monitor.execute("query-chardev", json!({}))?;
    let devices = devices.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_it = |device: &Value| text(device, "label").is_ok_and(|label| label == name);
    Ok(devices.iter().any(is_it))
}

/// On other systems QEMU has no virtiofs, and no daemon can be running.
#[cfg(not(target_os = "linux"))]
mod daemon {
    use std::path::{Path, PathBuf};

    use crate::plan::Share;
    use crate::qemu::QemuVmOptions;
    use crate::sides::{Fault, FaultKind};

    pub(super) struct Attempts;

    pub(super) struct Attempt;

    impl Attempts {
        pub(super) fn next(&mut self) -> Option<Attempt> {
            None
        }

        pub(super) fn failed(&mut self, _folder: &Path, _name: &str) {}

        pub(super) fn told(&self, name: &str) -> String {
            format!("the directory {name} cannot be shared: virtiofs needs a Linux host")
        }
    }

    pub(super) fn attempts(_: &QemuVmOptions, _: &Share) -> Result<Attempts, Fault> {
        Ok(Attempts)
    }

    pub(super) fn start(_: &QemuVmOptions, _: &Share, _: &Attempt) -> Result<(), Fault> {
        Err(Fault::new(
            FaultKind::Unsupported,
            "virtiofs needs a Linux host",
        ))
    }

    pub(super) fn socket(folder: &Path, name: &str) -> PathBuf {
        folder.join(format!("{name}.virtiofs"))
    }

    pub(super) fn is_of(_: &Path, _: &Share) -> Result<bool, Fault> {
        Ok(false)
    }

    pub(super) fn is_other(_: &Path, _: &Share) -> Result<bool, Fault> {
        Ok(false)
    }

    pub(super) fn is_running(_: &Path, _: &str) -> Result<bool, Fault> {
        Ok(false)
    }

    pub(super) fn has_died(_: &Path, _: &str) -> Result<bool, Fault> {
        Ok(false)
    }

    pub(super) fn end(_: &Path, _: &str) -> Result<(), Fault> {
        Ok(())
    }
}
