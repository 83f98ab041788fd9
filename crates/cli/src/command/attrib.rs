//! `cvol attrib`: attributes of files in a volume at rest.

use engine::Attributes;

use super::{Context, Outcome, Result};
use crate::failure::Failure;
use crate::output::Form;
use crate::reference;

/// Set or clear attributes of a file or directory in a volume
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Attributes: r (read-only), h (hidden), s (system), a (archive), i (not content-indexed, NTFS only);
+ sets, - clears, and several letters may follow one sign.

Examples:
  cvol attrib data:/app.cfg +r
  cvol attrib data:/app.cfg +hs -a
  cvol attrib disk.vhdx:/boot.ini -rhs")]
pub(crate) struct Arguments {
    /// File or directory, as NAME:/path or IMAGE.vhdx:/path
    #[arg(value_name = "NAME:/PATH")]
    place: String,

    /// +LETTERS to set, -LETTERS to clear
    #[arg(value_name = "CHANGE", required = true, allow_hyphen_values = true)]
    changes: Vec<String>,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let place = reference::required_place(&self.place)?;
        let (set, clear) = parse(&self.changes)?;
        context.engine.set_attributes(&place, set, clear)?;
        if context.output.form() == Form::Json {
            let document = serde_json::json!({ "path": self.place, "changes": self.changes });
            context.output.print_json(&document)?;
        }
        Ok(Outcome::Done)
    }
}

/// What is to be set, and what cleared.
fn parse(changes: &[String]) -> std::result::Result<(Attributes, Attributes), Failure> {
    let wrong = |text: &str| {
        Failure::usage(
            format!("\"{text}\" is no change of attributes"),
            "write +LETTERS or -LETTERS with letters of r, h, s, a, i, as `+rh`",
        )
    };
    let (mut set, mut clear) = (Attributes::NONE, Attributes::NONE);
    for change in changes {
        let (sign, letters) = match change.split_at_checked(1) {
            Some((sign @ ("+" | "-"), letters)) if !letters.is_empty() => (sign, letters),
            _ => return Err(wrong(change)),
        };
        for letter in letters.chars() {
            let attribute = match letter.to_ascii_lowercase() {
                'r' => Attributes::READ_ONLY,
                'h' => Attributes::HIDDEN,
                's' => Attributes::SYSTEM,
                'a' => Attributes::ARCHIVE,
                'i' => Attributes::NOT_CONTENT_INDEXED,
                _ => return Err(wrong(change)),
            };
            if sign == "+" {
                set = set.with(attribute);
            } else {
                clear = clear.with(attribute);
            }
        }
    }
    if set.bits() & clear.bits() != 0 {
        return Err(Failure::usage(
            "an attribute cannot be set and cleared at once",
            "leave out one of the two",
        ));
    }
    Ok((set, clear))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(changes: &[&str]) -> Option<(u32, u32)> {
        let changes: Vec<String> = changes.iter().map(|text| (*text).to_owned()).collect();
        parse(&changes)
            .ok()
            .map(|(set, clear)| (set.bits(), clear.bits()))
    }

    #[test]
    fn letters_after_a_sign_are_attributes() {
        assert_eq!(bits(&["+r"]), Some((1, 0)));
        assert_eq!(bits(&["+RH", "-sa"]), Some((3, 0x24)));
        for wrong in [&["r"][..], &["+"], &["+x"], &["+r", "-r"], &[""], &["ä"]] {
            assert_eq!(bits(wrong), None, "{wrong:?}");
        }
    }
}
