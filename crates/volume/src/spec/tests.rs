//! Option strings: what they mean, what they are refused for and where.

use blockio::{GIB, KIB, MIB, TIB};
use mkfs::security::Preset;
use proptest::prelude::*;

use super::kind::{FileSystemKind, PartitionLayout};
use super::*;
use blockio::SectorSize;
use vdisk::{ImageFormat, Provisioning};

#[test]
fn the_empty_string_is_all_defaults() {
    let spec = VolumeSpec::parse("").unwrap();
    assert_eq!(spec, VolumeSpec::default());
    assert_eq!(spec.size(), Some(ByteCount(20 * GIB)));
    assert_eq!(
        spec.to_string(),
        "kind=vhd,size=20G,fs=ntfs,format=vhdx,type=dynamic,layout=gpt,sector=512,persistent=true"
    );
}

#[test]
fn every_option_is_read() {
    let text = "size=1G,fs=ntfs,persistent=false,format=vhdx,type=fixed,block=2M,sector=4096,\
                cluster=4K,layout=disk,label=My Data,kind=vhd";
    let spec = VolumeSpec::parse(text).unwrap();
    assert_eq!(spec.kind(), VolumeKind::Vhd);
    assert_eq!(spec.size(), Some(ByteCount(GIB)));
    assert_eq!(spec.disk().unwrap().file_system(), FileSystemKind::Ntfs);
    assert!(!spec.persistent());
    assert_eq!(spec.disk().unwrap().format(), ImageFormat::Vhdx);
    assert_eq!(spec.disk().unwrap().provisioning(), Provisioning::Fixed);
    assert_eq!(spec.disk().unwrap().block_size(), Some(ByteCount(2 * MIB)));
    assert_eq!(spec.disk().unwrap().sector(), SectorSize::B4096);
    assert_eq!(
        spec.disk().unwrap().cluster_size(),
        Some(ByteCount(4 * KIB))
    );
    assert_eq!(spec.disk().unwrap().partition(), PartitionLayout::WholeDisk);
    assert_eq!(spec.disk().unwrap().label(), "My Data");
    assert_eq!(VolumeSpec::parse(&spec.to_string()), Ok(spec));
}

#[test]
fn an_error_names_the_column_and_the_right_spelling() {
    let cases = [
        (
            "siez=1G",
            "column 1: unknown option \"siez\"; did you mean size?",
        ),
        (
            "size=1G,filesystem=ntfs",
            "column 9: unknown option \"filesystem\"; did you mean fs?",
        ),
        (
            "size=1G,fs=ntsf",
            "column 12, option fs: \"ntsf\" is none of ntfs, fat32, refs, scratch, none; did you mean ntfs?",
        ),
        (
            "size=1G,,fs=ntfs",
            "column 9: an option is missing between the commas",
        ),
        (
            "size=1G,",
            "column 9: an option is missing between the commas",
        ),
        (
            "persist",
            "column 1: \"persist\" has no value; write persistent=...",
        ),
        (
            "size=",
            "column 6, option size: a size is missing; write for example 20G",
        ),
        (
            "fs=ntfs,size=1X",
            "column 14, option size: \"1X\": unknown unit; use B, K, M, G or T (powers of 1024)",
        ),
        ("size=1G,size=2G", "column 9, option size: given twice"),
        (
            "persistent=maybe",
            "column 12, option persistent: \"maybe\" is none of true, false",
        ),
        (
            "sector=1024",
            "column 8, option sector: \"1024\" is none of 512, 4096",
        ),
        (
            "label=\u{e4}\u{e4},format=vmdk",
            "column 17, option format: \"vmdk\" is none of vhdx, vhd, raw",
        ),
        (
            "size=1G,acl=admins",
            "column 13, option acl: \"admins\" is none of container-users, administrators, \
             everyone-read",
        ),
        (
            "acl=O:BAD:(A;;FAX;;;BA)",
            "column 5, option acl: character 13: \"X\" is no right; write FA, FR, FW, FX, GA, GR, \
             ... or a number such as 0x1200a9",
        ),
        (
            "type=smbb",
            "column 6, option type: \"smbb\" is none of dynamic, fixed, vhd, bind, smb, tmpfs; did \
             you mean smb?",
        ),
        (
            "kind=bind",
            "option source: missing: a volume of kind bind needs source=/srv/data",
        ),
        (
            "kind=tmpfs,fs=ntfs",
            "column 15, option fs: a volume of kind tmpfs has no such option; leave it out",
        ),
        (
            "size=1G,readonly=true",
            "column 18, option readonly: a volume of kind vhd has no such option; it is a word of the \
             mount",
        ),
        (
            "kind=smb,source=//srv/data",
            "option username: missing: a share is not used as a guest; write username=NAME",
        ),
        (
            "kind=smb,password=x",
            "column 10: a password never stands in an option: `--password-file` and its like read it",
        ),
        ("kind=bind,\"source=/x", "column 11: a quote is not closed"),
        (
            "\"kind=bind\"x",
            "column 12: a comma is missing behind the closing quote",
        ),
    ];
    for (text, message) in cases {
        let error = VolumeSpec::parse(text).unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
        assert_eq!(error.kind(), SpecErrorKind::Invalid, "{text}");
        assert_eq!(
            error.column().is_some(),
            message.starts_with("column"),
            "{text}"
        );
    }
}

