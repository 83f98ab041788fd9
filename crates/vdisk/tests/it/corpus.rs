//! Every image of the corpus (made by Windows, disk2vhd, QEMU and others) reads as its manifest
//! says; differencing ones together with their parents, and refused without.
//!
//! The corpus is not part of the repository: `CVOL_CORPUS` says where it is, else it is looked for
//! beside the workspace. Absent, the test says so and passes at a desk; with `CI=true` it fails.

use std::fs;
use std::path::{Path, PathBuf};

use blockio::{ByteOffset, Disk, MemoryDisk, MemoryStorage, SparseMemoryStorage, Storage};
use sha2::{Digest, Sha256};
use vdisk::{Access, ImageErrorKind, ImageFormat, ImageKind};

use crate::gates::Shelf;
use crate::images;

struct Entry {
    name: String,
    format: ImageFormat,
    kind: String,
    size: u64,
    digest: String,
    parent: Option<String>,
}

fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let folder = std::env::var_os("CVOL_CORPUS").map_or(beside, PathBuf::from);
    if folder.join("manifest.tsv").is_file() {
        return Some(folder);
    }
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!in_ci, "the corpus is absent: {}", folder.display());
    println!("skipped, the corpus is absent: {}", folder.display());
    None
}

fn entries(folder: &Path) -> Vec<Entry> {
    let manifest = fs::read_to_string(folder.join("manifest.tsv")).unwrap();
    let lines = manifest.lines().filter(|line| !line.starts_with('#'));
    lines.map(entry).collect()
}

fn entry(line: &str) -> Entry {
    let fields: Vec<&str> = line.split('\t').collect();
    let (format, kind) = fields[1].split_once(' ').unwrap();
    Entry {
        name: fields[0].to_owned(),
        format: format.to_lowercase().parse().unwrap(),
        kind: kind.to_owned(),
        size: fields[2].parse().unwrap(),
        digest: fields[3].to_owned(),
        parent: fields
            .get(4)
            .map(|name| name.to_string())
            .filter(|name| !name.is_empty()),
    }
}

fn load(folder: &Path, name: &str) -> Vec<u8> {
    let packed = fs::File::open(folder.join(format!("{name}.zst"))).unwrap();
    zstd::stream::decode_all(packed).unwrap()
}

fn digest(disk: &dyn Disk) -> String {
    let mut hash = Sha256::new();
    let mut buf = vec![0; 1 << 20];
    let (mut at, size) = (0, disk.size().get());
    while at < size {
        let len = usize::try_from(size - at).unwrap().min(buf.len());
        disk.read_at(&mut buf[..len], ByteOffset(at)).unwrap();
        hash.update(&buf[..len]);
        at += u64::try_from(len).unwrap();
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

fn check(entry: &Entry, bytes: Vec<u8>, parent: Option<Vec<u8>>) {
    let name = &entry.name;
    let before = bytes.clone();
    let file = std::sync::Arc::new(MemoryStorage::from_bytes(bytes));
    assert_eq!(vdisk::probe(&file).unwrap(), entry.format, "{name}");
    let info = vdisk::info(&file, None).unwrap();
    let differencing = entry.kind.starts_with("differencing");
    assert_eq!(info.virtual_size.get(), entry.size, "{name}");
    assert_eq!(info.kind == ImageKind::Differencing, differencing, "{name}");
    assert!(!info.ids.is_empty(), "{name}");
    let opened = vdisk::open(Box::new(file.clone()), None, Access::ReadOnly);
    if differencing {
        let named = info.parent.unwrap();
        assert!(named.linkage.is_some() && !named.paths.is_empty(), "{name}");
        let kind = opened.err().map(|error| error.kind());
        assert_eq!(kind, Some(ImageErrorKind::Differencing), "{name}");
        let parent = SparseMemoryStorage::from_bytes(&parent.unwrap());
        let gate = Shelf::new([("parent", parent.into())]).gate_of("child", &["parent"]);
        let child = Box::new(file.clone());
        let disk = vdisk::open_chain(child, None, Access::ReadOnly, &gate)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(digest(&*disk), entry.digest, "{name}");
        let read = images::read_by_status(&*disk);
        let by_status = MemoryDisk::new(disk.size(), disk.logical_sector_size()).unwrap();
        by_status.write_at(&read, ByteOffset(0)).unwrap();
        assert_eq!(digest(&by_status), entry.digest, "{name}");
    } else {
        let disk = opened.unwrap_or_else(|error| panic!("{name}: {error}"));
        if entry.digest != "-" {
            assert_eq!(digest(&*disk), entry.digest, "{name}");
        }
        disk.close().unwrap();
    }
    let report = vdisk::check(&file, None).unwrap();
    assert!(report.is_sound(), "{name}: {:?}", report.findings());
    let mut after = vec![0; before.len()];
    assert_eq!(
        file.len().unwrap().get(),
        u64::try_from(before.len()).unwrap()
    );
    file.read_at(&mut after, ByteOffset(0)).unwrap();
    assert!(after == before, "{name}: reading changed it");
}

fn check_all(format: ImageFormat) {
    let Some(folder) = corpus() else {
        return;
    };
    let entries = entries(&folder);
    let of_format = entries.iter().filter(|entry| entry.format == format);
    let mut count = 0;
    for entry in of_format {
        let parent = entry.parent.as_ref().map(|name| load(&folder, name));
        check(entry, load(&folder, &entry.name), parent);
        count += 1;
    }
    assert!(count > 0, "the manifest names no {format} image");
}

#[test]
fn every_vhd_of_the_corpus_reads_as_its_manifest_says() {
    check_all(ImageFormat::Vhd);
}

#[test]
fn every_vhdx_of_the_corpus_reads_as_its_manifest_says() {
    check_all(ImageFormat::Vhdx);
}
