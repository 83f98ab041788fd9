//! Programs in C and C++, compiled against the installed layout and run: plainly, under valgrind, with
//! the address sanitizer, and linked with the static library.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use super::tools;

const STRICT: [&str; 6] = [
    "-std=c99",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Werror",
    "-g",
];
/// What valgrind ends with where it found something.
const FOUND: i32 = 99;

/// How a program finds the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Linked {
    Shared,
    Static,
    /// Shared, with the address and leak sanitizers around the program.
    Sanitized,
}

fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap().to_owned()
}

/// The folder that the library is installed in, once for all tests: what was built with them, in the
/// layout that programs are given.
fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("capi-prefix");
        succeed(capi_install(&prefix).arg("--from").arg(built()));
        prefix
    })
}

/// Where the libraries lie that were built with the tests.
fn built() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.parent().unwrap().to_owned()
}

/// `cargo xtask capi-install` for this folder.
fn capi_install(prefix: &Path) -> Command {
    let mut install = Command::new(env!("CARGO"));
    install.args(["run", "--quiet", "--package", "xtask", "--manifest-path"]);
    install.arg(workspace().join("Cargo.toml"));
    // Its own target folder is that of this build.
    install
        .arg("--target-dir")
        .arg(built().ancestors().nth(2).unwrap());
    install.args(["--", "capi-install", "--prefix"]).arg(prefix);
    install
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn said(output: &Output) -> String {
    format!(
        "{}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// What pkg-config says of the installed library.
fn pkg_config(words: &[&str]) -> Vec<String> {
    let mut command = Command::new("pkg-config");
    command.env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig"));
    let text = succeed(command.args(words).arg("containerv_volume"));
    text.split_whitespace().map(str::to_owned).collect()
}

/// Compiles a program; where it is.
fn compile(compiler: &str, words: &[&str], sources: &[PathBuf], linked: Linked) -> PathBuf {
    let first = sources.first().unwrap();
    let name = first.with_extension("");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("capi-programs");
    std::fs::create_dir_all(&folder).unwrap();
    let text = format!("{linked:?}-{}-{}", name.display(), words.join(""));
    let text: String = text
        .chars()
        .map(|c| if c.is_alphanumeric() { c } else { '-' })
        .collect();
    let tail = text.char_indices().rev().nth(100).map_or(0, |(at, _)| at);
    let program = folder.join(&text[tail..]);
    let mut command = Command::new(compiler);
    command.args(words).args(sources).arg("-o").arg(&program);
    command.args(pkg_config(&["--cflags"]));
    match linked {
        Linked::Static => {
            command.arg(prefix().join("lib/libcontainerv_volume.a"));
            let libraries = pkg_config(&["--static", "--libs"]);
            command.args(
                libraries
                    .iter()
                    .filter(|word| *word != "-lcontainerv_volume"),
            );
        }
        Linked::Shared | Linked::Sanitized => {
            command.args(pkg_config(&["--libs"]));
            let library = prefix().join("lib");
            command.arg(format!("-Wl,-rpath,{}", library.display()));
            command.arg("-lpthread");
        }
    }
    if linked == Linked::Sanitized {
        command.args(["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]);
    }
    succeed(&mut command);
    program
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/c")
        .join(name)
}

fn compile_c(name: &str, linked: Linked) -> PathBuf {
    compile("cc", &STRICT, &[source(name)], linked)
}

/// Runs a program with an empty folder; what it printed.
fn run(program: &Path, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.arg(folder.path()).args(arguments);
    // The leak checker cannot work where it is traced; nothing here is.
    command.env("ASAN_OPTIONS", "detect_leaks=1:halt_on_error=1");
    command.env("UBSAN_OPTIONS", "halt_on_error=1");
    succeed(&mut command)
}

/// Runs a program under valgrind, which is to find nothing.
fn run_checked(program: &Path, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("valgrind");
    command.args([
        "--quiet",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite,possible",
    ]);
    command.arg("--show-leak-kinds=definite,possible");
    command.arg(format!("--error-exitcode={FOUND}"));
    command.arg(program).arg(folder.path()).args(arguments);
    succeed(&mut command)
}

#[test]
fn layouts_constants_and_signatures_are_those_of_the_note() {
    if tools::needs(&["cc", "pkg-config"]) {
        assert_eq!(run(&compile_c("abi.c", Linked::Shared), &[]), "abi: ok\n");
    }
}

#[test]
fn the_static_library_serves_as_well() {
    if tools::needs(&["cc", "pkg-config"]) {
        let program = compile_c("mounts.c", Linked::Static);
        assert_eq!(run(&program, &[]), "mounts: ok\n");
    }
}

#[test]
fn bad_input_is_refused_and_nothing_else_happens() {
    if tools::needs(&["cc", "pkg-config", "valgrind"]) {
        let program = compile_c("bad_input.c", Linked::Sanitized);
        assert_eq!(run(&program, &[]), "bad_input: ok\n");
        let program = compile_c("bad_input.c", Linked::Shared);
        assert_eq!(run_checked(&program, &[]), "bad_input: ok\n");
    }
}

#[test]
fn a_volume_lives_from_its_making_to_its_end() {
    if tools::needs(&["cc", "pkg-config"]) {
        let program = compile_c("life.c", Linked::Sanitized);
        assert_eq!(run(&program, &[]), "life: ok\n");
    }
}

#[test]
fn mounts_are_planned_made_and_removed() {
    if tools::needs(&["cc", "pkg-config", "valgrind"]) {
        let program = compile_c("mounts.c", Linked::Sanitized);
        assert_eq!(run(&program, &[]), "mounts: ok\n");
        let program = compile_c("mounts.c", Linked::Shared);
        assert_eq!(run_checked(&program, &[]), "mounts: ok\n");
    }
}

#[test]
fn machines_that_cannot_be_reached_leave_nothing_behind() {
    if tools::needs(&["cc", "pkg-config"]) {
        let program = compile_c("session.c", Linked::Sanitized);
        assert_eq!(run(&program, &[]), "session: ok\n");
    }
}

#[test]
fn many_threads_share_handles() {
    if tools::needs(&["cc", "pkg-config"]) {
        let program = compile_c("threads.c", Linked::Sanitized);
        assert_eq!(run(&program, &[]), "threads: ok\n");
    }
}

#[test]
fn ten_thousand_calls_leave_nothing_behind() {
    if tools::needs(&["cc", "pkg-config", "valgrind"]) {
        let program = compile_c("leak.c", Linked::Sanitized);
        assert!(run(&program, &["10000", "4"]).starts_with("leak: ok after 10"));
        // Fewer of those that open images, which take long there.
        let program = compile_c("leak.c", Linked::Shared);
        let said = run_checked(&program, &["10000", "40"]);
        assert!(said.starts_with("leak: ok after 10"), "{said}");
    }
}

#[test]
fn the_header_stands_beside_that_of_containerv() {
    if tools::needs(&["cc", "pkg-config"]) {
        for has_mount in [&[][..], &["-DCONTAINERV_HAS_MOUNT"]] {
            let words = [&STRICT[..], has_mount].concat();
            let sources = [source("beside_containerv.c")];
            let program = compile("cc", &words, &sources, Linked::Shared);
            assert_eq!(run(&program, &[]), "beside_containerv: ok\n");
        }
    }
}

#[test]
fn the_header_is_good_c_of_every_age_it_is_for() {
    if tools::needs(&["cc", "pkg-config"]) {
        let more = ["-Wconversion", "-Wshadow", "-Wundef", "-Wstrict-prototypes"];
        for age in ["-std=c99", "-std=c11", "-std=c17"] {
            let words = [
                &[age, "-Wall", "-Wextra", "-Wpedantic", "-Werror"][..],
                &more,
            ]
            .concat();
            compile("cc", &words, &[source("abi.c")], Linked::Shared);
        }
    }
}

#[test]
fn the_header_is_good_cpp() {
    if tools::needs(&["c++", "pkg-config"]) {
        let words = ["-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"];
        let sources = [source("from_cpp.cpp")];
        let program = compile("c++", &words, &sources, Linked::Sanitized);
        assert_eq!(run(&program, &[]), "from_cpp: ok\n");
    }
}

#[test]
fn the_examples_do_what_they_say() {
    if tools::needs(&["cc", "pkg-config", "valgrind"]) {
        let examples = workspace().join("examples/c");
        let simple = [examples.join("volumes.c")];
        let drop_in =
            ["main.c", "volume-manager.c"].map(|name| examples.join("containerv").join(name));
        let simple = compile("cc", &STRICT, &simple, Linked::Shared);
        assert!(run_checked(&simple, &[]).contains("data is ready and takes"));
        // It needs a machine, which is for the tests of whole machines; that it compiles is for here.
        compile("cc", &STRICT, &[examples.join("attach.c")], Linked::Shared);
        let drop_in = compile("cc", &STRICT, &drop_in, Linked::Shared);
        let said = run_checked(&drop_in, &[]);
        assert!(said.contains("MappedDirectories"), "{said}");
        assert!(said.contains("credentials=/dev/stdin"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

#[test]
fn cmake_finds_the_installed_library() {
    if tools::needs(&["cmake", "cc"]) {
        let folder = tempfile::tempdir().unwrap();
        let examples = workspace().join("examples/c/volumes.c");
        let project = format!(
            "cmake_minimum_required(VERSION 3.16)\nproject(consumer C)\n\
             find_package(containerv_volume 0.1 REQUIRED)\n\
             add_executable(with_shared {0})\n\
             target_link_libraries(with_shared containerv_volume::shared)\n\
             add_executable(with_static {0})\n\
             target_link_libraries(with_static containerv_volume::static)\n",
            examples.display()
        );
        std::fs::write(folder.path().join("CMakeLists.txt"), project).unwrap();
        let build = folder.path().join("build");
        let mut configure = Command::new("cmake");
        configure.arg("-S").arg(folder.path()).arg("-B").arg(&build);
        configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix().display()));
        succeed(&mut configure);
        succeed(Command::new("cmake").arg("--build").arg(&build));
        for name in ["with_shared", "with_static"] {
            assert!(run(&build.join(name), &[]).contains("data is ready"));
        }
    }
}

/// Programs that were compiled for a version before 1.0 are of no other minor version.
#[test]
fn cmake_takes_no_version_that_programs_were_not_compiled_for() {
    if tools::needs(&["cmake", "cc"]) {
        for (wanted, is_taken) in [
            ("", true),
            ("0.1", true),
            ("0.1.0", true),
            ("0.0.9", false),
            ("0.2", false),
            ("1.0", false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let project = format!(
                "cmake_minimum_required(VERSION 3.16)\nproject(consumer C)\n\
                 find_package(containerv_volume {wanted} REQUIRED)\n"
            );
            std::fs::write(folder.path().join("CMakeLists.txt"), project).unwrap();
            let mut configure = Command::new("cmake");
            configure.arg("-S").arg(folder.path());
            configure.arg("-B").arg(folder.path().join("build"));
            configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix().display()));
            let output = configure.output().unwrap();
            assert_eq!(
                output.status.success(),
                is_taken,
                "{wanted}: {}",
                said(&output)
            );
        }
    }
}

#[test]
fn what_is_installed_below_a_name_with_a_blank_serves_and_is_taken_away_again() {
    if tools::needs(&["cc", "pkg-config"]) {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().join("a prefix");
        succeed(capi_install(&prefix).arg("--from").arg(built()));
        let program = folder.path().join("volumes");
        let mut compile = Command::new("sh");
        // What pkg-config says is for a shell to read, blanks and all.
        compile.arg("-c").arg(
            "eval cc -std=c99 \"\\\"$1\\\"\" -o \"\\\"$2\\\"\" \
             \"$(pkg-config --cflags --libs containerv_volume)\"",
        );
        let examples = workspace().join("examples/c/volumes.c");
        compile.arg("sh").arg(examples).arg(&program);
        compile.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
        succeed(&mut compile);
        let mut run = Command::new(&program);
        run.arg(folder.path().join("store"));
        run.env("LD_LIBRARY_PATH", prefix.join("lib"));
        assert!(succeed(&mut run).contains("data is ready"));

        std::fs::write(prefix.join("include/other.h"), "").unwrap();
        succeed(capi_install(&prefix).arg("--uninstall"));
        let left = |folder: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(folder).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name());
            names.map(|name| name.into_string().unwrap()).collect()
        };
        assert_eq!(left(&prefix), ["include"]);
        assert_eq!(left(&prefix.join("include")), ["other.h"]);
        // And again, where there is nothing.
        succeed(capi_install(&prefix).arg("--uninstall"));
    }
}
