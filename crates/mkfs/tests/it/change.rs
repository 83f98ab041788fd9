//! Volumes changed at rest, against a plain model of files and directories.

use std::ops::ControlFlow;

use blockio::{ByteCount, Disk, MIB, MemoryDisk, MemoryStorage, SectorSize};
use mkfs::change::{ChangeError, ChangeOptions, PathNames, VolumeChange};
use mkfs::ntfs::NtfsOptions;
use mkfs::tree::memory::MemoryTree;
use mkfs::{NamePolicy, NodeId, NodeName, NtTime};

use super::ntfs_reader::Reader;
use super::random::Random;

fn go_on(_: u64, _: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn options() -> ChangeOptions {
    ChangeOptions {
        now: NtTime::from_unix(1_800_000_000, 0),
        name_policy: NamePolicy::Map,
    }
}

fn path(text: &str) -> PathNames {
    PathNames::new(text).unwrap()
}

fn ntfs(size: u64, cluster: Option<u64>) -> MemoryDisk {
    let disk = MemoryDisk::new(ByteCount(size), SectorSize::B512).unwrap();
    let options = NtfsOptions {
        cluster_size: cluster.map(ByteCount),
        time: NtTime::from_unix(1_700_000_000, 0),
        ..NtfsOptions::default()
    };
    mkfs::ntfs::format(&disk, &options, None, &go_on).unwrap();
    disk
}

/// Does one change, all of it or nothing.
fn change<T>(
    disk: &dyn Disk,
    work: impl FnOnce(&mut VolumeChange<'_>) -> Result<T, ChangeError>,
) -> Result<T, ChangeError> {
    let mut volume = VolumeChange::open(disk, options())?;
    let result = work(&mut volume)?;
    volume.finish()?.commit(disk, &MemoryStorage::default())?;
    Ok(result)
}

/// Puts the volume where the tools can look at it.
fn dump(disk: &MemoryDisk, name: &str) {
    if let Some(folder) = std::env::var_os("CVOL_DUMP") {
        std::fs::write(std::path::Path::new(&folder).join(name), disk.to_bytes()).unwrap();
    }
}

#[test]
fn a_directory_of_ten_thousand_names_grows_and_shrinks_in_any_order() {
    for (number, order) in ["ascending", "descending", "random"]
        .into_iter()
        .enumerate()
    {
        let disk = ntfs(64 * MIB, None);
        let mut names: Vec<String> = (0..10_000).map(|n| format!("name-{n:05}.txt")).collect();
        match order {
            "descending" => names.reverse(),
            "random" => shuffle(&mut names, &mut Random::new(7)),
            _ => {}
        }
        let mut tree = MemoryTree::new();
        for name in &names {
            tree.add_file(
                NodeId::ROOT,
                NodeName::from_text(name).unwrap(),
                name.as_bytes(),
            );
        }
        change(&disk, |volume| {
            volume.make_directory(&path("/d"), false)?;
            volume.add_tree(&path("/d"), &mut tree.source(), &go_on)
        })
        .unwrap();
        dump(&disk, &format!("grown-{order}.ntfs"));
        let mut reader = Reader::new(disk.to_bytes());
        assert_eq!(reader.walk().len(), 10_001, "{order}");
        shuffle(&mut names, &mut Random::new(u64::try_from(number).unwrap()));
        for (part, names) in names.chunks(2_500).enumerate() {
            change(&disk, |volume| {
                for name in names {
                    volume.remove(&path(&format!("/d/{name}")), false)?;
                }
                Ok(())
            })
            .unwrap();
            let mut reader = Reader::new(disk.to_bytes());
            assert_eq!(reader.walk().len(), 10_001 - 2_500 * (part + 1), "{order}");
            dump(&disk, &format!("shrunk-{order}-{part}.ntfs"));
        }
    }
}

fn shuffle<T>(items: &mut [T], random: &mut Random) {
    for at in (1..items.len()).rev() {
        let other = random.below(u64::try_from(at).unwrap() + 1);
        items.swap(at, usize::try_from(other).unwrap());
    }
}
