//! Descriptors as Windows prints them.

use super::words::{FLAGS, KINDS, LABEL_RIGHTS, REFUSED_KINDS, RIGHTS, SETS};
use super::{SddlError, account};
use crate::security::ace::{Ace, AceBody, AceFlags, AceKind};
use crate::security::acl::ListPart;
use crate::security::descriptor::{Control, Parts};
use crate::security::mask::AccessMask;

/// Owner, group, discretionary list, system list; what is absent is left out.
pub(super) fn descriptor(parts: &Parts) -> Result<String, SddlError> {
    let mut text = String::new();
    for (letter, sid) in [("O:", &parts.owner), ("G:", &parts.group)] {
        if let Some(sid) = sid {
            text.push_str(letter);
            text.push_str(&account(sid));
        }
    }
    let dacl_flags = [
        Control::DACL_PROTECTED,
        Control::DACL_AUTO_INHERIT_REQUIRED,
        Control::DACL_AUTO_INHERITED,
    ];
    let sacl_flags = [
        Control::SACL_PROTECTED,
        Control::SACL_AUTO_INHERIT_REQUIRED,
        Control::SACL_AUTO_INHERITED,
    ];
    list(&mut text, "D:", &parts.dacl, parts.control, dacl_flags)?;
    list(&mut text, "S:", &parts.sacl, parts.control, sacl_flags)?;
    Ok(text)
}

fn list(
    text: &mut String,
    letter: &str,
    part: &ListPart,
    control: Control,
    flags: [Control; 3],
) -> Result<(), SddlError> {
    if *part == ListPart::Absent {
        return Ok(());
    }
    text.push_str(letter);
    for (word, flag) in ["P", "AR", "AI"].into_iter().zip(flags) {
        if control.contains(flag) {
            text.push_str(word);
        }
    }
    if *part == ListPart::Null {
        text.push_str("NO_ACCESS_CONTROL");
    }
    for (index, ace) in part.entries().iter().enumerate() {
        entry(text, ace).map_err(|what| {
            let message = format!("entry {} of {letter} is {what}", index + 1);
            SddlError::unsupported(None, message)
        })?;
    }
    Ok(())
}

/// Appends an entry; where it has no text, what it is.
fn entry(text: &mut String, ace: &Ace) -> Result<(), String> {
    let refused = REFUSED_KINDS
        .iter()
        .find(|(_, kind, _)| *kind == ace.kind.0)
        .map(|(.., what)| (*what).to_owned());
    if let Some(what) = refused {
        return Err(what);
    }
    let word = KINDS.iter().find(|(_, kind, _)| *kind == ace.kind);
    let (Some((word, ..)), AceBody::Rights { mask, sid, .. }) = (word, &ace.body) else {
        return Err(format!("of the unknown kind {:#x}", ace.kind.0));
    };
    text.push('(');
    text.push_str(word);
    text.push(';');
    text.push_str(&flags(ace.flags));
    text.push(';');
    text.push_str(&rights(ace.kind, *mask));
    text.push_str(";;;");
    text.push_str(&account(sid));
    text.push(')');
    Ok(())
}

fn flags(flags: AceFlags) -> String {
    FLAGS
        .iter()
        .filter(|(_, flag)| flags.contains(*flag))
        .map(|(word, _)| *word)
        .collect()
}

/// By the name of the whole set, or by those of its bits, or as a number where one has none.
fn rights(kind: AceKind, mask: AccessMask) -> String {
    let table: &[(&str, AccessMask)] = if kind == AceKind::MANDATORY_LABEL {
        &LABEL_RIGHTS
    } else if let Some((word, _)) = SETS.iter().find(|(_, set)| *set == mask) {
        return (*word).to_owned();
    } else {
        &RIGHTS
    };
    let named = table.iter().fold(0, |named, (_, right)| named | right.0);
    if mask.0 & !named != 0 {
        return format!("{:#x}", mask.0);
    }
    table
        .iter()
        .filter(|(_, right)| mask.contains(*right))
        .map(|(word, _)| *word)
        .collect()
}
