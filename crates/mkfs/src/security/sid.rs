//! Security identifiers ([MS-DTYP] 2.4.2): their bytes and their text `S-1-5-32-544`.

use std::fmt;

use super::alias;

/// The only revision there is.
const REVISION: u8 = 1;
/// Bytes before the sub-authorities.
const HEAD_BYTES: usize = 8;
/// The most sub-authorities ([MS-DTYP] 2.4.2.2).
const MAX_SUB_AUTHORITIES: usize = 15;
/// Bits of an authority.
const AUTHORITY_LIMIT: u64 = 1 << 48;
/// From here on an authority is written in hexadecimal ([MS-DTYP] 2.4.2.1).
const HEXADECIMAL_FROM: u64 = 1 << 32;

/// A security identifier: a user, a group, a service or a label.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid {
    /// Below 2^48.
    authority: u64,
    /// At most fifteen.
    sub_authorities: Vec<u32>,
}

/// Text or bytes that are no security identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a security identifier {0}")]
pub struct SidError(pub(super) &'static str);

impl Sid {
    /// The identifier of these parts.
    ///
    /// # Errors
    /// [`SidError`] where the authority needs more than 48 bits, or there are more than fifteen
    /// sub-authorities.
    pub fn new(authority: u64, sub_authorities: &[u32]) -> Result<Self, SidError> {
        if authority >= AUTHORITY_LIMIT {
            return Err(SidError("has an authority of more than 48 bits"));
        }
        if sub_authorities.len() > MAX_SUB_AUTHORITIES {
            return Err(SidError("has more than 15 sub-authorities"));
        }
        Ok(Self {
            authority,
            sub_authorities: sub_authorities.to_vec(),
        })
    }

    /// One of the identifiers that this crate names; its parts are within every limit.
    pub(super) fn well_known(authority: u32, sub_authorities: &[u32]) -> Self {
        Self {
            authority: u64::from(authority),
            sub_authorities: sub_authorities.to_vec(),
        }
    }

    /// `S-1-5-18`.
    pub fn system() -> Self {
        Self::well_known(5, &[18])
    }

    /// `S-1-5-32-544`.
    pub fn administrators() -> Self {
        Self::well_known(5, &[32, 544])
    }

    /// `S-1-3-0`, which becomes the owner of what inherits it.
    pub fn creator_owner() -> Self {
        Self::well_known(3, &[0])
    }

    /// `S-1-3-1`, which becomes the group of what inherits it.
    pub fn creator_group() -> Self {
        Self::well_known(3, &[1])
    }

    /// The authority, below 2^48.
    pub fn authority(&self) -> u64 {
        self.authority
    }

    /// The sub-authorities, at most fifteen.
    pub fn sub_authorities(&self) -> &[u32] {
        &self.sub_authorities
    }

    /// Reads `S-1-...`: an authority in decimal, or as `0x` and twelve digits, then sub-authorities
    /// in decimal. Aliases such as `BA` are read by the SDDL parser.
    ///
    /// # Errors
    /// [`SidError`], which says what is wrong.
    pub fn parse(text: &str) -> Result<Self, SidError> {
        let rest = text
            .get(..2)
            .filter(|head| head.eq_ignore_ascii_case("S-"))
            .and_then(|_| text.get(2..))
            .ok_or(SidError("does not begin with S-1-"))?;
        let rest = rest
            .strip_prefix("1-")
            .ok_or(SidError("is of an unknown revision, not S-1-"))?;
        let mut parts = rest.split('-');
        let authority = parse_authority(parts.next().unwrap_or_default())?;
        let mut sub_authorities = Vec::new();
        for part in parts {
            if sub_authorities.len() == MAX_SUB_AUTHORITIES {
                return Err(SidError("has more than 15 sub-authorities"));
            }
            let number = parse_decimal(part)
                .and_then(|number| u32::try_from(number).ok())
                .ok_or(SidError("has a sub-authority that is no number below 2^32"))?;
            sub_authorities.push(number);
        }
        Self::new(authority, &sub_authorities)
    }

    /// The identifier that bytes begin with, and how many bytes it takes.
    ///
    /// # Errors
    /// [`SidError`] where it is of another revision, has too many sub-authorities or is cut short.
    pub fn from_prefix(bytes: &[u8]) -> Result<(Self, usize), SidError> {
        let cut_short = SidError("is cut short");
        let (head, rest) = bytes
            .split_first_chunk::<HEAD_BYTES>()
            .ok_or_else(|| cut_short.clone())?;
        let [revision, count, a, b, c, d, e, f] = *head;
        if revision != REVISION {
            return Err(SidError("is of an unknown revision"));
        }
        let count = usize::from(count);
        if count > MAX_SUB_AUTHORITIES {
            return Err(SidError("has more than 15 sub-authorities"));
        }
        let (numbers, _) = rest.as_chunks::<4>();
        let numbers = numbers.get(..count).ok_or(cut_short)?;
        let sid = Self {
            authority: u64::from_be_bytes([0, 0, a, b, c, d, e, f]),
            sub_authorities: numbers.iter().map(|n| u32::from_le_bytes(*n)).collect(),
        };
        let length = sid.byte_len();
        Ok((sid, length))
    }

    /// Its bytes, as they are stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let [_, _, authority @ ..] = self.authority.to_be_bytes();
        let count = u8::try_from(self.sub_authorities.len()).unwrap_or(u8::MAX);
        let mut bytes = vec![REVISION, count];
        bytes.extend_from_slice(&authority);
        for number in &self.sub_authorities {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// How many bytes it takes: 8 to 68.
    pub fn byte_len(&self) -> usize {
        HEAD_BYTES + 4 * self.sub_authorities.len()
    }

    /// Its alias in SDDL such as `BA`; `None` where there is none, or where it depends on the domain.
    pub fn alias(&self) -> Option<&'static str> {
        alias::of(self)
    }
}

fn parse_authority(text: &str) -> Result<u64, SidError> {
    let hexadecimal = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .filter(|digits| (1..=12).contains(&digits.len()));
    let number = match hexadecimal {
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            u64::from_str_radix(digits, 16).ok()
        }
        Some(_) => None,
        None => parse_decimal(text),
    };
    number.ok_or(SidError("has an authority that is no number below 2^48"))
}

