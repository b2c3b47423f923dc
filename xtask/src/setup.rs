//! `cargo xtask setup`: installs what the other commands need and this machine lacks.
//!
//! It looks first, by what the builds themselves will look for (programs on PATH, pkg-config
//! modules, libclang, a font), so that software from elsewhere counts. It says what it will install
//! and why before it does, and when nothing is missing it is done in a blink.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::{self, Failure, Flag, Given, Outcome, Spec};
use crate::places::Places;
use crate::process::{self, on_path};
use crate::{python, ui};

pub(crate) static SPEC: Spec = Spec {
    name: "setup",
    summary: "Install what this machine lacks: libraries, node, chromium, the bench's peer",
    usage: "setup [--only GROUP]",
    about: "Looks for what Headwater needs, prints what is missing and why, and installs it with \
            apt-get, through sudo when you are not root. On a system without apt-get it prints \
            the list. The other commands call it for what they need.",
    names: &[],
    flags: &[Flag {
        name: "--only",
        value: Some("GROUP"),
        help: "One of: build (compiler, FFmpeg and libclang), web (node and npm), test (chromium, \
               Go, the Python HTTP/3 client, rustfmt and clippy), bench (an nginx with QUIC, \
               Varnish, HAProxy, nginx with Lua). May be \
               repeated [default: all]",
    }],
};

/// What a thing is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Build,
    Web,
    Test,
    Bench,
}

const GROUPS: [(&str, Group); 4] =
    [("build", Group::Build), ("web", Group::Web), ("test", Group::Test), ("bench", Group::Bench)];

/// How to see that a thing is there.
enum Look {
    /// All of these programs are on PATH.
    Programs(&'static [&'static str]),
    /// This program is on PATH or where daemons are, which not every PATH has.
    Daemon(&'static str),
    /// There is a file at this place.
    File(&'static str),
    /// pkg-config knows all of these modules.
    Modules(&'static [&'static str]),
    /// libclang and the compiler's own headers, which bindgen reads FFmpeg's headers with.
    Libclang,
    /// A file at this place or a font of this name below it.
    Font,
    /// What [`browser`] finds.
    Browser,
    /// A Python that can make virtual environments.
    PythonVenv,
}

/// One thing that is needed.
struct Need {
    group: Group,
    why: &'static str,
    packages: &'static [&'static str],
    look: Look,
}

const NEEDS: [Need; 15] = [
    Need {
        group: Group::Build,
        why: "a C compiler and make, for aws-lc and for linking",
        packages: &["build-essential"],
        look: Look::Programs(&["cc", "c++", "make"]),
    },
    Need {
        group: Group::Build,
        why: "finds FFmpeg's libraries",
        packages: &["pkg-config"],
        look: Look::Programs(&["pkg-config"]),
    },
    Need {
        group: Group::Build,
        why: "FFmpeg's libraries, which headwater-transcode links",
        packages: &[
            "libavcodec-dev",
            "libavdevice-dev",
            "libavfilter-dev",
            "libavformat-dev",
            "libavutil-dev",
            "libswresample-dev",
            "libswscale-dev",
        ],
        look: Look::Modules(&[
            "libavcodec",
            "libavdevice",
            "libavfilter",
            "libavformat",
            "libavutil",
            "libswresample",
            "libswscale",
        ]),
    },
    Need {
        group: Group::Build,
        why: "reads FFmpeg's headers while building",
        packages: &["libclang1-14", "libclang-common-14-dev"],
        look: Look::Libclang,
    },
    Need {
        group: Group::Build,
        why: "makes and checks videos on the command line",
        packages: &["ffmpeg"],
        look: Look::Programs(&["ffmpeg", "ffprobe"]),
    },
    Need {
        group: Group::Build,
        why: "the letters of the demo video's timecode",
        packages: &["fonts-dejavu-core", "fontconfig"],
        look: Look::Font,
    },
    Need {
        group: Group::Web,
        why: "builds the pages, players included",
        packages: &["nodejs", "npm"],
        look: Look::Programs(&["node", "npm"]),
    },
    Need {
        group: Group::Test,
        why: "decrypts AES-128 segments, sharing no code with what encrypted them",
        packages: &["openssl"],
        look: Look::Programs(&["openssl"]),
    },
    Need {
        group: Group::Test,
        why: "builds h2spec, the conformance suite of HTTP/2, and pebble, an ACME server for tests",
        packages: &["golang-go"],
        look: Look::Programs(&["go"]),
    },
    Need {
        group: Group::Test,
        why: "opens sockets for the servers under test, as a supervisor does",
        packages: &["systemd"],
        look: Look::Programs(&["systemd-socket-activate"]),
    },
    Need {
        group: Group::Test,
        why: "the browser of the browser tests",
        packages: &["chromium"],
        look: Look::Browser,
    },
    Need {
        group: Group::Test,
        why: "runs the independent HTTP/3 clients",
        packages: &["python3", "python3-venv"],
        look: Look::PythonVenv,
    },
    Need {
        group: Group::Test,
        why: "is one more independent HTTP/3 client",
        packages: &["ngtcp2-client"],
        look: Look::Programs(&["gtlsclient"]),
    },
    Need {
        group: Group::Bench,
        why: "builds the nginx that benches stand beside",
        packages: &["build-essential", "pkg-config"],
        look: Look::Programs(&["cc", "make", "pkg-config"]),
    },
    Need {
        group: Group::Bench,
        why: "what that nginx links",
        packages: &["libpcre2-dev", "libssl-dev", "zlib1g-dev"],
        look: Look::Modules(&["libpcre2-8", "openssl", "zlib"]),
    },
];

