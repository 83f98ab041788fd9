//! The sequences of `attach::virtdisk` through the loaded library: signatures, structures, texts, what is
//! closed and freed; each call made to fail.
#![allow(unsafe_code)]

use std::os::windows::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use attach::FaultKind;
use attach::virtdisk::double::{HostModel, ImageModel};
use attach::virtdisk::{
    DiskPatience, DiskWork, HostDisks, HostMountOrder, HostTarget, SystemFormat, WorkEnd,
    format_image, information_of, load_host_disks_from, mount_on_host, unmount_from_host,
    work_on_image,
};
use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};

const IMAGE: &str = r"C:\store\volumes\data.vhdx";
const QUICK: DiskPatience = DiskPatience {
    volume: Duration::from_secs(60),
    pause: Duration::from_millis(1),
};

/// The library as cargo built it: beside the test, or in the folder above.
fn built() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let folders = own.ancestors().skip(1).take(2);
    let files = folders.map(|folder| folder.join("virtdisk_double.dll"));
    let mut there = files.filter(|file| file.is_file());
    there.next().expect("the double is built with the tests")
}

type Control = unsafe extern "system" fn(*const u16) -> *mut u16;

/// The one double of the process, for one test at a time.
struct Stage {
    disks: Arc<dyn HostDisks>,
    control: Control,
    _alone: MutexGuard<'static, ()>,
}

impl Stage {
    fn new() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let file = built();
        let disks = load_host_disks_from(&file).unwrap();
        let wide: Vec<u16> = file.as_os_str().encode_wide().chain([0]).collect();
        // SAFETY: the text ends with a zero, and the library was just loaded and is never unloaded.
        let found = unsafe {
            let module = GetModuleHandleW(wide.as_ptr());
            GetProcAddress(module, c"VirtdiskDoubleHost".as_ptr().cast())
        };
        let found = found.expect("the double has its control");
        let stage = Self {
            disks,
            // SAFETY: the double exports this function with this signature.
            control: unsafe {
                std::mem::transmute::<unsafe extern "system" fn() -> isize, Control>(found)
            },
            _alone: alone,
        };
        stage.reset();
        stage
    }

    fn ask(&self, host: &str) -> HostModel {
        let host = attach::wide_text(host);
        // SAFETY: the text ends with a zero; what the double gives out does too, and is ours to free.
        let text = unsafe {
            let text = (self.control)(host.as_ptr());
            let length = (0..).find(|&at| *text.add(at) == 0).unwrap();
            let told = String::from_utf16(std::slice::from_raw_parts(text, length)).unwrap();
            LocalFree(text.cast());
            told
        };
        serde_json::from_str(&text).unwrap()
    }

    fn host(&self) -> HostModel {
        self.ask("")
    }

    fn set(&self, host: &HostModel) {
        self.ask(&serde_json::to_string(host).unwrap());
    }

    /// One image, with a file system, and nothing else.
    fn reset(&self) {
        let mut host = HostModel::default();
        host.looks_until_done = 3;
        let model = ImageModel::formatted();
        host.images.insert(IMAGE.to_lowercase(), model);
        self.set(&host);
    }

    fn fail(&self, call: u64, code: u32) {
        let mut host = self.host();
        let call = host.calls + call;
        host.troubles.insert(call, code);
        self.set(&host);
    }

    fn assert_clean(&self, nothing: bool) -> HostModel {
        let host = self.host();
        assert_eq!(host.misuse, Vec::<String>::new());
        assert!(host.open.is_empty() && host.work.is_empty(), "{host:?}");
        if nothing {
            let attached = host.images.values().any(|image| image.attached.is_some());
            assert!(!attached && host.places.is_empty(), "{host:?}");
        }
        host
    }

    fn mount(&self, at: &HostTarget, read_only: bool) -> Result<u32, attach::Fault> {
        let order = HostMountOrder {
            image: IMAGE,
            target: at,
            read_only,
        };
        mount_on_host(&*self.disks, order, QUICK).map(|mounted| mounted.disk)
    }

    fn unmount(&self, at: &HostTarget) -> Result<(), attach::Fault> {
        unmount_from_host(&*self.disks, IMAGE, at, false).map(|_| ())
    }
}

