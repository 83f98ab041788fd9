//! A double of the system's disks, in memory: images that are attached get a number and, some looks later,
//! a volume; volumes are mounted at places. It checks how it is called, and any call can be made to fail.
//!
//! It is a double: what it accepts was read in Microsoft's documentation and was never asked of a real
//! Windows.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::calls::{
    AttachDisk, DiskHandle, DiskInformation, DiskWork, FormatDisk, HostDisks, OpenDisk, WorkHandle,
    WorkProgress,
};
use crate::hcs::HResult;
use crate::sides::{Fault, FaultKind};

const FILE_NOT_FOUND: HResult = HResult(2);
const PATH_NOT_FOUND: HResult = HResult(3);
const ACCESS_DENIED: HResult = HResult(5);
const INVALID_HANDLE: HResult = HResult(6);
const NOT_READY: HResult = HResult(21);
const SHARING_VIOLATION: HResult = HResult(32);
const INVALID_PARAMETER: HResult = HResult(87);
const DIRECTORY_NOT_EMPTY: HResult = HResult(145);
const OPERATION_ABORTED: HResult = HResult(995);
const NOT_A_MOUNT_POINT: HResult = HResult(4390);

/// An image of the double.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageModel {
    /// Bytes of the disk.
    pub size: u64,
    /// Bytes of its file.
    pub physical_size: u64,
    /// Whether there is a file system on it, so that it gets a volume.
    pub has_volume: bool,
    /// Who attached it.
    pub attached: Option<Attachment>,
    /// Whether a program has files of its volume open.
    pub is_busy: bool,
    /// How it was formatted.
    pub formatted: Option<String>,
}

/// That an image is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The number of the disk; `None` for a machine's.
    pub disk: Option<u32>,
    /// Whether it can only be read.
    pub read_only: bool,
    /// The handle that it goes with; `None` where it outlives that.
    pub handle: Option<usize>,
}

/// What there is, and how the double was called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostModel {
    /// Images by their paths in lower case.
    pub images: BTreeMap<String, ImageModel>,
    /// Whether every file of the system is an image too, a blank one.
    pub takes_any_file: bool,
    /// Volumes by the places they are mounted at, which are in lower case.
    pub places: BTreeMap<String, String>,
    /// Places that are folders with something in them.
    pub full_folders: Vec<String>,
    /// Calls so far.
    pub calls: u64,
    /// The codes that calls are refused with, by their numbers from 1.
    pub troubles: BTreeMap<u64, u32>,
    /// Looks for volumes until that of a new disk is found.
    pub looks_until_volume: u32,
    /// How often work is looked at until it ends.
    pub looks_until_done: u64,
    /// Rules of the calls that were broken.
    pub misuse: Vec<String>,
    /// Handles that are open, with their images and whether these may be written.
    pub open: BTreeMap<usize, (String, bool)>,
    /// Work that was begun: the handle, how often it was looked at, whether it is to be given up.
    pub work: BTreeMap<usize, (usize, u64, bool)>,
    next: usize,
}

impl ImageModel {
    /// A detached image of 1 GiB with a file system.
    pub fn formatted() -> Self {
        Self {
            size: 1 << 30,
            physical_size: 1 << 26,
            has_volume: true,
            attached: None,
            is_busy: false,
            formatted: None,
        }
    }
}

/// The double.
#[derive(Debug, Default)]
pub struct DoubleDisks {
    state: Mutex<HostModel>,
}

