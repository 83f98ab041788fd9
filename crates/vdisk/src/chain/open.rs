//! Gathering the parents of an image, and whether each is the one that its child was made on.

use blockio::{SectorSize, Storage};
use uuid::Uuid;

use super::{Layer, LinkFacts};
use crate::error::{ImageError, ParentMismatch};
use crate::gate::{FileIdentity, OpenedParent, ParentGate};
use crate::image::ImageFormat;
use crate::info::ParentInfo;
use crate::{vhd, vhdx};

/// Most parents of an image: a chain that is longer is taken for one without an end.
pub const MAX_DEPTH: usize = 256;

/// A parent that an image's chain leads to.
pub struct LinkedImage {
    /// Its name, as the gate calls it.
    pub name: String,
    /// Its bytes.
    pub storage: Box<dyn Storage>,
    /// Why it is not the parent that its child was made on, where it is not.
    pub mismatch: Option<ImageError>,
}

/// Opens all parents of a child of `format` that says `child` of itself, the nearest first. Each
/// link is checked. None where the child has no parent.
///
/// # Errors
/// `ParentMismatch`, `ParentLoop`, `ChainTooDeep`, what the gate refuses with, and what opening a
/// parent fails with.
pub(crate) fn open_parents(
    format: ImageFormat,
    child: &LinkFacts,
    gate: &dyn ParentGate,
) -> Result<Vec<Box<dyn Layer>>, ImageError> {
    open_parents_of(format, child, gate, None)
}

/// As [`open_parents`], for an image that `descendant` is to stand on, and that must not lead to it.
pub(crate) fn open_parents_of(
    format: ImageFormat,
    child: &LinkFacts,
    gate: &dyn ParentGate,
    descendant: Option<FileIdentity>,
) -> Result<Vec<Box<dyn Layer>>, ImageError> {
    let mut layers: Vec<Box<dyn Layer>> = Vec::new();
    let seen = gate.identity().into_iter().chain(descendant).collect();
    walk(format, child, gate, seen, &mut |opened, mismatch| {
        if let Some(mismatch) = mismatch {
            return Err(mismatch);
        }
        layers.push(open_layer(format, opened.storage)?);
        Ok(())
    })?;
    Ok(layers)
}

/// Opens an image as a layer, for reading.
pub(crate) fn open_layer(
    format: ImageFormat,
    storage: Box<dyn Storage>,
) -> Result<Box<dyn Layer>, ImageError> {
    match format {
        ImageFormat::Vhdx => vhdx::open_layer(storage),
        ImageFormat::Vhd => vhd::open_layer(storage),
        ImageFormat::Raw => Err(raw_parent()),
        ImageFormat::Qcow2 => Err(qcow2_layer()),
    }
}

/// A qcow2 image opens its backing files by itself: they need not be of its format.
fn qcow2_layer() -> ImageError {
    ImageError::unsupported("qcow2 image in a chain of differencing images")
}

fn raw_parent() -> ImageError {
    ImageError::unsupported("raw image in a chain: it has no identifier to be known by")
}

/// What an image says of itself and its parent.
pub(crate) fn link_facts(
    format: ImageFormat,
    storage: &dyn Storage,
) -> Result<LinkFacts, ImageError> {
    match format {
        ImageFormat::Vhdx => vhdx::link_facts(storage),
        ImageFormat::Vhd => vhd::link_facts(storage),
        ImageFormat::Raw => Err(raw_parent()),
        ImageFormat::Qcow2 => Err(qcow2_layer()),
    }
}

/// Shows every parent of an image, the nearest first, also those that are not what their child was
/// made on; for descriptions and checks. An image without a parent shows none.
///
/// # Errors
/// As for opening a chain, but a `ParentMismatch` is shown and not returned; what `visit` returns.
pub fn walk_chain(
    storage: &dyn Storage,
    format: ImageFormat,
    gate: &dyn ParentGate,
    visit: &mut dyn FnMut(LinkedImage) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    if matches!(format, ImageFormat::Raw | ImageFormat::Qcow2) {
        return Ok(());
    }
    let child = link_facts(format, storage)?;
    let seen = gate.identity().into_iter().collect();
    walk(format, &child, gate, seen, &mut |opened, mismatch| {
        visit(LinkedImage {
            name: opened.name,
            storage: opened.storage,
            mismatch,
        })
    })
}