/// What stands beside ours and need not: without them a bench leaves them out.
const PEERS: [Need; 3] = [
    Need {
        group: Group::Bench,
        why: "a cache that the edge is measured beside",
        packages: &["varnish"],
        look: Look::Daemon("varnishd"),
    },
    Need {
        group: Group::Bench,
        why: "a proxy with a cache that the edge is measured beside",
        packages: &["haproxy"],
        look: Look::Daemon("haproxy"),
    },
    Need {
        group: Group::Bench,
        why: "an nginx that is scripted, which the edge is measured beside with every layer on",
        packages: &["nginx", "libnginx-mod-http-lua"],
        look: Look::File("/usr/lib/nginx/modules/ngx_http_lua_module.so"),
    },
];

/// Sees to the peers that are packages of the system, as far as that goes: where they cannot be
/// installed, the bench says so and does without.
pub(crate) fn peers(places: &Places) {
    let missing: Vec<&Need> = PEERS.iter().filter(|need| !found(&need.look, places)).collect();
    if missing.is_empty() {
        return;
    }
    match install(&missing) {
        Ok(()) => ui::line(
            "Debian starts them as services; `systemctl disable --now varnish haproxy nginx` stops them.",
        ),
        Err(_) => ui::line("They could not be installed: the bench goes on without them."),
    }
}

/// `cargo xtask setup`.
pub(crate) fn main(places: &Places, given: &Given) -> Outcome {
    let mut groups = Vec::new();
    for value in given.all("--only") {
        let value = value.to_string_lossy();
        let known = GROUPS.iter().find(|(name, _)| *name == value);
        let unknown = || cli::unknown("group", &value, GROUPS.iter().map(|(name, _)| *name));
        groups.push(known.ok_or_else(|| Failure::new(unknown()))?.1);
    }
    if groups.is_empty() {
        groups.extend(GROUPS.map(|(_, group)| group));
    }
    ensure(places, &groups)?;
    if groups.contains(&Group::Bench) {
        peers(places);
    }
    ui::line("setup: everything is there");
    Ok(())
}

