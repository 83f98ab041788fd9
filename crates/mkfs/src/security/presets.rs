//! Descriptors that have a name, for whoever does not write SDDL.
//!
//! All of them are protected (`P`: a volume has nothing above it to inherit from) and take part in
//! automatic inheritance (`AI`), so that tools of Windows show what is inherited below as inherited.
//! The owner is the group of administrators: what it holds can be repaired.

use super::descriptor::SecurityDescriptor;
use super::sddl::SddlError;

/// A descriptor with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// The accounts of Windows containers: the container's administrator may do everything, its user
    /// may change everything but not rights, ordinary users may read. These two accounts
    /// (`User Manager\ContainerAdministrator`, S-1-5-93-2-1, and `User Manager\ContainerUser`,
    /// S-1-5-93-2-2) are the same in every container, so that the volume works in each.
    ContainerUsers,
    /// The system and administrators may do everything, nobody else anything.
    Administrators,
    /// As [`Preset::Administrators`], and everybody may read and run.
    EveryoneRead,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 3] = [
        Self::ContainerUsers,
        Self::Administrators,
        Self::EveryoneRead,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ContainerUsers => "container-users",
            Self::Administrators => "administrators",
            Self::EveryoneRead => "everyone-read",
        }
    }

    /// What it stands for.
    pub const fn sddl(self) -> &'static str {
        match self {
            Self::ContainerUsers => {
                "O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;S-1-5-93-2-1)\
                 (A;OICI;0x1301bf;;;S-1-5-93-2-2)(A;OICI;0x1200a9;;;BU)"
            }
            Self::Administrators => "O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)",
            Self::EveryoneRead => {
                "O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;WD)"
            }
        }
    }

    /// The preset of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }
}

impl SecurityDescriptor {
    /// The descriptor that SDDL says or a [`Preset`] names. SDDL has a colon, names have none.
    ///
    /// # Errors
    /// As [`SecurityDescriptor::from_sddl`].
    pub fn from_sddl_or_preset(text: &str) -> Result<Self, SddlError> {
        Self::from_sddl(Preset::from_name(text).map_or(text, |preset| preset.sddl()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_found_by_name_and_print_as_written() {
        for preset in Preset::ALL {
            assert_eq!(Preset::from_name(preset.name()), Some(preset));
            let descriptor = SecurityDescriptor::from_sddl_or_preset(preset.name()).unwrap();
            assert_eq!(descriptor.to_sddl().unwrap(), preset.sddl());
        }
        assert!(SecurityDescriptor::from_sddl_or_preset("everyone").is_err());
    }
}