/// A parent that is given to whoever walks a chain.
struct Parent {
    name: String,
    storage: Box<dyn Storage>,
}

type Visit<'a> = &'a mut dyn FnMut(Parent, Option<ImageError>) -> Result<(), ImageError>;

fn walk(
    format: ImageFormat,
    child: &LinkFacts,
    gate: &dyn ParentGate,
    seen: Vec<FileIdentity>,
    visit: Visit<'_>,
) -> Result<(), ImageError> {
    let mut way = Way {
        format,
        seen,
        steps: 0,
    };
    let mut child = child.clone();
    let mut opened = match &child.parent {
        Some(named) => Some(way.step(gate, named)?),
        None => None,
    };
    while let Some(parent) = opened.take() {
        let facts = link_facts(format, &*parent.storage)?;
        let mismatch = child
            .parent
            .as_ref()
            .and_then(|named| check_link(&parent.name, &child, named, &facts).err());
        visit(
            Parent {
                name: parent.name,
                storage: parent.storage,
            },
            mismatch,
        )?;
        if let Some(named) = &facts.parent {
            opened = Some(way.step(&*parent.gate, named)?);
        }
        child = facts;
    }
    Ok(())
}

/// The way from child to parent: where it has been, and how far it may go.
struct Way {
    format: ImageFormat,
    seen: Vec<FileIdentity>,
    steps: usize,
}

impl Way {
    fn step(
        &mut self,
        gate: &dyn ParentGate,
        parent: &ParentInfo,
    ) -> Result<OpenedParent, ImageError> {
        self.steps += 1;
        if self.steps > MAX_DEPTH {
            return Err(ImageError::ChainTooDeep { limit: MAX_DEPTH });
        }
        let opened = gate.open_parent(self.format, parent, &self.seen)?;
        if let Some(identity) = opened.gate.identity() {
            // Gates refuse this before they open; one that forgot to must not lead in circles.
            if self.seen.contains(&identity) {
                return Err(ImageError::ParentLoop {
                    parent: opened.name,
                });
            }
            self.seen.push(identity);
        }
        Ok(opened)
    }
}

/// Whether `parent` is what `child` was made on: identifier, sector size, size.
pub(crate) fn check_link(
    name: &str,
    child: &LinkFacts,
    named: &ParentInfo,
    parent: &LinkFacts,
) -> Result<(), ImageError> {
    let found = parent.linkage;
    if named.linkage != Some(found) && named.linkage2 != Some(found) {
        let expected: Option<Uuid> = named.linkage.or(named.linkage2);
        let expected = expected.map_or_else(|| "none".to_owned(), |id| id.to_string());
        return mismatch(name, "identifier", expected, found.to_string());
    }
    check_fit(name, child, parent)
}

/// Whether `parent` can be a parent of `child` at all: sector size, size.
pub(crate) fn check_fit(
    name: &str,
    child: &LinkFacts,
    parent: &LinkFacts,
) -> Result<(), ImageError> {
    if parent.logical_sector != child.logical_sector {
        let text = |size: SectorSize| size.bytes().to_string();
        let (expected, found) = (text(child.logical_sector), text(parent.logical_sector));
        return mismatch(name, "logical sector size", expected, found);
    }
    if parent.size > child.size {
        let expected = format!("at most {}", child.size);
        return mismatch(name, "size", expected, parent.size.to_string());
    }
    Ok(())
}

fn mismatch(
    name: &str,
    what: &'static str,
    expected: String,
    found: String,
) -> Result<(), ImageError> {
    Err(ImageError::ParentMismatch(Box::new(ParentMismatch {
        parent: name.to_owned(),
        what,
        expected,
        found,
    })))
}
