//! `cargo xtask capi-install`: the C interface as other programs want to find it: header, libraries,
//! pkg-config file, CMake package.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome};
use crate::windows::Target;
use crate::{process, setup, workspace};

pub(crate) const HELP: &str = "\
usage: cargo xtask capi-install --prefix DIR [--windows] [--debug | --from DIR | --uninstall]

Builds the library containerv_volume and puts it below DIR as compilers and their tools look for it:

  include/containerv_volume.h
  lib/libcontainerv_volume.so -> .so.0 -> .so.0.1.0, lib/libcontainerv_volume.a
  lib/pkgconfig/containerv_volume.pc
  lib/cmake/containerv_volume/

  --prefix DIR   where to; made where it is missing
  --windows      for Windows: bin/containerv_volume.dll, and in lib the import libraries for mingw
                 (libcontainerv_volume.dll.a) and for Visual Studio (containerv_volume.lib with its
                 .def), and the static library for mingw
  --debug        build without optimisations, which is quicker
  --from DIR     build nothing; the built libraries are in DIR
  --uninstall    remove what is installed below DIR, of any version, and the folders that are empty then

Nothing that is installed names DIR, so that the folder can be moved.
";

/// The number in the name of the shared library; `CONTAINERV_VOLUME_ABI` of the header.
const ABI: u32 = 0;
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What programs link with beside the static library, as `rustc --print native-static-libs` says.
const STATIC_LINUX: &str = "-lgcc_s -lutil -lrt -lpthread -lm -ldl";
pub(crate) const STATIC_WINDOWS: &str =
    "-lkernel32 -lntdll -luserenv -lws2_32 -ldbghelp -lbcrypt -ladvapi32";

pub(crate) fn run(mut arguments: Arguments) -> Outcome {
    let prefix = arguments.option("--prefix")?;
    let windows = arguments.flag("--windows");
    let debug = arguments.flag("--debug");
    let from = arguments.option("--from")?;
    let uninstalls = arguments.flag("--uninstall");
    arguments.finish()?;
    let prefix = prefix.ok_or_else(|| Failure::usage("--prefix DIR says where to"))?;
    let prefix = PathBuf::from(prefix);
    if uninstalls {
        return uninstall(&prefix);
    }
    let built = match from {
        Some(folder) => PathBuf::from(folder),
        None if windows => build_for_windows(&Target::prepare(false)?, !debug)?,
        None => build(!debug)?,
    };
    if windows {
        install_for_windows(&prefix, &built)?;
    } else {
        install(&prefix, &built)?;
    }
    println!(
        "capi-install: containerv_volume {VERSION} is in {}",
        prefix.display()
    );
    Ok(())
}

fn build(release: bool) -> Result<PathBuf, Failure> {
    setup::require(&[setup::Group::Build])?;
    let mut command = process::cargo();
    command.args(["build", "-p", "capi", "--lib"]);
    command.args(release.then_some("--release"));
    process::run(&mut command)?;
    Ok(workspace::target().join(if release { "release" } else { "debug" }))
}

/// Builds the library for Windows; the folder that it is in.
pub(crate) fn build_for_windows(target: &Target, release: bool) -> Result<PathBuf, Failure> {
    let mut command = target.cargo("build");
    command.args(["-p", "capi", "--lib"]);
    command.args(release.then_some("--release"));
    process::run(&mut command)?;
    Ok(target.programs(if release { "release" } else { "debug" }))
}

fn install(prefix: &Path, built: &Path) -> Outcome {
    let library = prefix.join("lib");
    header(prefix)?;
    let shared = format!("libcontainerv_volume.so.{VERSION}");
    let soname = format!("libcontainerv_volume.so.{ABI}");
    copy(
        &built.join("libcontainerv_volume.so"),
        &library.join(&shared),
    )?;
    workspace::make_executable(&library.join(&shared))?;
    link(&shared, &library.join(&soname))?;
    link(&soname, &library.join("libcontainerv_volume.so"))?;
    copy(
        &built.join("libcontainerv_volume.a"),
        &library.join("libcontainerv_volume.a"),
    )?;
    descriptions(prefix, STATIC_LINUX, &format!("lib/{shared}"), None)
}