fn volume_name(disk: u32) -> String {
    format!(r"\\?\Volume{{00000000-0000-0000-0000-{disk:012}}}\")
}

impl DoubleDisks {
    /// One on this host.
    pub fn new(host: HostModel) -> Self {
        Self {
            state: Mutex::new(host),
        }
    }

    /// One with these images, formatted and detached.
    pub fn with_images(paths: &[&str]) -> Self {
        let mut host = HostModel::default();
        for path in paths {
            let model = ImageModel::formatted();
            host.images.insert(path.to_lowercase(), model);
        }
        Self::new(host)
    }

    /// What there is now.
    pub fn host(&self) -> HostModel {
        self.state().clone()
    }

    /// Changes what there is.
    pub fn change(&self, change: impl FnOnce(&mut HostModel)) {
        change(&mut self.state());
    }

    /// As after a start of the host: nothing is attached, and what was mounted at letters is not.
    pub fn restart(&self) {
        self.change(|host| {
            for image in host.images.values_mut() {
                image.attached = None;
            }
            host.open.clear();
            host.places.retain(|place, _| place.len() > 3);
        });
    }

    fn state(&self) -> MutexGuard<'_, HostModel> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call, and refuses it where that was asked for.
    fn called(&self) -> Result<MutexGuard<'_, HostModel>, HResult> {
        let mut host = self.state();
        host.calls += 1;
        let number = host.calls;
        match host.troubles.remove(&number) {
            Some(code) => Err(HResult(code)),
            None => Ok(host),
        }
    }

    fn answer(&self, call: impl FnOnce(&mut HostModel) -> Result<(), HResult>) -> HResult {
        match self.called().and_then(|mut host| call(&mut host)) {
            Ok(()) => HResult::OK,
            Err(code) => code,
        }
    }
}

impl HostModel {
    fn take_handle(&mut self) -> usize {
        // Whoever takes a count for a handle is found out.
        self.next += 0x10;
        0x5644_0000 + self.next
    }

    fn misused(&mut self, what: impl Into<String>) -> HResult {
        self.misuse.push(what.into());
        INVALID_HANDLE
    }

    fn path_of(&mut self, disk: DiskHandle) -> Result<(String, bool), HResult> {
        match self.open.get(&disk.0) {
            Some(found) => Ok(found.clone()),
            None => Err(self.misused(format!("{disk:?} is not open"))),
        }
    }

    fn image(&mut self, disk: DiskHandle) -> Result<(&mut ImageModel, bool), HResult> {
        let (path, writable) = self.path_of(disk)?;
        let image = self.images.get_mut(&path).ok_or(FILE_NOT_FOUND)?;
        Ok((image, writable))
    }

    fn detach(&mut self, path: &str) -> Result<(), HResult> {
        let image = self.images.get_mut(path).ok_or(FILE_NOT_FOUND)?;
        image.attached.take().map(|_| ()).ok_or(NOT_READY)
    }

    fn disk_of(&self, volume: &str) -> Option<u32> {
        let disks = self.images.values().filter(|image| image.has_volume);
        let mut disks = disks.filter_map(|image| image.attached?.disk);
        disks.find(|disk| volume_name(*disk) == volume)
    }
}

impl HostDisks for DoubleDisks {
    fn open(&self, image: &str, how: OpenDisk) -> Result<DiskHandle, HResult> {
        let mut host = self.called()?;
        let path = image.to_lowercase();
        if !host.images.contains_key(&path) {
            if !host.takes_any_file || !std::path::Path::new(image).is_file() {
                return Err(FILE_NOT_FOUND);
            }
            let blank = ImageModel {
                has_volume: false,
                ..ImageModel::formatted()
            };
            host.images.insert(path.clone(), blank);
        }
        let writable = matches!(how, OpenDisk::ReadWrite | OpenDisk::WithParents(_));
        let handle = host.take_handle();
        host.open.insert(handle, (path, writable));
        Ok(DiskHandle(handle))
    }

    fn close(&self, disk: DiskHandle) {
        let mut host = self.state();
        if host.work.values().any(|work| work.0 == disk.0) {
            host.misused(format!("{disk:?} is closed under work"));
        }
        match host.open.remove(&disk.0) {
            None => {
                host.misused(format!("{disk:?} is closed twice"));
            }
            Some((path, _)) => {
                let image = host.images.get_mut(&path);
                let own = |it: &mut Attachment| it.handle == Some(disk.0);
                if let Some(image) = image {
                    image.attached.take_if(own);
                }
            }
        }
    }