#[test]
fn what_exists_but_is_not_supported_says_so() {
    for text in [
        "layout=mbr",
        "type=differencing",
        "acl=O:DA",
        "acl=D:(OA;;FA;;;BA)",
    ] {
        let error = VolumeSpec::parse(text).unwrap_err();
        assert_eq!(error.kind(), SpecErrorKind::Unsupported, "{text}: {error}");
        assert!(error.column().is_some(), "{text}");
    }
}

#[test]
fn access_control_is_recorded_as_sddl_whatever_it_was_given_as() {
    for (given, recorded) in [
        ("administrators", Preset::Administrators.sddl()),
        ("o:bad:(a;oici;0x1f01ff;;;ba)", "O:BAD:(A;OICI;FA;;;BA)"),
    ] {
        let spec = VolumeSpec::parse(&format!("size=1G,acl={given}")).unwrap();
        assert_eq!(spec.disk().unwrap().acl_sddl().as_deref(), Some(recorded));
        assert!(spec.to_string().ends_with(&format!(",acl={recorded}")));
        assert_eq!(VolumeSpec::parse(&spec.to_string()), Ok(spec));
    }
    let long = "(A;;FA;;;BA)".repeat(200);
    let error = VolumeSpec::parse(&format!("acl=D:{long}")).unwrap_err();
    assert!(error.to_string().contains("file of rules"), "{error}");
}

#[test]
fn limits_of_formats_and_file_systems_hold() {
    let good = [
        "size=64T",
        "size=2040G,format=vhd",
        "size=10M",
        "size=64M,fs=fat32",
        "size=2T,fs=fat32,cluster=32K",
        "size=3M,fs=none",
        "size=1G,format=vhd,block=512K",
        "size=1G,block=256M",
        "size=20G,sector=4096",
        "size=1G,format=raw",
    ];
    for text in good {
        assert!(
            VolumeSpec::parse(text).is_ok(),
            "{text}: {:?}",
            VolumeSpec::parse(text)
        );
    }
    let bad = [
        ("size=65T", "size"),
        ("size=70368744177665", "size"),
        ("size=2041G,format=vhd", "size"),
        ("size=0", "size"),
        ("size=1", "size"),
        ("size=1M", "size"),
        ("size=9M", "size"),
        ("size=20M,fs=fat32", "size"),
        ("size=3T,fs=fat32", "size"),
        ("size=64M,fs=fat32,cluster=4K", "size"),
        ("size=1073741825", "size"),
        ("size=1073742336,sector=4096", "size"),
        ("size=18446744073709551615", "size"),
        ("sector=4096,format=vhd", "sector"),
        ("sector=4096,format=raw", "sector"),
        ("block=3M", "block"),
        ("block=512K", "block"),
        ("block=512M", "block"),
        ("block=4M,format=vhd", "block"),
        ("block=2M,format=raw", "block"),
        ("block=2M,format=vhd,type=fixed", "block"),
        ("cluster=256", "cluster"),
        ("cluster=4M", "cluster"),
        ("cluster=3K", "cluster"),
        ("cluster=512,sector=4096", "cluster"),
        ("cluster=4K,fs=none", "cluster"),
        ("fs=fat32,label=123456789012", "label"),
        ("fs=fat32,label=a/b", "label"),
        ("fs=none,label=x", "label"),
        ("label=123456789012345678901234567890123", "label"),
        ("label=a\tb", "label"),
        ("fs=fat32,acl=administrators", "acl"),
        ("fs=none,acl=D:", "acl"),
    ];
    for (text, option) in bad {
        let error = VolumeSpec::parse(text).unwrap_err();
        assert_eq!(error.option(), Some(option), "{text}: {error}");
        assert!(error.column().is_some(), "{text}");
    }
}

