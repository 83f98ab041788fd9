//! `cvol serve` with the clients of others: libnbd, QEMU, fio.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use blockio::MIB;
use sha2::{Digest, Sha256};

use crate::command::{Cvol, cvol_path};
use crate::random::Random;
use crate::tools::{self, needs};

/// A running `cvol serve`, killed when it is dropped.
struct Served {
    child: Child,
    uri: String,
}

impl Served {
    /// Serves at `socket` and waits until clients can connect.
    fn start(cvol: &Cvol, socket: &Path, arguments: &[&str]) -> Self {
        let mut command = cvol.command(&["serve", "--quiet", "--socket"]);
        command.arg(socket).args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut uri = String::new();
        let output = child.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut uri).unwrap();
        assert!(uri.starts_with("nbd+unix:///"), "{uri:?}");
        let uri = uri.trim_end().to_owned();
        Self { child, uri }
    }

    /// Asks it to end, as a service manager does; it must end well.
    fn end(mut self) {
        let id = self.child.id().to_string();
        tools::run("kill", &[&"-TERM", &id]);
        assert!(self.child.wait().unwrap().success());
    }

    /// Ends it as a crash does.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn qemu_io(&self, commands: &[String]) {
        qemu_io(&self.uri, commands);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn qemu_io(target: &str, commands: &[String]) {
    let mut command = Command::new("qemu-io");
    command.args(["-f", "raw"]);
    for text in commands {
        command.args(["-c", text]);
    }
    let output = command.arg(target).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    // It reports some failures in words alone.
    for word in ["failed", "error", "invalid", "Invalid"] {
        assert!(!told.contains(word), "{told}");
    }
}

fn digest(path: &Path) -> Vec<u8> {
    Sha256::digest(std::fs::read(path).unwrap()).to_vec()
}

#[test]
fn clients_are_told_what_the_volume_is() {
    if !needs(&["nbdinfo", "qemu-img"]) {
        return;
    }
    let cvol = Cvol::new();
    cvol.ok(&["create", "data", "--size", "64M", "--fs", "ntfs"]);
    let socket = cvol.work().join("s");
    let served = Served::start(&cvol, &socket, &["data"]);
    let told = tools::run("nbdinfo", &[&"--json", &served.uri]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["protocol"], "newstyle-fixed");
    assert_eq!(told["structured"], true);
    let export = &told["exports"][0];
    for (key, value) in [
        ("export-size", serde_json::json!(64 * MIB)),
        ("is_read_only", false.into()),
        ("can_flush", true.into()),
        ("can_fua", true.into()),
        ("can_trim", true.into()),
        ("can_zero", true.into()),
        ("can_multi_conn", true.into()),
        ("contexts", serde_json::json!(["base:allocation"])),
        ("description", "data, served by cvol".into()),
    ] {
        assert_eq!(export[key], value, "{key} in {export}");
    }
    let info = tools::run("qemu-img", &[&"info", &served.uri]);
    assert!(info.contains("64 MiB"), "{info}");
    served.end();
    assert!(!socket.exists());
}

#[test]
fn copies_by_libnbd_are_the_disk_both_ways() {
    if !needs(&["nbdcopy", "nbdinfo"]) {
        return;
    }
    let cvol = Cvol::new();
    let source = cvol.work().join("from");
    std::fs::create_dir(&source).unwrap();
    let noise: Vec<u8> = Random(7).bytes(3_000_000);
    std::fs::write(source.join("noise"), noise).unwrap();
    let from = source.to_str().unwrap();
    cvol.ok(&["create", "data", "--size", "256M", "--from", from]);
    cvol.ok(&["create", "copy", "--size", "256M", "--fs", "none"]);
    let raw = cvol.work().join("converted.raw");
    cvol.ok(&["convert", "data", raw.to_str().unwrap()]);
    let served = Served::start(&cvol, &cvol.work().join("s"), &["data", "-r"]);
    let copied = cvol.work().join("copied.raw");
    tools::run("nbdcopy", &[&served.uri, &copied]);
    assert_eq!(digest(&raw), digest(&copied));
    // What is told to be a hole is one: the map, walked by libnbd, covers the disk without data
    // where the converted file has none.
    let map = tools::run("nbdinfo", &[&"--map", &"--totals", &served.uri]);
    let holes = map.lines().find(|line| line.contains("hole")).unwrap();
    let bytes: u64 = holes.split_whitespace().next().unwrap().parse().unwrap();
    assert!(bytes > 200 * MIB, "{map}");
    served.end();
    let served = Served::start(&cvol, &cvol.work().join("s"), &["copy"]);
    tools::run("nbdcopy", &[&raw, &served.uri, &"--flush"]);
    served.end();
    let again = cvol.work().join("again.raw");
    cvol.ok(&["convert", "copy", again.to_str().unwrap()]);
    assert_eq!(digest(&raw), digest(&again));
    cvol.ok(&["fsck", "copy"]);
}

