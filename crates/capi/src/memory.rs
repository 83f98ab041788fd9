//! Memory that was handed out: each piece is known from when it goes out until it is given back.
//!
//! What is given back twice, or never came from here, is left alone. A piece is known by its address, or,
//! where the caller owns the struct, by a number in it that never comes again. C may write into what it
//! has: lengths are kept here, and none is read from there.

use std::collections::BTreeMap;
use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use secrecy::zeroize::Zeroize;

use crate::handles;
use crate::text;
use crate::types::{containerv_volume_info, containerv_volume_snapshot};

/// Things in a row that C has the address of.
struct Lent<T> {
    items: *mut [T],
}

// SAFETY: it owns the memory; who has the address reads and writes it by the rules of the header, which
// allow that on any thread, but not during the call that gives it back.
unsafe impl<T> Send for Lent<T> {}

impl<T> Lent<T> {
    fn new(items: Vec<T>) -> Self {
        let items = Box::into_raw(items.into_boxed_slice());
        Self { items }
    }

    fn place(&self) -> *mut T {
        self.items.cast()
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        // SAFETY: it came from a box in `new`, with the same length, and is dropped once.
        drop(unsafe { Box::from_raw(self.items) });
    }
}

/// A text, with the NUL that ends it.
fn lend_text(text: &str) -> Lent<c_char> {
    let bytes = text::owned(text).into_bytes_with_nul();
    // `c_char` is signed on some systems; the bits are the same.
    let items = bytes.into_iter().map(|byte| c_char::from_ne_bytes([byte]));
    Lent::new(items.collect())
}

/// A piece that is out.
enum Piece {
    Text {
        _text: Lent<c_char>,
    },
    /// A text that is overwritten before its memory is used again.
    Secret(Lent<c_char>),
    /// The texts of a struct that the caller owns.
    Texts {
        _texts: Texts,
    },
    Volumes {
        _list: Lent<containerv_volume_info>,
        _texts: Texts,
    },
    Snapshots {
        _list: Lent<containerv_volume_snapshot>,
        _texts: Texts,
    },
}

static PIECES: Mutex<BTreeMap<usize, Piece>> = Mutex::new(BTreeMap::new());

fn pieces() -> MutexGuard<'static, BTreeMap<usize, Piece>> {
    PIECES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Texts on their way out.
#[derive(Default)]
pub(crate) struct Texts(Vec<Lent<c_char>>);

impl Texts {
    /// Adds one; where it stands.
    pub(crate) fn add(&mut self, text: &str) -> *mut c_char {
        let text = lend_text(text);
        let place = text.place();
        self.0.push(text);
        place
    }

    /// Adds one if there is one, else NULL.
    pub(crate) fn add_some(&mut self, text: Option<&str>) -> *mut c_char {
        text.map_or(ptr::null_mut(), |text| self.add(text))
    }
}

/// Hands out a text.
pub(crate) fn give_text(text: &str) -> *mut c_char {
    let text = lend_text(text);
    give(text.place(), Piece::Text { _text: text })
}

/// Hands out a text that is overwritten when it is given back. It is put together of parts here, so that
/// no second copy of it is left behind.
pub(crate) fn give_secret(parts: &[&str]) -> *mut c_char {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut items: Vec<c_char> = Vec::with_capacity(length.saturating_add(1));
    let bytes = parts.iter().flat_map(|part| part.bytes());
    items.extend(bytes.map(|byte| c_char::from_ne_bytes([byte])));
    items.push(0);
    let text = Lent::new(items);
    give(text.place(), Piece::Secret(text))
}

/// Hands out a list of volumes; NULL for an empty one.
pub(crate) fn give_volumes(
    items: Vec<containerv_volume_info>,
    texts: Texts,
) -> *mut containerv_volume_info {
    if items.is_empty() {
        return ptr::null_mut();
    }
    let list = Lent::new(items);
    give(
        list.place(),
        Piece::Volumes {
            _list: list,
            _texts: texts,
        },
    )
}

/// Hands out a list of snapshots; NULL for an empty one.
pub(crate) fn give_snapshots(
    items: Vec<containerv_volume_snapshot>,
    texts: Texts,
) -> *mut containerv_volume_snapshot {
    if items.is_empty() {
        return ptr::null_mut();
    }
    let list = Lent::new(items);
    give(
        list.place(),
        Piece::Snapshots {
            _list: list,
            _texts: texts,
        },
    )
}

/// Hands out the texts of a struct of the caller; what they are known by.
pub(crate) fn give_texts(texts: Texts) -> *mut c_void {
    let number = ptr::without_provenance_mut(handles::next_number());
    give(number, Piece::Texts { _texts: texts })
}

fn give<T>(place: *mut T, piece: Piece) -> *mut T {
    pieces().insert(place.addr(), piece);
    place
}

/// Takes a text back.
pub(crate) fn take_text(place: *mut c_char) {
    let taken = take(place.addr(), |piece| {
        matches!(piece, Piece::Text { .. } | Piece::Secret(_))
    });
    if let Some(Piece::Secret(text)) = taken {
        // SAFETY: the text is still ours, and as long as it was; C may not use it any more.
        unsafe { &mut *text.items }.zeroize();
    }
}

/// Takes a list of volumes back.
pub(crate) fn take_volumes(place: *mut containerv_volume_info) {
    take(place.addr(), |piece| matches!(piece, Piece::Volumes { .. }));
}

/// Takes a list of snapshots back.
pub(crate) fn take_snapshots(place: *mut containerv_volume_snapshot) {
    take(place.addr(), |piece| {
        matches!(piece, Piece::Snapshots { .. })
    });
}

/// Takes the texts of a struct of the caller back.
pub(crate) fn take_texts(number: *mut c_void) {
    take(number.addr(), |piece| matches!(piece, Piece::Texts { .. }));
}

/// The piece of this key, if it is out and of this kind.
fn take(key: usize, is_wanted: impl FnOnce(&Piece) -> bool) -> Option<Piece> {
    let mut pieces = pieces();
    if pieces.get(&key).is_some_and(is_wanted) {
        pieces.remove(&key)
    } else {
        None
    }
}

/// How many pieces are out.
pub(crate) fn outstanding() -> usize {
    pieces().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_taken_back_once_and_by_its_kind() {
        let text = give_text("x");
        let key = text.addr();
        take_volumes(text.cast());
        assert!(pieces().contains_key(&key));
        take_text(text);
        assert!(!pieces().contains_key(&key));
        take_text(text);
    }

    #[test]
    fn a_text_that_c_wrote_into_is_taken_back_whole() {
        let text = give_secret(&["pass", "word"]);
        // SAFETY: it is that long.
        unsafe { text.add(2).write(0) };
        take_text(text);
    }
}
