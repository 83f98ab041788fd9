//! The system files of an empty volume beside those of a volume that Windows formatted, difference by
//! difference: the table of `docs/formats/ntfs.md` is recomputed here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::Path;

use blockio::{ByteCount, ByteOffset, Disk, MemoryDisk, SectorSize};
use mkfs::NtTime;
use mkfs::ntfs::parse::{
    BodyView, FileNameView, Index, NtfsVolume, RecordView, SecurityStore, StandardInformationView,
    descriptor_hash, kind,
};
use mkfs::ntfs::{NtfsOptions, format};
use sha2::Digest as _;

use crate::command::Cvol;
use crate::{corpus, tools};

/// Where the partition of the golden volume lies on its disk.
const GOLDEN: (usize, usize) = (128 * 512, 6016 * 512);
/// Records that are compared: those up to the first file that Windows makes when it mounts.
const RECORDS: u64 = 31;

/// What is compared: the name of a fact, and the fact.
type Facts = BTreeMap<String, String>;

fn memory_disk(bytes: &[u8]) -> MemoryDisk {
    let size = ByteCount(u64::try_from(bytes.len()).unwrap());
    let disk = MemoryDisk::new(size, SectorSize::B512).unwrap();
    disk.write_at(bytes, ByteOffset(0)).unwrap();
    disk
}

fn boot_facts(disk: &dyn Disk, facts: &mut Facts) {
    let mut boot = [0; 512];
    disk.read_at(&mut boot, ByteOffset(0)).unwrap();
    let mut copy = [0; 512];
    let last = ByteOffset(disk.size().get() - 512);
    disk.read_at(&mut copy, last).unwrap();
    assert!(boot == copy, "the copy of the boot sector differs");
    let fields = [
        ("jump and name", 0..11),
        ("bytes of a sector", 11..13),
        ("sectors of a cluster", 13..14),
        ("medium", 21..22),
        ("sectors of a track, heads", 24..28),
        ("sectors before the partition", 28..32),
        ("drive and constants", 36..40),
        ("sectors", 40..48),
        ("cluster of $MFT", 48..56),
        ("cluster of $MFTMirr", 56..64),
        ("size of a record", 64..68),
        ("size of an index block", 68..72),
        ("serial number", 72..80),
        ("checksum", 80..84),
        ("end mark", 510..512),
    ];
    for (name, range) in fields {
        facts.insert(format!("boot: {name}"), hex(&boot[range]));
    }
    let code = boot[84..510].iter().filter(|byte| **byte != 0).count();
    let code = if code > 50 {
        "starts Windows"
    } else {
        "asks for another medium"
    };
    facts.insert("boot: code".into(), code.into());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn attribute_name(kind: u32, name: &str) -> String {
    if name.is_empty() {
        format!("{kind:x}")
    } else {
        format!("{kind:x}:{name}")
    }
}

fn record_facts(record: &RecordView<'_>, clusters: u64, facts: &mut Facts) {
    let number = record.number();
    let key = |what: &str| format!("record {number}: {what}");
    let head = format!(
        "flags {:x}, sequence {}, links {}",
        record.flags(),
        record.sequence(),
        record.links()
    );
    facts.insert(key("head"), head);
    for attribute in record.attributes() {
        let attribute = attribute.unwrap();
        let name = String::from_utf16(&attribute.name_units()).unwrap();
        let label = attribute_name(attribute.kind, &name);
        let fact = match &attribute.body {
            BodyView::Resident { .. } => {
                let value = attribute.value().unwrap();
                match attribute.kind {
                    kind::STANDARD_INFORMATION => {
                        let information = StandardInformationView::parse(value).unwrap();
                        format!(
                            "{} bytes, attributes {:x}, descriptor {:x?}",
                            value.len(),
                            information.attributes(),
                            information.security_id()
                        )
                    }
                    kind::FILE_NAME => name_fact(&FileNameView::parse(value).unwrap()),
                    kind::SECURITY_DESCRIPTOR | kind::VOLUME_INFORMATION => hex(value),
                    kind::DATA if name == "$Info" => hex(value),
                    _ => format!("in the record, {} bytes", value.len()),
                }
            }
            BodyView::NonResident(stream) => {
                let first = stream.runs(clusters).next().map(|run| run.unwrap().start);
                let place = match first {
                    Some(Some(lcn)) => format!("at {}", lcn.0),
                    Some(None) => "a hole".into(),
                    None => "without clusters".into(),
                };
                format!(
                    "in clusters, {} bytes, {} valid, {place}",
                    stream.size, stream.initialized
                )
            }
        };
        facts.insert(key(&label), fact);
    }
}

fn name_fact(name: &FileNameView<'_>) -> String {
    format!(
        "{} in {:x}, name space {}, {} of {} bytes, attributes {:x}",
        name.name_text(),
        name.parent().bits(),
        name.name_space(),
        name.size(),
        name.allocated(),
        name.attributes()
    )
}

fn index_facts(volume: &NtfsVolume<'_>, record: u64, name: &str, facts: &mut Facts) {
    let file = volume.read_file(record).unwrap();
    let index = Index::open(volume, &file, name).unwrap();
    let root = index.root().unwrap();
    let blocks = index.blocks().map_or(0, mkfs::ntfs::parse::Value::size);
    facts.insert(
        format!("index {name} of {record}"),
        format!(
            "collation {:x}, block {}, unit {}, {blocks} bytes of blocks",
            root.collation, root.block_size, root.units_per_block
        ),
    );
    let mut visit = |entry: &mkfs::ntfs::parse::EntryView<'_>| {
        let (key, fact) = match entry.file_name() {
            Some(name) if root.attribute == kind::FILE_NAME => {
                let is_filled = name.times().created.ticks() != 0;
                let filled = if is_filled { "filled" } else { "empty" };
                let key = format!("entry {} of {record}", name.name_text());
                let fact = format!("{filled}, to {:x}", entry.file().bits());
                (key, fact)
            }
            _ => (
                format!("entry {} of {name} of {record}", hex(entry.key)),
                format!("{} bytes", entry.bytes.len()),
            ),
        };
        facts.insert(key, fact);
        ControlFlow::Continue(())
    };
    index.walk(volume, &mut visit).unwrap();
}

