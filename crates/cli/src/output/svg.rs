//! A picture of who holds which part of a disk, as SVG: a row for each layer, one for the disk as a
//! guest sees it, one for what its file systems use.
//!
//! What is drawn are the blocks that a layer holds, whether or not the host keeps holes in them: so the
//! picture does not depend on the host.
//! The same map gives the same bytes. No text of an image gets into the picture unescaped.

use std::fmt::Write as _;

use engine::{ByteCount, ImageMap};

use super::quantity;
use super::terminal::escape;

/// Cells of a row.
const CELLS: usize = 320;
/// Width of a cell, in tenths of a pixel.
const CELL_WIDTH: usize = 24;
/// Where the rows begin, from the left.
const LEFT: usize = 200;
/// Height of the bar in a row.
const BAR: usize = 22;
/// The distance from one row to the next.
const ROW: usize = 34;
/// Where the first row stands.
const TOP: usize = 56;
/// Colours of the layers, the youngest first; they begin anew after the last.
const COLOURS: [&str; 8] = [
    "#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#0891b2", "#65a30d", "#be185d",
];
/// The colour of what file systems use.
const USED: &str = "#475569";

/// How much of each cell is filled, in bytes.
type Cells = Vec<u64>;

/// The picture.
pub(crate) fn picture(map: &ImageMap, title: &str) -> String {
    let layers = map.layers.len();
    let rows = layers + 1 + usize::from(map.unused.is_some());
    let width = LEFT + CELLS * CELL_WIDTH / 10 + 20;
    let height = TOP + rows * ROW + 34;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    let size = quantity::bytes(map.size.get());
    text(
        &mut svg,
        16,
        26,
        "#0f172a",
        &format!("{title}: a disk of {size}"),
    );
    let filled = layers_filled(map);
    for (number, (layer, cells)) in map.layers.iter().zip(&filled).enumerate() {
        let name = layer.name.rsplit(['/', '\\']).next().unwrap_or_default();
        let held = quantity::bytes(layer.held.get());
        row(&mut svg, number, &format!("{name} ({held})"));
        bar(&mut svg, map.size, number, cells, colour(number));
    }
    row(&mut svg, layers, "what a guest reads");
    for (number, cells) in filled.iter().enumerate() {
        bar(&mut svg, map.size, layers, cells, colour(number));
    }
    if let Some(unused) = &map.unused {
        let mut cells = vec![0; CELLS];
        let (mut at, mut used) = (0, 0);
        let ends = unused
            .iter()
            .map(|range| (range.start().get(), range.end().get()));
        for (start, end) in ends.chain([(map.size.get(), map.size.get())]) {
            fill(&mut cells, map.size, at, start);
            used += start.saturating_sub(at);
            at = end;
        }
        let label = format!("file systems use {}", quantity::bytes(used));
        row(&mut svg, layers + 1, &label);
        bar(&mut svg, map.size, layers + 1, &cells, USED);
    }
    let y = TOP + rows * ROW + 16;
    text(&mut svg, LEFT, y, "#64748b", "0");
    let end = LEFT + CELLS * CELL_WIDTH / 10;
    let _ = writeln!(
        svg,
        "<text x=\"{end}\" y=\"{y}\" fill=\"#64748b\" text-anchor=\"end\">{size}</text>"
    );
    svg.push_str("</svg>\n");
    svg
}

fn colour(layer: usize) -> &'static str {
    COLOURS[layer % COLOURS.len()]
}

/// For each layer, how much of each cell it holds.
fn layers_filled(map: &ImageMap) -> Vec<Cells> {
    let mut filled = vec![vec![0; CELLS]; map.layers.len()];
    for run in &map.runs {
        if let Some(holder) = run.holder
            && let Some(cells) = filled.get_mut(holder.layer)
        {
            fill(
                cells,
                map.size,
                run.range.start().get(),
                run.range.end().get(),
            );
        }
    }
    filled
}

/// Where a cell begins on the disk.
fn cell_start(size: ByteCount, cell: usize) -> u64 {
    let cell = u128::try_from(cell).unwrap_or(0);
    let cells = u128::try_from(CELLS).unwrap_or(1);
    u64::try_from(u128::from(size.get()) * cell / cells).unwrap_or(u64::MAX)
}

/// Adds the bytes from `start` to `end` to the cells they lie in.
fn fill(cells: &mut Cells, size: ByteCount, start: u64, end: u64) {
    let first = u128::from(start) * u128::try_from(CELLS).unwrap_or(1);
    let first = first / u128::from(size.get().max(1));
    let first = usize::try_from(first).unwrap_or(CELLS).saturating_sub(1);
    for (cell, filled) in cells.iter_mut().enumerate().skip(first) {
        let (from, to) = (cell_start(size, cell), cell_start(size, cell + 1));
        if from >= end {
            break;
        }
        *filled += end.min(to).saturating_sub(start.max(from));
    }
}

/// The label and the frame of a row.
fn row(svg: &mut String, number: usize, label: &str) {
    let y = TOP + number * ROW;
    text(svg, 16, y + 15, "#0f172a", &shortened(label));
    let width = CELLS * CELL_WIDTH / 10;
    let _ = writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width}\" height=\"{BAR}\" fill=\"#f1f5f9\" \
         stroke=\"#cbd5e1\"/>"
    );
}

/// A label that fits in front of its row.
fn shortened(label: &str) -> String {
    const FITS: usize = 28;
    if label.chars().count() <= FITS {
        return label.to_owned();
    }
    let kept: String = label.chars().take(FITS - 1).collect();
    format!("{kept}…")
}

/// The cells of a row: the fuller, the darker. Cells alike beside each other are one rectangle.
fn bar(svg: &mut String, size: ByteCount, number: usize, cells: &Cells, colour: &str) {
    let shade = |cell: usize| {
        let length = cell_start(size, cell + 1).saturating_sub(cell_start(size, cell));
        match cells.get(cell) {
            Some(filled) if *filled > 0 => {
                let tenths = u128::from(*filled) * 10 / u128::from(length.max(1));
                usize::try_from(tenths).unwrap_or(10).clamp(2, 10)
            }
            _ => 0,
        }
    };
    let y = TOP + number * ROW;
    let mut start = 0;
    while start < CELLS {
        let alike = (start..CELLS)
            .take_while(|cell| shade(*cell) == shade(start))
            .count();
        let tenths = shade(start);
        if tenths > 0 {
            let x = LEFT * 10 + start * CELL_WIDTH;
            let width = alike * CELL_WIDTH;
            let _ = writeln!(
                svg,
                "<rect x=\"{}.{}\" y=\"{y}\" width=\"{}.{}\" height=\"{BAR}\" fill=\"{colour}\" \
                 opacity=\"{}.{}\"/>",
                x / 10,
                x % 10,
                width / 10,
                width % 10,
                tenths / 10,
                tenths % 10
            );
        }
        start += alike;
    }
}

fn text(svg: &mut String, x: usize, y: usize, colour: &str, words: &str) {
    let words = escape(words)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{y}\" fill=\"{colour}\">{words}</text>"
    );
}
