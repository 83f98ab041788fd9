//! Pages of sector bitmaps in memory: a bit a sector, set where the child holds the sector itself.
//!
//! Invariants: bit `n` of word `m` is sector `64m + n` of the page, whatever order of bits the
//! format has. A page that was changed stays until its change stands in the file; the others are
//! dropped when there are too many, so that memory is bounded. A page is read while the map is
//! locked, so that no older copy can take the place of a newer one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The words of a page.
pub(crate) type Words = Box<[AtomicU64]>;

struct Page {
    words: Words,
    /// Changes that do not stand in the file yet; the page stays while there are any.
    pins: AtomicU64,
}

/// The pages that are in memory, by a number of the format's choice.
pub(crate) struct BitmapPages {
    pages: RwLock<HashMap<u64, Page>>,
    /// Most pages that are kept without need.
    limit: usize,
}

impl BitmapPages {
    /// No pages yet; at most `limit` are kept without need.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            pages: RwLock::default(),
            limit,
        }
    }

    fn shared(&self) -> RwLockReadGuard<'_, HashMap<u64, Page>> {
        self.pages.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn exclusive(&self) -> RwLockWriteGuard<'_, HashMap<u64, Page>> {
        self.pages.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at a page, which `load` reads where it is not in memory.
    ///
    /// # Errors
    /// What `load` returns.
    pub(crate) fn look<T>(
        &self,
        number: u64,
        load: impl FnOnce() -> blockio::Result<Words>,
        look: impl FnOnce(&[AtomicU64]) -> T,
    ) -> blockio::Result<T> {
        if let Some(page) = self.shared().get(&number) {
            return Ok(look(&page.words));
        }
        let mut pages = self.exclusive();
        let page = self.loaded(&mut pages, number, load)?;
        Ok(look(&page.words))
    }

    /// Changes a page; with `pin`, it stays in memory until [`BitmapPages::unpin`].
    ///
    /// # Errors
    /// What `load` returns; nothing is changed then.
    pub(crate) fn change(
        &self,
        number: u64,
        pin: bool,
        load: impl FnOnce() -> blockio::Result<Words>,
        change: impl FnOnce(&[AtomicU64]),
    ) -> blockio::Result<()> {
        let act = |page: &Page| {
            page.pins.fetch_add(u64::from(pin), Ordering::AcqRel);
            change(&page.words);
        };
        if let Some(page) = self.shared().get(&number) {
            act(page);
            return Ok(());
        }
        act(self.loaded(&mut self.exclusive(), number, load)?);
        Ok(())
    }

    fn loaded<'a>(
        &self,
        pages: &'a mut HashMap<u64, Page>,
        number: u64,
        load: impl FnOnce() -> blockio::Result<Words>,
    ) -> blockio::Result<&'a Page> {
        if pages.len() >= self.limit && !pages.contains_key(&number) {
            pages.retain(|_, page| page.pins.load(Ordering::Acquire) > 0);
        }
        Ok(match pages.entry(number) {
            std::collections::hash_map::Entry::Occupied(page) => page.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => place.insert(Page {
                words: load()?,
                pins: AtomicU64::new(0),
            }),
        })
    }

    /// Drops a page of something that is not there any more.
    pub(crate) fn forget(&self, number: u64) {
        self.exclusive().remove(&number);
    }

    /// A copy of a page that is pinned; nothing where it is not in memory.
    pub(crate) fn copy(&self, number: u64) -> Vec<u64> {
        self.shared().get(&number).map_or_else(Vec::new, |page| {
            let words = page.words.iter();
            words.map(|word| word.load(Ordering::Acquire)).collect()
        })
    }

    /// The change behind one pin stands in the file.
    pub(crate) fn unpin(&self, number: u64) {
        if let Some(page) = self.shared().get(&number) {
            page.pins.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// The words of a page whose bits stand least significant first ([MS-VHDX] 2.4).
pub(crate) fn from_low_first(bytes: &[u8]) -> Words {
    let (words, _) = bytes.as_chunks();
    words
        .iter()
        .map(|word| AtomicU64::new(u64::from_le_bytes(*word)))
        .collect()
}

/// The words of a page whose bits stand most significant first (VHD).
pub(crate) fn from_high_first(bytes: &[u8]) -> Words {
    let (words, _) = bytes.as_chunks();
    words
        .iter()
        .map(|word| AtomicU64::new(u64::from_be_bytes(*word).reverse_bits()))
        .collect()
}

/// The bits of `words` from `from` to `to`: word number and mask.
fn masks(from: u64, to: u64) -> impl Iterator<Item = (usize, u64)> {
    let mut at = from;
    std::iter::from_fn(move || {
        (at < to).then(|| {
            let bit = at % 64;
            let count = (to - at).min(64 - bit);
            let mask = (u64::MAX >> (64 - count)) << bit;
            let word = usize::try_from(at / 64).unwrap_or(usize::MAX);
            at += count;
            (word, mask)
        })
    })
}

/// Sets or clears the bits from `from` to `to`.
pub(crate) fn assign(words: &[AtomicU64], from: u64, to: u64, value: bool) {
    for (word, mask) in masks(from, to) {
        let Some(word) = words.get(word) else {
            return;
        };
        if value {
            word.fetch_or(mask, Ordering::AcqRel);
        } else {
            word.fetch_and(!mask, Ordering::AcqRel);
        }
    }
}

/// The value of the bit at `from`, and where the run of that value ends, at `to` at the latest.
/// Bits that are not there are clear.
pub(crate) fn run(words: &[AtomicU64], from: u64, to: u64) -> (bool, u64) {
    let load = |at: u64| {
        let word = usize::try_from(at / 64).ok().and_then(|at| words.get(at));
        word.map_or(0, |word| word.load(Ordering::Acquire))
    };
    let value = load(from) >> (from % 64) & 1 == 1;
    let mut at = from;
    while at < to {
        let word = load(at);
        let others = (if value { !word } else { word }) >> (at % 64);
        if others != 0 {
            return (value, (at + u64::from(others.trailing_zeros())).min(to));
        }
        at = (at / 64 + 1) * 64;
    }
    (value, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> blockio::Result<Words> {
        Ok(from_low_first(&[0; 64]))
    }

    #[test]
    fn runs_end_where_the_bits_change_in_either_order_of_bits() {
        let low = from_low_first(&[0x01, 0x80, 0, 0, 0, 0, 0, 0x80, 1, 0, 0, 0, 0, 0, 0, 0]);
        let runs: Vec<_> = [0, 1, 15, 16, 63, 65].map(|at| run(&low, at, 128)).into();
        let expected = [
            (true, 1),
            (false, 15),
            (true, 16),
            (false, 63),
            (true, 65),
            (false, 128),
        ];
        assert_eq!(runs, expected);
        let high = from_high_first(&[0x80, 0x01, 0, 0, 0, 0, 0, 1]);
        assert_eq!(run(&high, 0, 64), (true, 1));
        assert_eq!(run(&high, 1, 64), (false, 15));
        assert_eq!(run(&high, 63, 64), (true, 64));
    }

    #[test]
    fn assigned_bits_are_those_and_no_others() {
        for (from, to) in [(0, 1), (63, 65), (0, 512), (7, 200), (64, 128)] {
            let words = none().unwrap();
            assign(&words, from, to, true);
            for bit in 0..512 {
                let inside = (from..to).contains(&bit);
                assert_eq!(run(&words, bit, bit + 1).0, inside, "{bit} {from}..{to}");
            }
            assign(&words, from, to, false);
            assert_eq!(run(&words, 0, 512), (false, 512));
        }
    }

    #[test]
    fn a_changed_page_outlives_the_limit_and_others_do_not() {
        let pages = BitmapPages::new(2);
        pages
            .change(1, true, none, |words| assign(words, 3, 4, true))
            .unwrap();
        for number in 2..50 {
            pages.look(number, none, |_| ()).unwrap();
        }
        assert!(pages.shared().len() <= 3);
        let kept = |number| pages.look(number, none, |words| run(words, 3, 4).0);
        assert!(kept(1).unwrap());
        pages.unpin(1);
        for number in 50..60 {
            pages.look(number, none, |_| ()).unwrap();
        }
        assert!(!kept(1).unwrap(), "an unpinned page is read anew");
    }
}
