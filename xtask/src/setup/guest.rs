//! What a virtual machine of the tests boots: a kernel that has the file systems to judge ours, and
//! a small system in memory that runs one job and ends, or the agent.
//!
//! Both come from Debian's packages, unpacked beside the system and never installed: the kernel of a
//! suite that still has `ntfs3` (6.12; those before lack features, those behind dropped it), its
//! modules, and a busybox without libraries. The end-to-end tests find the pieces in
//! `target/guest`: `vmlinuz`, `initramfs.cpio`, and `busybox` for running the same scripts outside.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::suite::{self, Suite};
use crate::failure::{Failure, Outcome};
use crate::{process, workspace};

/// Suites of Debian whose kernel has `ntfs3`.
const SUITES: [&str; 2] = ["trixie", "bookworm-backports"];

/// The package that depends on the kernel of the suite.
const KERNEL: &str = "linux-image-amd64";

/// Modules that jobs or the agent may load; those that they need come with them. Built into the kernel
/// are the PCI bus, the console of virtio, FUSE and virtiofs; others are in some kernels alone.
const MODULES: [&str; 55] = [
    // How jobs come in.
    "qemu_fw_cfg",
    // Disks.
    "virtio_blk",
    "virtio_scsi",
    "sd_mod",
    "sr_mod",
    "loop",
    // File systems, with the character sets of names.
    "ntfs3",
    "vfat",
    "exfat",
    "ext4",
    "xfs",
    "isofs",
    "nls_utf8",
    "nls_ascii",
    "nls_cp437",
    "nls_iso8859_1",
    "crc32c_generic",
    "crc32c_intel",
    "libcrc32c",
    // Shares.
    "9p",
    "9pnet_virtio",
    "9pnet_fd",
    "virtiofs",
    "cifs",
    // What signs and encrypts them, which the drivers ask for by name alone.
    "aes_generic",
    "aesni_intel",
    "cbc",
    "ccm",
    "cmac",
    "crypto_null",
    "ctr",
    "ecb",
    "des_generic",
    "gcm",
    "ghash_generic",
    "ghash_clmulni_intel",
    "hmac",
    "md5",
    "seqiv",
    "sha256_generic",
    "sha512_generic",
    "sha512_ssse3",
    "nls_ucs2_utils",
    "dns_resolver",
    // Ways to talk.
    "virtio_console",
    "vsock",
    "vmw_vsock_virtio_transport",
    "virtio_net",
    "af_packet",
    "virtio_rng",
    // On Hyper-V.
    "hv_vmbus",
    "hv_storvsc",
    "hv_netvsc",
    "hv_sock",
    "hv_utils",
];

/// Counts changes of what the pieces are made of: pieces of another number are made anew.
const RECIPE: &str = "3";

/// The first process of the guest.
const INIT: &str = include_str!("guest_init.sh");

/// Where the pieces are.
pub(crate) fn folder() -> PathBuf {
    workspace::target().join("guest")
}

/// Fetches and makes the pieces where they are not here.
pub(crate) fn prepare() -> Outcome {
    let done = folder().join("recipe");
    if workspace::read_text(&done).is_ok_and(|text| text == RECIPE) {
        return Ok(());
    }
    workspace::empty_scratch("guest")?;
    let mut last = Failure::new("no suite has a kernel");
    for name in SUITES {
        match make(name) {
            Ok(()) => return workspace::write(&done, RECIPE),
            Err(failure) => last = failure,
        }
    }
    Err(Failure::new(format!(
        "the kernel of the tests cannot be had: {last}"
    )))
}

