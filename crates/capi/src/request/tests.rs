//! What mounts of C become.

use std::ffi::{CStr, c_char};
use std::ptr;

use super::*;

fn text(text: Option<&'static CStr>) -> *mut c_char {
    text.map_or(ptr::null_mut(), |text| text.as_ptr().cast_mut())
}

fn of_mount(
    what: Option<&'static CStr>,
    fstype: Option<&'static CStr>,
    flags: u32,
) -> Result<String> {
    let mount = containerv_mount {
        what: text(what),
        r#where: text(Some(c"/data")),
        fstype: text(fstype),
        flags,
    };
    // SAFETY: the texts are constants.
    unsafe { Request::from_mount(&mount) }.map(|request| request.words())
}

#[test]
fn mounts_become_the_words_of_the_engine() {
    let cases: [(Option<&CStr>, Option<&CStr>, u32, &str); 9] = [
        (
            Some(c"/srv"),
            None,
            0,
            r#""type=bind","target=/data","source=/srv""#,
        ),
        (
            Some(c"srv"),
            None,
            BIND | READONLY | CREATE,
            r#""type=bind","target=/data","source=srv","readonly","create""#,
        ),
        (
            Some(c"data"),
            None,
            READONLY,
            r#""type=volume","target=/data","source=data","readonly""#,
        ),
        (
            Some(c"C:\\v.vhdx"),
            Some(c"vhdx"),
            0,
            r#""type=vhd","target=/data","source=C:\v.vhdx""#,
        ),
        (
            Some(c"data"),
            Some(c"vhd"),
            0,
            r#""type=volume","target=/data","source=data""#,
        ),
        (
            Some(c"/v.vhdx"),
            Some(c"NTFS"),
            0,
            r#""type=vhd","target=/data","source=/v.vhdx","fs=ntfs""#,
        ),
        (
            Some(c"//s/d"),
            Some(c"cifs"),
            READONLY,
            r#""type=smb","target=/data","source=//s/d","readonly""#,
        ),
        (
            Some(c"tmpfs"),
            Some(c"tmpfs"),
            READONLY,
            r#""type=tmpfs","target=/data""#,
        ),
        (
            Some(c"/a,\"b"),
            Some(c"bind"),
            RECURSIVE,
            r#""type=bind","target=/data","source=/a,""b""#,
        ),
    ];
    for (what, fstype, flags, words) in cases {
        assert_eq!(of_mount(what, fstype, flags).unwrap(), words);
    }
}

#[test]
fn mounts_that_make_no_sense_are_refused() {
    for (what, fstype, flags) in [
        (None, None, 0),
        (Some(c"/srv"), None, 0x8),
        (Some(c"/srv"), Some(c"nfs"), 0),
        (Some(c""), Some(c"bind"), BIND),
    ] {
        let failure = of_mount(what, fstype, flags).unwrap_err();
        assert!(matches!(failure, Failure::Argument(_)), "{failure:?}");
    }
}

fn of_words(kind: Kind, source: &str, options: &str) -> Result<Request> {
    Request::from_words(Some(source.to_owned()), "/data".to_owned(), kind, options)
}

#[test]
fn option_strings_part_what_is_mounted_from_what_is_made() {
    let request = of_words(
        Kind::Image,
        "data",
        "size=1G,fs=NTFS,persistent=false,ro,label=L",
    )
    .unwrap();
    assert_eq!(request.kind, Kind::Named);
    assert_eq!(request.made_by.as_deref(), Some("size=1G,fs=ntfs,label=L"));
    assert!(request.read_only && !request.persistent);

    let request = of_words(Kind::Image, "/v.vhdx", "fs=NTFS").unwrap();
    assert_eq!(request.guest_file_system.as_deref(), Some("ntfs"));
    assert_eq!(request.made_by, None);

    let request = of_words(Kind::Image, "/v.vhdx", "fs=NTFS,size=1G").unwrap();
    assert_eq!(request.guest_file_system, None);
    assert_eq!(request.made_by.as_deref(), Some("fs=ntfs,size=1G"));

    let request = of_words(Kind::Temporary, "", "size=16M").unwrap();
    assert_eq!(request.words(), r#""type=tmpfs","target=/data","size=16M""#);
}

#[test]
fn a_field_with_a_comma_stands_in_quotes() {
    let options = r#"ro,"username=a,""b""","share_name=x""#;
    let request = of_words(Kind::Smb, "//s/d", options).unwrap();
    assert_eq!(request.user.as_deref(), Some(r#"a,"b""#));
    assert_eq!(request.share_name.as_deref(), Some("x"));
    assert!(request.read_only);
}

#[test]
fn option_strings_that_make_no_sense_name_the_column() {
    for (options, text) in [
        (
            "ro,siez=1G",
            r#"options_str, column 4: "siez" is not known"#,
        ),
        ("ro,ro", r#"options_str, column 4: "ro" stands there twice"#),
        (
            "ro=maybe",
            r#"options_str, column 1: "ro" is true or false"#,
        ),
        ("ro,", r#"options_str, column 4: "" is not known"#),
        (",ro", r#"options_str, column 1: "" is not known"#),
        (
            r#"ro,"username=a"#,
            "options_str, column 4: the quote is never closed",
        ),
        (
            r#""username=a"b,ro"#,
            "options_str, column 13: a comma has to follow the closing quote",
        ),
        (
            r#"ro,"label=a,b""#,
            r#"options_str, column 4: "label" holds a comma"#,
        ),
        (
            "size=1G",
            r#"options_str: "size=1G" means nothing for this type of volume"#,
        ),
        (
            "password=x",
            r#"options_str, column 1: "password" never stands there: use containerv_volume_attach_smb_share"#,
        ),
    ] {
        let failure = of_words(Kind::Bind, "/srv", options).unwrap_err();
        assert_eq!(failure.text(), text);
    }
}

#[test]
fn numbers_that_are_no_type_are_refused() {
    let volume = containerv_windows_volume {
        r#type: 5,
        source_path: text(Some(c"/srv")),
        target_path: text(Some(c"/data")),
        volume_name: ptr::null_mut(),
        size_mb: 0,
        read_only: 0,
        filesystem: ptr::null_mut(),
    };
    // SAFETY: the texts are constants.
    let failure = unsafe { Request::from_volume(&volume) }.unwrap_err();
    assert_eq!(failure.text(), "5 is no enum windows_volume_type");
}
