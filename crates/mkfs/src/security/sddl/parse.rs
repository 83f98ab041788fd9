//! Reading SDDL.
//!
//! The text is walked once, from left to right; the place of the walk is the column of an error.

use super::words::{FLAGS, KINDS, LABEL_RIGHTS, List, REFUSED_KINDS, RIGHTS, SETS};
use super::{MAX_SDDL_BYTES, SddlError, quote};
use crate::security::ace::{Ace, AceFlags, AceKind};
use crate::security::acl::{Acl, ListPart};
use crate::security::alias::{self, Meaning};
use crate::security::descriptor::{Control, Parts, SecurityDescriptor};
use crate::security::mask::AccessMask;
use crate::security::sid::Sid;

/// The most entries of a list: more do not fit into its 64 KiB.
const MAX_ENTRIES: usize = 4096;

type Result<T> = std::result::Result<T, SddlError>;

/// The descriptor that a text says.
pub(super) fn descriptor(text: &str) -> Result<SecurityDescriptor> {
    if text.len() > MAX_SDDL_BYTES {
        let message = format!("the text is longer than {MAX_SDDL_BYTES} bytes");
        return Err(SddlError::invalid(1, message));
    }
    let mut walk = Walk {
        rest: text,
        column: 1,
    };
    walk.skip_blanks();
    if walk.rest.is_empty() {
        return Err(walk.error("the descriptor is empty; write for example D:(A;OICI;FA;;;BA)"));
    }
    let mut parts = Parts::default();
    while !walk.rest.is_empty() {
        part(&mut walk, &mut parts)?;
        walk.skip_blanks();
    }
    SecurityDescriptor::from_parts(&parts).map_err(|error| SddlError::of_descriptor(&error))
}

/// What is left of the text, and the column at which it begins.
#[derive(Clone, Copy)]
struct Walk<'a> {
    rest: &'a str,
    column: usize,
}

impl<'a> Walk<'a> {
    /// Takes `bytes` bytes, which end at a character.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        self.column += taken.chars().count();
        taken
    }

    /// Takes a word if it comes next, in upper or lower case.
    fn skip(&mut self, word: &str) -> bool {
        let found = self
            .rest
            .get(..word.len())
            .is_some_and(|next| next.eq_ignore_ascii_case(word));
        if found {
            self.take(word.len());
        }
        found
    }

    /// Takes blanks and line breaks. Windows passes over blanks in several of these places, and people
    /// write long descriptors in lines.
    fn skip_blanks(&mut self) {
        self.take_until(|c| !c.is_ascii_whitespace());
    }

    /// Takes up to the first character that meets the condition, or to the end.
    fn take_until(&mut self, stop: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(stop).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn error(&self, message: impl Into<String>) -> SddlError {
        SddlError::invalid(self.column, message)
    }

    /// The next character, for a message.
    fn next(&self) -> String {
        let next = self.rest.chars().next();
        next.map_or_else(|| "the end".to_owned(), |next| format!("{next:?}"))
    }
}

/// One of `O:`, `G:`, `D:`, `S:` with what follows.
fn part(walk: &mut Walk<'_>, parts: &mut Parts) -> Result<()> {
    let start = *walk;
    let twice = |what: &str| start.error(format!("{what} is given twice"));
    if walk.skip("O:") {
        let owner = part_account(walk, "an owner")?;
        if parts.owner.replace(owner).is_some() {
            return Err(twice("the owner"));
        }
    } else if walk.skip("G:") {
        let group = part_account(walk, "a group")?;
        if parts.group.replace(group).is_some() {
            return Err(twice("the group"));
        }
    } else if walk.skip("D:") {
        let flags = [
            Control::DACL_PROTECTED,
            Control::DACL_AUTO_INHERIT_REQUIRED,
            Control::DACL_AUTO_INHERITED,
        ];
        if parts.dacl != ListPart::Absent {
            return Err(twice("the list D:"));
        }
        parts.dacl = list(walk, &mut parts.control, flags, List::Discretionary)?;
    } else if walk.skip("S:") {
        let flags = [
            Control::SACL_PROTECTED,
            Control::SACL_AUTO_INHERIT_REQUIRED,
            Control::SACL_AUTO_INHERITED,
        ];
        if parts.sacl != ListPart::Absent {
            return Err(twice("the list S:"));
        }
        parts.sacl = list(walk, &mut parts.control, flags, List::System)?;
    } else {
        let next = walk.next();
        return Err(walk.error(format!("O:, G:, D: or S: should stand here, not {next}")));
    }
    Ok(())
}

