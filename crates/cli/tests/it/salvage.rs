//! `salvage` and `map`: what is read, what is told, and how it ends.

use crate::Scratch;

/// A VHDX of 4 MiB with data in every block but the third, made from `disk.raw`.
fn image(scratch: &Scratch) {
    let mut disk: Vec<u8> = (0..4_u32 << 20)
        .map(|at| (at / 4096 % 250 + 1).to_le_bytes()[0])
        .collect();
    disk[2 << 20..3 << 20].fill(0);
    scratch.write("disk.raw", &disk);
    scratch.ok(&["convert", "--block-size", "1M", "disk.raw", "a.vhdx"]);
}

fn damage(scratch: &Scratch, at: usize, bytes: &[u8]) {
    let path = scratch.path("a.vhdx");
    let mut image = std::fs::read(&path).unwrap();
    image[at..at + bytes.len()].copy_from_slice(bytes);
    std::fs::write(&path, &image).unwrap();
}

#[test]
fn a_sound_image_is_salvaged_whole() {
    let scratch = Scratch::new();
    image(&scratch);
    let saved = scratch.json(&["salvage", "a.vhdx", "b.raw"]);
    assert_eq!(saved["whole"], true);
    assert_eq!(saved["copied"], 3 << 20);
    let read = |name: &str| std::fs::read(scratch.path(name)).unwrap();
    assert!(read("b.raw") == read("disk.raw"));
    assert_eq!(scratch.run(&["salvage", "a.vhdx", "b.raw"]).code, 4);
}

#[test]
fn what_is_lost_is_listed_and_ends_with_exit_code_1() {
    let scratch = Scratch::new();
    image(&scratch);
    damage(&scratch, (3 << 20) + 8, &(1_u64 << 45 | 6).to_le_bytes());
    let before = std::fs::read(scratch.path("a.vhdx")).unwrap();
    let run = scratch.run(&["salvage", "a.vhdx", "b.vhdx", "--json"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    let told: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(told["lost"][0]["start"], 1 << 20);
    assert_eq!(told["lost"][0]["length"], 1 << 20);
    assert_eq!(told["lost_bytes"], 1 << 20);
    scratch.ok(&["convert", "b.vhdx", "b.raw"]);
    let mut expected = std::fs::read(scratch.path("disk.raw")).unwrap();
    expected[1 << 20..2 << 20].fill(0);
    assert!(std::fs::read(scratch.path("b.raw")).unwrap() == expected);
    assert!(std::fs::read(scratch.path("a.vhdx")).unwrap() == before);
}

#[test]
fn with_the_sizes_an_image_without_headers_and_metadata_is_read() {
    let scratch = Scratch::new();
    image(&scratch);
    // All of the header section, and the metadata at 2 MiB.
    damage(&scratch, 0, &[0; 1 << 20]);
    damage(&scratch, 2 << 20, &[0; 1 << 20]);
    let run = scratch.run(&["salvage", "-f", "vhdx", "a.vhdx", "b.raw"]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    let sizes = ["--size", "4M", "--block-size", "1M"];
    let mut arguments = vec!["salvage", "-f", "vhdx", "a.vhdx", "b.raw"];
    arguments.extend(sizes);
    // The log, which survived, holds nothing that is not in the tables: nothing is in doubt.
    let text = scratch.ok(&arguments).stdout;
    assert!(text.contains("made up from the sizes"), "{text}");
    let read = |name: &str| std::fs::read(scratch.path(name)).unwrap();
    assert!(read("b.raw") == read("disk.raw"));
}

#[test]
fn a_map_lists_the_disk_from_end_to_end_with_the_layer_of_each_part() {
    let scratch = Scratch::new();
    image(&scratch);
    scratch.ok(&["diff-create", "a.vhdx", "child.vhdx", "--block-size", "1M"]);
    let map = scratch.json(&["map", "child.vhdx"]);
    let layers = map["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    assert_eq!(layers[0]["data"], 0);
    assert_eq!(layers[1]["data"], 3 << 20);
    let mut at = 0;
    for run in map["runs"].as_array().unwrap() {
        assert_eq!(run["start"], at);
        at += run["length"].as_u64().unwrap();
        let is_zero = run["start"] == 2 << 20;
        assert_eq!(run["layer"].is_null(), is_zero, "{run}");
    }
    assert_eq!(at, 4 << 20);
    let text = scratch.ok(&["map", "child.vhdx"]).stdout;
    assert!(text.contains("a.vhdx") && text.contains("zeros"), "{text}");
}

#[test]
fn a_picture_of_the_map_is_the_same_each_time_and_shows_every_layer() {
    let scratch = Scratch::new();
    image(&scratch);
    scratch.ok(&["diff-create", "a.vhdx", "child.vhdx"]);
    scratch.ok(&["map", "child.vhdx", "--svg", "one.svg"]);
    scratch.ok(&["map", "child.vhdx", "--svg", "two.svg"]);
    let read = |name: &str| std::fs::read_to_string(scratch.path(name)).unwrap();
    assert_eq!(read("one.svg"), read("two.svg"));
    for words in [
        "<svg",
        "child.vhdx",
        "a.vhdx (3 MiB)",
        "what a guest reads",
        "</svg>",
    ] {
        assert!(read("one.svg").contains(words), "{words}");
    }
}
