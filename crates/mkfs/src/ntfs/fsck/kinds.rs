//! The types of attributes: what values they have, and how they are called.

use super::super::parse::{AttributeView, kind};

/// First of the types that are left to users, without rules.
const FIRST_USER_KIND: u32 = 0x1000;
/// What `$AttrDef` of Windows says of a type: the least and the most bytes of a value, and whether
/// it must be resident.
pub(super) struct KindRule {
    pub least: u64,
    pub most: u64,
    pub resident_only: bool,
}

/// The rule of a type; none for a number that is no type.
pub(super) fn rule(number: u32) -> Option<KindRule> {
    let any = u64::MAX;
    let (least, most, resident_only) = match number {
        kind::STANDARD_INFORMATION => (48, 72, true),
        kind::ATTRIBUTE_LIST | kind::SECURITY_DESCRIPTOR | kind::DATA => (0, any, false),
        kind::FILE_NAME => (68, 578, true),
        kind::OBJECT_ID => (0, 256, true),
        kind::VOLUME_NAME => (0, 256, true),
        kind::VOLUME_INFORMATION => (12, 12, true),
        kind::INDEX_ROOT => (0, any, true),
        kind::INDEX_ALLOCATION | kind::BITMAP => (0, any, false),
        kind::REPARSE_POINT => (0, 16384, false),
        kind::EA_INFORMATION => (8, 8, true),
        kind::EA | kind::LOGGED_UTILITY_STREAM => (0, 65536, false),
        // A property set, of which nothing is known.
        0xF0 => (0, any, false),
        FIRST_USER_KIND.. => (0, any, false),
        _ => return None,
    };
    Some(KindRule {
        least,
        most,
        resident_only,
    })
}

/// An attribute in words.
pub(super) fn text(attribute: &AttributeView<'_>) -> String {
    let kind = match attribute.kind {
        kind::STANDARD_INFORMATION => "$STANDARD_INFORMATION",
        kind::ATTRIBUTE_LIST => "$ATTRIBUTE_LIST",
        kind::FILE_NAME => "$FILE_NAME",
        kind::OBJECT_ID => "$OBJECT_ID",
        kind::SECURITY_DESCRIPTOR => "$SECURITY_DESCRIPTOR",
        kind::VOLUME_NAME => "$VOLUME_NAME",
        kind::VOLUME_INFORMATION => "$VOLUME_INFORMATION",
        kind::DATA => "$DATA",
        kind::INDEX_ROOT => "$INDEX_ROOT",
        kind::INDEX_ALLOCATION => "$INDEX_ALLOCATION",
        kind::BITMAP => "$BITMAP",
        kind::REPARSE_POINT => "$REPARSE_POINT",
        kind::EA_INFORMATION => "$EA_INFORMATION",
        kind::EA => "$EA",
        kind::LOGGED_UTILITY_STREAM => "$LOGGED_UTILITY_STREAM",
        other => return format!("attribute {other:#x}"),
    };
    if attribute.name.is_empty() {
        return kind.to_owned();
    }
    let name = String::from_utf16_lossy(&attribute.name_units());
    format!("{kind}:{}", name.escape_debug())
}
