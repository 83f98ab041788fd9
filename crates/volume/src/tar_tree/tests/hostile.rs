//! Archives that lie, climb out, repeat themselves or end early.

use super::*;

/// What is wrong with an archive, the archive, and what the error must name.
type Hostile = (&'static str, Vec<u8>, &'static str);

fn hostile() -> Vec<Hostile> {
    let file = member(b"f", b'0', b"x");
    let sparse = |map: &[u8], size: &[u8]| {
        let records: [(&str, &[u8]); 3] = [
            ("GNU.sparse.size", size),
            ("GNU.sparse.map", map),
            ("GNU.sparse.name", b"s"),
        ];
        archive(&[pax(&records), member(b"s", b'0', b"abcde")])
    };
    let mut broken_sum = member(b"late", b'0', b"x");
    broken_sum[0] ^= 1;
    vec![
        ("climbs", archive(&[member(b"../f", b'0', b"")]), "../f"),
        (
            "climbs inside",
            archive(&[member(b"a/../f", b'0', b"")]),
            "a/../f",
        ),
        ("absolute", archive(&[member(b"/f", b'0', b"")]), "/f"),
        (
            "below a link",
            archive(&[link(b"l", b'2', b"/etc"), member(b"l/f", b'0', b"")]),
            "l/f",
        ),
        (
            "below a link through a link",
            archive(&[
                link(b"l", b'2', b"."),
                link(b"l/m", b'2', b"/"),
                member(b"l/m/f", b'0', b""),
            ]),
            "l/m",
        ),
        (
            "below a file",
            archive(&[file.clone(), member(b"f/g", b'0', b"")]),
            "f/g",
        ),
        ("hard link out", archive(&[link(b"h", b'1', b"../f")]), "h"),
        (
            "hard link to later",
            archive(&[link(b"h", b'1', b"f"), file.clone()]),
            "h",
        ),
        (
            "hard link to a directory",
            archive(&[member(b"d/", b'5', b""), link(b"h", b'1', b"d")]),
            "h",
        ),
        (
            "hard link through a link",
            archive(&[
                member(b"d/f", b'0', b""),
                link(b"l", b'2', b"d"),
                link(b"h", b'1', b"l/f"),
            ]),
            "h",
        ),
        (
            "whiteout",
            archive(&[member(b"d/.wh.f", b'0', b"")]),
            "d/.wh.f",
        ),
        (
            "cut in a content",
            archive(&[member(b"f", b'0', &[7; 5000])])[..2000].to_vec(),
            "f",
        ),
        ("cut in a head", file[..300].to_vec(), "a.tar"),
        ("no end mark", file.clone(), "f"),
        ("nothing at all", Vec::new(), "a.tar"),
        ("no tar", vec![b'x'; 2048], "a.tar"),
        ("checksum", archive(&[file.clone(), broken_sum]), "f"),
        (
            "a size past the end",
            archive(&[head(b"big", b'0', b"77777777777")]),
            "big",
        ),
        (
            "a size that no file has",
            archive(&[head(
                b"huge",
                b'0',
                b"\x80\0\0\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
            )]),
            "huge",
        ),
        (
            "a negative size",
            archive(&[head(b"neg", b'0', &[0xFF; 12])]),
            "neg",
        ),
        (
            "a size of letters",
            archive(&[head(b"abc", b'0', b"abcdefghijk")]),
            "abc",
        ),
        (
            "records of gigabytes",
            archive(&[head(b"pax", b'x', b"77777777777")]),
            "pax",
        ),
        (
            "records that lie",
            archive(&[member(b"pax", b'x', b"99 a=b\n"), file.clone()]),
            "pax",
        ),
        (
            "a name of gigabytes",
            archive(&[head(b"name", b'L', b"77777777777")]),
            "name",
        ),
        (
            "heads without a member",
            archive(&vec![pax(&[("a", b"b")]); 70]),
            "a.tar",
        ),
        (
            "global records of one member",
            archive(&[member(b"g", b'g', &lines(&[("path", b"x")])), file.clone()]),
            "g",
        ),
        ("holes out of order", sparse(b"10,2,5,3", b"100"), "s"),
        ("holes past the size", sparse(b"10,2,99,3", b"100"), "s"),
        ("holes that do not fit", sparse(b"10,2,50,2", b"100"), "s"),
        ("holes without a pair", sparse(b"10,2,50", b"100"), "s"),
        ("holes of letters", sparse(b"10,x", b"100"), "s"),
        (
            "a deep path",
            archive(&[pax(&[("path", &b"d/".repeat(600))]), file.clone()]),
            "d/d/",
        ),
        (
            "a long name",
            archive(&[pax(&[("path", &[b'n'; 256])]), file.clone()]),
            "nnn",
        ),
        (
            "a NUL in a name",
            archive(&[pax(&[("path", b"a\0b")]), file.clone()]),
            "a\0b",
        ),
        ("an unknown kind", archive(&[member(b"m", b'M', b"")]), "m"),
        (
            "a descriptor that is none",
            archive(&[pax(&[("MSWINDOWS.rawsd", b"!!")]), file.clone()]),
            "f",
        ),
        (
            "reparse data that is none",
            archive(&[pax(&[("CVOL.reparse", b"AAAA")]), link(b"r", b'2', b"x")]),
            "r",
        ),
    ]
}

#[test]
fn hostile_archives_end_in_errors_that_name_the_member() {
    for (what, bytes, named) in hostile() {
        let error = error_of(&bytes);
        assert!(error.path().contains(named), "{what}: {error}");
        assert!(
            matches!(
                error.kind(),
                TreeErrorKind::Malformed | TreeErrorKind::Unsupported
            ),
            "{what}: {error}"
        );
    }
}

#[test]
fn every_cut_and_changed_byte_gives_an_answer() {
    let whole = archive(&[
        pax(&[("MSWINDOWS.fileattr", b"32"), ("mtime", b"1.5")]),
        member(b"d/f", b'0', b"data"),
        member(b"d/f:s", b'0', b"stream"),
        link(b"l", b'1', b"d/f"),
    ]);
    for len in (0..whole.len()).step_by(7) {
        fuzz_import(&whole[..len]);
    }
    for place in 0..whole.len() {
        for value in [0, b'9', 0xFF] {
            let mut bytes = whole.clone();
            bytes[place] = value;
            // The sum is put right, so that what is behind it is reached.
            let start = place / 512 * 512;
            if start != 512 && bytes[start..start + 512].iter().any(|byte| *byte != 0) {
                seal(&mut bytes[start..start + 512]);
            }
            fuzz_import(&bytes);
        }
    }
}
