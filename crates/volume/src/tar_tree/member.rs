//! One member of a tar stream: its head, together with what came before it to extend it.

use mkfs::NtTime;
use zerocopy::{FromBytes, IntoBytes};

use super::format::{Header, MAGIC_POSIX, PREFIX, kind};
use super::name::{MAX_PATH_BYTES, shown};
use super::number;
use super::pax::Records;
use super::sparse::{self, Sparse, SparseError};
use super::stream::Stream;

/// Bytes of the records before one member: a map of holes may be long.
const MAX_RECORDS_BYTES: usize = 4 << 20;
/// Heads that extend one member.
const MAX_EXTENSIONS: usize = 64;

/// A member as the stream describes it. Its content comes next in the stream.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) kind: u8,
    pub(super) modified: NtTime,
    pub(super) records: Records,
    pub(super) sparse: Option<Sparse>,
}

/// Why there is no next member.
#[derive(Debug)]
pub(super) enum Fault {
    /// The stream failed.
    Stream(std::io::Error),
    /// What is wrong with the member of this path; where it has none yet, with the archive.
    Malformed(Option<String>, String),
    /// What it needs that is not supported.
    Unsupported(Option<String>, String),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Stream(error)
    }
}

fn malformed<T>(path: Option<&[u8]>, what: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Malformed(path.map(shown), what.into()))
}

/// The next member; `None` at the mark that ends the archive.
pub(super) fn next(stream: &mut Stream, global: &mut Records) -> Result<Option<Member>, Fault> {
    stream.finish()?;
    let mut records = global.clone();
    let (mut long_path, mut long_link) = (None, None);
    for _ in 0..MAX_EXTENSIONS {
        let Some(header) = head(stream)? else {
            return Ok(None);
        };
        let path = path_of(&header);
        let size = match number::size(&header.size) {
            Some(size) => size,
            None => return malformed(Some(&path), "its size is no number"),
        };
        match header.kind {
            kind::PAX | kind::PAX_GLOBAL => {
                stream.begin(size);
                let bytes = match stream.take(MAX_RECORDS_BYTES)? {
                    Some(bytes) => bytes,
                    None => return malformed(Some(&path), "its PAX records are too long"),
                };
                stream.finish()?;
                let into = if header.kind == kind::PAX {
                    &mut records
                } else {
                    &mut *global
                };
                if let Err(what) = into.add(&bytes) {
                    return malformed(Some(&path), what);
                }
                if header.kind == kind::PAX_GLOBAL {
                    if is_of_one_member(global) {
                        return malformed(Some(&path), "its records for all members name one");
                    }
                    records = global.clone();
                }
            }
            kind::GNU_LONG_NAME | kind::GNU_LONG_LINK => {
                stream.begin(size);
                let bytes = match stream.take(MAX_PATH_BYTES)? {
                    Some(bytes) => bytes,
                    None => return malformed(Some(&path), "the path that follows is too long"),
                };
                stream.finish()?;
                let text = Some(until_nul(&bytes).to_vec());
                if header.kind == kind::GNU_LONG_NAME {
                    long_path = text;
                } else {
                    long_link = text;
                }
            }
            kind::GNU_VOLUME => {
                stream.begin(size);
                stream.finish()?;
            }
            _ => {
                let path = long_path.unwrap_or(path);
                let link = long_link.unwrap_or_else(|| until_nul(&header.link).to_vec());
                return member(stream, &header, size, path, link, records).map(Some);
            }
        }
    }
    malformed(None, "too many heads come before one member")
}

/// Records that can only be meant for one member.
fn is_of_one_member(records: &Records) -> bool {
    records.path.is_some()
        || records.link.is_some()
        || records.size.is_some()
        || records.reparse.is_some()
        || records.sparse.size.is_some()
        || records.sparse.path.is_some()
        || records.sparse.map.is_some()
        || !records.sparse.numbers.is_empty()
}

