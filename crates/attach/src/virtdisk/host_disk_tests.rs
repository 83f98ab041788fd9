//! The sequences against the double: each call made to fail in turn, and nothing left.

use super::*;
use crate::virtdisk::double::{Attachment, DoubleDisks, HostModel};

const IMAGE: &str = r"C:\store\data.vhdx";
/// Longer than a busy host takes for the looks that a test wants.
const QUICK: Patience = Patience {
    volume: Duration::from_secs(60),
    pause: Duration::from_millis(1),
};
/// For a volume that never appears.
const NONE: Patience = Patience {
    volume: Duration::ZERO,
    pause: Duration::from_millis(1),
};

fn target(text: &str) -> HostTarget {
    HostTarget::parse(text).unwrap()
}

fn mount(disks: &DoubleDisks, at: &HostTarget, read_only: bool) -> Result<HostMounted, Fault> {
    let order = HostMountOrder {
        image: IMAGE,
        target: at,
        read_only,
    };
    mount_on_host(disks, order, QUICK)
}

fn unmount(disks: &DoubleDisks, at: &HostTarget) -> Result<HostUnmounted, Fault> {
    unmount_from_host(disks, IMAGE, at, false)
}

/// No handle, no work, no rule broken; and, where `nothing`, nothing attached and mounted.
fn assert_clean(host: &HostModel, nothing: bool) {
    assert_eq!(host.misuse, Vec::<String>::new());
    assert!(host.open.is_empty() && host.work.is_empty(), "{host:?}");
    if nothing {
        let attached = host.images.values().filter(|it| it.attached.is_some());
        assert_eq!(attached.count(), 0, "{host:?}");
        assert!(host.places.is_empty(), "{host:?}");
    }
}

#[test]
fn a_mounted_image_outlives_its_handle_and_goes_when_it_is_unmounted() {
    for (place, read_only) in [("X:", false), (r"C:\mnt\data", true)] {
        let disks = DoubleDisks::with_images(&[IMAGE]);
        // The system finds a volume some time after the disk.
        disks.change(|host| host.looks_until_volume = 3);
        let at = target(place);
        let mounted = mount(&disks, &at, read_only).unwrap();
        assert_eq!(mounted.disk, 1);
        let host = disks.host();
        assert_clean(&host, false);
        assert_eq!(host.places[&at.key()], mounted.volume);
        assert!(information_of(&disks, IMAGE).unwrap().is_loaded);
        let attached = host.images[&IMAGE.to_lowercase()].attached;
        let expected = Attachment {
            disk: Some(1),
            read_only,
            handle: None,
        };
        assert_eq!(attached, Some(expected));
        let found = unmount(&disks, &at).unwrap();
        assert!(found.was_attached && found.was_mounted);
        assert_clean(&disks.host(), true);
        // And again, which finds nothing to do.
        assert_eq!(unmount(&disks, &at).unwrap(), HostUnmounted::default());
        assert_clean(&disks.host(), true);
    }
}

#[test]
fn whichever_call_fails_a_mount_leaves_nothing() {
    let at = target("X:");
    let calls = {
        let disks = DoubleDisks::with_images(&[IMAGE]);
        mount(&disks, &at, false).unwrap();
        disks.host().calls
    };
    let mut failed = 0;
    for code in [5_u32, 32, 1117, 1392] {
        for call in 1..=calls {
            let disks = DoubleDisks::with_images(&[IMAGE]);
            disks.change(|host| {
                host.troubles.insert(call, code);
            });
            match mount(&disks, &at, false) {
                // Asking what is there first, and what a volume lies on, may fail without harm.
                Ok(_) => assert_clean(&disks.host(), false),
                Err(fault) => {
                    failed += 1;
                    assert!(!fault.to_string().is_empty());
                    assert_clean(&disks.host(), true);
                }
            }
            assert!(disks.host().troubles.is_empty(), "call {call} was made");
        }
    }
    assert!(failed >= 4 * 5, "{failed} of {calls} calls");
}

