//! Images made by real Windows, converted by the command, against the digests of independent
//! readers.

use std::path::Path;

use crate::command::Cvol;
use crate::tools;

struct Row {
    file: String,
    kind: String,
    digest: String,
    parent: Option<String>,
}

fn manifest(corpus: &Path) -> Vec<Row> {
    let text = std::fs::read_to_string(corpus.join("manifest.tsv")).unwrap();
    let rows: Vec<Row> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            Row {
                file: columns[0].to_owned(),
                kind: columns[1].to_owned(),
                digest: columns[3].to_owned(),
                parent: columns
                    .get(4)
                    .filter(|name| !name.is_empty())
                    .map(|name| (*name).to_owned()),
            }
        })
        .collect();
    assert!(
        rows.len() >= 10,
        "the manifest lists only {} images",
        rows.len()
    );
    rows
}

/// One image of the corpus, unpacked into `folder`.
pub(crate) fn unpack(corpus: &Path, file: &str, folder: &Path) -> std::path::PathBuf {
    let target = folder.join(file.replace('/', "_"));
    let packed = std::fs::File::open(corpus.join(format!("{file}.zst"))).unwrap();
    let mut output = std::fs::File::create(&target).unwrap();
    zstd::stream::copy_decode(packed, &mut output).unwrap();
    target
}

#[test]
fn images_made_by_windows_convert_to_raw_with_the_digest_of_their_manifest() {
    let Some(corpus) = tools::corpus() else {
        return;
    };
    let cvol = Cvol::new();
    for row in manifest(&corpus) {
        let image = unpack(&corpus, &row.file, cvol.work());
        let before = tools::sha256(&image);
        let raw = cvol.work().join("out.raw");
        let (from, to) = (image.to_str().unwrap(), raw.to_str().unwrap());
        let mut arguments = vec!["convert", from, to, "-O", "raw"];
        let parent = row.parent.as_ref().map(|parent| {
            // It has another name here than the image says, so that it is not found by itself.
            let error = cvol.fails(3, &arguments);
            assert!(error.contains("--parent"), "{}: {error}", row.file);
            assert!(!raw.exists(), "{}: a half-made target stayed", row.file);
            unpack(&corpus, parent, cvol.work())
        });
        assert_eq!(parent.is_some(), row.kind.contains("differencing"));
        if let Some(parent) = &parent {
            arguments.extend(["--parent", parent.to_str().unwrap()]);
        }
        cvol.ok(&arguments);
        if row.digest != "-" {
            assert_eq!(tools::sha256(&raw), row.digest, "{}", row.file);
        }
        arguments.splice(..5, ["check", from]);
        cvol.ok(&arguments);
        std::fs::remove_file(&raw).unwrap();
        assert_eq!(
            tools::sha256(&image),
            before,
            "{} was changed by reading",
            row.file
        );
    }
}

#[test]
fn a_log_left_by_a_killed_qemu_is_replayed_in_memory() {
    if !tools::needs(&["qemu-img", "qemu-io", "timeout"]) {
        return;
    }
    let cvol = Cvol::new();
    let image = cvol.work().join("dirty.vhdx");
    tools::run(
        "qemu-img",
        &[
            &"create",
            &"-qf",
            &"vhdx",
            &"-o",
            &"block_size=1M",
            &image,
            &"64M",
        ],
    );
    let script: String = (0..40)
        .map(|block| format!("write -P {} {}M 64k\n", block + 1, block))
        .collect();
    let script_path = cvol.work().join("script");
    std::fs::write(&script_path, script + "flush\nsleep 60000\n").unwrap();
    let input = std::fs::File::open(&script_path).unwrap();
    let mut child = std::process::Command::new("qemu-io")
        .args(["-f", "vhdx"])
        .arg(&image)
        .stdin(input)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_last_write(&mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    let (from, raw) = (image.to_str().unwrap(), cvol.work().join("out.raw"));
    let digest = tools::sha256(&image);
    cvol.ok(&["convert", from, raw.to_str().unwrap(), "-O", "raw"]);
    assert_eq!(tools::sha256(&image), digest, "reading changed the image");
    let bytes = std::fs::read(&raw).unwrap();
    for block in 0..40_usize {
        let at = block << 20;
        let expected = u8::try_from(block + 1).unwrap();
        assert!(
            bytes[at..at + 65536].iter().all(|byte| *byte == expected),
            "block {block}"
        );
        assert!(
            bytes[at + 65536..at + (1 << 20)]
                .iter()
                .all(|byte| *byte == 0),
            "block {block}"
        );
    }
}

/// Reads what qemu-io says until the 40th write is done.
fn wait_for_last_write(child: &mut std::process::Child) {
    use std::io::BufRead as _;
    let output = child.stdout.take().unwrap();
    let mut done = 0;
    for line in std::io::BufReader::new(output).lines() {
        if line.unwrap().contains("wrote 65536/65536") {
            done += 1;
            if done == 40 {
                return;
            }
        }
    }
    panic!("qemu-io ended after {done} writes");
}