/// Sees to it that everything these groups need is there.
pub(crate) fn ensure(places: &Places, groups: &[Group]) -> Outcome {
    let missing: Vec<&Need> = NEEDS
        .iter()
        .filter(|need| groups.contains(&need.group) && !found(&need.look, places))
        .collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    if groups.contains(&Group::Web) {
        node_is_new_enough()?;
    }
    if groups.contains(&Group::Test) {
        rust_components(places)?;
        python::ensure(places)?;
    }
    if groups.contains(&Group::Bench) {
        let mut harness = harness(places);
        process::run(harness.arg("setup").arg("--cache").arg(&places.cache))?;
    }
    Ok(())
}

/// The program that benches, which also builds the peers: its arguments follow.
pub(crate) fn harness(places: &Places) -> Command {
    let mut harness = process::cargo(places);
    harness.args(["run", "--release", "--locked", "-p", "headwater-bench", "--"]);
    harness
}

fn install(missing: &[&Need]) -> Outcome {
    let mut packages: Vec<String> =
        missing.iter().flat_map(|need| need.packages).map(|name| for_release(name)).collect();
    packages.sort();
    packages.dedup();
    ui::line("Missing on this machine:");
    for need in missing {
        let names = need.packages.iter().map(|name| for_release(name)).collect::<Vec<_>>();
        ui::line(&format!("  {}: {}", names.join(" "), need.why));
    }
    if on_path("apt-get").is_none() {
        return Err(Failure::new(
            "this system has no apt-get: install the above (Debian's names) by its own means, \
             then run the command again",
        ));
    }
    let mut apt = Apt::new()?;
    ui::line(&format!(
        "\nInstalling with apt-get{}: {}\n",
        if apt.sudo { " through sudo" } else { "" },
        packages.join(" ")
    ));
    if !lists_are_there() {
        apt.run(&["update"])?;
    }
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages.iter().map(String::as_str));
    if apt.run(&arguments).is_err() {
        // Lists that are too old name versions the archive has replaced.
        ui::line("\nThe package lists may be old: fetching them, then once more\n");
        apt.run(&["update"])?;
        apt.run(&arguments)?;
    }
    Ok(())
}

/// Downloads a package of Debian into a folder without installing it, which would start its services,
/// and gives back its archive.
pub(crate) fn download(package: &str, folder: &Path) -> Outcome<PathBuf> {
    fs::create_dir_all(folder).map_err(|error| Failure::file("make", folder, &error))?;
    if !lists_are_there() {
        Apt::new()?.run(&["update"])?;
    }
    let mut get = Command::new("apt-get");
    get.args(["download", package]).current_dir(folder);
    if process::run(&mut get).is_err() {
        // Lists that are too old name versions the archive has replaced.
        Apt::new()?.run(&["update"])?;
        process::run(&mut get)?;
    }
    let archive = entries(folder).into_iter().find(|name| {
        name.starts_with(package) && Path::new(name).extension() == Some(OsStr::new("deb"))
    });
    let nothing = || Failure::new(format!("apt-get downloaded no archive of {package}"));
    Ok(folder.join(archive.ok_or_else(nothing)?))
}

/// apt-get, as root or through sudo.
struct Apt {
    sudo: bool,
}

impl Apt {
    fn new() -> Outcome<Self> {
        let root = process::capture(Command::new("id").arg("-u"))?.trim() == "0";
        if !root && on_path("sudo").is_none() {
            return Err(Failure::new(
                "installing needs root: run `cargo xtask setup` as root once, or install sudo",
            ));
        }
        Ok(Self { sudo: !root })
    }

    fn run(&mut self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(if self.sudo { "sudo" } else { "env" });
        if self.sudo {
            command.arg("env");
        }
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(arguments);
        process::run(&mut command)
    }
}

/// Whether apt-get has ever fetched its lists: a fresh container has none.
fn lists_are_there() -> bool {
    entries(Path::new("/var/lib/apt/lists")).iter().any(|name| name.ends_with("_Packages"))
}

/// Debian 12 names its libclang by version; other releases have other versions, and this name.
fn for_release(package: &str) -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    if release.lines().any(|line| line == "VERSION_CODENAME=bookworm") {
        return package.to_owned();
    }
    match package {
        "libclang1-14" => "libclang1",
        "libclang-common-14-dev" => "libclang-dev",
        other => other,
    }
    .to_owned()
}

