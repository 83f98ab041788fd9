//! A tree like the sources of a kernel: folders some levels deep, each with some dozens of short files
//! whose content looks like text, a few long ones, and a link here and there.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::random::Random;

const WORDS: [&str; 12] = [
    "net", "drivers", "core", "sched", "usb", "video", "include", "arch", "block", "crypto", "fs",
    "sound",
];
const ENDINGS: [&str; 5] = ["c", "h", "rst", "dts", "S"];
/// Files of a folder, on the average.
const FILES: usize = 14;

/// Makes `count` files below `root`.
pub(super) fn make(root: &Path, count: usize) {
    let mut random = Random(80_000);
    let mut pick = |below: usize| {
        let below = u64::try_from(below).unwrap();
        usize::try_from(random.below(below)).unwrap()
    };
    let text =
        "static int probe(struct device *dev)\n{\n\treturn dev_register(dev);\n}\n\n".repeat(4000);
    let mut folders = vec![root.to_owned()];
    fs::create_dir_all(root).unwrap();
    let mut made = 0;
    while made < count {
        let parent = folders[pick(folders.len())].clone();
        let deep = parent.strip_prefix(root).unwrap().components().count();
        if deep < 9 {
            let mut name = WORDS[pick(WORDS.len())].to_owned();
            write!(name, "-{}", folders.len()).unwrap();
            let folder = parent.join(name);
            fs::create_dir(&folder).unwrap();
            if pick(20) == 0 {
                symlink("../Makefile", folder.join("Makefile")).unwrap();
            }
            folders.push(folder);
        }
        let folder = folders.last().unwrap().clone();
        for _ in 0..1 + pick(2 * FILES) {
            let word = WORDS[pick(WORDS.len())];
            let ending = ENDINGS[pick(ENDINGS.len())];
            let size = match pick(40) {
                0 => 0,
                1..=8 => pick(700),
                39 => pick(text.len()),
                _ => pick(24_000),
            };
            let start = pick(text.len() - size + 1);
            let path = folder.join(format!("{word}_{made}.{ending}"));
            fs::write(path, &text[start..start + size]).unwrap();
            made += 1;
        }
    }
}
