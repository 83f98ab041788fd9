//! The sequences of calls: each whole, or undone in the reverse order.
//!
//! ```text
//!   mount      open ── attach (no letter, outlives the handle) ── its volume ── mount point ── close
//!   unmount    its volume ── dismount ── mount point ── detach ── close
//! ```
//! Unmounting may be done again from any point at which it, or mounting, was cut short. Nothing is believed
//! of what was done: the system is asked whether the image is attached and what is mounted where.

use std::thread;
use std::time::{Duration, Instant};

use super::calls::{
    AttachDisk, DiskHandle, DiskInformation, DiskWork, FormatDisk, HostDisks, OpenDisk, WorkHandle,
    WorkProgress,
};
use super::result::{ACCESS_DENIED, done, fault, is_absent};
use super::target::HostTarget;
use crate::sides::{Fault, FaultKind};

/// How long is waited, and how long between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until the system has found the volume of a disk that was attached.
    pub volume: Duration,
    /// Between two looks.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            volume: Duration::from_secs(30),
            pause: Duration::from_millis(50),
        }
    }
}

/// What is to be mounted where.
#[derive(Clone, Copy, Debug)]
pub struct HostMountOrder<'o> {
    /// The image.
    pub image: &'o str,
    /// The place.
    pub target: &'o HostTarget,
    /// Whether nothing on it can be written.
    pub read_only: bool,
}

/// What was mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostMounted {
    /// The number of the disk.
    pub disk: u32,
    /// The volume, as `\\?\Volume{GUID}\`.
    pub volume: String,
}

/// What unmounting found to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostUnmounted {
    /// Whether the image was attached.
    pub was_attached: bool,
    /// Whether the volume was mounted at the place.
    pub was_mounted: bool,
}

/// How the system formats a new image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemFormat {
    /// As ReFS, with this label.
    Refs {
        /// The label; may be empty.
        label: String,
    },
    /// As the writable layer of a container.
    ScratchLayer,
}

/// How work ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkEnd {
    /// It is done.
    Done,
    /// It was given up, as was asked for.
    Cancelled,
}

/// An image that is open, closed when it is dropped.
struct OpenImage<'d> {
    disks: &'d dyn HostDisks,
    handle: DiskHandle,
}

impl<'d> OpenImage<'d> {
    fn open(disks: &'d dyn HostDisks, image: &str, how: OpenDisk) -> Result<Self, Fault> {
        match disks.open(image, how) {
            Ok(handle) => Ok(Self { disks, handle }),
            Err(code) => Err(fault(&format!("open {image}"), code)),
        }
    }

    fn disk_number(&self) -> Result<u32, Fault> {
        let path = self.disks.physical_path(self.handle);
        let path = path.map_err(|code| fault("find the attached disk", code))?;
        let number = path.rsplit(|c: char| !c.is_ascii_digit()).next();
        number
            .filter(|_| path.to_ascii_lowercase().contains("physicaldrive"))
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| Fault::new(FaultKind::Nonsense, format!("{path:?} is no disk")))
    }

    fn is_attached(&self) -> Result<bool, Fault> {
        let found = self.disks.information(self.handle);
        let found = found.map_err(|code| fault("ask whether the image is attached", code))?;
        Ok(found.is_loaded)
    }
}

impl Drop for OpenImage<'_> {
    fn drop(&mut self) {
        self.disks.close(self.handle);
    }
}

/// Detaches what was attached, unless it is told to stay.
struct Attached<'i, 'd> {
    image: &'i OpenImage<'d>,
    stays: bool,
}

impl Drop for Attached<'_, '_> {
    fn drop(&mut self) {
        if !self.stays {
            // What cannot be detached stays attached, and the next unmounting finds it.
            let _ = self.image.disks.detach(self.image.handle);
        }
    }
}

fn attach<'i, 'd>(image: &'i OpenImage<'d>, how: AttachDisk) -> Result<Attached<'i, 'd>, Fault> {
    let code = image.disks.attach(image.handle, how);
    done("attach the image", code)?;
    Ok(Attached {
        image,
        stays: false,
    })
}

