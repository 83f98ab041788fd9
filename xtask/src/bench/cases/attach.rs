//! A volume attached to a machine that runs, until it is mounted in its guest: `cvol attach` against
//! the bare commands, which are a server of the image, two commands of QMP and `mount`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bench::Bench;
use crate::bench::report::Table;
use crate::bench::statistics::median;
use crate::demo::Cvol;
use crate::failure::{Failure, Outcome};
use crate::{agent, process, setup, workspace};

use super::peer;

const VM: &str = "bench";
/// What the bare commands call the disk.
const DISK: &str = "bare";
/// How long QEMU may take to let go of a disk.
const PATIENCE: Duration = Duration::from_secs(10);
/// Waits for the disk's partition and mounts it: nothing else is attached meanwhile.
const MOUNT: &str = "mkdir -p /bare && until test -b /dev/sda1; do sleep 0.01; done && \
                     mount -t ntfs3 /dev/sda1 /bare";
/// The other way round, and waits until the guest has let go of the disk.
const UNMOUNT: &str = "umount /bare && echo 1 > /sys/block/sda/device/delete && while test -b /dev/sda; do sleep 0.01; done";

pub(super) fn run(bench: &Bench) -> Result<Table, Failure> {
    let folder = bench.memory();
    let cvol = Cvol::new(bench.cvol.clone(), folder.join("store"));
    setup::guest::prepare()?;
    let agent = agent::build()?;
    for volume in ["data", DISK] {
        process::capture(&mut cvol.command(&["create", volume, "--size", "1G", "-q"]))?;
    }
    let mut boot = cvol.command(&["vm", "run", "--name", VM, "--detach", "-q"]);
    boot.env("CVOL_GUEST", setup::guest::folder())
        .env("CVOL_GUEST_AGENT", agent);
    process::capture(&mut boot)?;
    let measured = measure(bench, &cvol);
    let stopped = process::capture(&mut cvol.command(&["vm", "stop", VM]));
    let table = measured?;
    stopped?;
    workspace::remove_tree(&folder.join("store"))?;
    Ok(table)
}

fn measure(bench: &Bench, cvol: &Cvol) -> Result<Table, Failure> {
    let bare = Bare::new(bench, cvol)?;
    let mount = ["attach", "--vm", VM, "--mount", "source=data,target=/data"];
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for round in 0..=bench.rounds {
        let start = Instant::now();
        process::capture(&mut cvol.command(&mount))?;
        let ours = start.elapsed().as_secs_f64();
        process::capture(&mut cvol.command(&["detach", "--vm", VM, "--all"]))?;
        let start = Instant::now();
        bare.attach()?;
        let theirs = start.elapsed().as_secs_f64();
        bare.detach()?;
        // The first round warms caches and is not counted.
        if round > 0 {
            own.push(ours);
            others.push(theirs);
        }
    }
    let ratios: Vec<_> = own.iter().zip(&others).map(|(a, b)| a / b).collect();
    let mut table = Table::new(["what", "cvol", "bare commands", "ratio of times"]);
    table.row([
        "attached to mounted".to_owned(),
        format!("{:.0} ms", 1e3 * median(&own)),
        format!("{:.0} ms", 1e3 * median(&others)),
        format!("{:.3}", median(&ratios)),
    ]);
    table.note(
        "One NTFS volume of 1 GiB, a machine that runs, without KVM where there is none. The bare commands \
         run in the guest through `cvol vm exec`; QMP is spoken by the bench itself.",
    );
    table.command("cvol", &process::shown(&cvol.command(&mount)));
    table.command("bare", &process::shown(&bare.server()));
    for (name, arguments) in bare.commands() {
        table.command("bare", &format!("QMP {name} {arguments}"));
    }
    table.command("bare", &process::shown(&bare.in_guest(MOUNT)));
    Ok(table)
}

/// The way of whoever has no cvol.
struct Bare<'b> {
    bench: &'b Bench,
    cvol: &'b Cvol,
    image: PathBuf,
}

