//! A virtual machine with a real kernel, for what this machine's kernel lacks. It boots what
//! `cargo xtask setup` made in `target/guest` (no hardware support is needed), runs one job, a shell
//! script, and ends; what the job prints comes back.
//!
//! ```text
//!   test ── job ──> QEMU (fw_cfg) ──> init of the guest ──> sh job
//!   test <── report ── virtio port `report` <── what it prints
//!        <── console ── what the kernel and the job complain of
//! ```
//!
//! A boot takes some seconds, so a test gathers all that it wants to ask into one job.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::tools;

/// Tells all that a file system knows, a line a file: `describe FOLDER`. Jobs may begin with it.
pub(crate) const DESCRIBE: &str = include_str!("describe.sh");

/// The pieces that a guest is made of.
pub(crate) struct Pieces(PathBuf);

impl Pieces {
    /// `CVOL_GUEST`, or where `cargo xtask setup` puts them. `None` where they or QEMU are absent (a
    /// failure in CI).
    pub(crate) fn find() -> Option<Self> {
        if !tools::needs(&["qemu-system-x86_64"]) {
            return None;
        }
        let folder = tools::made_by_setup("CVOL_GUEST", "guest");
        if folder.join("recipe").is_file() {
            return Some(Self(folder));
        }
        tools::absent(&format!("kernel to boot in {}", folder.display()));
        None
    }

    /// Where a piece is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Runs a script here with the very programs that the guest has.
    pub(crate) fn run_here(&self, script: &str, arguments: &[&Path]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let busybox = self.path("busybox");
        tools::run(
            busybox.to_str().unwrap(),
            &[&"--install", &"-s", &folder.path()],
        );
        let output = Command::new(folder.path().join("sh"))
            .args(["-c", script, "sh"])
            .args(arguments)
            .env_clear()
            .env("PATH", folder.path())
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}: {error}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// A guest before its boot: what is attached to it.
pub(crate) struct Guest<'p> {
    pieces: &'p Pieces,
    disks: Vec<String>,
}

impl<'p> Guest<'p> {
    pub(crate) fn new(pieces: &'p Pieces) -> Self {
        Self {
            pieces,
            disks: Vec::new(),
        }
    }

    /// Attaches an image that the guest cannot write; returns the name of its disk in the guest.
    pub(crate) fn attach_read_only(&mut self, image: &Path, format: &str) -> String {
        self.attach_with(image, format, ",readonly=on")
    }

    /// Attaches an image; returns the name of its disk in the guest.
    pub(crate) fn attach(&mut self, image: &Path, format: &str) -> String {
        self.attach_with(image, format, "")
    }

    fn attach_with(&mut self, image: &Path, format: &str, options: &str) -> String {
        // A comma in a path is doubled in QEMU's lists of options.
        let path = image.to_str().unwrap().replace(',', ",,");
        let number = u8::try_from(self.disks.len()).unwrap();
        self.disks
            .push(format!("file={path},format={format}{options}"));
        format!("vd{}", char::from(b'a' + number))
    }

    /// Boots, runs the job and returns what it printed. Panics with the console's text where the job
    /// has not ended well within the limit.
    pub(crate) fn run(self, job: &str, limit: Duration) -> String {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("job"), job).unwrap();
        let started = Instant::now();
        let mut child = self.command(&at("job"), &at("report"), &at("console"));
        let mut child = child.stdin(Stdio::null()).spawn().unwrap();
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if started.elapsed() > limit => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    break None;
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        let read = |name: &str| {
            let bytes = std::fs::read(at(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (report, console) = (read("report"), read("console"));
        let took = started.elapsed();
        println!("the guest ran for {:.1} s", took.as_secs_f64());
        assert!(
            status.is_some_and(|status| status.success())
                && console.contains("guest: the job ended with 0"),
            "the guest: {status:?} after {took:?}\nits report ends: {}\nits console: {console}",
            report.lines().last().unwrap_or_default()
        );
        report
    }

    fn command(&self, job: &Path, report: &Path, console: &Path) -> Command {
        let mut command = Command::new("qemu-system-x86_64");
        command.args(["-nodefaults", "-no-user-config", "-display", "none"]);
        command.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]);
        command.args(["-machine", "q35", "-m", "1024", "-no-reboot"]);
        command.arg("-kernel").arg(self.pieces.path("vmlinuz"));
        command
            .arg("-initrd")
            .arg(self.pieces.path("initramfs.cpio"));
        command.args([
            "-append",
            "console=ttyS0 quiet panic=-1 mitigations=off nokaslr no_timer_check",
        ]);
        let file = |start: &str, path: &Path| format!("{start}{}", path.display());
        command.arg("-serial").arg(file("file:", console));
        command
            .arg("-fw_cfg")
            .arg(file("name=opt/cvol/job,file=", job));
        command.args(["-device", "virtio-serial-pci"]);
        command
            .arg("-chardev")
            .arg(file("file,id=report,path=", report));
        command.args(["-device", "virtserialport,chardev=report,name=report"]);
        for (number, disk) in self.disks.iter().enumerate() {
            command
                .arg("-drive")
                .arg(format!("{disk},if=none,id=disk{number}"));
            command
                .arg("-device")
                .arg(format!("virtio-blk-pci,drive=disk{number}"));
        }
        command
    }
}