fn make(suite_name: &str) -> Outcome {
    let packages = unpack(suite_name)?;
    let (modules, version) = modules_folder(&packages)?;
    let kernel = packages.join(format!("boot/vmlinuz-{version}"));
    copy(&kernel, &folder().join("vmlinuz"))?;
    let busybox = folder().join("busybox");
    let unpacked = ["usr/bin/busybox", "bin/busybox"].map(|path| packages.join(path));
    let unpacked = unpacked.iter().find(|path| path.is_file());
    let unpacked = unpacked.ok_or_else(|| Failure::new("the package has no busybox"))?;
    copy(unpacked, &busybox)?;

    let root = workspace::empty_scratch("guest/root")?;
    let inside = root.join("lib/modules").join(&version);
    for (name, file) in needed(&modules)? {
        let target = inside.join(format!("kernel/{name}.ko"));
        decompress(&file, &target)?;
    }
    for list in [
        "modules.builtin",
        "modules.builtin.modinfo",
        "modules.order",
    ] {
        copy(&modules.join(list), &inside.join(list))?;
    }
    process::run(tool("depmod").arg("-b").arg(&root).arg(&version))?;
    system(&root, &busybox)?;
    ext4_maker(&packages, &root)?;
    pack(&root, &busybox)?;
    // All else was a step on the way.
    workspace::remove_tree(&root)?;
    workspace::remove_tree(&folder().join("packages"))
}

/// The package that makes ext4 in the guest, and what its program needs.
const EXT4_MAKER: &str = "e2fsprogs";
const EXT4_LIBRARIES: [&str; 6] = [
    "libext2fs.so.2",
    "libcom_err.so.2",
    "libblkid.so.1",
    "libuuid.so.1",
    "libe2p.so.2",
    "libc.so.6",
];

/// Downloads the packages of a suite and unpacks them into one folder.
fn unpack(suite_name: &str) -> Result<PathBuf, Failure> {
    let folder = workspace::empty_scratch("guest/packages")?;
    let apt = Suite::configure(&folder, suite_name)?;
    apt.update()?;
    let kernels = apt.dependencies(KERNEL)?;
    let kernel = kernels
        .iter()
        .find(|name| name.starts_with("linux-image-6.12."))
        .ok_or_else(|| Failure::new(format!("{suite_name} has no kernel 6.12")))?;
    let root = folder.join("root");
    suite::unpack(&apt.download(kernel)?, &root)?;
    let mut others = apt;
    if others.versions(EXT4_MAKER)?.is_empty() {
        // The suite only adds to the machine's own.
        others = Suite::configure(&folder, "stable")?;
        others.update()?;
    }
    let mut packages = others.libraries(EXT4_MAKER)?;
    packages.extend(["busybox-static", EXT4_MAKER].map(str::to_owned));
    for package in &packages {
        suite::unpack(&others.download(package)?, &root)?;
    }
    Ok(root)
}

/// The folder of the modules, and the version of the kernel, which is its name.
fn modules_folder(packages: &Path) -> Result<(PathBuf, String), Failure> {
    let folders = ["usr/lib/modules", "lib/modules"].map(|path| packages.join(path));
    let entries = folders.iter().filter_map(|path| path.read_dir().ok());
    let found = entries.flatten().flatten().next();
    let found = found.ok_or_else(|| Failure::new("the package of the kernel has no modules"))?;
    let version = found.file_name().to_string_lossy().into_owned();
    Ok((found.path(), version))
}

/// The modules wanted and all that they need: name and file.
fn needed(modules: &Path) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut files = BTreeMap::new();
    collect(&modules.join("kernel"), &mut files)?;
    let mut wanted: Vec<String> = MODULES.map(str::to_owned).to_vec();
    let mut seen = BTreeSet::new();
    let mut needed = BTreeMap::new();
    while let Some(name) = wanted.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        // What has no file is built in.
        let Some(file) = files.get(&name) else {
            continue;
        };
        let mut command = tool("modinfo");
        command.args(["-F", "depends"]).arg(file);
        let depends = process::capture(&mut command)?;
        let names = depends.trim().split(',').filter(|name| !name.is_empty());
        wanted.extend(names.map(|name| name.replace('-', "_")));
        needed.insert(name, file.clone());
    }
    if needed.contains_key("ntfs3") {
        return Ok(needed);
    }
    Err(Failure::new("the kernel has no ntfs3"))
}

/// Every module below a folder by its name, which has no `-`.
fn collect(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Outcome {
    let entries =
        std::fs::read_dir(folder).map_err(|error| Failure::io("listing", folder, &error))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files)?;
            continue;
        }
        let file = entry.file_name().to_string_lossy().into_owned();
        if let Some((name, _)) = file.split_once(".ko") {
            files.insert(name.replace('-', "_"), path);
        }
    }
    Ok(())
}

