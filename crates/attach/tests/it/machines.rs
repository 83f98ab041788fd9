//! Machines in memory for the tests, with orders that use all that there is.

use std::time::Duration;

use attach::carry_out::{Operator, Order, Patience};
use attach::fake::{Snapshot, World};
use attach::ledger::{NewMount, Worker};
use attach::{GuestFileSystem, GuestSystem, Hypervisor, MountRequest, Platform, Source};

use crate::requests::{V2_9, directory, disk, path, platform, request, smb, temporary};

use GuestSystem::{Linux, Windows};

/// The platforms there are.
pub(crate) fn platforms() -> [Platform; 4] {
    [
        platform(Hypervisor::Qemu, Linux),
        platform(Hypervisor::Qemu, Windows),
        platform(V2_9, Linux),
        platform(V2_9, Windows),
    ]
}

/// `/a/b` as the host of a platform spells it.
pub(crate) fn host(platform: Platform, text: &str) -> String {
    match platform.hypervisor {
        Hypervisor::Qemu => text.to_owned(),
        Hypervisor::Hcs(_) => format!("C:{}", text.replace('/', "\\")),
    }
}

/// A host with files and directories, and a machine that has nothing.
pub(crate) fn world(platform: Platform) -> World {
    let world = World::new(platform);
    for name in ["/v", "/srv/ro"] {
        world.add_directory(&path(&host(platform, name)));
    }
    for number in 0..10 {
        world.add_file(&path(&host(platform, &format!("/v/{number}.vhdx"))));
    }
    world
}

pub(crate) fn image(platform: Platform, number: usize) -> Source {
    disk(
        &host(platform, &format!("/v/{number}.vhdx")),
        GuestFileSystem::Ntfs,
    )
}

pub(crate) fn mount(
    platform: Platform,
    source: Source,
    target: &str,
    read_only: bool,
) -> MountRequest {
    request(source, target, platform.guest, read_only)
}

/// A disk, a directory for reading that others use too, one for writing that has to be made and lies in
/// the disk, an SMB share, a temporary volume. Where there are no directories, disks instead.
pub(crate) fn five_mounts(platform: Platform) -> Vec<MountRequest> {
    let has_shares = platform
        != Platform {
            hypervisor: Hypervisor::Qemu,
            guest: Windows,
        };
    let (for_reading, for_writing) = if has_shares {
        let made = Source::Directory {
            path: path(&host(platform, "/srv/new/deep")),
            create: true,
            share_name: None,
        };
        (directory(&host(platform, "/srv/ro")), made)
    } else {
        (image(platform, 1), image(platform, 2))
    };
    vec![
        mount(platform, for_writing, "/data/inner", false),
        mount(platform, image(platform, 0), "/data", false),
        mount(platform, for_reading, "/ro", true),
        mount(platform, smb("//server/share"), "/smb", false),
        mount(
            platform,
            temporary(&host(platform, "/v/temporary.vhdx")),
            "/scratch",
            false,
        ),
    ]
}

/// What was attached before, and shares a directory and a disk with the five mounts.
pub(crate) fn earlier_mounts(platform: Platform) -> Vec<MountRequest> {
    let shared = five_mounts(platform)[2].source.clone();
    vec![
        mount(platform, shared, "/earlier/shared", true),
        mount(platform, image(platform, 9), "/earlier/disk", false),
    ]
}

pub(crate) fn order(owner: &str, requests: &[MountRequest]) -> Order {
    let mounts = requests.iter().map(|request| {
        let new = NewMount {
            source: request.target.to_string(),
            reference: Some(format!("{owner} {}", request.target)),
        };
        (request.clone(), new)
    });
    Order {
        owner: owner.to_owned(),
        since: 1_790_000_000,
        mounts: mounts.collect(),
    }
}

/// An operator who waits for nothing, and takes every other one for dead.
pub(crate) fn operator<'w>(world: &'w World, name: &str) -> Operator<'w> {
    Operator {
        pause: &|_: Duration| {},
        patience: Patience {
            tries: 3,
            between: Duration::ZERO,
            looks: 3,
        },
        ..Operator::new(world, world, world, world, Worker(name.to_owned()))
    }
}

/// Nobody was hurt, and all that there is is what there was.
#[track_caller]
pub(crate) fn check_same(found: &Snapshot, expected: &Snapshot, world: &World, context: &str) {
    assert_eq!(world.damage(), [""; 0], "{context}");
    assert_eq!(found, expected, "{context}\n{}", world.log().join("\n"));
}
