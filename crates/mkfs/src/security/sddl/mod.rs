//! The security descriptor definition language ([MS-DTYP] 2.5.1): descriptors as text.
//!
//! Read is what the published grammar has, in upper or lower case, with blanks between its words. Entries about
//! types of objects, with conditions or with attributes are told apart and refused: files have no
//! such types, and a condition is a language of its own. Printed is what Windows prints
//! (ConvertSecurityDescriptorToStringSecurityDescriptor), except that accounts of a domain are
//! always written in full.

mod parse;
mod print;
#[cfg(test)]
mod tests;
mod words;

use super::descriptor::{DescriptorError, SecurityDescriptor};
use super::sid::Sid;

/// The longest text that is read, in bytes: a descriptor of 64 KiB is at most so long.
pub const MAX_SDDL_BYTES: usize = 512 * 1024;
/// How much of a refused word an error repeats, in characters.
const MAX_QUOTED_CHARS: usize = 40;

/// The class of an [`SddlError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SddlErrorKind {
    /// The text is wrong.
    Invalid,
    /// It is right, but holds what is not supported here.
    Unsupported,
}

/// Text that is no descriptor, or a descriptor that has no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", display_column(*column))]
pub struct SddlError {
    kind: SddlErrorKind,
    column: Option<usize>,
    message: String,
}

fn display_column(column: Option<usize>) -> String {
    column.map_or_else(String::new, |column| format!("column {column}: "))
}

impl SddlError {
    /// The class of the error.
    pub fn kind(&self) -> SddlErrorKind {
        self.kind
    }

    /// Where in the text it stands: the character, from 1. `None` where it is about the whole.
    pub fn column(&self) -> Option<usize> {
        self.column
    }

    /// What is wrong, without the column.
    pub fn message(&self) -> &str {
        &self.message
    }

    fn invalid(column: usize, message: impl Into<String>) -> Self {
        Self {
            kind: SddlErrorKind::Invalid,
            column: Some(column),
            message: message.into(),
        }
    }

    fn unsupported(column: Option<usize>, message: impl Into<String>) -> Self {
        Self {
            kind: SddlErrorKind::Unsupported,
            column,
            message: message.into(),
        }
    }

    fn of_descriptor(error: &DescriptorError) -> Self {
        Self {
            kind: SddlErrorKind::Invalid,
            column: None,
            message: error.to_string(),
        }
    }
}

impl SecurityDescriptor {
    /// The descriptor that SDDL says, such as `O:BAG:SYD:PAI(A;OICI;FA;;;BA)`.
    ///
    /// Aliases that stand for an account of a domain or machine (`DA`, `LA`) are refused with the
    /// number that ends the identifier to write instead: a volume is made apart from any domain.
    ///
    /// # Errors
    /// [`SddlError`], which names the column.
    pub fn from_sddl(text: &str) -> Result<Self, SddlError> {
        parse::descriptor(text)
    }

    /// The descriptor as SDDL, as Windows writes it.
    ///
    /// # Errors
    /// [`SddlErrorKind::Unsupported`] where it holds an entry about types of objects, with a
    /// condition or with attributes, or of an unknown kind.
    pub fn to_sddl(&self) -> Result<String, SddlError> {
        let parts = self
            .parts()
            .map_err(|error| SddlError::of_descriptor(&error))?;
        print::descriptor(&parts)
    }
}

/// An account as SDDL writes it: its alias, or its identifier in full.
pub(super) fn account(sid: &Sid) -> String {
    sid.alias().map_or_else(|| sid.to_string(), str::to_owned)
}

/// A word for an error message: cut short, with nothing that a terminal would act on.
fn quote(word: &str) -> String {
    let mut quoted: String = word.chars().take(MAX_QUOTED_CHARS).collect();
    if word.chars().nth(MAX_QUOTED_CHARS).is_some() {
        quoted.push_str("...");
    }
    format!("{quoted:?}")
}

/// What a fuzz target feeds: any bytes, as text and as a descriptor.
///
/// # Panics
/// Where an accepted text does not lead back to the same descriptor, or an accepted descriptor does
/// not hold when put together anew; that is the finding.
pub fn fuzz_sddl(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        match SecurityDescriptor::from_sddl(text) {
            Ok(descriptor) => assert_printed_reads_back(&descriptor),
            Err(error) => assert!(error.to_string().len() < 1000, "{error}"),
        }
    }
    let Ok(descriptor) = SecurityDescriptor::from_bytes(data) else {
        return;
    };
    let parts = descriptor.parts();
    assert!(parts.is_ok(), "an accepted descriptor is not read again");
    let Ok(parts) = parts else { return };
    // It may not fit: two parts at the same place in `data` are two pieces in the new one.
    let Ok(again) = SecurityDescriptor::from_parts(&parts) else {
        return;
    };
    assert_eq!(again.parts().map(|again| again.dacl), Ok(parts.dacl));
    let checked = SecurityDescriptor::from_bytes(again.as_bytes());
    assert_eq!(checked.as_ref(), Ok(&again));
    drop(again.to_sddl());
}

fn assert_printed_reads_back(descriptor: &SecurityDescriptor) {
    let printed = descriptor.to_sddl();
    assert!(printed.is_ok(), "{printed:?}");
    if let Ok(printed) = printed {
        let again = SecurityDescriptor::from_sddl(&printed);
        assert_eq!(again.as_ref(), Ok(descriptor), "{printed}");
    }
}