impl<'b> Bare<'b> {
    fn new(bench: &'b Bench, cvol: &'b Cvol) -> Result<Self, Failure> {
        let image = cvol.image(DISK)?;
        Ok(Self { bench, cvol, image })
    }

    fn attach(&self) -> Outcome {
        process::capture(&mut self.server())?;
        let mut monitor = self.monitor()?;
        for (name, arguments) in self.commands() {
            monitor.execute(name, &arguments)?;
        }
        process::capture(&mut self.in_guest(MOUNT))?;
        Ok(())
    }

    fn detach(&self) -> Outcome {
        process::capture(&mut self.in_guest(UNMOUNT))?;
        let mut monitor = self.monitor()?;
        monitor.execute("device_del", &json!({"id": DISK}))?;
        // The node stays in use for a moment after its device is gone.
        let limit = Instant::now() + PATIENCE;
        while let Err(refused) = monitor.execute("blockdev-del", &json!({"node-name": DISK})) {
            if Instant::now() > limit {
                return Err(refused);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let number = workspace::read_text(&self.process())?;
        process::capture(Command::new("kill").arg(number.trim()))?;
        Ok(())
    }

    /// Serves the image and returns when it can be had.
    fn server(&self) -> Command {
        let words = [
            "--fork",
            "-t",
            "--cache=writeback",
            "-f",
            "vhdx",
            "--pid-file",
            &self.process().display().to_string(),
            "-k",
            &self.socket(),
            &self.image.display().to_string(),
        ];
        peer(self.bench.memory(), "qemu-nbd", &words)
    }

    fn process(&self) -> PathBuf {
        self.bench.memory().join("bare.pid")
    }

    fn socket(&self) -> String {
        self.bench.memory().join("bare.sock").display().to_string()
    }

    fn commands(&self) -> [(&'static str, Value); 2] {
        let node = json!({"driver": "nbd", "node-name": DISK, "discard": "unmap",
                          "server": {"type": "unix", "path": self.socket()}});
        let device = json!({"driver": "scsi-hd", "id": DISK, "drive": DISK, "bus": "scsi0.0",
                            "channel": 0, "scsi-id": 0, "lun": 9});
        [("blockdev-add", node), ("device_add", device)]
    }

    fn in_guest(&self, script: &str) -> Command {
        let words = ["vm", "exec", VM, "--", "sh", "-c", script];
        self.cvol.command(&words)
    }

    fn monitor(&self) -> Result<Monitor, Failure> {
        let store = self.bench.memory().join("store");
        Monitor::connect(store.join("machines").join(VM).join("run/qmp.sock"))
    }
}

/// A conversation with QEMU.
struct Monitor {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Monitor {
    fn connect(path: PathBuf) -> Result<Self, Failure> {
        let stream = UnixStream::connect(&path)
            .map_err(|error| Failure::io("connecting to", &path, &error))?;
        let stream = BufReader::new(stream);
        let mut monitor = Self { path, stream };
        monitor.line()?;
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    fn execute(&mut self, name: &str, arguments: &Value) -> Outcome {
        let command = json!({"execute": name, "arguments": arguments});
        writeln!(self.stream.get_mut(), "{command}")
            .map_err(|error| Failure::io("writing to", &self.path, &error))?;
        // Events come in between.
        loop {
            let line = self.line()?;
            if line.get("return").is_some() {
                return Ok(());
            }
            if let Some(error) = line.get("error") {
                return Err(Failure::new(format!("QEMU refuses {name}: {error}")));
            }
        }
    }

    fn line(&mut self) -> Result<Value, Failure> {
        let mut line = String::new();
        self.stream
            .read_line(&mut line)
            .map_err(|error| Failure::io("reading from", &self.path, &error))?;
        serde_json::from_str(&line)
            .map_err(|error| Failure::new(format!("QEMU says {line:?}: {error}")))
    }
}
