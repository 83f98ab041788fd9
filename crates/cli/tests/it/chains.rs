//! Differencing images: made, read through, and kept away from what they must not reach.

use crate::Scratch;

fn base(scratch: &Scratch, folder: &str, extension: &str) -> String {
    std::fs::create_dir_all(scratch.path(folder)).unwrap();
    let mut disk = vec![0; 4 << 20];
    disk[1_000_000..1_000_004].copy_from_slice(b"base");
    scratch.write("disk.raw", &disk);
    let path = format!("{folder}/base.{extension}");
    scratch.ok(&["convert", "--force", "disk.raw", &path]);
    path
}

#[test]
fn a_child_shows_what_its_parent_holds_and_names_it() {
    for extension in ["vhdx", "vhd"] {
        let scratch = Scratch::new();
        let parent = base(&scratch, "images", extension);
        let child = format!("images/child.{extension}");
        let grandchild = format!("images/sub/grandchild.{extension}");
        std::fs::create_dir(scratch.path("images/sub")).unwrap();
        let made = scratch.json(&["diff-create", &parent, &child]);
        assert_eq!(made["virtual_size"], 4 << 20);
        // Its parent lies above it, which is not its own folder.
        let given = ["diff-create", &child, &grandchild, "--size", "5M"];
        scratch.ok(&given);
        let refused = scratch.run(&["convert", &grandchild, "out.raw"]);
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains("--parent"), "{}", refused.stderr);
        let allowed = ["--parent", child.as_str(), "--parent", parent.as_str()];
        let grandchild = grandchild.as_str();
        let with = |words: &[&'static str]| {
            let mut words: Vec<&str> = words.to_vec();
            words.insert(1, grandchild);
            words.extend(allowed);
            words
        };
        let info = scratch.json(&with(&["info"]));
        assert_eq!(info["type"], "differencing");
        assert_eq!(info["chain"].as_array().unwrap().len(), 2);
        assert!(info["chain_error"].is_null());
        scratch.ok(&with(&["check"]));
        scratch.ok(&with(&["convert", "out.raw"]));
        let bytes = std::fs::read(scratch.path("out.raw")).unwrap();
        assert_eq!(bytes.len(), 5 << 20);
        assert_eq!(&bytes[1_000_000..1_000_004], b"base");
        // The child beside its parent needs no word.
        scratch.ok(&["convert", "--force", &child, "out.raw"]);
    }
}