#[test]
fn whichever_call_fails_an_unmount_is_completed_by_the_next() {
    let at = target(r"C:\mnt");
    for call in 1..40 {
        let disks = DoubleDisks::with_images(&[IMAGE]);
        mount(&disks, &at, false).unwrap();
        disks.change(|host| {
            host.troubles.insert(host.calls + call, 1117);
        });
        let first = unmount(&disks, &at);
        if !disks.host().troubles.is_empty() {
            assert!(call > 6, "{call}");
            return;
        }
        if first.is_err() {
            unmount(&disks, &at).unwrap();
        }
        let host = disks.host();
        let attached = host.images.values().any(|it| it.attached.is_some());
        assert!(!attached, "call {call}: {host:?}");
        assert_clean(&host, false);
        // A volume that could not be asked where it lies stays for the next call.
        unmount(&disks, &at).unwrap();
        assert_clean(&disks.host(), true);
    }
    panic!("unmounting does not end");
}

#[test]
fn what_stands_in_the_way_of_a_mount_is_told() {
    let at = target("X:");
    let disks = DoubleDisks::with_images(&[IMAGE, r"C:\other.vhdx"]);
    let other = HostMountOrder {
        image: r"C:\other.vhdx",
        target: &at,
        read_only: false,
    };
    mount_on_host(&disks, other, QUICK).unwrap();
    let kind = |result: Result<HostMounted, Fault>| result.unwrap_err().kind();
    // The place, the image, what is on it.
    assert_eq!(kind(mount(&disks, &at, false)), FaultKind::AlreadyExists);
    mount(&disks, &target("Y:"), false).unwrap();
    assert_eq!(kind(mount(&disks, &target("Z:"), true)), FaultKind::Busy);
    let disks = DoubleDisks::with_images(&[IMAGE]);
    disks.change(|host| host.full_folders.push(r"c:\full\".to_owned()));
    let full = mount(&disks, &target(r"C:\full"), false);
    assert_eq!(kind(full), FaultKind::Busy);
    disks.change(|host| host.looks_until_volume = u32::MAX);
    let order = HostMountOrder {
        image: IMAGE,
        target: &at,
        read_only: false,
    };
    let never = mount_on_host(&disks, order, NONE);
    assert_eq!(kind(never), FaultKind::NotFound);
    assert_clean(&disks.host(), true);
    let missing = unmount_from_host(&disks, r"C:\gone.vhdx", &at, false).unwrap();
    assert_eq!(missing, HostUnmounted::default());
}

#[test]
fn open_files_keep_a_mount_and_force_passes_over_them() {
    let at = target("X:");
    let disks = DoubleDisks::with_images(&[IMAGE]);
    mount(&disks, &at, false).unwrap();
    let busy = |is_busy| {
        disks.change(|host| host.images.values_mut().for_each(|it| it.is_busy = is_busy));
    };
    busy(true);
    let before = disks.host();
    let fault = unmount(&disks, &at).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Busy, "{fault}");
    let after = disks.host();
    assert_eq!((before.images, before.places), (after.images, after.places));
    unmount_from_host(&disks, IMAGE, &at, true).unwrap();
    assert_clean(&disks.host(), true);
}

#[test]
fn after_a_restart_of_the_host_only_a_folder_is_left_to_be_freed() {
    for place in ["X:", r"C:\mnt"] {
        let at = target(place);
        let disks = DoubleDisks::with_images(&[IMAGE]);
        mount(&disks, &at, false).unwrap();
        disks.restart();
        let found = unmount(&disks, &at).unwrap();
        assert!(!found.was_attached);
        assert_eq!(found.was_mounted, !at.is_letter());
        assert_clean(&disks.host(), true);
    }
    // A letter that another disk took meanwhile is its own.
    let at = target("X:");
    let disks = DoubleDisks::with_images(&[IMAGE, r"C:\other.vhdx"]);
    mount(&disks, &at, false).unwrap();
    disks.restart();
    let other = HostMountOrder {
        image: r"C:\other.vhdx",
        target: &at,
        read_only: false,
    };
    mount_on_host(&disks, other, QUICK).unwrap();
    unmount(&disks, &at).unwrap();
    assert!(disks.host().places.contains_key(&at.key()));
}

#[test]
fn an_image_that_a_machine_has_is_not_unmounted() {
    let disks = DoubleDisks::with_images(&[IMAGE]);
    let of_machine = Attachment {
        disk: None,
        read_only: false,
        handle: None,
    };
    disks.change(|host| {
        let image = host.images.get_mut(&IMAGE.to_lowercase()).unwrap();
        image.attached = Some(of_machine);
    });
    let fault = unmount(&disks, &target("X:")).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Busy, "{fault}");
    let image = &disks.host().images[&IMAGE.to_lowercase()];
    assert_eq!(image.attached, Some(of_machine));
}