/// Attaches an image to this host and mounts its volume: all of it, or nothing.
///
/// # Errors
/// `Busy` (it is attached or open elsewhere), `AlreadyExists` (something is mounted at the place), `NotFound`
/// (no volume that Windows knows is on it), `Denied`, `Unsupported`, and whatever else the system says.
pub fn mount_on_host(
    disks: &dyn HostDisks,
    order: HostMountOrder<'_>,
    patience: Patience,
) -> Result<HostMounted, Fault> {
    let place = order.target.place();
    if let Ok(volume) = disks.volume_at(place) {
        let what = format!("{} has the volume {volume} mounted", order.target);
        return Err(Fault::new(FaultKind::AlreadyExists, what));
    }
    let how = match order.read_only {
        true => OpenDisk::ReadOnly,
        false => OpenDisk::ReadWrite,
    };
    let image = OpenImage::open(disks, order.image, how)?;
    let how = AttachDisk {
        read_only: order.read_only,
        outlives_handle: true,
    };
    let mut attached = attach(&image, how)?;
    let disk = image.disk_number()?;
    let volume = volume_of(disks, disk, patience)?;
    let code = disks.set_mount_point(place, &volume);
    done(&format!("mount it at {}", order.target), code)?;
    attached.stays = true;
    Ok(HostMounted { disk, volume })
}

/// The volume of a disk, which the system finds some time after that was attached.
fn volume_of(disks: &dyn HostDisks, disk: u32, patience: Patience) -> Result<String, Fault> {
    let deadline = Instant::now() + patience.volume;
    loop {
        let mut found = volumes_of(disks, disk)?;
        match (found.pop(), found.is_empty()) {
            (Some(volume), true) => return Ok(volume),
            (Some(_), false) => {
                let count = found.len() + 1;
                let what = format!("it has {count} volumes, and one can be mounted");
                return Err(Fault::new(FaultKind::Invalid, what));
            }
            (None, _) => {}
        }
        if Instant::now() >= deadline {
            let what = "Windows found no volume on it: it has no partition with a file system that \
                        Windows knows";
            return Err(Fault::new(FaultKind::NotFound, what));
        }
        thread::sleep(patience.pause);
    }
}

fn volumes_of(disks: &dyn HostDisks, disk: u32) -> Result<Vec<String>, Fault> {
    let all = disks.volumes();
    let all = all.map_err(|code| fault("list the volumes of this host", code))?;
    // One that vanishes, or cannot be asked, is none of a disk that was just attached.
    let is_on = |volume: &String| {
        let on = disks.disks_of_volume(volume);
        on.is_ok_and(|on| on == [disk])
    };
    Ok(all.into_iter().filter(is_on).collect())
}

/// Ends a mount. May be called again; what was not there is told. With `force`, files that are open are no
/// hindrance: whoever has them gets errors, and what was not written out is lost.
///
/// # Errors
/// `Busy` or `Denied` where files of it are open; whatever else the system says. Then it is as it was, or
/// the rest is done by the next call.
pub fn unmount_from_host(
    disks: &dyn HostDisks,
    image: &str,
    target: &HostTarget,
    force: bool,
) -> Result<HostUnmounted, Fault> {
    let place = target.place();
    let mut found = HostUnmounted::default();
    let open = match disks.open(image, OpenDisk::Information) {
        Ok(handle) => Some(OpenImage { disks, handle }),
        // Whoever removed the image: only the mount point may be left.
        Err(code) if is_absent(code) => None,
        Err(code) => return Err(fault(&format!("open {image}"), code)),
    };
    found.was_attached = match &open {
        Some(open) => open.is_attached()?,
        None => false,
    };
    if let Some(open) = open.filter(|_| found.was_attached) {
        let volumes = match open.disk_number() {
            Ok(disk) => volumes_of(disks, disk)?,
            // A machine has it, and not this host.
            Err(fault) if fault.kind() == FaultKind::NotFound => {
                let what = format!("{image} is attached to something else than this host");
                return Err(Fault::new(FaultKind::Busy, what).because(fault));
            }
            Err(fault) => return Err(fault),
        };
        for volume in &volumes {
            match disks.dismount(volume) {
                code if force || code.is_success() => {}
                code if code.normalised() == ACCESS_DENIED => {
                    let what = format!("files below {target} are open ({code})");
                    return Err(Fault::new(FaultKind::Busy, what));
                }
                code => return Err(fault(&format!("dismount {target}"), code)),
            }
        }
        // Somebody may have mounted another volume there since.
        if disks.volume_at(place).is_ok_and(|at| volumes.contains(&at)) {
            remove_mount_point(disks, target)?;
            found.was_mounted = true;
        }
        drop(open);
        let open = OpenImage::open(disks, image, OpenDisk::ReadWrite)?;
        match disks.detach(open.handle) {
            code if is_absent(code) => {}
            code => done(&format!("detach {image}"), code)?,
        }
        return Ok(found);
    }
    // The disk is gone, with a start of the host at the latest: what is left of a folder is a mount point
    // that leads nowhere.
    if disks.volume_at(place).is_err() {
        found.was_mounted = remove_mount_point(disks, target)?;
    }
    Ok(found)
}