#[test]
fn a_volume_is_mounted_told_about_resized_compacted_and_unmounted() {
    let stage = Stage::new();
    for place in ["X:", r"C:\mnt\data"] {
        let at = HostTarget::parse(place).unwrap();
        assert_eq!(stage.mount(&at, true).unwrap(), 1);
        let host = stage.assert_clean(false);
        assert!(host.places.contains_key(&at.key()));
        let told = information_of(&*stage.disks, IMAGE).unwrap();
        assert!(told.is_loaded);
        assert_eq!((told.virtual_size, told.device), (1 << 30, 3));
        assert_eq!((told.parent, told.fragmentation), (None, None));
        let pause = QUICK.pause;
        let work = |work| work_on_image(&*stage.disks, IMAGE, work, pause, &|_, all| all == 3);
        assert_eq!(work(DiskWork::Compact).unwrap(), WorkEnd::Done);
        let grow = DiskWork::Resize { size: 2 << 30 };
        assert_eq!(work(grow).unwrap(), WorkEnd::Done);
        let merge = work(DiskWork::Merge { depth: 2 }).unwrap_err();
        assert_eq!(merge.kind(), FaultKind::Busy, "{merge}");
        stage.unmount(&at).unwrap();
        stage.unmount(&at).unwrap();
        let grow = DiskWork::Expand { size: 3 << 30 };
        let given_up = work_on_image(&*stage.disks, IMAGE, grow, pause, &|_, _| false);
        assert_eq!(given_up.unwrap(), WorkEnd::Cancelled);
        stage.assert_clean(true);
        stage.reset();
    }
    format_image(&*stage.disks, IMAGE, &SystemFormat::ScratchLayer).unwrap();
    let host = stage.assert_clean(true);
    let image = &host.images[&IMAGE.to_lowercase()];
    assert_eq!(image.formatted.as_deref(), Some("layer"));
}

#[test]
fn whichever_call_fails_nothing_is_left_or_the_next_unmount_takes_it() {
    let stage = Stage::new();
    let at = HostTarget::parse("X:").unwrap();
    stage.mount(&at, false).unwrap();
    let calls = stage.host().calls;
    for call in 1..=calls {
        stage.reset();
        stage.fail(call, 1117);
        match stage.mount(&at, false) {
            Ok(_) => drop(stage.assert_clean(false)),
            Err(_) => drop(stage.assert_clean(true)),
        }
    }
    for call in 1..=12 {
        stage.reset();
        stage.mount(&at, false).unwrap();
        stage.fail(call, 1117);
        let _ = stage.unmount(&at);
        let mut host = stage.host();
        host.troubles.clear();
        stage.set(&host);
        stage.unmount(&at).unwrap();
        // A volume that could not be asked where it lies is found by the next.
        stage.unmount(&at).unwrap();
        stage.assert_clean(true);
    }
}

/// Wine's own library has the functions as stubs: loading and binding are tried, and that what it says is
/// told.
#[test]
fn the_library_of_the_system_is_loaded_and_what_it_says_is_told() {
    let disks = attach::virtdisk::load_host_disks().unwrap();
    let told = information_of(&*disks, r"C:\no\such.vhdx").unwrap_err();
    assert!(told.to_string().contains("such.vhdx"), "{told}");
    let volumes = disks.volumes().unwrap();
    assert!(
        volumes
            .iter()
            .all(|volume| volume.starts_with(r"\\?\Volume{")),
        "{volumes:?}"
    );
    let place = disks.volume_at(r"C:\").unwrap();
    assert!(volumes.contains(&place), "{place} of {volumes:?}");
}