    fn attach(&self, disk: DiskHandle, how: AttachDisk) -> HResult {
        self.answer(|host| {
            let numbers = host
                .images
                .values()
                .filter_map(|image| image.attached?.disk);
            let number = numbers.max().map_or(1, |highest| highest + 1);
            let (image, writable) = host.image(disk)?;
            if image.attached.is_some() {
                return Err(SHARING_VIOLATION);
            }
            if !writable && !how.read_only {
                return Err(ACCESS_DENIED);
            }
            image.attached = Some(Attachment {
                disk: Some(number),
                read_only: how.read_only,
                handle: (!how.outlives_handle).then_some(disk.0),
            });
            Ok(())
        })
    }

    fn detach(&self, disk: DiskHandle) -> HResult {
        self.answer(|host| {
            let (path, _) = host.path_of(disk)?;
            host.detach(&path)
        })
    }

    fn physical_path(&self, disk: DiskHandle) -> Result<String, HResult> {
        let mut host = self.called()?;
        let (image, _) = host.image(disk)?;
        let number = image.attached.and_then(|it| it.disk).ok_or(NOT_READY)?;
        Ok(format!(r"\\.\PhysicalDrive{number}"))
    }

    fn information(&self, disk: DiskHandle) -> Result<DiskInformation, HResult> {
        let mut host = self.called()?;
        let (path, _) = host.path_of(disk)?;
        let image = host.images.get(&path).ok_or(FILE_NOT_FOUND)?;
        Ok(DiskInformation {
            virtual_size: image.size,
            physical_size: image.physical_size,
            block_size: 2 << 20,
            sector_size: 512,
            device: if path.ends_with(".vhd") { 2 } else { 3 },
            parent: None,
            is_loaded: image.attached.is_some(),
            fragmentation: Some(0),
        })
    }

    fn begin(&self, disk: DiskHandle, work: DiskWork) -> Result<WorkHandle, HResult> {
        let mut host = self.called()?;
        let (image, writable) = host.image(disk)?;
        if !writable {
            return Err(ACCESS_DENIED);
        }
        match (work, image.attached) {
            (DiskWork::Expand { .. } | DiskWork::Merge { .. }, Some(_)) => {
                return Err(SHARING_VIOLATION);
            }
            (DiskWork::Compact, Some(attached)) if !attached.read_only => {
                return Err(SHARING_VIOLATION);
            }
            (DiskWork::Expand { size }, None) if size < image.size => {
                return Err(INVALID_PARAMETER);
            }
            (DiskWork::Expand { size } | DiskWork::Resize { size }, _) => image.size = size,
            (DiskWork::Compact, _) => image.physical_size /= 2,
            (DiskWork::Merge { .. }, None) => {}
        }
        let handle = host.take_handle();
        host.work.insert(handle, (disk.0, 0, false));
        Ok(WorkHandle(handle))
    }

    fn progress(&self, disk: DiskHandle, work: WorkHandle) -> WorkProgress {
        let mut host = match self.called() {
            Ok(host) => host,
            Err(code) => return WorkProgress::Ended(code),
        };
        let all = host.looks_until_done;
        match host.work.get_mut(&work.0) {
            Some((of, looks, gives_up)) if *of == disk.0 => match (*gives_up, *looks >= all) {
                (true, _) => WorkProgress::Ended(OPERATION_ABORTED),
                (false, true) => WorkProgress::Ended(HResult::OK),
                (false, false) => {
                    *looks += 1;
                    WorkProgress::Running(*looks, all)
                }
            },
            _ => WorkProgress::Ended(host.misused(format!("{work:?} was not begun"))),
        }
    }

    fn cancel(&self, _disk: DiskHandle, work: WorkHandle) {
        let mut host = self.state();
        match host.work.get_mut(&work.0) {
            Some(found) => found.2 = true,
            None => {
                host.misused(format!("{work:?} is given up and was not begun"));
            }
        }
    }

