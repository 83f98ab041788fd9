//! What was left out of a tar stream, or is not as the stream has it.

use std::fmt;

/// Notes that are kept one by one.
const MAX_NOTES: usize = 10_000;

/// Something that is not in the tree, or not as the stream has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TarNote {
    /// Its path in the stream.
    pub path: String,
    /// What happened to it.
    pub reason: TarNoteReason,
}

/// Why something is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TarNoteReason {
    /// Left out: a device or a pipe.
    SpecialFile,
    /// Left out: a part of a Windows layer that is no part of the volume.
    LayerPart,
    /// The directory comes again; what it said first stays.
    RepeatedDirectory,
    /// Its name is not UTF-8; bytes that are not became U+F000 plus the byte.
    NameNotUnicode,
    /// Its extended attributes are left out.
    ExtendedAttributes,
    /// It was encrypted where it came from; it is stored plain.
    StoredPlain,
}

impl TarNoteReason {
    /// Those that are told once for all entries of a tree, since whole trees have them.
    const COUNTED: [Self; 3] = [Self::LayerPart, Self::ExtendedAttributes, Self::StoredPlain];
}

impl fmt::Display for TarNoteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SpecialFile => "left out: neither a file, a directory nor a link",
            Self::LayerPart => "left out: no part of the volume, but of the layer",
            Self::RepeatedDirectory => "the directory comes again: what it says last counts",
            Self::NameNotUnicode => "its name is not unicode",
            Self::ExtendedAttributes => "its extended attributes are left out",
            Self::StoredPlain => "was encrypted: it is stored plain",
        })
    }
}

/// The notes of one stream; their number is bounded, whatever the stream holds.
#[derive(Debug, Default)]
pub(super) struct Notes {
    notes: Vec<TarNote>,
    /// How many more there are of each reason.
    more: [u64; TarNoteReason::COUNTED.len()],
    unlisted: u64,
}

impl Notes {
    pub(super) fn add(&mut self, path: &[u8], reason: TarNoteReason) {
        let counted = TarNoteReason::COUNTED
            .iter()
            .position(|counted| *counted == reason);
        if let Some(place) = counted {
            self.more[place] += 1;
            if self.more[place] > 1 {
                return;
            }
        }
        if self.notes.len() >= MAX_NOTES {
            self.unlisted += 1;
            return;
        }
        self.notes.push(TarNote {
            path: super::name::shown(path),
            reason,
        });
    }

    pub(super) fn list(&self) -> &[TarNote] {
        &self.notes
    }

    /// A line for each.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .notes
            .iter()
            .map(|note| {
                let place = TarNoteReason::COUNTED
                    .iter()
                    .position(|counted| *counted == note.reason);
                match place.map(|place| self.more[place]) {
                    Some(count) if count > 1 => {
                        format!("{}: {} (and {} more)", note.path, note.reason, count - 1)
                    }
                    _ => format!("{}: {}", note.path, note.reason),
                }
            })
            .collect();
        if self.unlisted > 0 {
            lines.push(format!("{} more notes are not listed", self.unlisted));
        }
        lines
    }
}