fn facts(disk: &dyn Disk) -> Facts {
    let mut facts = Facts::new();
    boot_facts(disk, &mut facts);
    let volume = NtfsVolume::open(disk).unwrap();
    for number in 0..RECORDS.min(volume.record_count()) {
        let Ok(record) = volume.read_record(number) else {
            continue;
        };
        let record = record.view();
        if record.is_in_use() {
            record_facts(&record, volume.geometry().clusters, &mut facts);
        }
    }
    for (record, name) in [
        (5, "$I30"),
        (9, "$SII"),
        (11, "$I30"),
        (24, "$O"),
        (24, "$Q"),
        (25, "$O"),
        (26, "$R"),
    ] {
        index_facts(&volume, record, name, &mut facts);
    }
    for (record, name) in [(4, "$AttrDef"), (10, "$UpCase")] {
        let file = volume.read_file(record).unwrap();
        let value = file.value(&volume, kind::DATA, "").unwrap().unwrap();
        let bytes = value.read_all(&volume, 1 << 20).unwrap();
        let digest = hex(&sha2::Sha256::digest(&bytes)[..8]);
        facts.insert(format!("content of {name}"), digest);
    }
    let store = SecurityStore::open(&volume).unwrap();
    for id in 0x100..0x110 {
        if let Ok(Some(descriptor)) = store.descriptor(&volume, id) {
            let fact = format!(
                "{} bytes, {:x}",
                descriptor.len(),
                descriptor_hash(&descriptor)
            );
            facts.insert(format!("descriptor {id:x}"), fact);
        }
    }
    facts
}

