//! The two-letter names of well-known accounts in SDDL ([MS-DTYP] 2.4.2.4, 2.5.1.1).
//!
//! Those of a domain or of one machine stand for an identifier only where the domain is known. A
//! volume is made apart from any domain, so they are refused with the form that says the same.

use super::sid::Sid;

/// Alias, authority, sub-authorities.
const WELL_KNOWN: [(&str, u32, &[u32]); 49] = [
    ("WD", 1, &[0]),
    ("CO", 3, &[0]),
    ("CG", 3, &[1]),
    ("OW", 3, &[4]),
    ("NU", 5, &[2]),
    ("IU", 5, &[4]),
    ("SU", 5, &[6]),
    ("AN", 5, &[7]),
    ("ED", 5, &[9]),
    ("PS", 5, &[10]),
    ("AU", 5, &[11]),
    ("RC", 5, &[12]),
    ("SY", 5, &[18]),
    ("LS", 5, &[19]),
    ("NS", 5, &[20]),
    ("WR", 5, &[33]),
    ("BA", 5, &[32, 544]),
    ("BU", 5, &[32, 545]),
    ("BG", 5, &[32, 546]),
    ("PU", 5, &[32, 547]),
    ("AO", 5, &[32, 548]),
    ("SO", 5, &[32, 549]),
    ("PO", 5, &[32, 550]),
    ("BO", 5, &[32, 551]),
    ("RE", 5, &[32, 552]),
    ("RU", 5, &[32, 554]),
    ("RD", 5, &[32, 555]),
    ("NO", 5, &[32, 556]),
    ("MU", 5, &[32, 558]),
    ("LU", 5, &[32, 559]),
    ("IS", 5, &[32, 568]),
    ("CY", 5, &[32, 569]),
    ("ER", 5, &[32, 573]),
    ("CD", 5, &[32, 574]),
    ("RA", 5, &[32, 575]),
    ("ES", 5, &[32, 576]),
    ("MS", 5, &[32, 577]),
    ("HA", 5, &[32, 578]),
    ("AA", 5, &[32, 579]),
    ("RM", 5, &[32, 580]),
    ("UD", 5, &[84, 0, 0, 0, 0, 0]),
    ("AC", 15, &[2, 1]),
    ("LW", 16, &[4096]),
    ("ME", 16, &[8192]),
    ("MP", 16, &[8448]),
    ("HI", 16, &[12288]),
    ("SI", 16, &[16384]),
    ("AS", 18, &[1]),
    ("SS", 18, &[2]),
];

/// Alias, number below the domain's identifier, and whose.
const RELATIVE: [(&str, u32, &str); 17] = [
    ("RO", 498, "root domain"),
    ("LA", 500, "machine"),
    ("LG", 501, "machine"),
    ("DA", 512, "domain"),
    ("DU", 513, "domain"),
    ("DG", 514, "domain"),
    ("DC", 515, "domain"),
    ("DD", 516, "domain"),
    ("CA", 517, "domain"),
    ("SA", 518, "root domain"),
    ("EA", 519, "root domain"),
    ("PA", 520, "domain"),
    ("CN", 522, "domain"),
    ("AP", 525, "domain"),
    ("KA", 526, "domain"),
    ("EK", 527, "root domain"),
    ("RS", 553, "domain"),
];

/// What a two-letter name stands for.
pub(super) enum Meaning {
    /// An identifier that is the same everywhere.
    Known(Sid),
    /// The account of this number in a domain or on a machine that is not known here.
    Relative {
        /// The number that ends its identifier.
        number: u32,
        /// Whose account it is.
        whose: &'static str,
    },
}

/// What an alias stands for, in upper or lower case; `None` where there is no such alias.
pub(super) fn meaning(text: &str) -> Option<Meaning> {
    let known = WELL_KNOWN
        .iter()
        .find(|(alias, ..)| alias.eq_ignore_ascii_case(text))
        .map(|(_, authority, numbers)| Meaning::Known(Sid::well_known(*authority, numbers)));
    known.or_else(|| {
        RELATIVE
            .iter()
            .find(|(alias, ..)| alias.eq_ignore_ascii_case(text))
            .map(|&(_, number, whose)| Meaning::Relative { number, whose })
    })
}

/// The alias of an identifier that is the same everywhere.
pub(super) fn of(sid: &Sid) -> Option<&'static str> {
    WELL_KNOWN
        .iter()
        .find(|(_, authority, numbers)| {
            sid.authority() == u64::from(*authority) && sid.sub_authorities() == *numbers
        })
        .map(|(alias, ..)| *alias)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_alias_stands_for_one_account_and_back() {
        let mut seen = BTreeSet::new();
        for (alias, authority, numbers) in WELL_KNOWN {
            let sid = Sid::well_known(authority, numbers);
            assert_eq!(of(&sid), Some(alias));
            assert!(matches!(meaning(alias), Some(Meaning::Known(known)) if known == sid));
            assert!(seen.insert(alias) && alias.len() == 2);
        }
        for (alias, ..) in RELATIVE {
            assert!(matches!(meaning(alias), Some(Meaning::Relative { .. })));
            assert!(seen.insert(alias) && alias.len() == 2);
        }
        assert!(meaning("XX").is_none());
    }
}
