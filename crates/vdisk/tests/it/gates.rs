//! Gates to parents in memory: a shelf of files by name, and the chain that leads through them.

use std::collections::BTreeMap;
use std::sync::Arc;

use blockio::Storage;
use vdisk::{FileIdentity, ImageError, ImageFormat, OpenedParent, ParentGate, ParentInfo};

/// Files by name.
#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<BTreeMap<String, Arc<dyn Storage>>>);

/// The gate of one file on the shelf: its ancestors by name, whatever the image says.
pub(crate) struct ShelfGate {
    shelf: Shelf,
    own: String,
    ancestors: Vec<String>,
    /// Whether a loop is left for others to find.
    careless: bool,
}

impl Shelf {
    pub(crate) fn new<S: Storage + 'static, const N: usize>(files: [(&str, Arc<S>); N]) -> Self {
        let files = files.into_iter();
        let file = |(name, file): (&str, Arc<S>)| -> (String, Arc<dyn Storage>) {
            (name.to_owned(), file)
        };
        Self(Arc::new(files.map(file).collect()))
    }

    pub(crate) fn of(files: Vec<(String, Arc<dyn Storage>)>) -> Self {
        Self(Arc::new(files.into_iter().collect()))
    }

    pub(crate) fn gate_of(&self, own: &str, ancestors: &[&str]) -> ShelfGate {
        ShelfGate {
            shelf: self.clone(),
            own: own.to_owned(),
            ancestors: ancestors.iter().map(|name| name.to_string()).collect(),
            careless: false,
        }
    }
}

impl ShelfGate {
    pub(crate) fn careless(mut self) -> Self {
        self.careless = true;
        self
    }

    /// The parent, as `create_child` wants it.
    pub(crate) fn open(&self) -> Result<OpenedParent, ImageError> {
        self.open_parent(ImageFormat::Vhdx, &ParentInfo::default(), &[])
    }
}

impl ParentGate for ShelfGate {
    fn identity(&self) -> Option<FileIdentity> {
        Some(FileIdentity::new(self.own.clone()))
    }

    fn open_parent(
        &self,
        _format: ImageFormat,
        parent: &ParentInfo,
        descendants: &[FileIdentity],
    ) -> Result<OpenedParent, ImageError> {
        let found = self.ancestors.split_first();
        let found = found.and_then(|(name, rest)| Some((name, rest, self.shelf.0.get(name)?)));
        let Some((name, rest, file)) = found else {
            return Err(ImageError::ParentMissing {
                parent: parent.display_name(),
                tried: self.ancestors.clone(),
            });
        };
        if !self.careless && descendants.contains(&FileIdentity::new(name.clone())) {
            return Err(ImageError::ParentLoop {
                parent: name.clone(),
            });
        }
        Ok(OpenedParent {
            storage: Box::new(file.clone()),
            name: name.clone(),
            gate: Box::new(ShelfGate {
                shelf: self.shelf.clone(),
                own: name.clone(),
                ancestors: rest.to_vec(),
                careless: self.careless,
            }),
        })
    }
}