fn rows(windows: &Facts, ours: &Facts) -> Vec<[String; 3]> {
    let names: BTreeSet<&String> = windows.keys().chain(ours.keys()).collect();
    let shown = |facts: &Facts, name: &String| facts.get(name).map_or("-", |fact| fact).to_owned();
    names
        .into_iter()
        .filter(|name| windows.get(*name) != ours.get(*name))
        .map(|name| [name.clone(), shown(windows, name), shown(ours, name)])
        .collect()
}

/// The rows of the table in the document: three columns that are compared, and the reason.
fn documented() -> Vec<([String; 3], String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats/ntfs.md");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .skip_while(|line| !line.starts_with("| what | Windows 10 | cvol |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 6, "{line}");
            let compared = [cells[1], cells[2], cells[3]].map(str::to_owned);
            (compared, cells[4].to_owned())
        })
        .collect()
}

#[test]
fn each_difference_from_a_volume_that_windows_formatted_is_documented_with_its_reason() {
    let Some(corpus) = tools::corpus() else {
        return;
    };
    let cvol = Cvol::new();
    let image = corpus::unpack(&corpus, "dfvfs/ntfs-parent.vhdx", cvol.work());
    let raw = cvol.work().join("golden.raw");
    let arguments = [
        "convert",
        image.to_str().unwrap(),
        raw.to_str().unwrap(),
        "-O",
        "raw",
    ];
    cvol.ok(&arguments);
    let (start, length) = GOLDEN;
    let golden = std::fs::read(raw).unwrap()[start..start + length].to_vec();
    let golden = memory_disk(&golden);
    let volume = NtfsVolume::open(&golden).unwrap();
    let mut serial = [0; 8];
    golden.read_at(&mut serial, ByteOffset(72)).unwrap();
    let options = NtfsOptions {
        label: String::from_utf16(&volume.state().unwrap().label).unwrap(),
        serial: u64::from_le_bytes(serial),
        time: NtTime::from_unix(1_602_330_000, 0),
        hidden_sectors: 128,
        ..NtfsOptions::default()
    };
    let ours = memory_disk(&vec![0; length]);
    format(&ours, &options, None, &|_, _| ControlFlow::Continue(())).unwrap();
    let computed = rows(&facts(&golden), &facts(&ours));
    let documented = documented();
    let table: String = computed.iter().fold(String::new(), |mut text, row| {
        writeln!(text, "| {} | ? |", row.join(" | ")).unwrap();
        text
    });
    for (row, reason) in &documented {
        assert!(reason.len() > 5, "no reason is given for {row:?}");
    }
    let documented: Vec<[String; 3]> = documented.into_iter().map(|(row, _)| row).collect();
    assert_eq!(documented, computed, "the differences are:\n{table}");
}

/// The whole log of a volume.
fn log_of(disk: &MemoryDisk) -> Vec<u8> {
    let volume = NtfsVolume::open(disk).unwrap();
    let log = volume.read_file(2).unwrap();
    let log = log.value(&volume, kind::DATA, "").unwrap().unwrap();
    log.read_all(&volume, 1 << 22).unwrap()
}

/// The golden disk of a file of the corpus.
fn golden(cvol: &Cvol, corpus: &Path, file: &str) -> MemoryDisk {
    let image = corpus::unpack(corpus, &format!("dfvfs/{file}"), cvol.work());
    let raw = cvol.work().join(format!("{file}.raw"));
    let (from, to) = (image.to_str().unwrap(), raw.to_str().unwrap());
    cvol.ok(&["convert", from, to, "-O", "raw"]);
    let (start, length) = GOLDEN;
    memory_disk(&std::fs::read(raw).unwrap()[start..start + length])
}

