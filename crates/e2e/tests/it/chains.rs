//! Chains of differencing images that the command and the library make, as other programs read them.
//!
//! Judges: `vhdimount` of libvhdi for VHDX (it misreads VHD children whose bitmaps have mixed bytes),
//! 7-Zip for VHD; QEMU for neither, since it ignores parents or refuses them. Both judges find the
//! parents by the relative names that the command wrote.

use std::path::{Path, PathBuf};

use blockio::{ByteCount, ByteOffset, ByteRange, FileAccess, FileStorage};
use vdisk::{
    Access, FileIdentity, ImageDisk, ImageError, ImageFormat, OpenedParent, ParentGate, ParentInfo,
};

use crate::command::Cvol;
use crate::random::Random;
use crate::tools;

const SIZE: u64 = 24 << 20;

/// The gate to files in the order in which they follow each other.
struct Files(Vec<PathBuf>);

impl ParentGate for Files {
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
            gate: Box::new(Files(self.0[1..].to_vec())),
        })
    }
}

/// Opens the first of `files`, whose parents are the others.
fn open(files: &[PathBuf]) -> Box<dyn ImageDisk> {
    let storage = FileStorage::open(&files[0], FileAccess::ReadWrite).unwrap();
    let gate = Files(files[1..].to_vec());
    vdisk::open_chain(Box::new(storage), None, Access::ReadWrite, &gate).unwrap()
}

/// Scattered writes, zeros and discards on the disk and on a model of its bytes.
fn scribble(disk: &dyn ImageDisk, model: &mut [u8], random: &mut Random) {
    for number in 0..300 {
        let length = match random.below(5) {
            0 => 1 + random.below(3000),
            1 => 65536 + random.below(3 << 20),
            _ => 512 * (1 + random.below(9)),
        };
        let start = random.below(SIZE - length) / 512 * 512;
        let range = ByteRange::new(ByteOffset(start), ByteCount(length)).unwrap();
        let from = usize::try_from(start).unwrap();
        let held = &mut model[from..from + usize::try_from(length).unwrap()];
        match random.below(6) {
            0 => {
                disk.discard(range).unwrap();
                held.fill(0);
            }
            1 => {
                disk.write_zeroes(range).unwrap();
                held.fill(0);
            }
            _ => {
                held.copy_from_slice(&random.bytes(held.len()));
                disk.write_at(held, range.start()).unwrap();
            }
        }
        if number % 100 == 50 {
            disk.flush().unwrap();
        }
    }
}

/// A base and so many generations of children, the youngest first, and what the youngest shows.
fn family(cvol: &Cvol, extension: &str, generations: u32) -> (Vec<PathBuf>, Vec<u8>) {
    let mut random = Random(0x5eed);
    let mut model = vec![0; usize::try_from(SIZE).unwrap()];
    model[5 << 20..9 << 20].copy_from_slice(&random.bytes(4 << 20));
    let raw = cvol.work().join("base.raw");
    std::fs::write(&raw, &model).unwrap();
    let mut files = vec![cvol.work().join(format!("generation-0.{extension}"))];
    cvol.ok(&["convert", raw.to_str().unwrap(), files[0].to_str().unwrap()]);
    for generation in 1..=generations {
        let child = cvol
            .work()
            .join(format!("generation-{generation}.{extension}"));
        cvol.ok(&[
            "diff-create",
            files[0].to_str().unwrap(),
            child.to_str().unwrap(),
        ]);
        files.insert(0, child);
        let disk = open(&files);
        scribble(&*disk, &mut model, &mut random);
        disk.close().unwrap();
    }
    cvol.ok(&["check", files[0].to_str().unwrap()]);
    (files, model)
}

fn digest_of(model: &[u8], folder: &Path) -> String {
    let path = folder.join("model.raw");
    std::fs::write(&path, model).unwrap();
    tools::sha256(&path)
}

#[test]
fn a_chain_converts_to_the_bytes_that_were_written_to_it() {
    for extension in ["vhdx", "vhd"] {
        let cvol = Cvol::new();
        let (files, model) = family(&cvol, extension, 3);
        let flat = cvol.work().join("flat.raw");
        cvol.ok(&[
            "convert",
            files[0].to_str().unwrap(),
            flat.to_str().unwrap(),
        ]);
        assert_eq!(
            tools::sha256(&flat),
            digest_of(&model, cvol.work()),
            "{extension}"
        );
    }
}

#[test]
fn libvhdi_reads_a_chain_of_vhdx_as_we_do() {
    if !tools::needs(&["vhdimount", "fusermount3"]) || !Path::new("/dev/fuse").exists() {
        return;
    }
    let cvol = Cvol::new();
    let (files, model) = family(&cvol, "vhdx", 3);
    let mount = cvol.work().join("mount");
    std::fs::create_dir(&mount).unwrap();
    tools::run("vhdimount", &[&files[0], &mount]);
    // One file a layer; the last is the youngest.
    let seen = tools::sha256(&mount.join("vhdi4"));
    tools::run("fusermount3", &[&"-u", &mount]);
    assert_eq!(seen, digest_of(&model, cvol.work()));
}

/// Prints the digest of the disk in a VHDX. A read must not cross the end of a block, and there is one
/// child alone: this reader goes on with what lies behind a block in the file, and takes too short a
/// piece of a bitmap where a child asks it for sectors that do not begin with a byte.
const DISSECT: &str = "
import hashlib, pathlib, sys
from dissect.hypervisor.disk.vhdx import VHDX
disk, digest = VHDX(pathlib.Path(sys.argv[1])), hashlib.sha256()
for start in range(0, disk.size, 1 << 20):
    disk.seek(start)
    digest.update(disk.read(min(1 << 20, disk.size - start)))
print(digest.hexdigest())
";

#[test]
fn dissect_reads_a_chain_of_vhdx_as_we_do() {
    let Some(python) = tools::dissect() else {
        return;
    };
    let cvol = Cvol::new();
    let (files, model) = family(&cvol, "vhdx", 1);
    let python = python.to_str().unwrap();
    let seen = tools::run(python, &[&"-c", &DISSECT, &files[0]]);
    assert_eq!(seen.trim(), digest_of(&model, cvol.work()));
}

#[test]
fn seven_zip_reads_a_chain_of_vhd_as_we_do() {
    if !tools::needs(&["7z"]) {
        return;
    }
    let cvol = Cvol::new();
    let (files, model) = family(&cvol, "vhd", 3);
    let output = tools::output("7z", &[&"x", &"-so", &"-tVHD", &files[0]]);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout == model);
}
