//! `cvol map`: where the bytes of a disk are.

use std::path::PathBuf;

use engine::{ImageMap, MapRun};
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::output::json::RangeDocument;
use crate::output::table::{Align, render};
use crate::output::{quantity, svg, terminal};
use crate::reference::ImageToRead;

/// Runs that are printed without --all.
const MAX_PRINTED: usize = 40;

/// Show which image of a chain holds which part of a disk, and what its file systems use
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A disk may be spread over a chain of images: each part is read from the youngest image that holds it.
The map lists the parts in the order of the disk with the layer that holds them (0 is the image
itself, 1 its parent) and their place in its file. Parts that nobody holds are zeros.

--svg draws the layers, the disk as a guest reads it and what its file systems use; --json lists all
parts, --all prints them.

The argument is a path if it holds a separator, ends in .vhdx, .vhd, .avhdx, .avhd, .raw, .img or
.qcow2, or names a file that exists here; else it is a volume. --image and --volume decide
otherwise.

Examples:
  cvol map child.vhdx
  cvol map data --used
  cvol map child.vhdx --used --svg map.svg
  cvol map data --json")]
pub(crate) struct Arguments {
    #[command(flatten)]
    image: ImageToRead,

    /// Look into the file systems for what they use
    #[arg(long)]
    used: bool,

    /// Draw a picture into this file; of what exists, pictures alone are replaced
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Print all parts, however many there are
    #[arg(long)]
    all: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    image: &'a str,
    virtual_size: u64,
    layers: Vec<LayerDocument<'a>>,
    runs: Vec<RunDocument>,
    cut: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    unused: Option<Vec<RangeDocument>>,
}

#[derive(Serialize)]
struct LayerDocument<'a> {
    image: &'a str,
    format: String,
    held: u64,
    data: u64,
    file_length: u64,
}

#[derive(Serialize)]
struct RunDocument {
    start: u64,
    length: u64,
    layer: Option<usize>,
    offset: Option<u64>,
    data: bool,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let image = self.image.resolve()?;
        let name = image.to_string();
        let map = context
            .engine
            .map_image(&image, self.image.format, self.used)?;
        if let Some(path) = &self.svg {
            let title = name.rsplit(['/', '\\']).next().unwrap_or(&name);
            engine::write_picture(path, &svg::picture(&map, title))?;
        }
        context
            .output
            .report(&document(&name, &map), || text(&map, self.all))?;
        Ok(Outcome::Done)
    }
}

fn document<'a>(name: &'a str, map: &'a ImageMap) -> Document<'a> {
    let layers = map.layers.iter().map(|layer| LayerDocument {
        image: &layer.name,
        format: layer.info.format.to_string(),
        held: layer.held.get(),
        data: layer.data.get(),
        file_length: layer.info.file_length.get(),
    });
    let unused = map.unused.as_ref().map(|unused| {
        let ranges = unused.iter().map(RangeDocument::of);
        ranges.collect()
    });
    Document {
        image: name,
        virtual_size: map.size.get(),
        layers: layers.collect(),
        runs: map.runs.iter().map(run_document).collect(),
        cut: map.is_cut,
        unused,
    }
}

fn run_document(run: &MapRun) -> RunDocument {
    RunDocument {
        start: run.range.start().get(),
        length: run.range.len().get(),
        layer: run.holder.map(|holder| holder.layer),
        offset: run.holder.map(|holder| holder.offset.get()),
        data: run.holder.is_some_and(|holder| holder.is_data),
    }
}

fn text(map: &ImageMap, all: bool) -> String {
    let layers = map.layers.iter().enumerate().map(|(number, layer)| {
        vec![
            number.to_string(),
            layer.name.clone(),
            layer.info.format.to_string(),
            quantity::bytes(layer.data.get()),
            quantity::bytes(layer.info.file_length.get()),
        ]
    });
    let mut text = render(
        &[
            ("LAYER", Align::Right),
            ("IMAGE", Align::Left),
            ("FORMAT", Align::Left),
            ("HOLDS", Align::Right),
            ("FILE", Align::Right),
        ],
        layers,
    );
    text.push('\n');
    let printed = if all { usize::MAX } else { MAX_PRINTED };
    let rows = map.runs.iter().take(printed).map(|run| {
        let (layer, place) = match run.holder {
            Some(holder) if holder.is_data => (holder.layer.to_string(), holder.offset.to_string()),
            Some(holder) => (holder.layer.to_string(), "hole".to_owned()),
            None => ("-".to_owned(), "zeros".to_owned()),
        };
        vec![
            run.range.start().to_string(),
            quantity::bytes(run.range.len().get()),
            layer,
            place,
        ]
    });
    text.push_str(&render(
        &[
            ("START", Align::Right),
            ("LENGTH", Align::Right),
            ("LAYER", Align::Right),
            ("IN FILE AT", Align::Right),
        ],
        rows,
    ));
    let left = map.runs.len().saturating_sub(printed);
    if left > 0 || map.is_cut {
        let left =
            terminal::escape(&format!("... and {left} more; --all prints them")).into_owned();
        text.push_str(&format!("{left}\n"));
    }
    let data: u64 = map.layers.iter().map(|layer| layer.data.get()).sum();
    let mut summary = format!(
        "\na disk of {}: {} of data",
        quantity::bytes(map.size.get()),
        quantity::bytes(data)
    );
    if let Some(unused) = &map.unused {
        let unused: u64 = unused.iter().map(|range| range.len().get()).sum();
        let used = map.size.get().saturating_sub(unused);
        summary.push_str(&format!(
            ", of which file systems use at most {}",
            quantity::bytes(used)
        ));
    }
    text.push_str(&format!("{summary}\n"));
    text
}
