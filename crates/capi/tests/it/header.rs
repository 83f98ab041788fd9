//! The header is what cbindgen makes of the source, and the list of exports is that of the header.

use std::path::{Path, PathBuf};

/// Each file whose functions and types are in the header, in the order in which they stand there.
const SOURCES: [&str; 8] = [
    "types", "settings", "volumes", "image", "layers", "options", "plan", "session",
];

fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The header as it should be.
fn generated() -> String {
    let config = cbindgen::Config::from_file(place("cbindgen.toml")).unwrap();
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in SOURCES {
        builder = builder.with_src(place(&format!("src/{source}.rs")));
    }
    let mut text = Vec::new();
    builder.generate().unwrap().write(&mut text);
    String::from_utf8(text).unwrap()
}

/// Every function that a header declares.
fn functions(header: &str) -> Vec<&str> {
    let mut names: Vec<&str> = header
        .split("CONTAINERV_VOLUME_API")
        .skip(1)
        .filter_map(|declaration| {
            let head = declaration.split('(').next()?;
            head.split([' ', '*', '\n']).next_back()
        })
        .filter(|name| name.starts_with("containerv_"))
        .collect();
    names.sort_unstable();
    names
}

/// The list of exports of the Windows library, for linkers that take it.
fn export_list(header: &str) -> String {
    let mut text = "LIBRARY containerv_volume.dll\nEXPORTS\n".to_owned();
    for name in functions(header) {
        text.push_str(&format!("    {name}\n"));
    }
    text
}

fn check(path: &str, expected: &str) {
    let path = place(path);
    if std::env::var_os("CVOL_BLESS").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{} is not what the source says: CVOL_BLESS=1 writes it anew",
        path.display()
    );
}

#[test]
fn the_header_is_that_of_the_source() {
    check("include/containerv_volume.h", &generated());
}

#[test]
fn the_list_of_exports_is_that_of_the_header() {
    check("containerv_volume.def", &export_list(&generated()));
}

#[test]
fn every_function_of_the_source_is_in_the_header() {
    let header = generated();
    let declared = functions(&header);
    for source in std::fs::read_dir(place("src")).unwrap() {
        let path = source.unwrap().path();
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let exported = text.split("#[unsafe(no_mangle)]").skip(1);
        for function in exported {
            let (_, after) = function.split_once(" fn ").unwrap();
            let name = after.split('(').next().unwrap();
            assert!(
                declared.contains(&name),
                "{name} of {}: add the file to SOURCES",
                path.display()
            );
        }
    }
    assert!(declared.len() > 40, "{declared:?}");
}