/// An account that ends where the next part begins.
fn part_account(walk: &mut Walk<'_>, what: &str) -> Result<Sid> {
    walk.skip_blanks();
    let start = *walk;
    // An alias is two letters; an identifier ends before the letter of the next part.
    let is_identifier = start
        .rest
        .get(..2)
        .is_some_and(|head| head.eq_ignore_ascii_case("S-"));
    let text = if is_identifier {
        let end = start.rest.find(':').map_or(start.rest.len(), |colon| {
            // The letter before the colon begins the next part.
            let before = start.rest[..colon].chars().next_back();
            colon - before.map_or(0, char::len_utf8)
        });
        walk.take(end)
    } else {
        let end = start.rest.char_indices().nth(2).map(|(end, _)| end);
        walk.take(end.unwrap_or(start.rest.len()))
    };
    let text = text.trim_ascii_end();
    if text.is_empty() || text.ends_with(':') {
        return Err(start.error(format!("{what} is missing")));
    }
    account(text, start.column)
}

/// An account: an alias or an identifier.
fn account(text: &str, column: usize) -> Result<Sid> {
    match alias::meaning(text) {
        Some(Meaning::Known(sid)) => return Ok(sid),
        Some(Meaning::Relative { number, whose }) => {
            let message = format!(
                "{} is an account of the {whose}, which is not known here; write its identifier, \
                 S-1-5-21-...-{number}",
                text.to_ascii_uppercase()
            );
            return Err(SddlError::unsupported(Some(column), message));
        }
        None => {}
    }
    let is_identifier = text
        .get(..2)
        .is_some_and(|head| head.eq_ignore_ascii_case("S-"));
    if !is_identifier {
        let message = format!(
            "{} is no account; write an alias such as BA, or an identifier such as S-1-5-32-544",
            quote(text)
        );
        return Err(SddlError::invalid(column, message));
    }
    Sid::parse(text)
        .map_err(|error| SddlError::invalid(column, format!("{}: {error}", quote(text))))
}

/// Flags and entries of a list.
fn list(
    walk: &mut Walk<'_>,
    control: &mut Control,
    flags: [Control; 3],
    place: List,
) -> Result<ListPart> {
    let [protected, required, inherited] = flags;
    let mut null = false;
    loop {
        walk.skip_blanks();
        if walk.skip("NO_ACCESS_CONTROL") {
            null = true;
        } else if walk.skip("AR") {
            *control = control.with(required);
        } else if walk.skip("AI") {
            *control = control.with(inherited);
        } else if walk.skip("P") {
            *control = control.with(protected);
        } else {
            break;
        }
    }
    let mut entries = Vec::new();
    while walk.rest.starts_with('(') {
        if null {
            return Err(walk.error("a list with NO_ACCESS_CONTROL has no entries"));
        }
        if entries.len() == MAX_ENTRIES {
            return Err(walk.error("the list has too many entries"));
        }
        entries.push(entry(walk, place)?);
        walk.skip_blanks();
    }
    // What follows is another part, or nothing; anything else is most likely meant for this list.
    let is_part = |rest: &str| rest.as_bytes().get(1) == Some(&b':');
    if !walk.rest.is_empty() && !is_part(walk.rest) {
        let message = format!(
            "an entry in parentheses or one of P, AR, AI should stand here, not {}",
            walk.next()
        );
        return Err(walk.error(message));
    }
    Ok(if null {
        ListPart::Null
    } else {
        ListPart::List(Acl { entries })
    })
}

/// `(kind;flags;rights;object type;inherited object type;account)`
fn entry(walk: &mut Walk<'_>, place: List) -> Result<Ace> {
    walk.take(1);
    let (word, column) = field(walk)?;
    let kind = kind(word, column, place)?;
    separator(walk, "the flags")?;
    let (word, column) = field(walk)?;
    let flags = flags(word, column)?;
    separator(walk, "the rights")?;
    let (word, column) = field(walk)?;
    let mask = rights(word, column)?;
    for _ in 0..2 {
        separator(walk, "a type of object (empty)")?;
        let (word, column) = field(walk)?;
        if !word.is_empty() {
            let message = "a type of object, which files have none of; leave the field empty";
            return Err(SddlError::unsupported(Some(column), message));
        }
    }
    separator(walk, "the account")?;
    let (word, column) = field(walk)?;
    if word.is_empty() {
        return Err(SddlError::invalid(column, "an account is missing"));
    }
    let sid = account(word, column)?;
    if walk.rest.starts_with(';') {
        let message = "a condition or attribute, which this kind of entry does not have";
        return Err(walk.error(message));
    }
    if !walk.skip(")") {
        return Err(walk.error(format!(
            "a ) should end the entry here, not {}",
            walk.next()
        )));
    }
    Ok(Ace::simple(kind, flags, mask, sid))
}