/// The same for Windows, from the built libraries in `built`.
pub(crate) fn install_for_windows(prefix: &Path, built: &Path) -> Outcome {
    let library = prefix.join("lib");
    header(prefix)?;
    let shared = "containerv_volume.dll";
    copy(&built.join(shared), &prefix.join("bin").join(shared))?;
    for name in ["libcontainerv_volume.dll.a", "libcontainerv_volume.a"] {
        copy(&built.join(name), &library.join(name))?;
    }
    let exports = library.join("containerv_volume.def");
    copy(
        &workspace::root().join("crates/capi/containerv_volume.def"),
        &exports,
    )?;
    let mut maker = Command::new("x86_64-w64-mingw32-dlltool");
    maker.arg("-d").arg(&exports);
    maker.arg("-l").arg(library.join("containerv_volume.lib"));
    process::run(&mut maker)?;
    let import = "lib/libcontainerv_volume.dll.a";
    descriptions(
        prefix,
        STATIC_WINDOWS,
        &format!("bin/{shared}"),
        Some(import),
    )
}

/// Removes what is installed for Linux or Windows. What else is there stays.
fn uninstall(prefix: &Path) -> Outcome {
    let mut count = 0;
    for (folder, is_ours) in INSTALLED {
        let place = prefix.join(folder);
        for file in files_in(&place)? {
            let name = file.file_name().and_then(|name| name.to_str());
            if name.is_some_and(is_ours) {
                remove(&file)?;
                count += 1;
            }
        }
        // Those that others have something in are not empty, and stay.
        let mut emptied = place.as_path();
        while emptied != prefix && std::fs::remove_dir(emptied).is_ok() {
            emptied = emptied.parent().unwrap_or(prefix);
        }
    }
    println!(
        "capi-install: {count} files of containerv_volume were removed from {}",
        prefix.display()
    );
    Ok(())
}

/// The files and links in a folder; none where it is not there.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::io("reading", folder, &error)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let paths: Result<Vec<PathBuf>, _> = paths.collect();
    let mut paths = paths.map_err(|error| Failure::io("reading", folder, &error))?;
    paths.retain(|path| path.is_symlink() || path.is_file());
    Ok(paths)
}

