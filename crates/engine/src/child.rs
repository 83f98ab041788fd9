//! Making a differencing image file on another image file.
//!
//! Invariant: the child appears under its name whole and durable, or not at all, and the parent is
//! opened for reading alone.

use std::path::{Path, PathBuf};

use blockio::ByteCount;
use vdisk::{ChildOptions, IdSource, ImageFormat, ImageInfo};

use crate::Engine;
use crate::convert::now;
use crate::error::{Error, Result};
use crate::image::ImageReference;
use crate::parents::{self, PathGate};
use crate::target::Target;

/// A differencing image to be made.
#[derive(Clone, Debug)]
pub struct CreateChild {
    /// The image to build on. It must not be changed any more.
    pub parent: PathBuf,
    /// The file to make.
    pub child: PathBuf,
    /// Size of its disk; `None` for the parent's.
    pub size: Option<ByteCount>,
    /// Bytes in a block; `None` for what Windows would choose.
    pub block_size: Option<ByteCount>,
    /// Whether an existing file is replaced.
    pub replace: bool,
    /// Seconds since 1970; given, identifiers are derived from the parent's instead of drawn.
    pub source_date_epoch: Option<u64>,
}

impl Engine {
    /// Makes a differencing image, of the parent's format. It takes a moment, whatever the size.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `InUse`, `Damaged`, `Unsupported` (a raw parent),
    /// `InvalidArgument` (options that do not fit), `NoSpace`, `Io`.
    pub fn create_child(&self, request: &CreateChild) -> Result<ImageInfo> {
        let source = ImageReference::File(request.parent.clone());
        let target = Target {
            path: &request.child,
            replace: request.replace,
            source: &source,
        };
        target.check()?;
        let (parent_name, name) = (
            request.parent.display().to_string(),
            request.child.display().to_string(),
        );
        let parent = PathGate::parent(&request.parent, self.config().parents())
            .map_err(Error::image("open", &parent_name))?;
        let of_parent = vdisk::info(&*parent.storage, None);
        let of_parent = of_parent.map_err(Error::image("open", &parent_name))?;
        if of_parent.format == ImageFormat::Raw {
            return Err(Error::Unsupported {
                feature: format!("a raw image such as {parent_name} as a parent"),
            });
        }
        refuse_other_name(&request.child, of_parent.format)?;
        let names = parents::names(&request.child, &request.parent)
            .map_err(Error::host("look at", &request.parent))?;
        let options = ChildOptions {
            size: request.size,
            block_size: request.block_size,
            names,
            ids: ids(request, &of_parent),
            unix_time: request.source_date_epoch.unwrap_or_else(now),
        };
        target.make(|storage| {
            let made = vdisk::create_child(Box::new(storage), of_parent.format, &options, parent)
                .map_err(Error::image("create", &name))?;
            let info = made.info();
            made.close().map_err(Error::image("write", &name))?;
            Ok(info)
        })
    }
}

/// Refuses a name that says another format than the child will have: Windows goes by the name.
fn refuse_other_name(child: &Path, format: ImageFormat) -> Result<()> {
    let says = child.extension().and_then(|extension| {
        let is = |known: &&str| extension.eq_ignore_ascii_case(known);
        let vhdx = ["vhdx", "avhdx"].iter().find(|known| is(known));
        let vhd = ["vhd", "avhd"].iter().find(|known| is(known));
        let vhdx = vhdx.map(|_| ImageFormat::Vhdx);
        vhdx.or(vhd.map(|_| ImageFormat::Vhd))
    });
    match says {
        Some(said) if said != format => Err(Error::InvalidRequest {
            message: format!(
                "{} is the name of a {said} image, and a child of a {format} image is one",
                child.display()
            ),
        }),
        _ => Ok(()),
    }
}

/// Identifiers by chance, or those that follow from the parent's and the options.
fn ids(request: &CreateChild, parent: &ImageInfo) -> IdSource {
    let Some(epoch) = request.source_date_epoch else {
        return IdSource::Random;
    };
    let mut hasher = blake3::Hasher::new_derive_key("cvol 2026 seed of a differencing image");
    for (kind, id) in &parent.ids {
        hasher.update(kind.as_bytes());
        hasher.update(id.as_bytes());
    }
    let number = |value: Option<ByteCount>| value.map_or(0, ByteCount::get);
    for value in [number(request.size), number(request.block_size), epoch] {
        hasher.update(&value.to_le_bytes());
    }
    IdSource::Seeded(*hasher.finalize().as_bytes())
}
