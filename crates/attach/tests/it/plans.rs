//! What is planned, in which order, and what is refused before anything is done.

use attach::{
    Action, GuestFileSystem, GuestSystem, Hypervisor, MountRequest, Plan, PlanRefusal, Source,
};
use proptest::prelude::*;

use crate::requests::{V2_1, V2_9, directory, disk, path, platform, request, smb, temporary};

use GuestSystem::{Linux, Windows};
use Hypervisor::Qemu;

fn words(plan: &Plan) -> Vec<&'static str> {
    plan.steps.iter().map(|step| step.action.word()).collect()
}

#[test]
fn five_mounts_for_qemu_are_planned_host_before_guest_and_undone_backwards() {
    let platform = platform(Qemu, Linux);
    let mounts = [
        request(
            disk("/store/a.vhdx", GuestFileSystem::Ntfs),
            "/data",
            Linux,
            false,
        ),
        request(directory("/srv/ro"), "/ro", Linux, true),
        request(directory("/srv/rw"), "/rw", Linux, false),
        request(smb("//srv/share/x"), "/smb", Linux, false),
        request(temporary("/none"), "/tmp/x", Linux, false),
    ];
    let plan = Plan::new(platform, &mounts).unwrap();
    assert_eq!(
        words(&plan),
        [
            "serve-disk",
            "add-disk",
            "mount-disk",
            "add-share",
            "mount-share",
            "add-share",
            "mount-share",
            "mount-smb",
            "mount-memory"
        ]
    );
    let undo: Vec<_> = plan.undo().iter().map(Action::word).collect();
    assert_eq!(
        undo,
        [
            "unmount",
            "unmount",
            "unmount",
            "remove-share",
            "unmount",
            "remove-share",
            "unmount",
            "unplug-disk",
            "remove-disk",
            "stop-serving"
        ]
    );
}

#[test]
fn what_lies_in_another_mount_comes_after_it() {
    let platform = platform(Qemu, Linux);
    let mount = |target| request(smb("//srv/s"), target, Linux, false);
    let mounts = [mount("/a/b/c"), mount("/z"), mount("/a"), mount("/a/b")];
    let plan = Plan::new(platform, &mounts).unwrap();
    let order: Vec<usize> = plan.steps.iter().map(|step| step.request).collect();
    assert_eq!(order, [1, 2, 3, 0]);
}

#[test]
fn a_disk_or_directory_that_two_mounts_need_is_attached_once() {
    let platform = platform(Qemu, Linux);
    let mounts = [
        request(disk("/a.vhdx", GuestFileSystem::Ntfs), "/x", Linux, true),
        request(disk("/a.vhdx", GuestFileSystem::Ntfs), "/y", Linux, true),
        request(directory("/d"), "/v", Linux, true),
        request(directory("/d/"), "/w", Linux, true),
    ];
    let plan = Plan::new(platform, &mounts).unwrap();
    let count = |word| words(&plan).iter().filter(|other| **other == word).count();
    assert_eq!([count("add-disk"), count("mount-disk")], [1, 2]);
    assert_eq!([count("add-share"), count("mount-share")], [1, 2]);
}

#[test]
fn what_a_combination_cannot_do_is_refused_by_name() {
    let ntfs = GuestFileSystem::Ntfs;
    let file = |text| Source::File { path: path(text) };
    for (hypervisor, guest, mount, words) in [
        (
            Qemu,
            Windows,
            request(directory("/d"), "D:", Windows, false),
            "no directories of the host",
        ),
        (
            Qemu,
            Windows,
            request(file("/d/f"), "D:", Windows, false),
            "no directories of the host",
        ),
        (
            Qemu,
            Linux,
            request(directory("C:\\d"), "/d", Linux, false),
            "Linux host",
        ),
        (
            V2_9,
            Windows,
            request(disk("/a.vhdx", ntfs), "D:", Windows, false),
            "Windows host",
        ),
        (
            V2_9,
            Linux,
            request(
                disk("C:\\a.vhdx", GuestFileSystem::Refs),
                "/a",
                Linux,
                false,
            ),
            "no ReFS",
        ),
        (
            V2_9,
            Windows,
            request(disk("C:\\a", GuestFileSystem::Ext4), "D:", Windows, false),
            "file system of Linux",
        ),
        (
            V2_1,
            Linux,
            request(file("C:\\d\\f"), "/f", Linux, false),
            "schema 2.2",
        ),
        (
            V2_9,
            Windows,
            request(file("C:\\"), "C:\\f", Windows, false),
            "no file in a directory",
        ),
        (
            Qemu,
            Linux,
            request(temporary("/t"), "/t", Linux, true),
            "read-only",
        ),
    ] {
        let error = Plan::new(platform(hypervisor, guest), &[mount]).unwrap_err();
        let told = error.to_string();
        assert!(told.contains(words), "{told}");
        assert!(told.contains("the mount at"), "{told}");
    }
}

#[test]
fn a_target_or_share_name_taken_twice_is_refused() {
    let named = |name: &str| Source::Directory {
        path: path(&format!("C:\\{name}")),
        create: true,
        share_name: Some("data".to_owned()),
    };
    let platform = platform(V2_9, Windows);
    let same = [
        request(named("a"), "C:\\Data", Windows, false),
        request(named("b"), "C:\\data\\", Windows, false),
    ];
    let error = Plan::new(platform, &same).unwrap_err();
    assert_eq!(
        (error.request, error.reason),
        (1, PlanRefusal::SameTarget { other: 1 })
    );
    let names = [
        request(named("a"), "C:\\a", Windows, false),
        request(named("b"), "C:\\b", Windows, false),
    ];
    let error = Plan::new(platform, &names).unwrap_err();
    assert!(
        error.to_string().contains("taken by another mount"),
        "{error}"
    );
}

