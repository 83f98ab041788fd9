//! What a new file or directory gets from the directory it is made in ([MS-DTYP] 2.5.3.4,
//! CreateSecurityDescriptor), as NTFS of Windows does it.
//!
//! Entries are marked as inherited, and explicit ones are merged with inherited ones, only where
//! the directory (or the explicit descriptor) takes part in automatic inheritance (`AI`). A root
//! that Windows formats does not, and what is made in it carries no marks; so it is here.
//!
//! An entry that works where it stands has its generic rights and creator accounts replaced. Where
//! it is to be inherited further too, the general form stays beside it, for inheritance only.

use super::ace::{Ace, AceBody, AceFlags, AceKind};
use super::acl::{Acl, ListPart};
use super::descriptor::{Control, DescriptorError, Parts, SecurityDescriptor};
use super::mask::AccessMask;
use super::sid::Sid;

/// Who makes the new entry: its owner and group where nothing else is said.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Creator {
    /// The owner.
    pub owner: Sid,
    /// The primary group.
    pub group: Sid,
}

/// An administrator, as the maker of a volume is to Windows.
impl Default for Creator {
    fn default() -> Self {
        Self {
            owner: Sid::administrators(),
            group: Sid::administrators(),
        }
    }
}

/// The flags that one of the two lists has in the control field.
#[derive(Clone, Copy)]
struct ListFlags {
    protected: Control,
    inherited: Control,
    required: Control,
}

const DACL: ListFlags = ListFlags {
    protected: Control::DACL_PROTECTED,
    inherited: Control::DACL_AUTO_INHERITED,
    required: Control::DACL_AUTO_INHERIT_REQUIRED,
};
const SACL: ListFlags = ListFlags {
    protected: Control::SACL_PROTECTED,
    inherited: Control::SACL_AUTO_INHERITED,
    required: Control::SACL_AUTO_INHERIT_REQUIRED,
};

/// The root directory of a volume that Windows 10 formatted.
///
/// # Errors
/// None; putting a descriptor together may fail in general.
pub fn windows_root() -> Result<SecurityDescriptor, DescriptorError> {
    let users = Sid::well_known(5, &[32, 545]);
    let authenticated = Sid::well_known(5, &[11]);
    let accounts = [
        (Sid::administrators(), AccessMask::GENERIC_ALL),
        (Sid::system(), AccessMask::GENERIC_ALL),
        (authenticated, AccessMask(0xE001_0000)),
        (users, AccessMask(0xA000_0000)),
    ];
    let inherit_only = AceFlags::OBJECT_INHERIT
        .with(AceFlags::CONTAINER_INHERIT)
        .with(AceFlags::INHERIT_ONLY);
    let entries = accounts.into_iter().flat_map(|(sid, mask)| {
        let here = Ace::simple(
            AceKind::ALLOW,
            AceFlags::default(),
            mask.for_files(),
            sid.clone(),
        );
        [here, Ace::simple(AceKind::ALLOW, inherit_only, mask, sid)]
    });
    SecurityDescriptor::from_parts(&Parts {
        owner: Some(Sid::system()),
        group: Some(Sid::system()),
        dacl: ListPart::List(Acl {
            entries: entries.collect(),
        }),
        ..Parts::default()
    })
}

/// The descriptor of a new entry in a directory whose descriptor is `parent`: inherited, with what
/// `explicit` says of its own. Parts that `explicit` does not have are as without it; the owner and
/// group are then the creator's.
///
/// # Errors
/// [`DescriptorError`] where the result does not fit into 64 KiB.
pub fn inherit(
    parent: &SecurityDescriptor,
    explicit: Option<&SecurityDescriptor>,
    is_container: bool,
    creator: &Creator,
) -> Result<SecurityDescriptor, DescriptorError> {
    let explicit = explicit.map(SecurityDescriptor::parts).transpose()?;
    create(
        Some(&parent.parts()?),
        explicit.as_ref(),
        is_container,
        creator,
    )
}

