//! Mounting on this host, with the double of its disks: claims and disks together, each call failing.

use std::sync::Arc;

use attach::virtdisk::double::{DoubleDisks, ImageModel};

use super::*;
use crate::compact::CompactImage;
use crate::doctor::ExamineStore;
use crate::image::ImageReference;
use crate::resize::ResizeImage;
use crate::volumes::CreateVolume;
use crate::{ByteCount, Config, NewSize};

const GIB: u64 = 1 << 30;

struct Stage {
    _folder: tempfile::TempDir,
    engine: Engine,
    disks: Arc<DoubleDisks>,
}

fn go_on(_: crate::Progress) -> std::ops::ControlFlow<()> {
    std::ops::ControlFlow::Continue(())
}

impl Stage {
    /// A store with the volumes `data` and `other`, whose images the double knows.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disks = Arc::new(DoubleDisks::default());
        let config = Config::with_root(folder.path().join("store")).with_host_disks(disks.clone());
        let stage = Self {
            _folder: folder,
            engine: Engine::new(config),
            disks,
        };
        stage.create("data", "size=64M,fs=none").unwrap();
        stage.create("other", "size=64M,fs=none").unwrap();
        stage
    }

    fn create(&self, name: &str, options: &str) -> Result<()> {
        let request = CreateVolume {
            name: name.to_owned(),
            options: vec![options.to_owned()],
            ..CreateVolume::default()
        };
        self.engine.create_volume(&request, &go_on)?;
        let details = self.engine.inspect_volume(name)?;
        let path = details
            .image()
            .unwrap()
            .path
            .to_string_lossy()
            .to_lowercase();
        let model = ImageModel::formatted();
        self.disks
            .change(|host| drop(host.images.insert(path, model)));
        Ok(())
    }

    fn mount(&self, volume: &str, target: &str, read_only: bool) -> Result<HostMount> {
        self.engine.mount_volume(&MountVolume {
            volume: volume.to_owned(),
            target: target.to_owned(),
            read_only,
        })
    }

    /// Claims that stand, and images that are attached.
    fn counts(&self) -> (usize, usize) {
        let host = self.disks.host();
        assert_eq!(host.misuse, Vec::<String>::new());
        assert!(host.open.is_empty() && host.work.is_empty(), "{host:?}");
        let attached = host.images.values().filter(|it| it.attached.is_some());
        (self.engine.claims().unwrap().len(), attached.count())
    }

    fn doctor(&self, mend: bool) -> Diagnosis {
        let request = ExamineStore { mend, deep: false };
        self.engine.examine_store(request, &go_on).unwrap()
    }
}

