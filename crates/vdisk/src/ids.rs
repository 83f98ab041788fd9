//! Where the unique identifiers of a new image come from: chance, or a seed.
//!
//! With a seed, the same seed and label give the same identifier, so that two builds of the same
//! image are byte-identical.

use uuid::Uuid;

/// Source of the identifiers written into a new image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdSource {
    /// Random identifiers (UUID version 4).
    Random,
    /// Identifiers derived from a seed (UUID version 8: a BLAKE3 keyed hash of the label).
    Seeded([u8; 32]),
}

impl IdSource {
    /// An identifier for the purpose `label`, such as `vhdx data write guid`.
    ///
    /// With a seed, the same label always gives the same identifier: use one label a purpose.
    pub fn guid(&self, label: &str) -> Uuid {
        match self {
            Self::Random => Uuid::new_v4(),
            Self::Seeded(seed) => {
                let hash = blake3::keyed_hash(seed, label.as_bytes());
                let mut bytes = [0; 16];
                bytes.copy_from_slice(&hash.as_bytes()[..16]);
                uuid::Builder::from_custom_bytes(bytes).into_uuid()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_label_give_the_same_identifier_every_time() {
        let ids = IdSource::Seeded([7; 32]);
        assert_eq!(ids.guid("disk"), ids.guid("disk"));
        assert_eq!(ids.guid("disk").get_version_num(), 8);
    }

    #[test]
    fn another_seed_or_label_gives_another_identifier() {
        let ids = IdSource::Seeded([7; 32]);
        assert_ne!(ids.guid("disk"), ids.guid("file"));
        assert_ne!(ids.guid("disk"), IdSource::Seeded([8; 32]).guid("disk"));
    }

    #[test]
    fn random_identifiers_differ() {
        assert_ne!(IdSource::Random.guid("a"), IdSource::Random.guid("a"));
        assert_eq!(IdSource::Random.guid("a").get_version_num(), 4);
    }
}