#[test]
fn a_parent_that_changed_is_told_with_both_identifiers() {
    let scratch = Scratch::new();
    let parent = base(&scratch, "images", "vhdx");
    scratch.ok(&["diff-create", &parent, "images/child.vhdx"]);
    base(&scratch, "images", "vhdx");
    let run = scratch.run(&["convert", "images/child.vhdx", "out.raw"]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(run.stderr.contains("expected"), "{}", run.stderr);
    assert_eq!(scratch.run(&["check", "images/child.vhdx"]).code, 1);
    let info = scratch.json(&["info", "images/child.vhdx"]);
    assert!(info["chain"][0]["mismatch"].is_string());
}

#[test]
fn a_link_out_of_the_folder_of_an_image_is_no_way_out() {
    let scratch = Scratch::new();
    let secret = base(&scratch, "elsewhere", "vhdx");
    let parent = base(&scratch, "images", "vhdx");
    scratch.ok(&["diff-create", &parent, "images/child.vhdx"]);
    std::fs::remove_file(scratch.path(&parent)).unwrap();
    let missing = scratch.run(&["info", "images/child.vhdx"]);
    assert!(
        missing.stdout.contains("is not there"),
        "{}",
        missing.stdout
    );
    assert_eq!(
        scratch.run(&["convert", "images/child.vhdx", "o.raw"]).code,
        3
    );
    #[cfg(unix)]
    {
        let secret = scratch.path(&secret);
        std::os::unix::fs::symlink(secret, scratch.path(&parent)).unwrap();
        let denied = scratch.run(&["convert", "images/child.vhdx", "o.raw"]);
        assert_eq!(denied.code, 2, "{}", denied.stderr);
    }
    drop(secret);
}

#[test]
fn a_raw_image_is_no_parent_and_an_existing_file_stays() {
    let scratch = Scratch::new();
    let parent = base(&scratch, "images", "vhdx");
    assert_eq!(scratch.run(&["diff-create", "disk.raw", "c.vhdx"]).code, 7);
    scratch.write("c.vhdx", b"precious");
    assert_eq!(scratch.run(&["diff-create", &parent, "c.vhdx"]).code, 4);
    let bytes = std::fs::read(scratch.path("c.vhdx")).unwrap();
    assert_eq!(bytes, b"precious");
    let small = scratch.run(&["diff-create", &parent, "d.vhdx", "--size", "1M"]);
    assert_eq!(small.code, 2, "{}", small.stderr);
    assert!(!scratch.path("d.vhdx").exists());
}

fn raw_bytes(scratch: &Scratch, image: &str) -> Vec<u8> {
    scratch.ok(&["convert", "--force", image, "out.raw"]);
    std::fs::read(scratch.path("out.raw")).unwrap()
}

/// A base and a child that stand for themselves, and what each reads.
fn base_and_child(scratch: &Scratch, extension: &str) -> (String, String, [Vec<u8>; 2]) {
    let parent = base(scratch, "images", extension);
    let child = format!("images/child.{extension}");
    scratch.ok(&["diff-create", &parent, &child]);
    // Written by way of another image of the same size, since no verb writes plain bytes.
    let mut disk = vec![0; 4 << 20];
    disk[3_000_000..3_000_005].copy_from_slice(b"other");
    scratch.write("other.raw", &disk);
    let other = format!("images/other.{extension}");
    scratch.ok(&["convert", "other.raw", &other]);
    let bytes = [raw_bytes(scratch, &parent), raw_bytes(scratch, &other)];
    (parent, child, bytes)
}

#[test]
fn a_child_gets_another_parent_and_reads_the_same_unless_it_is_told_to_trust() {
    for extension in ["vhdx", "vhd"] {
        let scratch = Scratch::new();
        let (parent, child, [of_base, of_other]) = base_and_child(&scratch, extension);
        let other = format!("images/other.{extension}");
        let rebased = scratch.json(&["rebase", &child, &other]);
        assert_eq!(rebased["copied"], 4096);
        assert!(raw_bytes(&scratch, &child) == of_base);
        scratch.ok(&["check", &child]);
        let info = scratch.json(&["info", &child]);
        let chain = info["chain"][0]["image"].as_str().unwrap();
        assert!(chain.contains("other"), "{chain}");
        // What shows through the new parent by trust is the new parent's.
        let trusting = format!("images/trusting.{extension}");
        scratch.ok(&["diff-create", &parent, &trusting]);
        scratch.ok(&["rebase", "--trust", &trusting, &other]);
        assert!(raw_bytes(&scratch, &trusting) == of_other);
        // Moved, it is the same parent, wherever it is.
        std::fs::create_dir(scratch.path("images/moved")).unwrap();
        let moved = format!("images/moved/other.{extension}");
        std::fs::rename(scratch.path(&other), scratch.path(&moved)).unwrap();
        assert_eq!(scratch.run(&["convert", &child, "gone.raw"]).code, 3);
        let rebased = scratch.json(&["rebase", &child, &moved]);
        assert_eq!(rebased["copied"], 0);
        assert!(raw_bytes(&scratch, &child) == of_base);
        let circle = scratch.run(&["rebase", &child, &child]);
        assert_eq!(circle.code, 2, "{}", circle.stderr);
        let refused = scratch.run(&["rebase", &parent, &moved]);
        assert_eq!(refused.code, 2, "{}", refused.stderr);
    }
}

#[test]
fn a_child_is_merged_into_its_parent_or_stands_alone() {
    for extension in ["vhdx", "vhd"] {
        let scratch = Scratch::new();
        let (parent, child, [of_base, _]) = base_and_child(&scratch, extension);
        let other = format!("images/other.{extension}");
        // The child now holds four kilobytes of its own.
        scratch.ok(&["rebase", &child, &other]);
        let alone = format!("images/alone.{extension}");
        scratch.ok(&["diff-create", &child, &alone]);
        assert!(raw_bytes(&scratch, &alone) == of_base);
        scratch.ok(&["flatten", &alone]);
        let info = scratch.json(&["info", &alone]);
        assert_eq!(info["type"], "dynamic", "{info}");
        scratch.ok(&["check", &alone]);
        let kept = scratch.json(&["merge", "--keep", &child]);
        assert_eq!(
            (&kept["removed"], &kept["copied"]),
            (&false.into(), &4096.into())
        );
        assert!(raw_bytes(&scratch, &other) == of_base);
        assert!(raw_bytes(&scratch, &child) == of_base);
        scratch.ok(&["merge", &child]);
        assert!(!scratch.path(&child).exists());
        scratch.ok(&["check", &other]);
        // Nothing of the chain is needed by what stands alone.
        std::fs::remove_file(scratch.path(&other)).unwrap();
        std::fs::remove_file(scratch.path(&parent)).unwrap();
        assert!(raw_bytes(&scratch, &alone) == of_base);
        let refused = scratch.run(&["merge", &alone]);
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        let refused = scratch.run(&["flatten", "disk.raw"]);
        assert_eq!(refused.code, 2, "{}", refused.stderr);
    }
}

/// The other child of the parent was lost without a word; of a VHD it then read other bytes.
#[test]
fn a_parent_of_another_image_beside_it_takes_nothing_in_unless_forced() {
    for extension in ["vhdx", "vhd"] {
        let scratch = Scratch::new();
        let (parent, child, _) = base_and_child(&scratch, extension);
        let other = format!("images/second.{extension}");
        scratch.ok(&["diff-create", &parent, &other]);
        let before = std::fs::read(scratch.path(&parent)).unwrap();
        let refused = scratch.run(&["merge", &child]);
        assert_eq!(refused.code, 7, "{}", refused.stderr);
        assert!(refused.stderr.contains("second."), "{}", refused.stderr);
        assert!(std::fs::read(scratch.path(&parent)).unwrap() == before);
        scratch.ok(&["merge", "--force", &child]);
        assert!(!scratch.path(&child).exists());
    }
}

/// `rebase` and `flatten` asked for a repair first, and the repair found nothing to do.
#[test]
fn a_vhd_child_with_a_footer_of_511_bytes_is_rebased_and_flattened() {
    let scratch = Scratch::new();
    let (_, child, [of_base, _]) = base_and_child(&scratch, "vhd");
    let shorten = || {
        let path = scratch.path(&child);
        let file = std::fs::File::options().write(true).open(path).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length - 1).unwrap();
    };
    for words in [
        &["rebase", &child, "images/other.vhd"][..],
        &["flatten", &child],
    ] {
        shorten();
        scratch.ok(words);
        scratch.ok(&["check", &child]);
        assert!(raw_bytes(&scratch, &child) == of_base, "{words:?}");
    }
}