#[test]
fn a_mounted_volume_is_claimed_until_it_is_unmounted() {
    let stage = Stage::new();
    for (target, read_only, ended_by) in [
        ("X:", false, "data"),
        (r"c:\mnt\Data", true, r"C:\mnt\data"),
    ] {
        let mounted = stage.mount("data", target, read_only).unwrap();
        assert_eq!(mounted.is_attached, Some(true));
        assert_eq!(stage.counts(), (1, 1));
        assert_eq!(
            stage.engine.host_mounts().unwrap(),
            std::slice::from_ref(&mounted)
        );
        // Whoever else wants to change it is told who has it.
        let error = stage.engine.remove_volume("data", true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InUse);
        assert!(error.to_string().contains("this host at"), "{error}");
        let ended = stage.engine.unmount_volume(ended_by, false).unwrap();
        assert_eq!(ended.target, mounted.target);
        assert_eq!(stage.counts(), (0, 0));
        let error = stage.engine.unmount_volume(ended_by, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    stage.engine.remove_volume("data", false).unwrap();
}

#[test]
fn one_place_has_one_volume_and_one_volume_one_place() {
    let stage = Stage::new();
    stage.mount("data", "X:", true).unwrap();
    for (volume, target) in [("data", "Y:"), ("other", "x:\\"), ("data", "X:")] {
        let error = stage.mount(volume, target, true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    }
    for (volume, target, kind) in [
        ("data", "/mnt", ErrorKind::InvalidArgument),
        ("none", "Y:", ErrorKind::NotFound),
        ("no:name", "Y:", ErrorKind::InvalidArgument),
    ] {
        assert_eq!(stage.mount(volume, target, false).unwrap_err().kind(), kind);
    }
    stage.create("raw", "size=64M,fs=none,format=raw").unwrap();
    let error = stage.mount("raw", "Y:", false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(stage.counts(), (1, 1));
}

#[test]
fn whichever_call_fails_claim_and_disk_go_together() {
    let calls = {
        let stage = Stage::new();
        stage.mount("data", "X:", false).unwrap();
        stage.disks.host().calls
    };
    for call in 1..=calls {
        let stage = Stage::new();
        stage.disks.change(|host| {
            host.troubles.insert(call, 1117);
        });
        let mounted = stage.mount("data", "X:", false).is_ok();
        let expected = usize::from(mounted);
        assert_eq!(stage.counts(), (expected, expected), "call {call}");
    }
    // Undone halfway, it is neither forgotten nor free; then it is done again.
    for call in 1..=12 {
        let stage = Stage::new();
        stage.mount("data", "X:", false).unwrap();
        stage.disks.change(|host| {
            host.troubles.insert(host.calls + call, 1117);
        });
        if stage.engine.unmount_volume("X:", false).is_err() {
            assert_eq!(stage.counts().0, 1, "call {call}");
            stage.disks.change(|host| host.troubles.clear());
            stage.engine.unmount_volume("X:", false).unwrap();
        }
        assert_eq!(stage.counts(), (0, 0), "call {call}");
    }
}

#[test]
fn what_cannot_be_taken_back_stays_claimed() {
    let stage = Stage::new();
    // The volume never appears, and the disk cannot be detached.
    stage.disks.change(|host| {
        host.places.insert(r"c:\full\".to_owned(), "x".to_owned());
    });
    let calls = {
        let probe = Stage::new();
        probe.mount("data", "X:", false).unwrap();
        probe.disks.host().calls
    };
    // The call after the mount point was refused is the one that detaches.
    stage.disks.change(|host| {
        host.troubles.insert(calls, 3);
        host.troubles.insert(calls + 1, 1117);
    });
    let error = stage.mount("data", "X:", false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(stage.counts(), (1, 1));
    stage.engine.unmount_volume("data", false).unwrap();
    assert_eq!(stage.counts(), (0, 0));
}

#[test]
fn after_a_start_of_the_host_doctor_finds_and_releases_what_is_not_mounted_any_more() {
    let stage = Stage::new();
    stage.mount("data", r"C:\mnt", false).unwrap();
    stage.mount("other", "Y:", false).unwrap();
    assert!(
        stage
            .doctor(true)
            .findings
            .iter()
            .all(|it| it.class != "claim")
    );
    stage.disks.restart();
    let told = stage.engine.host_mounts().unwrap();
    assert!(told.iter().all(|mount| mount.is_attached == Some(false)));
    let found = stage.doctor(false);
    let claims = found.findings.iter().filter(|it| it.class == "claim");
    assert_eq!(claims.count(), 2, "{found:?}");
    assert_eq!(stage.counts(), (2, 0));
    stage.doctor(true);
    assert_eq!(stage.counts(), (0, 0));
    assert!(stage.disks.host().places.is_empty());
}

#[test]
fn files_that_are_open_keep_a_mount_and_its_claim() {
    let stage = Stage::new();
    stage.mount("data", "X:", false).unwrap();
    stage
        .disks
        .change(|host| host.images.values_mut().for_each(|it| it.is_busy = true));
    let error = stage.engine.unmount_volume("X:", false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert_eq!(stage.counts(), (1, 1));
    stage.engine.unmount_volume("X:", true).unwrap();
    assert_eq!(stage.counts(), (0, 0));
}

#[test]
fn a_mounted_volume_is_resized_and_compacted_by_the_system() {
    let stage = Stage::new();
    let image = ImageReference::Volume("data".to_owned());
    let resize = |size, image_only| {
        let request = ResizeImage {
            image: image.clone(),
            size,
            image_only,
            dry_run: false,
        };
        stage.engine.resize(&request, &go_on)
    };
    let compact = || {
        let request = CompactImage {
            image: image.clone(),
            dry_run: false,
            scan_zeros: false,
            keep_clusters: false,
        };
        stage.engine.compact(&request, &go_on)
    };
    let grow = NewSize::More(ByteCount(GIB));
    // At rest, it is the portable engine that works.
    assert!(
        !resize(NewSize::More(ByteCount(1 << 20)), true)
            .unwrap()
            .by_system
    );
    assert!(!compact().unwrap().by_system);
    stage.mount("data", "X:", false).unwrap();
    let grown = resize(grow, true).unwrap();
    assert!(grown.by_system);
    assert_eq!(grown.size, (ByteCount(GIB), ByteCount(2 * GIB)));
    for refused in [
        resize(grow, false).map(drop),
        resize(NewSize::Less(ByteCount(GIB)), true).map(drop),
        compact().map(drop),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InUse);
    }
    stage.engine.unmount_volume("X:", false).unwrap();
    stage.mount("data", "X:", true).unwrap();
    let compacted = compact().unwrap();
    assert!(compacted.by_system && compacted.length.1 < compacted.length.0);
    let stopped = CompactImage {
        image: image.clone(),
        dry_run: false,
        scan_zeros: false,
        keep_clusters: false,
    };
    stage.disks.change(|host| host.looks_until_done = 1000);
    let stop = |_| std::ops::ControlFlow::Break(());
    let error = stage.engine.compact(&stopped, &stop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!(stage.counts(), (1, 1));
}

#[test]
fn a_volume_that_the_system_formats_is_one_like_any_other_or_leaves_nothing() {
    let stage = Stage::new();
    stage.disks.change(|host| host.takes_any_file = true);
    for (name, options, formatted) in [
        ("big", "size=2G,fs=refs,label=big", "ReFS big"),
        ("layer", "size=2G,fs=scratch,format=vhd", "layer"),
    ] {
        let calls = stage.disks.host().calls;
        let request = CreateVolume {
            name: name.to_owned(),
            options: vec![options.to_owned()],
            ..CreateVolume::default()
        };
        stage.engine.create_volume(&request, &go_on).unwrap();
        let host = stage.disks.host();
        let made = host
            .images
            .values()
            .find(|it| it.formatted.as_deref() == Some(formatted));
        assert!(made.is_some_and(|it| it.attached.is_none()), "{host:?}");
        let calls = host.calls - calls;
        stage.engine.remove_volume(name, false).unwrap();
        // Each call fails in turn: nothing of the volume is left, and nothing attached.
        for call in 1..=calls {
            stage.disks.change(|host| {
                host.images.retain(|_, image| image.formatted.is_none());
                host.troubles.insert(host.calls + call, 1117);
            });
            assert!(
                stage.engine.create_volume(&request, &go_on).is_err(),
                "call {call}"
            );
            assert_eq!(stage.engine.list_volumes(&[]).unwrap().len(), 2);
            assert_eq!(stage.counts(), (0, 0), "call {call}");
        }
    }
    assert!(stage.doctor(false).is_sound());
}

/// The double knows an image by its path alone, and that of a new volume is known to nobody before.
#[test]
fn a_volume_that_the_system_does_not_format_leaves_nothing() {
    let stage = Stage::new();
    let before = stage.engine.list_volumes(&[]).unwrap().len();
    for options in ["size=2G,fs=refs", "size=2G,fs=scratch"] {
        let error = stage.create("made", options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert_eq!(stage.engine.list_volumes(&[]).unwrap().len(), before);
    }
    assert!(stage.doctor(false).is_sound());
    assert_eq!(stage.counts(), (0, 0));
}

#[cfg(not(windows))]
#[test]
fn without_windows_it_is_said_what_to_do_instead() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::new(Config::with_root(folder.path().join("store")));
    let request = MountVolume {
        volume: "data".to_owned(),
        target: "X:".to_owned(),
        read_only: false,
    };
    let error = engine.mount_volume(&request).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let advice = std::error::Error::source(&error).unwrap().to_string();
    assert!(advice.contains("cvol serve"), "{advice}");
    let request = CreateVolume {
        name: "data".to_owned(),
        options: vec!["size=2G,fs=refs".to_owned()],
        ..CreateVolume::default()
    };
    let folder_of_another = tempfile::tempdir().unwrap();
    let root = folder_of_another.path().join("store");
    let engine = Engine::new(Config::with_root(root.clone()));
    let error = engine.create_volume(&request, &go_on).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(!root.exists(), "a store was made for nothing");
}