/// The text up to the end of a field, and its column.
fn field<'a>(walk: &mut Walk<'a>) -> Result<(&'a str, usize)> {
    walk.skip_blanks();
    let column = walk.column;
    let text = walk.take_until(|c| matches!(c, ';' | ')' | '('));
    Ok((text.trim_ascii_end(), column))
}

fn separator(walk: &mut Walk<'_>, what: &str) -> Result<()> {
    if walk.skip(";") {
        return Ok(());
    }
    let message = format!(
        "a ; and {what} should follow here, not {}; an entry is \
         (kind;flags;rights;;;account)",
        walk.next()
    );
    Err(walk.error(message))
}

fn kind(word: &str, column: usize, place: List) -> Result<AceKind> {
    let refused = REFUSED_KINDS
        .iter()
        .find(|(known, ..)| known.eq_ignore_ascii_case(word));
    if let Some((known, _, what)) = refused {
        let message = format!("{known} begins {what}; this is not supported");
        return Err(SddlError::unsupported(Some(column), message));
    }
    let found = KINDS
        .iter()
        .find(|(known, ..)| known.eq_ignore_ascii_case(word));
    let Some((known, kind, list)) = found else {
        let message = format!(
            "{} is no kind of entry; write A to allow or D to deny",
            quote(word)
        );
        return Err(SddlError::invalid(column, message));
    };
    if *list != place {
        let right = match list {
            List::Discretionary => "D:",
            List::System => "S:",
        };
        let message = format!("an entry {known} belongs into the list {right}");
        return Err(SddlError::invalid(column, message));
    }
    Ok(*kind)
}

/// Words of two letters, each looked up in turn, with the column of each.
fn pairs(text: &str, column: usize) -> impl Iterator<Item = (&str, usize)> {
    let mut walk = Walk { rest: text, column };
    std::iter::from_fn(move || {
        walk.skip_blanks();
        if walk.rest.is_empty() {
            return None;
        }
        let column = walk.column;
        let end = walk.rest.char_indices().nth(2).map(|(end, _)| end);
        Some((walk.take(end.unwrap_or(walk.rest.len())), column))
    })
}

fn flags(text: &str, column: usize) -> Result<AceFlags> {
    pairs(text, column).try_fold(AceFlags::default(), |flags, (word, column)| {
        let found = FLAGS
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(word));
        found.map(|(_, flag)| flags.with(*flag)).ok_or_else(|| {
            let known: Vec<&str> = FLAGS.iter().map(|(known, _)| *known).collect();
            let message = format!("{} is none of {}", quote(word), known.join(", "));
            SddlError::invalid(column, message)
        })
    })
}

/// Rights as words, or as one number: `0x` hexadecimal, `0` octal, else decimal.
fn rights(text: &str, column: usize) -> Result<AccessMask> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return number(text).map(AccessMask).ok_or_else(|| {
            let message = format!("{} is no number of 32 bits", quote(text));
            SddlError::invalid(column, message)
        });
    }
    pairs(text, column).try_fold(AccessMask::default(), |mask, (word, column)| {
        let found = SETS
            .iter()
            .chain(&RIGHTS)
            .chain(&LABEL_RIGHTS)
            .find(|(known, _)| known.eq_ignore_ascii_case(word));
        found
            .map(|(_, right)| AccessMask(mask.0 | right.0))
            .ok_or_else(|| {
                let message = format!(
                    "{} is no right; write FA, FR, FW, FX, GA, GR, ... or a number such as 0x1200a9",
                    quote(word)
                );
                SddlError::invalid(column, message)
            })
    })
}

fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.get(..2) {
        Some(head) if head.eq_ignore_ascii_case("0x") => (text.get(2..)?, 16),
        _ if text.len() > 1 && text.starts_with('0') => (text.get(1..)?, 8),
        _ => (text, 10),
    };
    let plain = digits.bytes().all(|digit| digit.is_ascii_alphanumeric());
    plain.then(|| u32::from_str_radix(digits, radix).ok())?
}
