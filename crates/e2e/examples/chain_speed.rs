//! Speed of reading through chains: a differencing VHDX of 1, 8 and 64 layers over a base, against a
//! VHDX that stands alone, the same random reads in turn.
//!
//! `chain_speed FOLDER [ROUNDS]` prints one line of JSON a case: median of the ratio chain to alone in
//! reads a second, from rounds that alternate the two. Each layer holds 2,000 runs of 4 KiB of its
//! own, scattered over the disk, so that the layers show through each other everywhere.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a measurement that cannot go on has failed"
)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use blockio::{ByteCount, ByteOffset, Disk, FileAccess, FileStorage};
use vdisk::{
    Access, ChildOptions, CreateOptions, FileIdentity, IdSource, ImageDisk, ImageError,
    ImageFormat, OpenedParent, ParentGate, ParentInfo, ParentNames,
};

const SIZE: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
const PAGE: u64 = 4096;
/// Pages that each layer holds.
const PAGES: u64 = 2000;
const READS: u64 = 200_000;

/// The gate of the file after which `older` follow, the youngest of them first.
struct Older(Vec<PathBuf>);

impl ParentGate for Older {
    fn identity(&self) -> Option<FileIdentity> {
        None
    }

    fn open_parent(
        &self,
        _format: ImageFormat,
        _parent: &ParentInfo,
        _descendants: &[FileIdentity],
    ) -> Result<OpenedParent, ImageError> {
        Ok(OpenedParent {
            storage: Box::new(FileStorage::open(&self.0[0], FileAccess::ReadOnly)?),
            name: self.0[0].display().to_string(),
            gate: Box::new(Older(self.0[1..].to_vec())),
        })
    }
}

fn create(path: &Path) -> Box<dyn ImageDisk> {
    let _ = std::fs::remove_file(path);
    let options = CreateOptions {
        block_size: Some(ByteCount(2 * MIB)),
        ..CreateOptions::new(ByteCount(SIZE))
    };
    let storage = FileStorage::create_new(path).unwrap();
    vdisk::create(Box::new(storage), ImageFormat::Vhdx, &options).unwrap()
}

/// A number that looks random, the same in every run.
fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

/// A base and `depth` children; their files, the youngest first.
fn chain(folder: &Path, depth: u64) -> Vec<PathBuf> {
    let mut files = vec![folder.join(format!("chain-{depth}-0.vhdx"))];
    let base = create(&files[0]);
    fill(&*base);
    base.close().unwrap();
    let options = ChildOptions {
        size: None,
        block_size: None,
        names: ParentNames {
            relative: Some(".\\base.vhdx".to_owned()),
            ..ParentNames::default()
        },
        ids: IdSource::Random,
        unix_time: 0,
    };
    for layer in 1..=depth {
        let path = folder.join(format!("chain-{depth}-{layer}.vhdx"));
        let _ = std::fs::remove_file(&path);
        let gate = Older(files.clone());
        let parent = gate.open_parent(ImageFormat::Vhdx, &ParentInfo::default(), &[]);
        let storage = Box::new(FileStorage::create_new(&path).unwrap());
        let child =
            vdisk::create_child(storage, ImageFormat::Vhdx, &options, parent.unwrap()).unwrap();
        for number in 0..PAGES {
            let page = scattered(layer * PAGES + number) % (SIZE / PAGE);
            child
                .write_at(&[layer.to_le_bytes()[0]; 4096], ByteOffset(page * PAGE))
                .unwrap();
        }
        child.close().unwrap();
        files.insert(0, path);
    }
    files
}

fn fill(disk: &dyn Disk) {
    let bytes = vec![0x5a; 1 << 20];
    for at in (0..SIZE).step_by(1 << 20) {
        disk.write_at(&bytes, ByteOffset(at)).unwrap();
    }
}

/// Random reads a second.
fn rate(disk: &dyn Disk) -> f64 {
    let mut buffer = vec![0; 4096];
    let start = Instant::now();
    for number in 0..READS {
        let page = scattered(number) % (SIZE / PAGE);
        disk.read_at(&mut buffer, ByteOffset(page * PAGE)).unwrap();
    }
    f64::from(u32::try_from(READS).unwrap()) / start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn compare(alone: &dyn Disk, folder: &Path, depth: u64, access: Access, rounds: usize) {
    let files = chain(folder, depth);
    let file_access = match access {
        Access::ReadOnly => FileAccess::ReadOnly,
        Access::ReadWrite => FileAccess::ReadWrite,
    };
    let storage = Box::new(FileStorage::open(&files[0], file_access).unwrap());
    let gate = Older(files[1..].to_vec());
    let disk = vdisk::open_chain(storage, None, access, &gate).unwrap();
    let (mut ratios, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    // The first round, which resolves the chain, is told apart.
    let first = rate(&*disk);
    rate(alone);
    for _ in 0..rounds {
        let (a, b) = (rate(&*disk), rate(alone));
        ratios.push(a / b);
        ours.push(a);
        theirs.push(b);
    }
    println!(
        "{{\"case\": \"depth {depth}, {}\", \"first_per_s\": {first:.0}, \"chain_per_s\": {:.0}, \
         \"alone_per_s\": {:.0}, \"ratio\": {:.3}}}",
        match access {
            Access::ReadOnly => "open for reading",
            Access::ReadWrite => "open for writing",
        },
        median(ours),
        median(theirs),
        median(ratios)
    );
    drop(disk);
    for file in files {
        std::fs::remove_file(file).unwrap();
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments
        .first()
        .expect("usage: chain_speed FOLDER [ROUNDS]");
    let folder = Path::new(folder);
    let rounds = arguments.get(1).map_or(5, |rounds| rounds.parse().unwrap());
    let path = folder.join("alone.vhdx");
    let disk = create(&path);
    fill(&*disk);
    disk.close().unwrap();
    let storage = Box::new(FileStorage::open(&path, FileAccess::ReadOnly).unwrap());
    let alone = vdisk::open(storage, None, Access::ReadOnly).unwrap();
    for depth in [1, 8, 64] {
        for access in [Access::ReadOnly, Access::ReadWrite] {
            compare(&*alone, folder, depth, access, rounds);
        }
    }
    std::fs::remove_file(path).unwrap();
}