#[test]
fn windows_closes_a_log_with_pages_that_say_clean_and_leaves_the_others_unused() {
    const PAGE: usize = 4096;
    let Some(corpus) = tools::corpus() else {
        return;
    };
    let cvol = Cvol::new();
    for file in ["ntfs-parent.vhdx", "ntfs-fixed.vhd", "ntfs-dynamic.vhdx"] {
        let log = log_of(&golden(&cvol, &corpus, file));
        let (mut restart, mut used, mut ones) = (0, 0, 0);
        for page in log.chunks(PAGE) {
            match &page[..4] {
                // RESTART_IS_CLEAN is 2; the area begins where the page says.
                b"RSTR" => {
                    let area = usize::from(u16::from_le_bytes([page[24], page[25]]));
                    assert_eq!(page[area + 14] & 2, 2, "{file}");
                    restart += 1;
                }
                b"RCRD" => used += 1,
                _ => {
                    assert!(page.iter().all(|byte| *byte == 0xFF), "{file}");
                    ones += 1;
                }
            }
        }
        println!("{file}: {restart} restart pages, {used} used, {ones} never used");
        assert!(restart == 2 && used > 0 && ones > 400, "{file}");
    }
}

/// Both restart pages, both copies and the page they are copies of, as the last dismount of the golden
/// volume left them, beside ours: field by field, with what may differ and why.
#[test]
fn a_new_log_is_what_windows_leaves_when_it_dismounts_a_new_volume() {
    const PAGE: usize = 4096;
    /// The golden volume was mounted once more than ours says: its numbers begin with three.
    const ONCE_MORE: u64 = 1 << 19;
    let Some(corpus) = tools::corpus() else {
        return;
    };
    let theirs = log_of(&golden(&Cvol::new(), &corpus, "ntfs-parent.vhdx"));
    let size = ByteCount(u64::try_from(GOLDEN.1).unwrap());
    let disk = MemoryDisk::new(size, SectorSize::B512).unwrap();
    let options = NtfsOptions {
        cluster_size: Some(ByteCount(4096)),
        ..NtfsOptions::default()
    };
    format(&disk, &options, None, &|_, _| ControlFlow::Continue(())).unwrap();
    let ours = log_of(&disk);
    // At this size our log is shorter, so that its numbers have other bits; what a number leads to counts.
    let bits = |log: &[u8]| u32::from_le_bytes(log[0x40..0x44].try_into().unwrap());
    let place = |log: &[u8], number: u64| (number << bits(log)) >> (bits(log) - 3);
    let at = |log: &[u8], at: usize| u64::from_le_bytes(log[at..at + 8].try_into().unwrap());
    for page in [0, 1, 2, 3, 34] {
        let start = page * PAGE;
        // Numbers of records, by place; the page of records is the same in its copies.
        let numbers: &[usize] = match page {
            0 | 1 => &[0x30, 0x70, 0x78],
            2 | 3 => &[0x20, 0x40, 0xA8, 0xE0, 0x140],
            _ => &[0x08, 0x20, 0x40, 0xA8, 0xE0, 0x140],
        };
        for number in numbers {
            let [ours, theirs] = [&ours, &theirs].map(|log| place(log, at(log, start + number)));
            assert_eq!(ours, theirs, "page {page}, at {number:#x}");
        }
        // Besides those: update sequences; how often the log was opened, its size and the bits that
        // follow from it; what lay behind the record without data; and the last record before.
        let free: &[std::ops::Range<usize>] = match page {
            0 | 1 => &[0x1E..0x30, 0x40..0x44, 0x48..0x50, 0x58..0x5C],
            _ => &[0x28..0x40, 0x98..0xA8, 0x120..0x128],
        };
        // What lies behind the last record was there before.
        let end = if page < 2 { PAGE } else { 0x148 };
        for byte in 0..end {
            let is_number = numbers.iter().any(|at| (*at..at + 8).contains(&byte));
            let is_free = free.iter().any(|range| range.contains(&byte));
            if !is_number && !is_free && byte % 512 < 510 {
                let (ours, theirs) = (ours[start + byte], theirs[start + byte]);
                assert_eq!(ours, theirs, "page {page}, at {byte:#x}");
            }
        }
    }
    assert_eq!(at(&theirs, 0x30) >> 19, 3);
    assert_eq!(at(&theirs, 0x30) - ONCE_MORE, 0x10_4415);
}