/// The descriptor of an entry without a parent, such as a root directory, for which `explicit` was
/// given.
///
/// # Errors
/// [`DescriptorError`] where the result does not fit into 64 KiB.
pub fn assign(
    explicit: &SecurityDescriptor,
    is_container: bool,
    creator: &Creator,
) -> Result<SecurityDescriptor, DescriptorError> {
    create(None, Some(&explicit.parts()?), is_container, creator)
}

fn create(
    parent: Option<&Parts>,
    explicit: Option<&Parts>,
    is_container: bool,
    creator: &Creator,
) -> Result<SecurityDescriptor, DescriptorError> {
    let own = |of: fn(&Parts) -> &Option<Sid>| explicit.and_then(|parts| of(parts).clone());
    let creator = Creator {
        owner: own(|parts| &parts.owner).unwrap_or_else(|| creator.owner.clone()),
        group: own(|parts| &parts.group).unwrap_or_else(|| creator.group.clone()),
    };
    let making = Making {
        is_container,
        creator: &creator,
    };
    let dacl = |parts: &Parts| parts.dacl.clone();
    let sacl = |parts: &Parts| parts.sacl.clone();
    let mut control = Control::default();
    let mut new_dacl = making.list(parent, explicit, dacl, DACL, &mut control);
    if new_dacl == ListPart::Absent {
        new_dacl = ListPart::List(making.default_list());
    }
    let new_sacl = making.list(parent, explicit, sacl, SACL, &mut control);
    SecurityDescriptor::from_parts(&Parts {
        control,
        owner: Some(creator.owner.clone()),
        group: Some(creator.group.clone()),
        dacl: new_dacl,
        sacl: new_sacl,
    })
}

/// What is being made, and by whom.
struct Making<'a> {
    is_container: bool,
    creator: &'a Creator,
}