#[test]
fn random_histories_by_qemu_equal_those_on_a_raw_file() {
    if !needs(&["qemu-io", "qemu-img"]) {
        return;
    }
    let cvol = Cvol::new();
    let size = 64 * MIB;
    for format in ["vhdx", "vhd"] {
        let option = format!("size=64M,fs=none,format={format}");
        cvol.ok(&["create", format, "-o", &option]);
        let raw = cvol.work().join("model.raw");
        std::fs::File::create(&raw).unwrap().set_len(size).unwrap();
        let mut random = Random(11);
        for round in 0..4 {
            let served = Served::start(&cvol, &cvol.work().join("s"), &[format]);
            let commands: Vec<String> = (0..150).map(|_| qemu_command(&mut random, size)).collect();
            served.qemu_io(&commands);
            qemu_io(raw.to_str().unwrap(), &commands);
            tools::run(
                "qemu-img",
                &[&"compare", &"-f", &"raw", &"-F", &"raw", &served.uri, &raw],
            );
            if round % 2 == 0 {
                served.end()
            } else {
                served.kill()
            }
        }
        cvol.ok(&["check", format]);
    }
}

/// A change at a random place; the history ends with a flush, which `qemu-io` makes as it closes.
fn qemu_command(random: &mut Random, size: u64) -> String {
    let length = 512 * (1 + random.below(400));
    let offset = 512 * random.below((size - length) / 512);
    match random.below(10) {
        0 => "flush".to_owned(),
        // The disk promises zeros after a discard; a raw file keeps what it held in parts of pages.
        1 => format!("write -z -u {offset} {length}"),
        2 => format!("write -z {offset} {length}"),
        3 => format!("write -f -P {} {offset} {length}", random.below(256)),
        _ => format!("write -P {} {offset} {length}", random.below(256)),
    }
}

#[test]
fn fio_reads_back_what_it_wrote() {
    if !needs(&["fio"]) {
        return;
    }
    let cvol = Cvol::new();
    cvol.ok(&["create", "data", "-o", "size=128M,fs=none"]);
    let served = Served::start(&cvol, &cvol.work().join("s"), &["data"]);
    let uri = format!("--uri={}", served.uri);
    let common = [
        "--name=verify",
        "--ioengine=nbd",
        "--size=48M",
        "--bsrange=4k-64k",
        "--iodepth=16",
        "--verify=crc32c",
        "--verify_fatal=1",
        "--rw=randwrite",
        "--fsync=64",
    ];
    let output = Command::new("fio")
        .args(common)
        .arg(uri)
        .current_dir(cvol.work())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    served.end();
    cvol.ok(&["check", "data"]);
}

#[test]
fn what_was_flushed_survives_a_killed_server() {
    if !needs(&["qemu-io"]) {
        return;
    }
    let cvol = Cvol::new();
    cvol.ok(&["create", "data", "-o", "size=64M,fs=none"]);
    for round in 0..8_u64 {
        let served = Served::start(&cvol, &cvol.work().join("s"), &["data"]);
        for earlier in 0..round {
            let read = format!("read -P {} {}M 1M", earlier + 1, earlier * 5);
            served.qemu_io(&[read]);
        }
        let write = format!("write -P {} {}M 1M", round + 1, round * 5);
        served.qemu_io(&[write, "flush".to_owned()]);
        // The socket file is still there: the next server takes its place.
        served.kill();
        assert!(cvol.work().join("s").exists());
    }
    cvol.ok(&["check", "data"]);
}

#[test]
fn a_volume_has_one_writer_or_readers() {
    let cvol = Cvol::new();
    cvol.ok(&["create", "data", "-o", "size=64M,fs=none"]);
    let socket = |name: &str| cvol.work().join(name);
    let other = socket("other");
    let other = other.to_str().unwrap();
    let writer = Served::start(&cvol, &socket("s"), &["data"]);
    cvol.fails(5, &["serve", "data", "--socket", other]);
    cvol.fails(5, &["serve", "data", "--socket", other, "--read-only"]);
    cvol.fails(5, &["rm", "data"]);
    assert!(!Path::new(other).exists(), "a socket was left behind");
    writer.end();
    let reader = Served::start(&cvol, &socket("s"), &["data", "--read-only"]);
    let second = Served::start(&cvol, &socket("t"), &["data", "--read-only"]);
    cvol.fails(5, &["serve", "data", "--socket", other]);
    cvol.fails(5, &["rm", "data"]);
    // A place where somebody listens is taken, and stays so.
    cvol.ok(&["create", "free", "-o", "size=64M,fs=none"]);
    let taken = socket("s");
    let error = cvol.fails(5, &["serve", "free", "--socket", taken.to_str().unwrap()]);
    assert!(error.contains("--socket"), "{error}");
    reader.end();
    second.end();
    cvol.ok(&["rm", "data"]);
}

#[test]
fn what_cannot_be_served_is_refused_in_words() {
    let cvol = Cvol::new();
    let file = cvol.work().join("file");
    std::fs::write(&file, "mine").unwrap();
    cvol.ok(&["create", "data", "-o", "size=64M,fs=none"]);
    let long = "x".repeat(5000);
    let deep = cvol.work().join("no/such/folder/s");
    for (code, arguments) in [
        (3, vec!["serve", "nothing"]),
        (2, vec!["serve", "data", "--socket", "a", "--port", "1"]),
        (2, vec!["serve", "data", "--port", "70000"]),
        (2, vec!["serve", "data", "--connections", "0"]),
        (5, vec!["serve", "data", "--socket", file.to_str().unwrap()]),
        (3, vec!["serve", "data", "--socket", deep.to_str().unwrap()]),
        (2, vec!["serve", "data", "--port", "0", "-x", &long]),
    ] {
        cvol.fails(code, &arguments);
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    assert!(cvol_path().exists());
}