/// Whether there was one.
fn remove_mount_point(disks: &dyn HostDisks, target: &HostTarget) -> Result<bool, Fault> {
    match disks.delete_mount_point(target.place()) {
        code if is_absent(code) => Ok(false),
        code => done(&format!("unmount {target}"), code).map(|()| true),
    }
}

/// What an image says of itself, whoever uses it.
///
/// # Errors
/// Whatever the system says.
pub fn information_of(disks: &dyn HostDisks, image: &str) -> Result<DiskInformation, Fault> {
    let open = OpenImage::open(disks, image, OpenDisk::Information)?;
    let found = disks.information(open.handle);
    found.map_err(|code| fault(&format!("ask about {image}"), code))
}

/// Has the system work on an image until that ends. `progress` is told how much of how much is done, and
/// says whether it goes on.
///
/// # Errors
/// Whatever the system says.
pub fn work_on_image(
    disks: &dyn HostDisks,
    image: &str,
    work: DiskWork,
    pause: Duration,
    progress: &dyn Fn(u64, u64) -> bool,
) -> Result<WorkEnd, Fault> {
    let (how, what) = match work {
        DiskWork::Expand { .. } | DiskWork::Resize { .. } => (OpenDisk::ReadWrite, "resize"),
        DiskWork::Compact => (OpenDisk::ReadWrite, "compact"),
        DiskWork::Merge { depth } => (OpenDisk::WithParents(depth), "merge"),
    };
    let open = OpenImage::open(disks, image, how)?;
    let what = format!("{what} {image}");
    let begun = disks.begin(open.handle, work);
    let handle = begun.map_err(|code| fault(&what, code))?;
    // Before the image is closed, whatever happens.
    let running = Running {
        open: &open,
        handle,
    };
    let mut is_cancelled = false;
    loop {
        match disks.progress(open.handle, running.handle) {
            WorkProgress::Ended(code) if code.is_success() => return Ok(WorkEnd::Done),
            WorkProgress::Ended(_) if is_cancelled => return Ok(WorkEnd::Cancelled),
            WorkProgress::Ended(code) => return Err(fault(&what, code)),
            WorkProgress::Running(done, all) => {
                if !is_cancelled && !progress(done, all) {
                    is_cancelled = true;
                    disks.cancel(open.handle, running.handle);
                }
            }
        }
        thread::sleep(pause);
    }
}

struct Running<'o, 'd> {
    open: &'o OpenImage<'d>,
    handle: WorkHandle,
}

impl Drop for Running<'_, '_> {
    fn drop(&mut self) {
        self.open.disks.end(self.open.handle, self.handle);
    }
}

/// Has the system partition and format a blank image, which is attached for that alone.
///
/// # Errors
/// Whatever the system says; the image is detached then too.
pub fn format_image(
    disks: &dyn HostDisks,
    image: &str,
    format: &SystemFormat,
) -> Result<(), Fault> {
    let open = OpenImage::open(disks, image, OpenDisk::ReadWrite)?;
    let how = AttachDisk {
        read_only: false,
        outlives_handle: false,
    };
    let mut attached = attach(&open, how)?;
    match format {
        SystemFormat::Refs { label } => disks.format_disk(&FormatDisk {
            disk: open.disk_number()?,
            file_system: "ReFS",
            label: label.clone(),
        })?,
        SystemFormat::ScratchLayer => {
            let code = disks.format_layer(open.handle);
            done("format it as a writable layer", code)?;
        }
    }
    attached.stays = true;
    // What is kept of its volumes is written out when it is detached; that it was is what counts.
    done("detach the image", disks.detach(open.handle))
}

#[cfg(test)]
#[path = "host_disk_tests.rs"]
mod tests;