/// A folder, and which files in it are of this library.
type Installed = (&'static str, fn(&str) -> bool);

const INSTALLED: [Installed; 5] = [
    ("lib/cmake/containerv_volume", |name| {
        name.starts_with("containerv_volume-config")
    }),
    ("lib/pkgconfig", |name| name == "containerv_volume.pc"),
    ("include", |name| name == "containerv_volume.h"),
    ("bin", |name| name == "containerv_volume.dll"),
    ("lib", |name| {
        let name = name.strip_prefix("lib").unwrap_or(name);
        name.starts_with("containerv_volume.")
    }),
];

fn header(prefix: &Path) -> Outcome {
    copy(
        &workspace::root().join("crates/capi/include/containerv_volume.h"),
        &prefix.join("include/containerv_volume.h"),
    )
}

/// The pkg-config file and the CMake package. `import` is what is linked with where that is not the
/// shared library itself.
fn descriptions(
    prefix: &Path,
    static_libraries: &str,
    shared: &str,
    import: Option<&str>,
) -> Outcome {
    let config = format!(
        "prefix=${{pcfiledir}}/../..\n\
         libdir=${{prefix}}/lib\n\
         includedir=${{prefix}}/include\n\
         \n\
         Name: containerv_volume\n\
         Description: Storage for containers in virtual machines\n\
         Version: {VERSION}\n\
         Cflags: -I${{includedir}}\n\
         Libs: -L${{libdir}} -lcontainerv_volume\n\
         Libs.private: {static_libraries}\n"
    );
    workspace::write(&prefix.join("lib/pkgconfig/containerv_volume.pc"), config)?;
    let package = prefix.join("lib/cmake/containerv_volume");
    let import = match import {
        Some(path) => format!(
            "    IMPORTED_IMPLIB \"${{_root}}/{path}\"\n    \
             INTERFACE_COMPILE_DEFINITIONS CONTAINERV_VOLUME_DLL\n"
        ),
        None => String::new(),
    };
    let libraries = static_libraries.replace("-l", "").replace(' ', ";");
    let targets = format!(
        "# containerv_volume::shared and containerv_volume::static\n\
         get_filename_component(_root \"${{CMAKE_CURRENT_LIST_DIR}}/../../..\" ABSOLUTE)\n\
         if(NOT TARGET containerv_volume::shared)\n\
         \x20 add_library(containerv_volume::shared SHARED IMPORTED)\n\
         \x20 set_target_properties(containerv_volume::shared PROPERTIES\n    \
         IMPORTED_LOCATION \"${{_root}}/{shared}\"\n\
         {import}    \
         INTERFACE_INCLUDE_DIRECTORIES \"${{_root}}/include\")\n\
         \x20 add_library(containerv_volume::static STATIC IMPORTED)\n\
         \x20 set_target_properties(containerv_volume::static PROPERTIES\n    \
         IMPORTED_LOCATION \"${{_root}}/lib/libcontainerv_volume.a\"\n    \
         INTERFACE_LINK_LIBRARIES \"{libraries}\"\n    \
         INTERFACE_INCLUDE_DIRECTORIES \"${{_root}}/include\")\n\
         endif()\n\
         unset(_root)\n"
    );
    workspace::write(&package.join("containerv_volume-config.cmake"), targets)?;
    let version = format!(
        "set(PACKAGE_VERSION \"{VERSION}\")\n\
         # Before 1.0 each minor version is one of its own, and later each major version.\n\
         string(REGEX MATCH \"^(0\\\\.)?[0-9]+\" _own \"${{PACKAGE_VERSION}}\")\n\
         string(REGEX MATCH \"^(0\\\\.)?[0-9]+\" _wanted \"${{PACKAGE_FIND_VERSION}}\")\n\
         if(PACKAGE_VERSION VERSION_LESS PACKAGE_FIND_VERSION OR\n   \
         (PACKAGE_FIND_VERSION AND NOT _own STREQUAL _wanted))\n\
         \x20 set(PACKAGE_VERSION_COMPATIBLE FALSE)\n\
         else()\n\
         \x20 set(PACKAGE_VERSION_COMPATIBLE TRUE)\n\
         \x20 if(PACKAGE_VERSION VERSION_EQUAL PACKAGE_FIND_VERSION)\n\
         \x20   set(PACKAGE_VERSION_EXACT TRUE)\n\
         \x20 endif()\n\
         endif()\n\
         unset(_own)\n\
         unset(_wanted)\n"
    );
    workspace::write(
        &package.join("containerv_volume-config-version.cmake"),
        version,
    )
}

fn copy(from: &Path, to: &Path) -> Outcome {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).map_err(|error| Failure::io("making", parent, &error))?;
    }
    // A library that programs use is replaced, never written into.
    remove(to)?;
    std::fs::copy(from, to)
        .map(drop)
        .map_err(|error| Failure::io("installing", from, &error))
}

fn remove(path: &Path) -> Outcome {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io("replacing", path, &error))
        }
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn link(to: &str, place: &Path) -> Outcome {
    remove(place)?;
    std::os::unix::fs::symlink(to, place).map_err(|error| Failure::io("linking", place, &error))
}

#[cfg(not(unix))]
fn link(_to: &str, place: &Path) -> Outcome {
    Err(Failure::new(format!(
        "no link can be made at {}: install with --windows",
        place.display()
    )))
}
