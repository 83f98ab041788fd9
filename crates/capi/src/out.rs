//! What a call hands out through an address that it was given.

use crate::failure::{Failure, Result};

/// An address that something is written to, known not to be NULL.
pub(crate) struct Out<T> {
    place: *mut T,
}

impl<T> Out<T> {
    /// Takes an argument, and writes what stands there if the call fails.
    ///
    /// # Safety
    /// `place` is NULL, or leads to room for a `T` that nobody else uses during the call.
    pub(crate) unsafe fn new(place: *mut T, name: &str, otherwise: T) -> Result<Self> {
        if place.is_null() {
            return Err(Failure::argument(format!("{name} is NULL")));
        }
        if !place.is_aligned() {
            return Err(Failure::argument(format!(
                "{name} is no address of its type"
            )));
        }
        let out = Self { place };
        out.put(otherwise);
        Ok(out)
    }

    /// Writes it.
    pub(crate) fn put(&self, value: T) {
        // SAFETY: whoever made it promised that the place is valid, and nothing there is dropped.
        unsafe { self.place.write(value) }
    }
}

/// Reads `count` things that C has in a row, by their addresses in it.
///
/// # Safety
/// `first` is NULL, or leads to `count` valid things that do not change during the call.
pub(crate) unsafe fn row<T: Copy>(first: *const T, count: i32, name: &str) -> Result<Vec<T>> {
    /// More than any container has.
    const MOST: usize = 10_000;
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= MOST)
        .ok_or_else(|| Failure::argument(format!("{count} {name} are none, or too many")))?;
    if count == 0 {
        return Ok(Vec::new());
    }
    if first.is_null() || !first.is_aligned() {
        return Err(Failure::argument(format!("{name} is NULL")));
    }
    // SAFETY: not NULL, aligned, and `count` things long by the promise of the caller.
    Ok(unsafe { std::slice::from_raw_parts(first, count) }.to_vec())
}

/// Reads one thing of C.
///
/// # Safety
/// `place` is NULL, or leads to a valid thing that does not change during the call.
pub(crate) unsafe fn one<T: Copy>(place: *const T, name: &str) -> Result<T> {
    if place.is_null() || !place.is_aligned() {
        return Err(Failure::argument(format!("{name} is NULL")));
    }
    // SAFETY: not NULL, aligned, and valid by the promise of the caller.
    Ok(unsafe { place.read() })
}
