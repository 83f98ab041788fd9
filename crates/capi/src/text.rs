//! Texts of C: UTF-8 that ends with NUL.

use std::ffi::{CStr, CString, c_char};

use crate::failure::{Failure, Result};

/// The longest text that is taken, in bytes: lists of mounts are long, nothing is longer.
const MAX_LENGTH: usize = 1 << 20;

/// Reads an argument that has to be there.
///
/// # Safety
/// `pointer` is NULL, or leads to a text that ends with NUL and does not change during the call.
pub(crate) unsafe fn required(pointer: *const c_char, name: &str) -> Result<String> {
    // SAFETY: the caller promises the same.
    let text = unsafe { optional(pointer, name) }?;
    text.ok_or_else(|| Failure::argument(format!("{name} is NULL")))
}

/// Reads an argument that may be NULL.
///
/// # Safety
/// As for [`required`].
pub(crate) unsafe fn optional(pointer: *const c_char, name: &str) -> Result<Option<String>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, and so a text that ends with NUL, by the promise of the caller.
    let bytes = unsafe { CStr::from_ptr(pointer) }.to_bytes();
    if bytes.len() > MAX_LENGTH {
        let message = format!("{name} is longer than {MAX_LENGTH} bytes");
        return Err(Failure::Argument(message));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(error) => Err(Failure::Argument(format!(
            "{name} is not UTF-8: byte {} begins no character",
            error.valid_up_to() + 1
        ))),
    }
}

/// A text for C. What C would take for its end becomes a question mark.
pub(crate) fn owned(text: &str) -> CString {
    let bytes = text.bytes();
    let bytes: Vec<u8> = bytes
        .map(|byte| if byte == 0 { b'?' } else { byte })
        .collect();
    CString::new(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_utf8_is_refused_with_the_place() {
        // SAFETY: the text ends with NUL.
        let failure = unsafe { required(c"ab\xFFc".as_ptr(), "name") }.unwrap_err();
        assert_eq!(
            failure.text(),
            "name is not UTF-8: byte 3 begins no character"
        );
    }

    #[test]
    fn null_is_none_or_an_error() {
        // SAFETY: NULL is allowed.
        unsafe {
            assert_eq!(optional(std::ptr::null(), "name").unwrap(), None);
            let failure = required(std::ptr::null(), "name").unwrap_err();
            assert_eq!(failure.text(), "name is NULL");
        }
    }

    #[test]
    fn a_text_with_nul_comes_out_whole() {
        assert_eq!(owned("a\0b").as_c_str(), c"a?b");
    }
}