#[test]
fn a_child_has_the_name_of_its_format() {
    let scratch = Scratch::new();
    let (parent, _, _) = base_and_child(&scratch, "vhd");
    let refused = scratch.run(&["diff-create", &parent, "images/odd.VHDX"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(!scratch.path("images/odd.VHDX").exists());
    for name in ["images/odd.avhd", "images/odd.snapshot"] {
        scratch.ok(&["diff-create", &parent, name]);
    }
}

/// `cp` into a parent once went through: a VHD child, which cannot notice, then showed other bytes.
#[test]
fn a_parent_of_images_beside_it_is_not_written() {
    let scratch = Scratch::new();
    scratch.write("new.txt", b"new");
    for format in ["vhdx", "vhd"] {
        scratch.ok(&["create", "data", "--size", "64M", "--format", format]);
        let (parent, child) = (format!("parent.{format}"), format!("child.{format}"));
        scratch.ok(&["convert", "--volume", "data", &parent]);
        scratch.ok(&["cp", "new.txt", &format!("{parent}:/before")]);
        scratch.ok(&["diff-create", &parent, &child]);
        let before = std::fs::read(scratch.path(&parent)).unwrap();
        for words in [
            &["cp", "new.txt", &format!("{parent}:/after")][..],
            &["rm", &format!("{parent}:/before")],
            &["mkdir", &format!("{parent}:/folder")],
            &["label", &parent, "OTHER"],
            &["compact", &parent],
            &["resize", &parent, "+8M"],
            &["serve", "--image", &parent, "--socket", "served.sock"],
        ] {
            if cfg!(windows) && words[0] == "serve" {
                continue;
            }
            let run = scratch.run(words);
            assert_eq!(run.code, 7, "{words:?}: {}", run.stderr);
            assert!(run.stderr.contains(&child), "{}", run.stderr);
        }
        assert!(std::fs::read(scratch.path(&parent)).unwrap() == before);
        // The child itself may change, and a parent without a child again.
        scratch.ok(&["cp", "new.txt", &format!("{child}:/after")]);
        std::fs::remove_file(scratch.path(&child)).unwrap();
        scratch.ok(&["cp", "new.txt", &format!("{parent}:/after")]);
        scratch.ok(&["rm", "data"]);
    }
}
