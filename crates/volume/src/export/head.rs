//! One head of a member, with the PAX records that say what does not fit into it.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blockio::ByteRange;
use mkfs::{NtTime, SecurityDescriptor, Times};
use zerocopy::{FromZeros, IntoBytes};

use crate::tar_tree::format::{BLOCK, Header, MAGIC_POSIX, kind, record};

/// The largest number in a field of twelve octal digits, the last of which is left free.
const MAX_OCTAL: u64 = 0o77_777_777_777;
/// FILE_ATTRIBUTE_READONLY ([MS-FSCC] 2.6).
const READ_ONLY: u32 = 1;
/// What the names of members that hold records begin with.
const RECORDS_NAME: &[u8] = b"PaxHeaders.0/";

/// What a head says.
pub(super) struct Head<'a> {
    pub(super) kind: u8,
    pub(super) path: &'a [u8],
    pub(super) link: &'a [u8],
    /// Bytes in the archive.
    pub(super) size: u64,
    /// Bytes with the holes, where there are any.
    pub(super) sparse_size: Option<u64>,
    pub(super) times: Option<Times>,
    /// [MS-FSCC] 2.6.
    pub(super) attributes: Option<u32>,
    pub(super) security: Option<&'a SecurityDescriptor>,
    pub(super) is_mount_point: bool,
    pub(super) reparse: Option<&'a [u8]>,
}

impl<'a> Head<'a> {
    pub(super) fn new(kind: u8, path: &'a [u8]) -> Self {
        Self {
            kind,
            path,
            link: &[],
            size: 0,
            sparse_size: None,
            times: None,
            attributes: None,
            security: None,
            is_mount_point: false,
            reparse: None,
        }
    }
}

/// Encodes heads into one buffer.
#[derive(Default)]
pub(super) struct Heads {
    out: Vec<u8>,
    records: Vec<u8>,
    text: String,
    /// The descriptor encoded last, as text: neighbours often have the same.
    descriptor: Option<(SecurityDescriptor, String)>,
}

impl Heads {
    /// The blocks of a head: its records, where it needs any, and itself.
    pub(super) fn encode(&mut self, head: &Head<'_>) -> &[u8] {
        self.out.clear();
        self.records.clear();
        let mut shown = head.path.to_vec();
        if let Some(size) = head.sparse_size {
            self.record("GNU.sparse.major", b"1");
            self.record("GNU.sparse.minor", b"0");
            self.record("GNU.sparse.name", head.path);
            self.record_number("GNU.sparse.realsize", size);
            shown = sparse_path(head.path);
        } else {
            self.path_record("path", head.path);
        }
        self.path_record("linkpath", head.link);
        if head.size > MAX_OCTAL {
            self.record_number("size", head.size);
        }
        let modified = head
            .times
            .map_or(NtTime::UNIX_EPOCH, |times| times.modified);
        if let Some(times) = head.times {
            self.times(&times, head.attributes.is_some());
        }
        if let Some(attributes) = head.attributes {
            self.record_number(record::ATTRIBUTES, u64::from(attributes));
        }
        if let Some(security) = head.security {
            self.security(security);
        }
        if head.is_mount_point {
            self.record(record::MOUNT_POINT, b"1");
        }
        if let Some(reparse) = head.reparse {
            self.record(record::REPARSE, STANDARD.encode(reparse).as_bytes());
        }
        if !self.records.is_empty() {
            let size = u64::try_from(self.records.len()).unwrap_or(u64::MAX);
            let name = [RECORDS_NAME, last_name(head.path)].concat();
            let block = block(kind::PAX, &name, &[], size, modified, 0o644);
            self.out.extend_from_slice(&block);
            self.out.extend_from_slice(&self.records);
            let whole = self.out.len().next_multiple_of(BLOCK);
            self.out.resize(whole, 0);
        }
        let is_read_only = head.attributes.is_some_and(|bits| bits & READ_ONLY != 0);
        let mode = match (head.kind, is_read_only) {
            (kind::SYMLINK, _) => 0o777,
            (kind::DIRECTORY, _) => 0o755,
            (_, true) => 0o444,
            (_, false) => 0o644,
        };
        let block = block(head.kind, &shown, head.link, head.size, modified, mode);
        self.out.extend_from_slice(&block);
        &self.out
    }

    fn times(&mut self, times: &Times, is_windows: bool) {
        if needs_record(times.modified) {
            self.record_moment("mtime", times.modified);
        }
        // Streams and links of other systems have what their file has.
        if is_windows {
            self.record_moment("atime", times.accessed);
            self.record_moment("ctime", times.changed);
            self.record_moment(record::CREATED, times.created);
        } else {
            for (key, time) in [
                ("atime", times.accessed),
                ("ctime", times.changed),
                (record::CREATED, times.created),
            ] {
                if time != times.modified {
                    self.record_moment(key, time);
                }
            }
        }
    }

