//! What an argument names: a place in a volume (`NAME:/path`), an image file, a volume.
//!
//! Invariant: what an argument means depends on its text, on the options beside it and, for the
//! verbs on images, on whether a file of that name exists; never on which volumes there are.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use engine::{ImageFormat, ImageReference, Place};

use crate::command::values;
use crate::failure::Failure;

/// File name extensions that make an argument an image file even where no such file exists.
const IMAGE_EXTENSIONS: [&str; 7] = ["vhdx", "vhd", "avhdx", "avhd", "raw", "img", "qcow2"];

/// `--image` and `--volume`, which decide what the argument of a verb on images is.
#[derive(Debug, clap::Args)]
pub(crate) struct ImageOrVolume {
    /// Take the argument for the path of an image file
    #[arg(long, conflicts_with = "volume")]
    image: bool,

    /// Take the argument for the name of a volume in the store
    #[arg(long)]
    volume: bool,
}

/// The image that a verb looks at, with the word of the user on its format.
#[derive(Debug, clap::Args)]
pub(crate) struct ImageToRead {
    /// Image file, or name of a volume
    #[arg(value_name = "FILE|NAME")]
    subject: OsString,

    #[command(flatten)]
    which: ImageOrVolume,

    /// Format of the image [default: found out]
    #[arg(short, long, value_parser = values::image_format())]
    pub(crate) format: Option<ImageFormat>,
}

impl ImageToRead {
    /// Which image it is.
    pub(crate) fn resolve(&self) -> Result<ImageReference, Failure> {
        self.which.resolve(&self.subject)
    }
}

impl ImageOrVolume {
    /// What the argument names.
    pub(crate) fn resolve(&self, argument: &OsStr) -> Result<ImageReference, Failure> {
        let is_image = self.image || (!self.volume && looks_like_image(argument));
        if is_image {
            return Ok(ImageReference::File(PathBuf::from(argument)));
        }
        match argument.to_str() {
            Some(name) => Ok(ImageReference::Volume(name.to_owned())),
            None => Err(Failure::usage(
                format!("{} is no volume name", argument.to_string_lossy()),
                "volume names hold ASCII letters, digits, `.`, `_` and `-`",
            )),
        }
    }
}

/// Whether an argument is an image file: it holds a separator, ends as image files do, or is the
/// name of a file that exists here.
fn looks_like_image(argument: &OsStr) -> bool {
    let path = Path::new(argument);
    let has_separator = argument
        .as_encoded_bytes()
        .iter()
        .any(|byte| matches!(byte, b'/' | b'\\'));
    let has_extension = path.extension().is_some_and(|extension| {
        IMAGE_EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    });
    has_separator || has_extension || path.is_file()
}

/// The place that a `NAME[:/path]` argument names; with an image file, the path in it.
pub(crate) fn place(argument: &str, image: Option<&Path>) -> Place {
    if let Some(image) = image {
        return Place {
            image: ImageReference::File(image.to_owned()),
            path: absolute(argument),
        };
    }
    let (name, path) = split_place(argument).unwrap_or((argument, "/"));
    let image = if is_image_name(name) {
        ImageReference::File(PathBuf::from(name))
    } else {
        ImageReference::Volume(name.to_owned())
    };
    Place {
        image,
        path: absolute(path),
    }
}

/// The path in a volume or image that an argument names; `None` where it is a path of the host.
pub(crate) fn place_in_volume(argument: &OsStr) -> Option<Place> {
    let argument = argument.to_str()?;
    split_place(argument).map(|_| place(argument, None))
}

/// As [`place_in_volume`], where nothing else makes sense.
pub(crate) fn required_place(argument: &str) -> Result<Place, Failure> {
    place_in_volume(OsStr::new(argument)).ok_or_else(|| {
        Failure::usage(
            format!("{argument} names no path in a volume"),
            "write it as NAME:/path, or as IMAGE.vhdx:/path for an image file",
        )
    })
}

/// The volume or image that an argument names as a whole, a colon at its end or not.
pub(crate) fn volume(argument: &str) -> ImageReference {
    let name = argument.strip_suffix(':').unwrap_or(argument);
    if is_image_name(name) {
        ImageReference::File(PathBuf::from(name))
    } else {
        ImageReference::Volume(name.to_owned())
    }
}