#[test]
fn options_added_one_by_one_have_no_column() {
    let mut options = SpecOptions::parse("size=1G").unwrap();
    options.add("fs", "fat32").unwrap();
    assert!(options.add("size", "2G").unwrap_err().column().is_none());
    assert!(options.add("label", "a,b").is_err());
    let spec = options.build().unwrap();
    assert_eq!(spec.size(), Some(ByteCount(GIB)));
    assert_eq!(spec.disk().unwrap().file_system(), FileSystemKind::Fat32);
    options.add("cluster", "2T").unwrap();
    assert_eq!(options.build().unwrap_err().column(), None);
    assert!(Some(ByteCount(2 * TIB)) > spec.size());
}

#[test]
fn volumes_without_an_image_have_the_options_of_their_kind() {
    let cases = [
        (
            "kind=bind,source=/srv/a",
            "kind=bind,source=/srv/a,readonly=false,persistent=true",
        ),
        (
            "type=bind,source=C:\\data\\x,readonly=yes",
            "kind=bind,source=C:\\data\\x,readonly=true,persistent=true",
        ),
        (
            "kind=bind,\"source=/srv/a,\"\"b\"\"\",persistent=no",
            "kind=bind,\"source=/srv/a,\"\"b\"\"\",readonly=false,persistent=false",
        ),
        (
            "type=smb,source=\\\\srv\\data\\x,username=CORP\\ann",
            "kind=smb,source=//srv/data/x,username=ann,domain=CORP,readonly=false,persistent=true",
        ),
        (
            "kind=smb,source=//[::1]:1445/d,username=ann,readonly=1",
            "kind=smb,source=//[::1]:1445/d,username=ann,readonly=true,persistent=true",
        ),
        ("kind=tmpfs", "kind=tmpfs,size=64M,persistent=true"),
        ("type=tmpfs,size=1G", "kind=tmpfs,size=1G,persistent=true"),
    ];
    for (text, canonical) in cases {
        let spec = VolumeSpec::parse(text).unwrap();
        assert_eq!(spec.to_string(), canonical, "{text}");
        assert_eq!(VolumeSpec::parse(canonical), Ok(spec.clone()));
        assert!(spec.disk().is_none());
        assert!(spec.with_size(ByteCount(GIB)).is_err());
    }
}

