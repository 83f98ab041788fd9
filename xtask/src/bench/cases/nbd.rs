//! A dynamic VHDX served to fio and nbdcopy: `cvol serve` against `qemu-nbd`.
//!
//! Both serve the same image, one after the other, from memory, so that what is compared is the
//! server and the format and not the host's disk.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::bench::report::Table;
use crate::bench::statistics::median;
use crate::failure::{Failure, Outcome};
use crate::process;

use super::peer;

/// How long fio works on what has no end of its own, in seconds.
const SECONDS: u32 = 2;

/// What a client does.
struct Load {
    what: &'static str,
    /// The words for fio; none for nbdcopy to nowhere.
    fio: &'static [&'static str],
    /// On an image that holds 1 GiB, or on one of 8 GiB that holds nothing yet.
    on_empty: bool,
}

const LOADS: [Load; 6] = [
    Load {
        what: "nbdcopy, 1 GiB of data",
        fio: &[],
        on_empty: false,
    },
    Load {
        what: "sequential reads of 1 MiB, 16 in flight",
        fio: &["--rw=read", "--bs=1m", "--iodepth=16", "--time_based"],
        on_empty: false,
    },
    Load {
        what: "random reads of 4 KiB, 32 in flight",
        fio: &["--rw=randread", "--bs=4k", "--iodepth=32", "--time_based"],
        on_empty: false,
    },
    Load {
        what: "random writes of 4 KiB, 32 in flight",
        fio: &["--rw=randwrite", "--bs=4k", "--iodepth=32", "--time_based"],
        on_empty: false,
    },
    Load {
        what: "random writes of 4 KiB into nothing, 32 MiB over 8 GiB",
        fio: &[
            "--rw=randwrite",
            "--bs=4k",
            "--iodepth=32",
            "--io_size=32m",
            "--size=8g",
        ],
        on_empty: true,
    },
    Load {
        what: "sequential writes of 1 MiB into nothing, 2 GiB",
        fio: &[
            "--rw=write",
            "--bs=1m",
            "--iodepth=16",
            "--io_size=2g",
            "--size=8g",
        ],
        on_empty: true,
    },
];

/// Rates, ours to theirs: more is better.
pub(super) fn rates(bench: &Bench) -> Result<Table, Failure> {
    let folder = bench.memory();
    make_dense(folder)?;
    let mut table = Table::new([
        "load",
        "cvol, a second",
        "qemu-nbd, a second",
        "ratio of rates",
    ]);
    for load in &LOADS {
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for round in 0..=bench.rounds {
            let ours = rate(bench, load, Side::Cvol)?;
            let theirs = rate(bench, load, Side::QemuNbd)?;
            // The first round warms caches and is not counted.
            if round > 0 {
                own.push(ours);
                others.push(theirs);
            }
        }
        let ratios: Vec<_> = own.iter().zip(&others).map(|(a, b)| a / b).collect();
        table.row([
            load.what.to_owned(),
            format!("{:.0}", median(&own)),
            format!("{:.0}", median(&others)),
            format!("{:.3}", median(&ratios)),
        ]);
    }
    table.note(
        "The image is made by `qemu-img create -f vhdx` for both, and lies in memory. fio tells \
         operations, nbdcopy MiB a second.",
    );
    table.command("cvol", &process::shown(&Side::Cvol.command(bench, "IMAGE")));
    table.command(
        "qemu-nbd",
        &process::shown(&Side::QemuNbd.command(bench, "IMAGE")),
    );
    for load in &LOADS {
        table.command("client", &process::shown(&client(folder, load, "URI")));
    }
    Ok(table)
}

/// Who serves.
#[derive(Clone, Copy)]
enum Side {
    Cvol,
    QemuNbd,
}