/// Writes a module as it is loaded fastest: plain.
fn decompress(module: &Path, target: &Path) -> Outcome {
    if module.extension().is_some_and(|end| end == "ko") {
        return copy(module, target);
    }
    let output = process::output(Command::new("xz").arg("-dc").arg(module))?;
    if !output.status.success() {
        return Err(Failure::new(format!(
            "{} is not packed by xz",
            module.display()
        )));
    }
    workspace::write(target, output.stdout)
}

/// Lays out the system around the modules: busybox by all its names, and the first process.
fn system(root: &Path, busybox: &Path) -> Outcome {
    for name in ["bin", "sbin", "dev", "proc", "sys", "run", "tmp", "mnt"] {
        let path = root.join(name);
        std::fs::create_dir_all(&path).map_err(|error| Failure::io("making", &path, &error))?;
    }
    copy(busybox, &root.join("bin/busybox"))?;
    let names = process::capture(Command::new(busybox).arg("--list"))?;
    for name in names.lines().filter(|name| *name != "busybox") {
        link("busybox", &root.join("bin").join(name))?;
    }
    workspace::write(&root.join("init"), INIT)?;
    workspace::make_executable(&root.join("init"))
}

/// The program that makes ext4, with its libraries where it looks for them.
fn ext4_maker(packages: &Path, root: &Path) -> Outcome {
    let machine = format!("{}-linux-gnu", std::env::consts::ARCH);
    copy_first(
        packages,
        &["usr/sbin/mke2fs", "sbin/mke2fs"],
        &root.join("sbin/mke2fs"),
    )?;
    for library in EXT4_LIBRARIES {
        let places = [
            format!("usr/lib/{machine}/{library}"),
            format!("lib/{machine}/{library}"),
        ];
        let places = [places[0].as_str(), places[1].as_str()];
        copy_first(packages, &places, &root.join("lib").join(library))?;
    }
    // The one path that is written in the program itself.
    let loader = "lib64/ld-linux-x86-64.so.2";
    let inside = [
        format!("usr/lib/{machine}/ld-linux-x86-64.so.2"),
        format!("lib/{machine}/ld-linux-x86-64.so.2"),
    ];
    copy_first(packages, &[&inside[0], &inside[1]], &root.join(loader))?;
    workspace::make_executable(&root.join(loader))?;
    workspace::make_executable(&root.join("sbin/mke2fs"))
}

/// Copies the file that is at the first of these places that has one.
fn copy_first(folder: &Path, places: &[&str], to: &Path) -> Outcome {
    let mut places_there = places.iter().map(|place| folder.join(place));
    let found = places_there.find(|path| path.is_file());
    let found = found.ok_or_else(|| Failure::new(format!("the packages have no {}", places[0])))?;
    copy(&found, to)
}

/// Packs the system as the kernel unpacks it.
fn pack(root: &Path, busybox: &Path) -> Outcome {
    let target = folder().join("initramfs.cpio");
    let file =
        std::fs::File::create(&target).map_err(|error| Failure::io("making", &target, &error))?;
    let script = "find . | sort | \"$0\" cpio -o -H newc";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(busybox).current_dir(root);
    process::run_quietly(command.stdout(file))
}

/// A program that is not on every user's path.
fn tool(program: &str) -> Command {
    Command::new(process::find(program).unwrap_or_else(|| program.into()))
}

fn copy(from: &Path, to: &Path) -> Outcome {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).map_err(|error| Failure::io("making", parent, &error))?;
    }
    std::fs::copy(from, to).map_err(|error| Failure::io("copying", from, &error))?;
    Ok(())
}

#[cfg(unix)]
fn link(to: &str, at: &Path) -> Outcome {
    std::os::unix::fs::symlink(to, at).map_err(|error| Failure::io("linking", at, &error))
}

#[cfg(not(unix))]
fn link(_to: &str, at: &Path) -> Outcome {
    Err(Failure::new(format!("no link {}", at.display())))
}