#[test]
fn places_for_disks_run_out_with_a_word_and_not_before() {
    let ntfs = GuestFileSystem::Ntfs;
    for (hypervisor, guest, count) in [(Qemu, Linux, 256), (V2_9, Windows, 64)] {
        let mounts = |count: usize| -> Vec<MountRequest> {
            let disks = (0..count).map(|number| match guest {
                Linux => request(
                    disk(&format!("/{number}"), ntfs),
                    &format!("/m/{number}"),
                    guest,
                    false,
                ),
                Windows => request(
                    disk(&format!("C:\\{number}"), ntfs),
                    &format!("C:\\m\\{number}"),
                    guest,
                    false,
                ),
            });
            disks.collect()
        };
        let platform = platform(hypervisor, guest);
        assert!(Plan::new(platform, &mounts(count)).is_ok());
        let error = Plan::new(platform, &mounts(count + 1)).unwrap_err();
        assert!(
            error.to_string().contains(&format!("all {count} places")),
            "{error}"
        );
    }
}

#[test]
fn a_temporary_volume_of_a_windows_guest_is_an_image_that_goes_with_it() {
    let mount = request(temporary("C:\\t\\x.vhdx"), "T:", Windows, false);
    let plan = Plan::new(platform(V2_9, Windows), &[mount]).unwrap();
    assert_eq!(
        words(&plan),
        ["make-image", "grant-access", "add-disk", "mount-disk"]
    );
    let undo: Vec<_> = plan.undo().iter().map(Action::word).collect();
    assert_eq!(
        undo,
        ["unmount", "remove-disk", "revoke-access", "remove-image"]
    );
}

/// Any mount that some platform can make.
pub(crate) fn any_mount(
    guest: GuestSystem,
    on_windows: bool,
) -> impl Strategy<Value = MountRequest> {
    let host = move |name: u8| {
        if on_windows {
            format!("C:\\host\\{name}")
        } else {
            format!("/host/{name}")
        }
    };
    let target = move |depth: Vec<u8>| match guest {
        Linux => depth
            .iter()
            .map(|name| format!("/{name}"))
            .collect::<String>(),
        Windows => format!(
            "C:{}",
            depth.iter().map(|n| format!("\\{n}")).collect::<String>()
        ),
    };
    let kinds = (0..4_u8, 0..20_u8, any::<bool>());
    (kinds, prop::collection::vec(0..6_u8, 1..4)).prop_map(
        move |((kind, name, read_only), depth)| {
            let source = match kind {
                0 => disk(&host(name), GuestFileSystem::Ntfs),
                1 => directory(&host(name)),
                2 => Source::File {
                    path: path(&host(name)),
                },
                _ => Source::Directory {
                    path: path(&host(name)),
                    create: true,
                    share_name: None,
                },
            };
            // One access a source, so that no two mounts of a disk contradict each other.
            let read_only = if kind == 0 { name % 2 == 0 } else { read_only };
            request(source, &target(depth), guest, read_only)
        },
    )
}

proptest! {
    #[test]
    fn every_plan_mounts_all_and_undoes_all(
        mounts in prop::collection::vec(any_mount(Linux, false), 0..12),
    ) {
        let mut seen = Vec::new();
        let mut distinct: Vec<MountRequest> = Vec::new();
        for mount in mounts {
            if !seen.contains(&mount.target.to_string()) {
                seen.push(mount.target.to_string());
                distinct.push(mount);
            }
        }
        let plan = Plan::new(platform(Qemu, Linux), &distinct).unwrap();
        let mut mounted: Vec<String> = Vec::new();
        let mut there: Vec<String> = Vec::new();
        for step in &plan.steps {
            match &step.action {
                Action::MountDisk { target, slot, .. } => {
                    prop_assert!(there.contains(&slot.to_string()));
                    mounted.push(target.to_string());
                }
                Action::MountShare { target, share } => {
                    prop_assert!(there.contains(&share.name));
                    mounted.push(target.to_string());
                }
                Action::AddDisk { slot, .. } => there.push(slot.to_string()),
                Action::AddShare(share) => {
                    prop_assert!(!there.contains(&share.name));
                    there.push(share.name.clone());
                }
                _ => {}
            }
            // Nothing is mounted over what lies below it.
            if let Some(last) = mounted.last() {
                let below = format!("{last}/");
                prop_assert!(!mounted.iter().any(|other| other.starts_with(&below)));
            }
        }
        prop_assert_eq!(mounted.len(), distinct.len());
        for action in plan.undo() {
            match action {
                Action::Unmount(target) => {
                    let target = target.to_string();
                    let below = format!("{target}/");
                    prop_assert!(!mounted.iter().any(|other| other.starts_with(&below)));
                    mounted.retain(|other| *other != target);
                }
                Action::RemoveDisk { slot, .. } => there.retain(|other| *other != slot.to_string()),
                Action::RemoveShare(share) => there.retain(|other| *other != share.name),
                _ => {}
            }
        }
        prop_assert!(mounted.is_empty() && there.is_empty());
    }
}
