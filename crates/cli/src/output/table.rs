//! Tables in the manner of `docker ls`: a line of headings, columns two blanks apart, no borders.
//!
//! Every cell is escaped here, so that no verb can forget it.

use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::terminal::escape;

/// How a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers and sizes.
    Right,
}

/// One column: its heading and how its cells stand.
pub(crate) type Column = (&'static str, Align);

/// The lines of a table, with blanks at line ends cut and a line break at the end.
pub(crate) fn render(columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(columns.iter().map(|(heading, _)| *heading));
    for row in rows {
        table.add_row(row.iter().map(|cell| escape(cell)));
    }
    for (index, (_, align)) in columns.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            column.set_cell_alignment(match align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            });
        }
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}

/// Facts as `name:  value`, the values in one column.
pub(crate) fn render_facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
    facts
        .iter()
        .map(|(name, value)| format!("{:width$}  {}\n", format!("{name}:"), escape(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_headings() {
        let text = render(
            &[
                ("NAME", Align::Left),
                ("SIZE", Align::Right),
                ("FS", Align::Left),
            ],
            [
                vec!["data".into(), "20 GiB".into(), "ntfs".into()],
                vec!["日本".into(), "1 MiB".into(), "fat32".into()],
            ],
        );
        assert_eq!(
            text,
            "NAME    SIZE  FS\ndata  20 GiB  ntfs\n日本   1 MiB  fat32\n"
        );
    }

    #[test]
    fn a_cell_with_a_line_break_stays_on_its_line() {
        let text = render(&[("NAME", Align::Left)], [vec!["a\nb\x1b".into()]]);
        assert_eq!(text, "NAME\na\\u{a}b\\u{1b}\n");
    }

    #[test]
    fn a_table_without_rows_is_its_heading() {
        assert_eq!(render(&[("NAME", Align::Left)], []), "NAME\n");
    }

    #[test]
    fn facts_stand_in_two_columns() {
        let text = render_facts(&[("format", "vhdx".into()), ("id", "a\x07".into())]);
        assert_eq!(text, "format:  vhdx\nid:      a\\u{7}\n");
    }
}