    fn security(&mut self, security: &SecurityDescriptor) {
        let text = match self.descriptor.take() {
            Some((known, text)) if known == *security => text,
            _ => STANDARD.encode(security.as_bytes()),
        };
        self.record(record::SECURITY, text.as_bytes());
        self.descriptor = Some((security.clone(), text));
    }

    /// A record of a path that the head cannot hold, or that is not ASCII.
    fn path_record(&mut self, key: &str, path: &[u8]) {
        if path.len() > 100 || !path.is_ascii() {
            self.record(key, path);
        }
    }

    fn record_number(&mut self, key: &str, number: u64) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        // Writing into a string cannot fail.
        let _ = write!(text, "{number}");
        self.record(key, text.as_bytes());
        self.text = text;
    }

    fn record_moment(&mut self, key: &str, time: NtTime) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        let (seconds, nanoseconds) = time.to_unix();
        // Before 1970 the fraction counts from the other side.
        let (sign, seconds, nanoseconds) = match (seconds < 0, nanoseconds) {
            (false, _) => ("", seconds.unsigned_abs(), nanoseconds),
            (true, 0) => ("-", seconds.unsigned_abs(), 0),
            (true, _) => ("-", seconds.unsigned_abs() - 1, 1_000_000_000 - nanoseconds),
        };
        let _ = write!(text, "{sign}{seconds}");
        if nanoseconds > 0 {
            let _ = write!(text, ".{nanoseconds:09}");
            text.truncate(text.trim_end_matches('0').len());
        }
        self.record(key, text.as_bytes());
        self.text = text;
    }

    /// A line of records; its length counts itself.
    fn record(&mut self, key: &str, value: &[u8]) {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + digits(rest);
        if digits(length) != digits(rest) {
            length = rest + digits(length);
        }
        self.records
            .extend_from_slice(length.to_string().as_bytes());
        self.records.push(b' ');
        self.records.extend_from_slice(key.as_bytes());
        self.records.push(b'=');
        self.records.extend_from_slice(value);
        self.records.push(b'\n');
    }
}

fn digits(number: usize) -> usize {
    number
        .checked_ilog10()
        .map_or(1, |log| usize::try_from(log).unwrap_or(0) + 1)
}

fn last_name(path: &[u8]) -> &[u8] {
    path.trim_ascii_end()
        .strip_suffix(b"/")
        .unwrap_or(path)
        .rsplit(|byte| *byte == b'/')
        .next()
        .unwrap_or(path)
}

/// The path by which readers that know nothing of holes find a sparse file, as GNU tar makes it.
fn sparse_path(path: &[u8]) -> Vec<u8> {
    let name = last_name(path);
    let directory = path.strip_suffix(name).unwrap_or_default();
    [directory, b"GNUSparseFile.0/", name].concat()
}

/// Whether the head cannot hold a time.
fn needs_record(time: NtTime) -> bool {
    let (seconds, nanoseconds) = time.to_unix();
    nanoseconds != 0 || !u64::try_from(seconds).is_ok_and(|seconds| seconds <= MAX_OCTAL)
}

/// The map of a sparse file of `size` bytes (version 1.0 of GNU tar), padded to whole blocks. GNU tar
/// makes no file longer than its map, so that a hole at the end is closed by a range of no bytes.
pub(super) fn sparse_map(islands: &[ByteRange], size: u64) -> Vec<u8> {
    let ends_in_hole = islands.last().is_none_or(|last| last.end().get() < size);
    let count = islands.len() + usize::from(ends_in_hole);
    let mut text = format!("{count}\n");
    for island in islands {
        let _ = write!(text, "{}\n{}\n", island.start().get(), island.len().get());
    }
    if ends_in_hole {
        let _ = write!(text, "{size}\n0\n");
    }
    let mut bytes = text.into_bytes();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn block(
    kind: u8,
    path: &[u8],
    link: &[u8],
    size: u64,
    modified: NtTime,
    mode: u64,
) -> [u8; BLOCK] {
    let mut header = Header::new_zeroed();
    put(&mut header.name, path);
    put(&mut header.link, link);
    octal(&mut header.mode, mode);
    octal(&mut header.user, 0);
    octal(&mut header.group, 0);
    octal(&mut header.size, size.min(MAX_OCTAL));
    let (seconds, _) = modified.to_unix();
    let seconds = u64::try_from(seconds).unwrap_or(0).min(MAX_OCTAL);
    octal(&mut header.modified, seconds);
    header.kind = kind;
    header.magic = MAGIC_POSIX;
    header.version = *b"00";
    header.checksum = [b' '; 8];
    let sum: u64 = header.as_bytes().iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut header.checksum[..7], sum);
    zerocopy::transmute!(header)
}

/// As much of `bytes` as fits.
fn put(field: &mut [u8], bytes: &[u8]) {
    let count = bytes.len().min(field.len());
    field[..count].copy_from_slice(&bytes[..count]);
}

/// Octal digits with zeros in front and a NUL behind; the number fits.
fn octal(field: &mut [u8], mut number: u64) {
    let Some((end, digits)) = field.split_last_mut() else {
        return;
    };
    *end = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 8).unwrap_or(0);
        number /= 8;
    }
}