impl Side {
    fn command(self, bench: &Bench, image: &str) -> Command {
        let folder = bench.memory();
        match self {
            Self::Cvol => bench.cvol(
                folder,
                &["serve", "-q", "--image", image, "--socket", "served.sock"],
            ),
            Self::QemuNbd => peer(
                folder,
                "qemu-nbd",
                &["-t", "-e", "16", "--cache=writeback", "-f", "vhdx", "-k"]
                    .map(str::to_owned)
                    .into_iter()
                    .chain([
                        folder.join("served.sock").display().to_string(),
                        image.to_owned(),
                    ])
                    .collect::<Vec<_>>(),
            ),
        }
    }
}

/// A server that listens, ended when it is dropped.
struct Running(Child);

impl Running {
    fn start(bench: &Bench, side: Side, image: &str) -> Result<Self, Failure> {
        let socket = bench.memory().join("served.sock");
        let mut command = side.command(bench, image);
        let failed = |error: &std::io::Error| Failure::io("starting a server at", &socket, error);
        let mut running = match command.stdout(Stdio::piped()).spawn() {
            Ok(child) => Self(child),
            Err(error) => return Err(failed(&error)),
        };
        if let (Side::Cvol, Some(output)) = (side, running.0.stdout.take()) {
            let mut line = String::new();
            BufReader::new(output)
                .read_line(&mut line)
                .map_err(|error| failed(&error))?;
        }
        let limit = Instant::now() + Duration::from_secs(10);
        while UnixStream::connect(&socket).is_err() {
            if Instant::now() > limit {
                return Err(Failure::new("a server does not listen within 10 s"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(running)
    }

    fn end(mut self) -> Outcome {
        let id = self.0.id().to_string();
        process::capture(Command::new("kill").args(["-TERM", &id]))?;
        match self.0.wait() {
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::new(format!("a server does not end: {error}"))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already, unless something failed in between.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn client(folder: &Path, load: &Load, uri: &str) -> Command {
    if load.fio.is_empty() {
        return peer(folder, "nbdcopy", &["--no-extents", uri, "null:"]);
    }
    let mut words = vec![
        "--name=load".to_owned(),
        "--ioengine=nbd".to_owned(),
        format!("--uri={uri}"),
        "--output-format=json".to_owned(),
        format!("--runtime={SECONDS}"),
        "--end_fsync=1".to_owned(),
    ];
    if !load.on_empty {
        words.push("--size=1g".to_owned());
    }
    words.extend(load.fio.iter().map(|word| (*word).to_owned()));
    peer(folder, "fio", &words)
}

/// Serves an image, lets the client work, and tells how much it got done in a second.
fn rate(bench: &Bench, load: &Load, side: Side) -> Result<f64, Failure> {
    let folder = bench.memory();
    let image = if load.on_empty {
        "empty.vhdx"
    } else {
        "dense.vhdx"
    };
    if load.on_empty {
        process::capture(&mut peer(
            folder,
            "qemu-img",
            &["create", "-q", "-f", "vhdx", image, "8G"],
        ))?;
    }
    let running = Running::start(bench, side, image)?;
    let uri = format!(
        "nbd+unix:///?socket={}",
        folder.join("served.sock").display()
    );
    let start = Instant::now();
    let told = process::capture(&mut client(folder, load, &uri))?;
    let seconds = start.elapsed().as_secs_f64();
    running.end()?;
    if load.fio.is_empty() {
        return Ok(1024.0 / seconds);
    }
    let rate = operations(&told);
    rate.ok_or_else(|| Failure::new(format!("fio tells no rate: {told}")))
}

/// Operations a second of the one job.
fn operations(told: &str) -> Option<f64> {
    let told: serde_json::Value = serde_json::from_str(told.get(told.find('{')?..)?).ok()?;
    let job = &told["jobs"][0];
    let rate = |kind: &str| job[kind]["iops"].as_f64().filter(|rate| *rate > 0.0);
    rate("read").or_else(|| rate("write"))
}

/// An image of 1 GiB that is full of what no zero detection shortens.
fn make_dense(folder: &Path) -> Outcome {
    let script = "head -c 1G /dev/urandom > dense.raw && qemu-img convert -f raw -O vhdx dense.raw \
                  dense.vhdx && rm dense.raw";
    process::capture(&mut peer(folder, "sh", &["-c", script]))?;
    Ok(())
}