#[test]
fn what_a_kind_cannot_be_is_refused_at_its_option() {
    let bad = [
        ("kind=bind,source=data", "source"),
        ("kind=bind,source=", "source"),
        ("kind=bind,source=/srv/../etc", "source"),
        ("kind=bind,source=C:data", "source"),
        ("kind=bind,source=C:\\x\\..\\y", "source"),
        ("kind=bind,source=//srv/data", "source"),
        ("kind=bind,source=\\\\srv\\data", "source"),
        ("kind=bind,source=/a\tb", "source"),
        ("kind=bind,source=/x,size=1G", "size"),
        ("kind=bind,source=/x,username=ann", "username"),
        ("kind=smb,source=/srv,username=ann", "source"),
        ("kind=smb,source=//srv,username=ann", "source"),
        ("kind=smb,source=//srv/d,username=guest", "username"),
        ("kind=smb,source=//srv/d,username=", "username"),
        ("kind=smb,source=//srv/d,username=a%b", "username"),
        ("kind=smb,source=//srv/d,username=a,domain=x y", "username"),
        ("kind=smb,source=//srv/d,username=a,format=vhd", "format"),
        ("kind=tmpfs,size=0", "size"),
        ("kind=tmpfs,size=64K", "size"),
        ("kind=tmpfs,size=17T", "size"),
        ("kind=tmpfs,size=1048577", "size"),
        ("kind=tmpfs,source=/x", "source"),
        ("kind=tmpfs,readonly=true", "readonly"),
        ("kind=vhd,source=/x", "source"),
        ("kind=vhd,type=smb", "kind"),
    ];
    for (text, option) in bad {
        let error = VolumeSpec::parse(text).unwrap_err();
        // What is given twice is known by the word that was written.
        let found = error
            .option()
            .map(|found| if found == "type" { "kind" } else { found });
        assert_eq!(found, Some(option), "{text}: {error}");
    }
    let long = format!("kind=bind,source=/{}", "x".repeat(4096));
    assert!(VolumeSpec::parse(&long).is_err());
}

#[test]
fn a_hostile_string_is_refused_in_bounded_time_and_words() {
    let long = "size=1G,".repeat(1_000_000);
    for text in [
        long.as_str(),
        &"=".repeat(4000),
        &",".repeat(4000),
        &"x".repeat(4096),
    ] {
        let error = VolumeSpec::parse(text).unwrap_err();
        assert!(error.to_string().len() < 500);
    }
    for text in ["size=1G,fs=ntfs", "=", "", "fs=refs", "20G", "a\0=b"] {
        fuzz_spec(text.as_bytes());
    }
    fuzz_spec(b"\xff");
}

proptest! {
    #[test]
    fn any_string_is_read_or_refused(text in "\\PC{0,80}") {
        fuzz_spec(text.as_bytes());
    }

    #[test]
    fn strings_near_the_grammar_are_read_or_refused(
        text in "((size|fs|format|type|block|sector|cluster|layout|label|persistent|kind|source|username|\
                 readonly|fss|\"source)=(1G|2T|4K|ntfs|fat32|none|vhd|vhdx|raw|dynamic|fixed|gpt|disk|true|512|x|\
                 bind|smb|tmpfs|/x|//s/d|/a\"\"b\"|/a,b\"),?){0,6}"
    ) {
        fuzz_spec(text.as_bytes());
    }
}

#[test]
fn what_the_system_formats_is_a_disk_that_it_attaches_and_nothing_here_says_how() {
    for (text, fault) in [
        ("fs=refs,size=2G,label=data", None),
        ("fs=ReFS,size=2G,format=vhd", None),
        ("fs=scratch,size=20G", None),
        ("fs=refs,size=2G,format=raw", Some("option format")),
        ("fs=refs,size=2G,layout=disk", Some("option layout")),
        ("fs=refs,size=2G,cluster=64K", Some("option cluster")),
        ("fs=refs,size=2G,acl=administrators", Some("option acl")),
        ("fs=scratch,size=2G,label=x", Some("option label")),
    ] {
        match (VolumeSpec::parse(text), fault) {
            (Ok(spec), None) => {
                let disk = spec.disk().unwrap();
                assert!(disk.file_system().is_made_by_system(), "{text}");
                assert_eq!(VolumeSpec::parse(&spec.to_string()), Ok(spec));
            }
            (Err(error), Some(fault)) => {
                assert!(error.to_string().contains(fault), "{text}: {error}");
            }
            (found, _) => panic!("{text}: {found:?}"),
        }
    }
}