/// A number of one to fifteen digits, without a sign.
fn parse_decimal(text: &str) -> Option<u64> {
    const MAX_DIGITS: usize = 15;
    let digits = (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.authority < HEXADECIMAL_FROM {
            write!(f, "S-1-{}", self.authority)?;
        } else {
            write!(f, "S-1-0x{:012X}", self.authority)?;
        }
        for number in &self.sub_authorities {
            write!(f, "-{number}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_lead_to_each_other() {
        let most = format!("S-1-5{}", "-4294967295".repeat(15));
        for text in [
            "S-1-0-0",
            "S-1-5",
            "S-1-5-32-544",
            "S-1-5-93-2-1",
            "S-1-4294967295-7",
            "S-1-0x000100000000-1",
            "S-1-0xFFFFFFFFFFFF",
            &most,
        ] {
            let sid = Sid::parse(text).unwrap();
            assert_eq!(sid.to_string(), text);
            let mut bytes = sid.to_bytes();
            assert_eq!(bytes.len(), sid.byte_len());
            bytes.extend_from_slice(&[0xFF; 3]);
            assert_eq!(Sid::from_prefix(&bytes), Ok((sid, bytes.len() - 3)));
        }
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        let many = format!("S-1-5{}", "-1".repeat(16));
        for text in [
            "",
            "S",
            "S-",
            "S-1",
            "S-1-",
            "S-2-5-18",
            "X-1-5-18",
            "S-1-5-",
            "S-1-5--18",
            "S-1-5-+1",
            "S-1-5-4294967296",
            "S-1-281474976710656",
            "S-1-0x",
            "S-1-0x1000000000000",
            "S-1-0x+1",
            "S-1-5-0x12",
            "S-1-5-18 ",
            "\u{e4}-1-5",
            &many,
        ] {
            assert!(Sid::parse(text).is_err(), "{text}");
        }
        for bytes in [
            &[][..],
            &[1, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0, 0, 0, 0, 5],
            &[1, 1, 0, 0, 0, 0, 0, 5, 0, 0, 0],
            &[1, 16, 0, 0, 0, 0, 0, 5],
        ] {
            assert!(Sid::from_prefix(bytes).is_err());
        }
    }
}
