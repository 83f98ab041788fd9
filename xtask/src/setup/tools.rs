//! The programs of others that we use, what each is for, and the package that has it.

/// A purpose that needs programs; a verb asks for the groups that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// To compile cvol at all.
    Build,
    /// What the demonstration shows its image to.
    Demo,
    /// The judges of the end-to-end tests.
    Test,
    /// To compile for Windows.
    Windows,
    /// To run what was compiled for Windows.
    Wine,
    /// The peers of the benchmarks.
    Bench,
    /// To compile libFuzzer.
    Fuzz,
}

impl Group {
    /// Every group, with its name on the command line.
    pub(crate) const ALL: [(&str, Self); 7] = [
        ("build", Self::Build),
        ("demo", Self::Demo),
        ("test", Self::Test),
        ("windows", Self::Windows),
        ("wine", Self::Wine),
        ("bench", Self::Bench),
        ("fuzz", Self::Fuzz),
    ];
}

/// One program of others.
#[derive(Debug)]
pub(crate) struct Tool {
    /// Its name on the path.
    pub(crate) program: &'static str,
    /// The packages of Debian and Ubuntu that have it; the first is where it is.
    pub(crate) packages: &'static [&'static str],
    /// Who needs it.
    pub(crate) groups: &'static [Group],
}

const fn tool(
    program: &'static str,
    packages: &'static [&'static str],
    groups: &'static [Group],
) -> Tool {
    Tool {
        program,
        packages,
        groups,
    }
}

use Group::{Bench, Build, Demo, Fuzz, Test, Windows, Wine};

/// Every program of others that some verb uses.
pub(crate) const TOOLS: &[Tool] = &[
    tool("cc", &["gcc", "libc6-dev"], &[Build]),
    tool("qemu-img", &["qemu-utils"], &[Demo, Test, Bench]),
    tool("qemu-nbd", &["qemu-utils"], &[Bench]),
    tool("qemu-io", &["qemu-utils"], &[Test, Bench]),
    tool("ntfs-3g", &["ntfs-3g"], &[Test, Bench]),
    tool("mkntfs", &["ntfs-3g"], &[Test, Bench]),
    tool("wimapply", &["wimtools"], &[Bench]),
    tool("mke2fs", &["e2fsprogs"], &[Test, Bench]),
    tool("e2fsck", &["e2fsprogs"], &[Test]),
    tool("unshare", &["util-linux"], &[Test]),
    tool("ntfsfix", &["ntfs-3g"], &[Test]),
    tool("ntfsinfo", &["ntfs-3g"], &[Test]),
    tool("ntfsresize", &["ntfs-3g"], &[Test]),
    tool("ntfscluster", &["ntfs-3g"], &[Test]),
    tool("ntfscat", &["ntfs-3g"], &[Test]),
    tool("fusermount3", &["fuse3"], &[Test]),
    tool("mkfs.fat", &["dosfstools"], &[Test]),
    tool("fsck.fat", &["dosfstools"], &[Test]),
    tool("mdir", &["mtools"], &[Test]),
    tool("mtype", &["mtools"], &[Test]),
    tool("sgdisk", &["gdisk"], &[Test]),
    tool("sfdisk", &["fdisk"], &[Test]),
    tool("vhdiinfo", &["libvhdi-utils"], &[Test]),
    tool("7z", &["p7zip-full"], &[Test]),
    tool("fls", &["sleuthkit"], &[Test]),
    tool("nbdinfo", &["libnbd-bin"], &[Test]),
    tool("nbdcopy", &["libnbd-bin"], &[Test, Bench]),
    tool("fio", &["fio"], &[Test, Bench]),
    tool("smbd", &["samba"], &[Test]),
    tool("smbclient", &["smbclient"], &[Test]),
    tool("getfattr", &["attr"], &[Test]),
    tool("bsdtar", &["libarchive-tools"], &[Test]),
    tool("zstd", &["zstd"], &[Test]),
    tool("xz", &["xz-utils"], &[Test]),
    tool("python3", &["python3"], &[Test]),
    tool("qemu-system-x86_64", &["qemu-system-x86"], &[Demo, Test]),
    tool("depmod", &["kmod"], &[Test]),
    tool("venv of python3", &["python3-venv"], &[Test]),
    tool("strace", &["strace"], &[Test, Bench]),
    tool("c++", &["g++"], &[Test, Fuzz]),
    tool("valgrind", &["valgrind"], &[Test]),
    tool("pkg-config", &["pkg-config"], &[Test]),
    tool("cmake", &["cmake"], &[Test]),
    tool(
        "x86_64-w64-mingw32-gcc",
        &["gcc-mingw-w64-x86-64"],
        &[Windows],
    ),
    tool(
        "x86_64-w64-mingw32-g++",
        &["g++-mingw-w64-x86-64-win32"],
        &[Windows],
    ),
    tool("wine64", &["wine64"], &[Wine]),
];

impl Tool {
    /// Whether the program is on this machine.
    pub(crate) fn is_here(&self) -> bool {
        match self.program {
            "wine64" => crate::windows::wine_is_here(),
            "venv of python3" => super::dissect::venv_is_here(),
            program => crate::process::find(program).is_some(),
        }
    }
}