impl Making<'_> {
    /// One of the lists of the new descriptor ([MS-DTYP] 2.5.3.4.2, ComputeACL); absent where
    /// nothing was given and nothing is inherited.
    fn list(
        &self,
        parent: Option<&Parts>,
        explicit: Option<&Parts>,
        list: impl Fn(&Parts) -> ListPart,
        flags: ListFlags,
        control: &mut Control,
    ) -> ListPart {
        let has =
            |parts: Option<&Parts>, flag| parts.is_some_and(|parts| parts.control.contains(flag));
        let automatic = has(parent, flags.inherited)
            || has(explicit, flags.inherited)
            || has(explicit, flags.required);
        let inherited = || {
            let list = parent.map(&list).unwrap_or_default();
            let entries = list.entries().iter();
            let entries = entries.flat_map(|ace| self.inherited(ace, automatic));
            entries.collect::<Vec<Ace>>()
        };
        let protected = has(explicit, flags.protected);
        let entries = match explicit.map(&list).unwrap_or_default() {
            ListPart::Absent => inherited(),
            ListPart::Null => {
                if protected {
                    *control = control.with(flags.protected);
                }
                return ListPart::Null;
            }
            ListPart::List(acl) => {
                let mut entries = self.explicit(&acl, parent.is_some() && automatic, protected);
                if protected {
                    *control = control.with(flags.protected);
                } else if automatic {
                    entries.extend(inherited());
                }
                if automatic {
                    *control = control.with(flags.inherited);
                }
                return ListPart::List(Acl { entries });
            }
        };
        if entries.is_empty() {
            return ListPart::Absent;
        }
        if automatic {
            *control = control.with(flags.inherited);
        }
        ListPart::List(Acl { entries })
    }

    /// What a token gives where nothing is inherited: everything to the owner and the system.
    fn default_list(&self) -> Acl {
        let allow = |sid| {
            Ace::simple(
                AceKind::ALLOW,
                AceFlags::default(),
                AccessMask::FILE_ALL,
                sid,
            )
        };
        Acl {
            entries: vec![allow(self.creator.owner.clone()), allow(Sid::system())],
        }
    }

    /// The entries that were given. Under automatic inheritance those marked as inherited are not
    /// the giver's to say: they are dropped, or lose the mark where nothing is inherited.
    fn explicit(&self, acl: &Acl, automatic: bool, protected: bool) -> Vec<Ace> {
        let mut entries = Vec::new();
        for ace in &acl.entries {
            let mut ace = ace.clone();
            if automatic && ace.flags.contains(AceFlags::INHERITED) {
                if !protected {
                    continue;
                }
                ace.flags = ace.flags.without(AceFlags::INHERITED);
            }
            if !self.is_container {
                ace.flags = ace.flags.without(AceFlags::ALL_INHERITANCE);
            }
            entries.extend(self.settle(ace));
        }
        entries
    }

    /// What becomes of an entry of the parent in the new entry.
    fn inherited(&self, ace: &Ace, automatic: bool) -> Vec<Ace> {
        let mark = if automatic {
            AceFlags::INHERITED
        } else {
            AceFlags::default()
        };
        // Files and directories are of no type that an object entry could name as the heir.
        if let AceBody::Rights {
            object_types: [_, Some(_)],
            ..
        } = ace.body
        {
            return Vec::new();
        }
        let mut ace = ace.clone();
        let flags = ace.flags;
        let to_files = flags.contains(AceFlags::OBJECT_INHERIT);
        let to_directories = flags.contains(AceFlags::CONTAINER_INHERIT);
        let ends_here = flags.contains(AceFlags::NO_PROPAGATE) || !self.is_container;
        let reaches = if self.is_container {
            to_directories || (to_files && !ends_here)
        } else {
            to_files
        };
        if !reaches {
            return Vec::new();
        }
        ace.flags = flags.without(AceFlags::INHERITED).with(mark);
        if ends_here {
            ace.flags = ace.flags.without(AceFlags::ALL_INHERITANCE);
        } else if to_directories {
            ace.flags = ace.flags.without(AceFlags::INHERIT_ONLY);
        } else {
            // Only files further down will feel it.
            ace.flags = ace.flags.with(AceFlags::INHERIT_ONLY);
        }
        self.settle(ace)
    }

    /// Replaces generic rights and creator accounts of an entry that works here; what is to be
    /// inherited further in its general form stays beside it.
    fn settle(&self, ace: Ace) -> Vec<Ace> {
        if ace.flags.contains(AceFlags::INHERIT_ONLY) {
            return vec![ace];
        }
        let mut here = ace.clone();
        if let AceBody::Rights { mask, sid, .. } = &mut here.body {
            if ace.kind != AceKind::MANDATORY_LABEL {
                *mask = mask.for_files();
            }
            if *sid == Sid::creator_owner() {
                *sid = self.creator.owner.clone();
            } else if *sid == Sid::creator_group() {
                *sid = self.creator.group.clone();
            }
        }
        let goes_on = AceFlags::OBJECT_INHERIT.with(AceFlags::CONTAINER_INHERIT);
        let is_inheritable = ace.flags.0 & goes_on.0 != 0;
        if here == ace || !is_inheritable {
            return vec![here];
        }
        here.flags = here.flags.without(AceFlags::ALL_INHERITANCE);
        let mut below = ace;
        below.flags = below.flags.with(AceFlags::INHERIT_ONLY);
        vec![here, below]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sd(text: &str) -> SecurityDescriptor {
        SecurityDescriptor::from_sddl(text).unwrap()
    }

    fn made(parent: &str, explicit: Option<&str>, is_container: bool) -> String {
        let creator = Creator {
            owner: Sid::parse("S-1-5-21-1-2-3-1001").unwrap(),
            group: Sid::parse("S-1-5-21-1-2-3-513").unwrap(),
        };
        let explicit = explicit.map(sd);
        let made = inherit(&sd(parent), explicit.as_ref(), is_container, &creator).unwrap();
        let text = made.to_sddl().unwrap();
        let creator = "O:S-1-5-21-1-2-3-1001G:S-1-5-21-1-2-3-513";
        text.strip_prefix(creator).unwrap_or(&text).to_owned()
    }

    #[test]
    fn a_new_volume_of_windows_hands_down_what_windows_hands_down() {
        // Seen in directories and files that Windows 10 made in the root of a volume.
        let list = "(A;;FA;;;BA)(A;OICIIO;GA;;;BA)(A;;FA;;;SY)(A;OICIIO;GA;;;SY)\
                    (A;;0x1301bf;;;AU)(A;OICIIO;SDGXGWGR;;;AU)\
                    (A;;0x1200a9;;;BU)(A;OICIIO;GXGR;;;BU)";
        let root = windows_root().unwrap();
        assert_eq!(root.to_sddl().unwrap(), format!("O:SYG:SYD:{list}"));
        let creator = Creator::default();
        let directory = inherit(&root, None, true, &creator).unwrap();
        assert_eq!(directory.to_sddl().unwrap(), format!("O:BAG:BAD:{list}"));
        let below = inherit(&directory, None, true, &creator).unwrap();
        assert_eq!(below, directory);
        let file = inherit(&below, None, false, &creator).unwrap();
        assert_eq!(
            file.to_sddl().unwrap(),
            "O:BAG:BAD:(A;;FA;;;BA)(A;;FA;;;SY)(A;;0x1301bf;;;AU)(A;;0x1200a9;;;BU)"
        );
    }

    #[test]
    fn inheritance_flags_say_who_gets_what() {
        // Parent's entry, a directory's, a file's.
        let cases = [
            ("", None, None),
            ("OI", Some("OIIO"), Some("")),
            ("CI", Some("CI"), None),
            ("OICI", Some("OICI"), Some("")),
            ("OINP", None, Some("")),
            ("CINP", Some(""), None),
            ("OICINP", Some(""), Some("")),
            ("OIIO", Some("OIIO"), Some("")),
            ("CIIO", Some("CI"), None),
            ("OICIIO", Some("OICI"), Some("")),
            ("OICINPIO", Some(""), Some("")),
        ];
        for (flags, directory, file) in cases {
            for (control, mark) in [("", ""), ("AI", "ID")] {
                let parent = format!("D:{control}(A;{flags};FR;;;WD)(A;OICI;FX;;;SY)");
                for (expected, is_container) in [(directory, true), (file, false)] {
                    let rest = if is_container { "OICI" } else { "" };
                    let expected = expected
                        .map_or(String::new(), |flags| format!("(A;{flags}{mark};FR;;;WD)"));
                    assert_eq!(
                        made(&parent, None, is_container),
                        format!("D:{control}{expected}(A;{rest}{mark};FX;;;SY)"),
                        "{flags} {control}"
                    );
                }
            }
        }
    }

    #[test]
    fn creators_and_generic_rights_are_settled_where_they_work() {
        let owner = "S-1-5-21-1-2-3-1001";
        let group = "S-1-5-21-1-2-3-513";
        let parent = "D:PAI(A;OICIIO;GA;;;CO)(A;OICI;GR;;;CG)(A;CINP;GA;;;CO)";
        assert_eq!(
            made(parent, None, true),
            format!(
                "D:AI(A;ID;FA;;;{owner})(A;OICIIOID;GA;;;CO)(A;ID;FR;;;{group})\
                 (A;OICIIOID;GR;;;CG)(A;ID;FA;;;{owner})"
            )
        );
        assert_eq!(
            made(parent, None, false),
            format!("D:AI(A;ID;FA;;;{owner})(A;ID;FR;;;{group})")
        );
        assert_eq!(
            made("D:", Some("D:(A;OICI;GA;;;CO)(A;;GR;;;WD)"), true),
            format!("D:(A;;FA;;;{owner})(A;OICIIO;GA;;;CO)(A;;FR;;;WD)")
        );
        assert_eq!(
            made("D:", Some("O:SYD:(A;;GA;;;CO)"), false),
            "O:SYG:S-1-5-21-1-2-3-513D:(A;;FA;;;SY)"
        );
    }

    #[test]
    fn explicit_entries_stand_before_inherited_ones_unless_protected() {
        let parent = "D:AI(A;OICIID;FA;;;SY)S:AI(AU;OICIFA;FW;;;WD)";
        let cases = [
            (
                "D:(A;;FR;;;WD)",
                "D:AI(A;;FR;;;WD)(A;ID;FA;;;SY)S:AI(AU;IDFA;FW;;;WD)",
            ),
            ("D:P(A;;FR;;;WD)", "D:PAI(A;;FR;;;WD)S:AI(AU;IDFA;FW;;;WD)"),
            // What claims to be inherited is not believed, and is explicit where nothing is.
            (
                "D:(A;ID;FR;;;WD)",
                "D:AI(A;ID;FA;;;SY)S:AI(AU;IDFA;FW;;;WD)",
            ),
            ("D:P(A;ID;FR;;;WD)S:P", "D:PAI(A;;FR;;;WD)S:PAI"),
            ("D:", "D:AI(A;ID;FA;;;SY)S:AI(AU;IDFA;FW;;;WD)"),
            (
                "D:NO_ACCESS_CONTROLS:",
                "D:NO_ACCESS_CONTROLS:AI(AU;IDFA;FW;;;WD)",
            ),
            (
                "S:(ML;;NW;;;LW)",
                "D:AI(A;ID;FA;;;SY)S:AI(ML;;NW;;;LW)(AU;IDFA;FW;;;WD)",
            ),
        ];
        for (explicit, expected) in cases {
            assert_eq!(made(parent, Some(explicit), false), expected, "{explicit}");
        }
        // Without automatic inheritance what is given stands alone.
        assert_eq!(
            made("D:(A;OICI;FA;;;SY)", Some("D:(A;;FR;;;WD)"), false),
            "D:(A;;FR;;;WD)"
        );
        assert_eq!(
            made("D:(A;OICI;FA;;;SY)", Some("D:AI(A;;FR;;;WD)"), false),
            "D:AI(A;;FR;;;WD)(A;ID;FA;;;SY)"
        );
    }

    #[test]
    fn where_nothing_is_inherited_the_owner_and_the_system_may_everything() {
        let owner = "S-1-5-21-1-2-3-1001";
        for parent in ["D:", "D:P(A;;FA;;;WD)", "D:NO_ACCESS_CONTROL", "O:SY"] {
            assert_eq!(
                made(parent, None, false),
                format!("D:(A;;FA;;;{owner})(A;;FA;;;SY)")
            );
        }
    }

    #[test]
    fn an_entry_for_a_type_of_object_is_not_inherited() {
        let root = sd("D:(A;OICI;FA;;;SY)");
        let mut parts = root.parts().unwrap();
        let ListPart::List(list) = &mut parts.dacl else {
            panic!("a list was given");
        };
        let object = Ace {
            kind: AceKind(5),
            flags: AceFlags(3),
            body: AceBody::Rights {
                mask: AccessMask(1),
                object_types: [None, Some([7; 16])],
                sid: Sid::system(),
                tail: Vec::new(),
            },
        };
        list.entries.push(object);
        let parent = SecurityDescriptor::from_parts(&parts).unwrap();
        assert!(parent.to_sddl().is_err());
        let file = inherit(&parent, None, false, &Creator::default()).unwrap();
        assert_eq!(file.to_sddl().unwrap(), "O:BAG:BAD:(A;;FA;;;SY)");
    }
}