/// Whether a name ends as image files do.
fn is_image_name(name: &str) -> bool {
    let extension = Path::new(name).extension();
    extension.is_some_and(|extension| {
        IMAGE_EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    })
}

/// As [`place`], but the path must be given.
pub(crate) fn place_with_path(argument: &str, image: Option<&Path>) -> Result<Place, Failure> {
    if image.is_none() && split_place(argument).is_none() {
        return Err(Failure::usage(
            format!("{argument} names no path in a volume"),
            "write it as NAME:/path, or use `--image FILE` and /path",
        ));
    }
    Ok(place(argument, image))
}

/// `NAME:path` in its two halves. What has a separator before the colon is a path of the host, and
/// one character is a drive letter of Windows, which is no volume name anywhere; but a path that ends
/// as image files do, before a colon and a slash, is that of an image.
fn split_place(argument: &str) -> Option<(&str, &str)> {
    let colons = argument.match_indices(':').map(|(at, _)| at);
    for at in colons {
        let (name, path) = (&argument[..at], &argument[at + 1..]);
        if path.starts_with(['/', '\\']) && is_image_name(name) {
            return Some((name, path));
        }
    }
    let (name, path) = argument.split_once(':')?;
    (name.len() > 1 && !name.contains(['/', '\\'])).then_some((name, path))
}

/// The path from the top of the volume: `doc` and `/doc` are the same.
fn absolute(path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(name: &str, path: &str) -> Place {
        Place {
            image: ImageReference::Volume(name.to_owned()),
            path: path.to_owned(),
        }
    }

    #[test]
    fn a_name_alone_is_the_top_of_the_volume() {
        for argument in ["data", "data:", "data:/"] {
            assert_eq!(place(argument, None), volume("data", "/"));
        }
    }

    #[test]
    fn only_the_first_colon_parts_name_and_path() {
        assert_eq!(place("data:/a:b", None), volume("data", "/a:b"));
    }

    #[test]
    fn a_path_in_a_volume_starts_at_its_top() {
        assert_eq!(place("data:doc", None), volume("data", "/doc"));
        assert!(place_with_path("data", None).is_err());
        assert!(place_with_path("C:/doc", None).is_err());
    }

    #[test]
    fn with_an_image_the_whole_argument_is_the_path() {
        let expected = Place {
            image: ImageReference::File(PathBuf::from("a.vhdx")),
            path: "/data:/x".to_owned(),
        };
        let image = Path::new("a.vhdx");
        assert_eq!(place("/data:/x", Some(image)), expected);
    }

    #[test]
    fn a_separator_or_the_extension_of_an_image_makes_a_path() {
        let neither = ImageOrVolume {
            image: false,
            volume: false,
        };
        for (argument, is_file) in [
            ("disk.vhdx", true),
            ("disk.VHD", true),
            ("./disk", true),
            ("..\\disk", true),
            ("data", false),
            ("data.v1", false),
        ] {
            let resolved = neither.resolve(OsStr::new(argument)).unwrap();
            assert_eq!(
                matches!(resolved, ImageReference::File(_)),
                is_file,
                "{argument}"
            );
        }
    }

    #[test]
    fn image_and_volume_decide_against_the_look() {
        let image = ImageOrVolume {
            image: true,
            volume: false,
        };
        let volume = ImageOrVolume {
            image: false,
            volume: true,
        };
        assert_eq!(
            image.resolve(OsStr::new("data")).unwrap(),
            ImageReference::File(PathBuf::from("data"))
        );
        assert_eq!(
            volume.resolve(OsStr::new("data.vhdx")).unwrap(),
            ImageReference::Volume("data.vhdx".to_owned())
        );
    }

    #[test]
    fn a_destination_is_in_a_volume_only_with_a_name_before_the_colon() {
        for (argument, expected) in [
            ("data:/x", true),
            ("data:", true),
            ("./a:/b", false),
            ("out", false),
            ("file:name", true),
            ("c:/out", false),
        ] {
            assert_eq!(place_in_volume(OsStr::new(argument)).is_some(), expected);
        }
    }
}
