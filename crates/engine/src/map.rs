//! Where the bytes of a disk are: which image of a chain holds which part, and what is used.

use std::ops::ControlFlow;

use blockio::{ByteCount, ByteRange};
use vdisk::{ImageFormat, ImageInfo, MapRun, map_image};

use crate::Engine;
use crate::error::{Error, Result};
use crate::image::ImageReference;

/// Most runs that a map lists.
const MAX_RUNS: usize = 1_000_000;

/// A disk, and who holds which part of it.
#[derive(Clone, Debug)]
pub struct ImageMap {
    /// Size of the disk.
    pub size: ByteCount,
    /// The images of the chain, the one asked for first.
    pub layers: Vec<MapLayer>,
    /// The disk from its start to its end, as far as [`ImageMap::is_cut`] says.
    pub runs: Vec<MapRun>,
    /// Whether there are more runs than are listed.
    pub is_cut: bool,
    /// Ranges that no file system on the disk uses; `None` where that was not asked for.
    pub unused: Option<Vec<ByteRange>>,
}

/// One image of a chain.
#[derive(Clone, Debug)]
pub struct MapLayer {
    /// Its file.
    pub name: String,
    /// What its format says.
    pub info: ImageInfo,
    /// Bytes of the disk that are read from it.
    pub held: ByteCount,
    /// Bytes of those that the host keeps; the rest is holes.
    pub data: ByteCount,
}

impl Engine {
    /// Maps the disk of an image, through all its parents; with `look_for_use`, also which parts no
    /// file system uses.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Damaged`, `Unsupported`, `Io`.
    pub fn map_image(
        &self,
        image: &ImageReference,
        format: Option<ImageFormat>,
        look_for_use: bool,
    ) -> Result<ImageMap> {
        let name = image.to_string();
        let storage = self.open_storage(image)?;
        let found = self.format_of(image, format)?;
        let gate = self.gate(image)?;
        let (mut runs, mut is_cut) = (Vec::new(), false);
        let infos = map_image(storage, found, &*gate, &mut |run| {
            match runs.len() < MAX_RUNS {
                true => runs.push(run),
                false => is_cut = true,
            }
            ControlFlow::Continue(())
        })
        .map_err(Error::image("map", &name))?;
        let description = self.describe_image(image, format)?;
        let mut names = vec![name];
        names.extend(description.chain.into_iter().map(|link| link.name));
        if matches!(image, ImageReference::Volume(_)) {
            self.name_snapshots(&mut names)?;
        }
        let layers = infos.into_iter().enumerate().map(|(number, info)| {
            let held = runs.iter().filter_map(|run| Some((run.range, run.holder?)));
            let held = held.filter(|(_, holder)| holder.layer == number);
            let (mut all, mut data) = (0, 0);
            for (range, holder) in held {
                all += range.len().get();
                data += if holder.is_data { range.len().get() } else { 0 };
            }
            MapLayer {
                name: names.get(number).cloned().unwrap_or_default(),
                info,
                held: ByteCount(all),
                data: ByteCount(data),
            }
        });
        Ok(ImageMap {
            size: description.info.virtual_size,
            layers: layers.collect(),
            runs,
            is_cut,
            unused: match look_for_use {
                true => Some(self.unused_ranges(image, format)?),
                false => None,
            },
        })
    }

    fn unused_ranges(
        &self,
        image: &ImageReference,
        format: Option<ImageFormat>,
    ) -> Result<Vec<ByteRange>> {
        let disk = self.open_disk(image, format)?;
        let used = volume::used_map(&*disk, &image.to_string())?;
        Ok(used.unused().to_vec())
    }

    /// Calls files of the store by the snapshots that they are, `VOLUME@SNAPSHOT`.
    fn name_snapshots(&self, names: &mut [String]) -> Result<()> {
        let store = self.store()?;
        for record in self.list_volumes(&[])? {
            for layer in store.layers(&record.name)? {
                let Some(snapshot) = &layer.snapshot else {
                    continue;
                };
                let is_file = |name: &&mut String| layer.file.ends_with(name.as_str());
                if let Some(name) = names.iter_mut().skip(1).find(is_file) {
                    *name = format!("{}@{}", record.name, snapshot.name);
                }
            }
        }
        Ok(())
    }
}