fn work(disks: &DoubleDisks, work: DiskWork) -> Result<WorkEnd, Fault> {
    work_on_image(disks, IMAGE, work, QUICK.pause, &|_, _| true)
}

#[test]
fn work_is_watched_to_its_end_given_up_when_asked_and_refused_where_the_system_does() {
    let disks = DoubleDisks::with_images(&[IMAGE]);
    disks.change(|host| host.looks_until_done = 5);
    let seen = std::cell::RefCell::new(Vec::new());
    let told = |done, all| {
        seen.borrow_mut().push((done, all));
        true
    };
    let grow = DiskWork::Expand { size: 2 << 30 };
    let end = work_on_image(&disks, IMAGE, grow, QUICK.pause, &told).unwrap();
    assert_eq!(end, WorkEnd::Done);
    assert_eq!(seen.borrow().last(), Some(&(5, 5)));
    assert_eq!(information_of(&disks, IMAGE).unwrap().virtual_size, 2 << 30);
    let stop = work_on_image(&disks, IMAGE, DiskWork::Compact, QUICK.pause, &|_, _| false);
    assert_eq!(stop.unwrap(), WorkEnd::Cancelled);
    work(&disks, DiskWork::Merge { depth: 1 }).unwrap();
    assert!(work(&disks, DiskWork::Expand { size: 1 }).is_err());
    assert_clean(&disks.host(), true);
    // While it is attached: size yes, compaction for reading only, merging never.
    mount(&disks, &target("X:"), false).unwrap();
    work(&disks, DiskWork::Resize { size: 3 << 30 }).unwrap();
    let refused = |wanted| work(&disks, wanted).unwrap_err().kind();
    assert_eq!(refused(DiskWork::Compact), FaultKind::Busy);
    assert_eq!(refused(DiskWork::Merge { depth: 1 }), FaultKind::Busy);
    unmount(&disks, &target("X:")).unwrap();
    mount(&disks, &target("X:"), true).unwrap();
    work(&disks, DiskWork::Compact).unwrap();
    assert_clean(&disks.host(), false);
}

#[test]
fn whichever_call_fails_work_is_put_away_and_a_formatted_image_detached() {
    for call in 1..=12 {
        let disks = DoubleDisks::with_images(&[IMAGE]);
        disks.change(|host| {
            host.looks_until_done = 2;
            host.troubles.insert(call, 1117);
        });
        let _ = work(&disks, DiskWork::Compact);
        assert_clean(&disks.host(), true);
    }
    let refs = SystemFormat::Refs {
        label: "data".to_owned(),
    };
    for (format, formatted) in [(refs, "ReFS data"), (SystemFormat::ScratchLayer, "layer")] {
        let calls = {
            let disks = DoubleDisks::with_images(&[IMAGE]);
            format_image(&disks, IMAGE, &format).unwrap();
            let host = disks.host();
            assert_clean(&host, true);
            let image = &host.images[&IMAGE.to_lowercase()];
            assert_eq!(image.formatted.as_deref(), Some(formatted));
            host.calls
        };
        for call in 1..=calls {
            let disks = DoubleDisks::with_images(&[IMAGE]);
            disks.change(|host| {
                host.troubles.insert(call, 1117);
            });
            assert!(format_image(&disks, IMAGE, &format).is_err(), "call {call}");
            assert_clean(&disks.host(), true);
        }
    }
}