    fn end(&self, _disk: DiskHandle, work: WorkHandle) {
        let mut host = self.state();
        if host.work.remove(&work.0).is_none() {
            host.misused(format!("{work:?} is ended twice"));
        }
    }

    fn volumes(&self) -> Result<Vec<String>, HResult> {
        let mut host = self.called()?;
        if host.looks_until_volume > 0 {
            host.looks_until_volume -= 1;
            return Ok(vec![volume_name(0)]);
        }
        let attached = host.images.values().filter(|image| image.has_volume);
        let attached = attached.filter_map(|image| image.attached?.disk);
        Ok(std::iter::once(0)
            .chain(attached)
            .map(volume_name)
            .collect())
    }

    fn disks_of_volume(&self, volume: &str) -> Result<Vec<u32>, HResult> {
        let host = self.called()?;
        match host.disk_of(volume) {
            Some(disk) => Ok(vec![disk]),
            None if volume == volume_name(0) => Ok(vec![0]),
            None => Err(FILE_NOT_FOUND),
        }
    }

    fn volume_at(&self, place: &str) -> Result<String, HResult> {
        let host = self.called()?;
        let volume = host.places.get(&place.to_lowercase());
        // One that is gone is mounted nowhere, whatever the folder says.
        let volume = volume.filter(|it| host.disk_of(it).is_some() || **it == volume_name(0));
        volume.cloned().ok_or(NOT_A_MOUNT_POINT)
    }

    fn set_mount_point(&self, place: &str, volume: &str) -> HResult {
        self.answer(|host| {
            let place = place.to_lowercase();
            if !place.ends_with('\\') || !volume.ends_with('\\') {
                return Err(INVALID_PARAMETER);
            }
            if host.full_folders.contains(&place) || host.places.contains_key(&place) {
                return Err(DIRECTORY_NOT_EMPTY);
            }
            if host.disk_of(volume).is_none() {
                return Err(FILE_NOT_FOUND);
            }
            host.places.insert(place, volume.to_owned());
            Ok(())
        })
    }

    fn delete_mount_point(&self, place: &str) -> HResult {
        self.answer(|host| match host.places.remove(&place.to_lowercase()) {
            Some(_) => Ok(()),
            None if place.len() > 3 => Err(NOT_A_MOUNT_POINT),
            None => Err(PATH_NOT_FOUND),
        })
    }

    fn dismount(&self, volume: &str) -> HResult {
        self.answer(|host| {
            let disk = host.disk_of(volume).ok_or(FILE_NOT_FOUND)?;
            let mut images = host.images.values();
            let is_on =
                |image: &&ImageModel| image.attached.is_some_and(|it| it.disk == Some(disk));
            match images.find(is_on).is_some_and(|image| image.is_busy) {
                true => Err(ACCESS_DENIED),
                false => Ok(()),
            }
        })
    }

    fn format_layer(&self, disk: DiskHandle) -> HResult {
        self.answer(|host| {
            let (image, _) = host.image(disk)?;
            if image.attached.is_none_or(|it| it.read_only) {
                return Err(NOT_READY);
            }
            image.formatted = Some("layer".to_owned());
            Ok(())
        })
    }

    fn format_disk(&self, format: &FormatDisk) -> Result<(), Fault> {
        let failed = |code: HResult| {
            let what = format!("Format-Volume failed: {code}");
            Fault::new(FaultKind::Failed, what)
        };
        let mut host = self.called().map_err(failed)?;
        let mut images = host.images.values_mut();
        let is_it = |image: &&mut ImageModel| {
            image
                .attached
                .is_some_and(|it| it.disk == Some(format.disk))
        };
        let image = images.find(is_it).ok_or_else(|| failed(NOT_READY))?;
        image.formatted = Some(format!("{} {}", format.file_system, format.label));
        Ok(())
    }
}