/// The next head, its checksum right; `None` at the end mark.
fn head(stream: &mut Stream) -> Result<Option<Header>, Fault> {
    let is_first = stream.member() == 0;
    let Some(block) = stream.block()? else {
        return malformed(
            None,
            if is_first {
                "it is empty"
            } else {
                "the archive ends without its end mark, so a part of it may be missing"
            },
        );
    };
    if block.iter().all(|byte| *byte == 0) {
        // The mark is two blocks; one of them at the very end is taken for it too.
        return match stream.block()? {
            None => Ok(None),
            Some(second) if second.iter().all(|byte| *byte == 0) => Ok(None),
            Some(_) => malformed(None, "the archive goes on behind a block of zeros"),
        };
    }
    let Ok(header) = Header::read_from_bytes(&block) else {
        return malformed(None, "a head is cut short");
    };
    if !is_sum_right(&header) {
        return malformed(
            None,
            if is_first {
                "it is no tar archive"
            } else {
                "the checksum of the next head is wrong"
            },
        );
    }
    Ok(Some(header))
}

/// Whether the checksum is right, the bytes taken as unsigned or (old tars) as signed.
fn is_sum_right(header: &Header) -> bool {
    let mut blank = header.clone();
    blank.checksum = [b' '; 8];
    let bytes = blank.as_bytes();
    let unsigned: i64 = bytes.iter().map(|byte| i64::from(*byte)).sum();
    let signed: i64 = bytes
        .iter()
        .map(|byte| i64::from(i8::from_ne_bytes([*byte])))
        .sum();
    let said = number::field(&header.checksum);
    said == Some(unsigned) || said == Some(signed)
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0);
    bytes.get(..end.unwrap_or(bytes.len())).unwrap_or(bytes)
}

/// The path in a head: by POSIX in two parts.
fn path_of(header: &Header) -> Vec<u8> {
    let name = until_nul(&header.name);
    let prefix = until_nul(&header.tail[..PREFIX]);
    if header.magic != MAGIC_POSIX || prefix.is_empty() {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}

/// The member that a head describes, with what was said before it.
fn member(
    stream: &mut Stream,
    header: &Header,
    size: u64,
    path: Vec<u8>,
    link: Vec<u8>,
    mut records: Records,
) -> Result<Member, Fault> {
    let mut path = records.path.take().unwrap_or(path);
    let link = records.link.take().unwrap_or(link);
    let size = records.size.unwrap_or(size);
    let kind = match header.kind {
        // Before POSIX, a slash told directories.
        kind::FILE_OLD | kind::FILE if path.ends_with(b"/") => kind::DIRECTORY,
        kind::FILE_OLD | kind::FILE_CONTIGUOUS => kind::FILE,
        other => other,
    };
    let Some(seconds) = number::field(&header.modified) else {
        return malformed(Some(&path), "its time is no number");
    };
    let sparse_fault = |path: &[u8], error| match error {
        SparseError::Stream(error) => Fault::Stream(error),
        SparseError::Map(what) => Fault::Malformed(Some(shown(path)), what.to_owned()),
    };
    let sparse = match kind {
        kind::GNU_SPARSE => {
            let sparse = sparse::old(header, stream).map_err(|error| sparse_fault(&path, error))?;
            stream.begin(size);
            Some(sparse)
        }
        kind::FILE => {
            stream.begin(size);
            if let Some(real) = records.sparse.path.take() {
                path = real;
            }
            sparse::of_records(&records.sparse, stream)
                .map_err(|error| sparse_fault(&path, error))?
        }
        kind::HARD_LINK
        | kind::SYMLINK
        | kind::CHARACTER_DEVICE
        | kind::BLOCK_DEVICE
        | kind::DIRECTORY
        | kind::PIPE => {
            // They have no content, whatever size some writers put here.
            stream.begin(0);
            None
        }
        unknown => {
            let what = format!(
                "a member of kind {:?}",
                char::from(unknown).escape_default().to_string()
            );
            return Err(Fault::Unsupported(Some(shown(&path)), what));
        }
    };
    Ok(Member {
        path,
        link,
        kind: if kind == kind::GNU_SPARSE {
            kind::FILE
        } else {
            kind
        },
        modified: records
            .modified
            .unwrap_or_else(|| NtTime::from_unix(seconds, 0)),
        records,
        sparse,
    })
}
