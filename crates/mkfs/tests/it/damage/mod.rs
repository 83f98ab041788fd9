//! Damages, each planted into a sound volume, and the class of finding that tells of it.

mod boot;
mod indexes;
mod names;
mod records;
mod streams;
mod system;
pub(crate) mod volume;

use volume::Volume;

/// One damage.
pub(crate) struct Damage {
    /// What it is.
    pub(crate) name: &'static str,
    /// Plants it.
    pub(crate) plant: fn(&Volume),
    /// The class of finding that must tell of it.
    pub(crate) class: &'static str,
}

macro_rules! damages {
    ($($plant:ident => $class:literal,)*) => {
        /// The damages of this subject.
        pub(super) const DAMAGES: &[super::Damage] = &[
            $(super::Damage { name: stringify!($plant), plant: $plant, class: $class },)*
        ];
    };
}
use damages;

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Damage> {
    [
        boot::DAMAGES,
        records::DAMAGES,
        names::DAMAGES,
        streams::DAMAGES,
        indexes::DAMAGES,
        system::DAMAGES,
    ]
    .into_iter()
    .flatten()
}