fn found(look: &Look, places: &Places) -> bool {
    match look {
        Look::Programs(names) => names.iter().all(|name| on_path(name).is_some()),
        Look::Daemon(name) => {
            on_path(name).is_some() || Path::new("/usr/sbin").join(name).is_file()
        }
        Look::File(path) => Path::new(path).is_file(),
        Look::Modules(names) => {
            process::succeeds(Command::new("pkg-config").arg("--exists").args(*names))
        }
        Look::Libclang => libclang(),
        Look::Font => font(),
        Look::Browser => browser().is_some(),
        Look::PythonVenv => python::is_ready(places) || python::can_make_venv(),
    }
}

/// The browser of the tests: what `CHROMIUM` names, else the first of its kind on PATH.
pub(crate) fn browser() -> Option<PathBuf> {
    env::var_os("CHROMIUM").map(PathBuf::from).or_else(|| {
        ["chromium", "chromium-browser", "google-chrome"].iter().find_map(|name| on_path(name))
    })
}

fn libclang() -> bool {
    if env::var_os("LIBCLANG_PATH").is_some() || cfg!(target_os = "macos") {
        return true;
    }
    let triple = format!("/usr/lib/{}-linux-gnu", env::consts::ARCH);
    let mut folders = vec![triple, "/usr/lib64".into(), "/usr/lib".into(), "/usr/local/lib".into()];
    folders.extend(
        entries(Path::new("/usr/lib"))
            .iter()
            .filter(|name| name.starts_with("llvm"))
            .map(|name| format!("/usr/lib/{name}/lib")),
    );
    let library = folders.iter().any(|folder| {
        entries(Path::new(folder)).iter().any(|name| {
            name.contains(".so")
                && (name.starts_with("libclang.so")
                    || name
                        .strip_prefix("libclang-")
                        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())))
        })
    });
    let headers = folders.iter().any(|folder| {
        let clang = Path::new(folder).join("clang");
        entries(&clang).iter().any(|name| clang.join(name).join("include/stddef.h").exists())
    });
    library && headers
}

fn font() -> bool {
    Path::new("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf").exists()
        || process::capture(Command::new("fc-list").arg(":family=DejaVu Sans"))
            .is_ok_and(|list| !list.trim().is_empty())
}

/// esbuild and playwright-core work from node 18 on, which is what Debian 12 has.
fn node_is_new_enough() -> Outcome {
    let version = process::capture(Command::new("node").arg("--version"))?;
    let version = version.trim();
    let major = version.trim_start_matches('v').split('.').next().and_then(|n| n.parse().ok());
    match major {
        Some(18u32..) => Ok(()),
        _ => Err(Failure::new(format!("node {version} is too old: the pages need 18 or newer"))),
    }
}

/// rustfmt and clippy come with rustup's default profile, not with its minimal one.
fn rust_components(places: &Places) -> Outcome {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if process::succeeds(process::cargo(places).args([subcommand, "--version"])) {
            continue;
        }
        ui::line(&format!("Missing on this machine:\n  {component}: `cargo {subcommand}`\n"));
        process::run(Command::new("rustup").args(["component", "add", component]))?;
    }
    Ok(())
}

fn entries(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| OsStr::to_string_lossy(&entry.file_name()).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_missing() {
        let places = Places { root: "/".into(), cache: "/".into(), target: "/".into() };
        assert!(!found(&Look::Programs(&["sh", "no-such-program"]), &places));
        assert!(found(&Look::Programs(&["sh"]), &places));
        assert!(!found(&Look::Modules(&["no-such-module"]), &places));
        assert!(!found(&Look::File("/usr/lib"), &places));
        assert!(found(&Look::File("/etc/passwd"), &places));
    }

    #[test]
    fn every_need_says_why_and_what() {
        for need in NEEDS.iter().chain(&PEERS) {
            assert!(!need.packages.is_empty() && need.why.len() > 10);
        }
    }
}
