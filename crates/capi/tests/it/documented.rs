//! docs/c-api.md has a row for every function of the header, and each row names programs that use what
//! it is about.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn read(path: &str) -> String {
    let place: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&place).unwrap()
}

/// What the header declares, by name: each declaration without blanks.
fn declarations() -> Vec<(String, String)> {
    let header = read("include/containerv_volume.h");
    let declarations = header.split("CONTAINERV_VOLUME_API").filter_map(|text| {
        let (declaration, _) = text.split_once(");")?;
        let (head, _) = declaration.split_once('(')?;
        let name = head.rsplit([' ', '*', '\n']).next()?;
        let is_one = name.starts_with("containerv_") && !declaration.contains('#');
        is_one.then(|| (name.to_owned(), bare(&format!("{declaration})"))))
    });
    declarations.collect()
}

fn bare(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// A row of a table that has a column for tests.
struct Row {
    /// What the row is about, as it stands there.
    subject: String,
    tests: String,
    cells: usize,
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut tests_at = None;
    for line in read("../../docs/c-api.md").lines() {
        let Some(inner) = line.strip_prefix('|') else {
            tests_at = None;
            continue;
        };
        let cells: Vec<&str> = inner.trim_end_matches('|').split('|').collect();
        let cells: Vec<&str> = cells.into_iter().map(str::trim).collect();
        if let Some(at) = cells.iter().position(|cell| *cell == "tests") {
            tests_at = Some(at);
            continue;
        }
        let (Some(at), false) = (tests_at, cells[0].starts_with("---")) else {
            continue;
        };
        rows.push(Row {
            subject: cells[0].to_owned(),
            tests: cells[at].to_owned(),
            cells: cells.iter().filter(|cell| !cell.is_empty()).count(),
        });
    }
    rows
}

/// The names in backticks that the interface has.
fn names(subject: &str) -> BTreeSet<String> {
    let quoted = subject.split('`').skip(1).step_by(2);
    let words = quoted.flat_map(|text| text.split(|c: char| !c.is_alphanumeric() && c != '_'));
    let own = words.filter(|word| word.starts_with("containerv_") || word.starts_with("CV_"));
    own.map(str::to_owned).collect()
}

/// The text of the program of a test.
fn program(test: &str) -> String {
    let name = test.replace(' ', "_");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c");
    let found = ["c", "cpp"].map(|kind| folder.join(format!("{name}.{kind}")));
    let found = found.iter().find(|place| place.is_file());
    let found =
        found.unwrap_or_else(|| panic!("docs/c-api.md names a test {test:?}: there is none"));
    std::fs::read_to_string(found).unwrap()
}

fn has_word(text: &str, wanted: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|word| word == wanted)
}

#[test]
fn every_function_of_the_header_has_a_row_and_no_row_is_of_another() {
    let declared = declarations();
    assert!(declared.len() > 40, "{declared:?}");
    let rows = rows();
    let named: BTreeSet<String> = rows.iter().flat_map(|row| names(&row.subject)).collect();
    for (name, _) in &declared {
        assert!(named.contains(name), "docs/c-api.md has no row of {name}");
    }
    let header = read("include/containerv_volume.h");
    for name in &named {
        assert!(has_word(&header, name), "the header has no {name}");
    }
    for row in &rows {
        assert!(row.cells >= 3, "a cell is empty: {}", row.subject);
    }
}

#[test]
fn signatures_in_rows_are_those_of_the_header() {
    let declared = declarations();
    let mut compared = 0;
    for row in rows() {
        let Some((signature, _)) = row.subject.trim_start_matches('`').split_once('`') else {
            continue;
        };
        if !signature.ends_with(')') {
            continue;
        }
        compared += 1;
        let signature = bare(signature);
        let is_there = declared.iter().any(|(_, text)| *text == signature);
        assert!(is_there, "the header says it otherwise: {}", row.subject);
    }
    assert_eq!(compared, 9, "functions of the note");
}

#[test]
fn the_tests_of_a_row_are_programs_that_use_what_it_is_about() {
    for row in rows() {
        let programs: Vec<String> = row.tests.split(", ").map(program).collect();
        assert!(!programs.is_empty(), "{}", row.subject);
        for name in names(&row.subject) {
            let is_used = programs.iter().any(|text| has_word(text, &name));
            assert!(is_used, "{name} is in none of {}", row.tests);
        }
    }
}
