//! `cargo xtask deb`: the command `headwater` as a Debian package, with its units, its manual pages, what
//! shells complete it by, and an example of a configuration. What is in it stands in the facade's
//! manifest, which cargo-deb reads.
//!
//! `cargo xtask test --deb`, and its step `deb`, install one, not optimised, into a folder as dpkg does, start its
//! binary as its units would, with ports of its own and with one that systemd-socket-activate opened, and take
//! it off again. The system's own packages are not touched.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli::{Failure, Flag, Given, Outcome, Spec};
use crate::places::Places;
use crate::setup::{self, Group};
use crate::stack::{self, Profile};
use crate::{claim, h2spec, process, profiled, rehearsal, ui};

pub(crate) static SPEC: Spec = Spec {
    name: "deb",
    summary: "Build a Debian package of the command `headwater`",
    usage: "deb [--profiled]",
    about: "Builds the command in release and packs it with its systemd units, its manual pages, what \
            shells complete it by and an example of a configuration into a .deb below the target folder. cargo-deb is built first where it \
            is missing.",
    names: &[],
    flags: &[Flag {
        name: "--profiled",
        value: None,
        help: "Build it by a profile of itself under the load of `bench edge`: it takes four times \
               as long, and answers with less CPU time (docs/results/edge.md)",
    }],
};

/// What packs; built once, beside everything else.
const TOOL: (&str, &str) = ("cargo-deb", "3.8.0");
/// What opens a socket and starts a program for it.
const ACTIVATES: &str = "systemd-socket-activate";
/// How long the installed edge may take to say that it serves.
const START: Duration = Duration::from_secs(120);
/// What people find of it beside the binary and its units.
const BESIDE: [&str; 6] = [
    "/usr/share/man/man1/headwater.1",
    "/usr/share/man/man1/headwater-edge.1",
    "/usr/share/bash-completion/completions/headwater",
    "/usr/share/fish/vendor_completions.d/headwater.fish",
    "/usr/share/zsh/vendor-completions/_headwater",
    "/usr/share/doc/headwater/running.md",
];

/// `cargo xtask deb`.
pub(crate) fn main(places: &Places, given: &Given) -> Outcome {
    claim::target(places)?;
    setup::ensure(places, &[Group::Build])?;
    let folder = places.target.join("debian");
    let package = if given.has("--profiled") {
        let built = profiled::build(places)?;
        let profile = "by-profile";
        copied(places, profile, &built.command)?;
        pack(places, profile, &folder, &["--profile", profile])?
    } else {
        stack::command(places, Profile::Release)?;
        pack(places, "release", &folder, &[])?
    };
    ui::line(&format!("the package is {}", package.display()));
    Ok(())
}

/// A package of the command as the tests run it, which takes a fraction of the time.
fn unoptimised(places: &Places, binary: &Path) -> Outcome<PathBuf> {
    // cargo-deb packs no debug builds that it knows for such.
    let profile = "unoptimised";
    let folder = copied(places, profile, binary)?;
    pack(places, profile, &folder, &["--profile", profile, "--fast"])
}

/// Puts the command where a profile of that name would have it, and gives back the folder.
fn copied(places: &Places, profile: &str, binary: &Path) -> Outcome<PathBuf> {
    let folder = places.target.join(profile);
    fs::create_dir_all(&folder)
        .and_then(|()| fs::copy(binary, folder.join("headwater")))
        .map_err(|error| Failure::file("copy", binary, &error))?;
    Ok(folder)
}

/// Packs what was built under a profile, with what its binary says of itself, into a folder.
fn pack(places: &Places, profile: &str, folder: &Path, options: &[&str]) -> Outcome<PathBuf> {
    let built = places.target.join(profile);
    // Nothing is left of a subcommand that is gone.
    let manual = built.join("manual");
    if manual.exists() {
        fs::remove_dir_all(&manual).map_err(|error| Failure::file("clear", &manual, &error))?;
    }
    process::run(Command::new(built.join("headwater")).arg("manual").arg(&manual))?;
    let mut pack = Command::new(tool(places)?);
    pack.env("CARGO_TARGET_DIR", &places.target).current_dir(&places.root);
    pack.args(["--package", "headwater", "--locked", "--no-build"]).args(options);
    pack.arg("--output").arg(folder);
    ui::line(&format!("$ {}", process::words(&pack)));
    let said = process::capture(&mut pack)?;
    said.lines()
        .last()
        .map(PathBuf::from)
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| Failure::new("cargo-deb does not say where the package is"))
}

fn tool(places: &Places) -> Outcome<PathBuf> {
    let (name, version) = TOOL;
    if let Some(there) = process::on_path(name) {
        return Ok(there);
    }
    let root = places.cache.join(name);
    let built = root.join("bin").join(name);
    if !built.is_file() {
        ui::line(&format!("{name} {version} is built, once"));
        let mut cargo = process::cargo(places);
        cargo.args(["install", name, "--version", version, "--locked", "--root"]).arg(&root);
        process::run(&mut cargo)?;
    }
    Ok(built)
}

/// A folder as the system's root.
struct Root(PathBuf);

impl Root {
    /// An empty one, in which nothing is installed.
    fn new(path: PathBuf) -> Outcome<Self> {
        let failed = |error| Failure::file("prepare", &path, &error);
        if path.exists() {
            fs::remove_dir_all(&path).map_err(failed)?;
        }
        for folder in ["info", "updates"] {
            fs::create_dir_all(path.join("var/lib/dpkg").join(folder)).map_err(failed)?;
        }
        fs::write(path.join("var/lib/dpkg/status"), "").map_err(failed)?;
        Ok(Self(path))
    }

    /// dpkg, with this as the root and the scripts told so by `DPKG_ROOT`. Nothing else is installed
    /// here, so what the package depends on is not.
    fn dpkg(&self, args: &[&str]) -> Outcome {
        let mut dpkg = Command::new("dpkg");
        dpkg.arg(format!("--root={}", self.0.display()));
        dpkg.args(["--force-not-root", "--force-script-chrootless", "--force-depends"]);
        process::run(dpkg.arg("--force-bad-path").args(args))
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }
}

/// `cargo xtask test --deb`.
pub(crate) fn test(places: &Places) -> Outcome {
    if process::on_path("dpkg").is_none() {
        return Err(Failure::new("there is no dpkg: this is for Debian and its like"));
    }
    setup::ensure(places, &[Group::Build])?;
    install(places)
}

/// The step `deb` of `cargo xtask test`.
pub(crate) fn step(places: &Places) -> Outcome {
    if process::on_path("dpkg").is_none() {
        ui::line("skipped: there is no dpkg");
        return Ok(());
    }
    install(places)
}

/// Installs a package, starts what is in it, and takes it off again.
fn install(places: &Places) -> Outcome {
    let package = unoptimised(places, &stack::command(places, Profile::Tests)?)?;
    let root = Root::new(places.target.join("tmp/deb"))?;
    root.dpkg(&["--install", &package.to_string_lossy()])?;

    let binary = root.at("/usr/bin/headwater");
    let said = process::capture(Command::new(&binary).arg("--version"))?;
    let version = concat!("headwater ", env!("CARGO_PKG_VERSION"));
    expect(said.trim_end() == version, "the installed binary tells another version")?;
    units(&root, &binary)?;
    let mut query = Command::new("dpkg-query");
    query.arg(format!("--admindir={}", root.at("/var/lib/dpkg").display()));
    let kept = process::capture(query.args(["-W", "-f", "${Conffiles}", "headwater"]))?;
    expect(kept.contains("/etc/headwater/edge.toml"), "the configuration is no conffile")?;
    let missing = BESIDE.into_iter().find(|path| !root.at(path).is_file());
    expect(missing.is_none(), &format!("it installs no {}", missing.unwrap_or_default()))?;
    Edge::start(&root, &binary, None)?.answers()?;
    if process::on_path(ACTIVATES).is_some() {
        Edge::start(&root, &binary, Some(free_port()?))?.answers()?;
    } else {
        ui::line(&format!("skipped: there is no {ACTIVATES} to open its port"));
    }

    root.dpkg(&["--purge", "headwater"])?;
    let left = ["/usr/bin/headwater", "/etc/headwater/edge.toml", "/usr/share/doc/headwater"];
    let left = left.into_iter().chain(BESIDE).find(|path| root.at(path).exists());
    expect(left.is_none(), &format!("purged, it leaves {}", left.unwrap_or_default()))?;
    fs::remove_dir_all(&root.0).map_err(|error| Failure::file("remove", &root.0, &error))?;
    ui::line("the package installs, serves, and goes without a trace");
    Ok(())
}

/// What systemd thinks of the units, with the binary that they start where it is.
fn units(root: &Root, binary: &Path) -> Outcome {
    if process::on_path("systemd-analyze").is_none() {
        ui::line("skipped: there is no systemd-analyze to look at the units");
        return Ok(());
    }
    let folder = root.at("/usr/lib/systemd/system");
    let looked_at = root.at("/tmp/units");
    let failed = |error| Failure::file("copy", &folder, &error);
    fs::create_dir_all(&looked_at).map_err(failed)?;
    let mut verify = Command::new("systemd-analyze");
    verify.arg("verify");
    for unit in fs::read_dir(&folder).map_err(failed)? {
        let unit = unit.map_err(failed)?;
        let text = fs::read_to_string(unit.path()).map_err(failed)?;
        let copy = looked_at.join(unit.file_name());
        let text = text.replace("/usr/bin/headwater", &binary.to_string_lossy());
        fs::write(&copy, text).map_err(failed)?;
        verify.arg(copy);
    }
    let said = process::both(&mut verify)?;
    fs::remove_dir_all(root.at("/tmp")).map_err(failed)?;
    expect(said.trim().is_empty(), &format!("systemd says of the units: {}", said.trim()))
}

/// The installed edge, as its unit starts it but for the ports; killed when dropped.
struct Edge {
    process: Child,
    said: PathBuf,
}

impl Edge {
    /// Starts it and waits until it tells its supervisor that it serves: with ports that it binds itself,
    /// or its plain one opened by systemd-socket-activate, which starts it for the first client.
    fn start(root: &Root, binary: &Path, opened: Option<u16>) -> Outcome<Self> {
        let (notify, said) = (root.at("/notify"), root.at("/said"));
        let failed = |error| Failure::file("make", &notify, &error);
        let supervisor = UnixDatagram::bind(&notify).map_err(failed)?;
        supervisor.set_read_timeout(Some(START)).map_err(failed)?;
        let origin = h2spec::slow_origin().map_err(failed)?;
        let stderr = fs::File::create(&said).map_err(failed)?;
        let plain = format!("127.0.0.1:{}", opened.unwrap_or_default());
        let variables = [
            ("HEADWATER__SERVER__LISTEN", "127.0.0.1:0"),
            ("HEADWATER__SERVER__LISTEN_HTTP", &plain),
            ("HEADWATER__OPERATOR__LISTEN", "127.0.0.1:0"),
            ("HEADWATER__UPSTREAM__ORIGIN__ORIGINS", &origin),
            ("NOTIFY_SOCKET", &notify.to_string_lossy()),
        ];
        let mut command =
            Command::new(if opened.is_some() { Path::new(ACTIVATES) } else { binary });
        if opened.is_some() {
            // It passes on no other variables.
            let set = variables.map(|(name, value)| format!("--setenv={name}={value}"));
            command.args(["-l", &plain]).args(set).arg(binary);
        } else {
            command.envs(variables);
        }
        command.arg("edge").arg("--config").arg(root.at("/etc/headwater/edge.toml"));
        let process = command.stdin(Stdio::null()).stderr(stderr).spawn().map_err(failed)?;
        let edge = Self { process, said };
        let _first = opened.map(first_client).transpose()?;
        let mut heard = [0; 1000];
        let serves = supervisor.recv(&mut heard).is_ok_and(|_| heard.starts_with(b"READY=1"));
        expect(serves, &format!("the edge does not serve: {}", edge.said()))?;
        fs::remove_file(&notify).map_err(failed)?;
        Ok(edge)
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// It passes on what its origin answers, and its operator is told that it is well.
    fn answers(&self) -> Outcome {
        let said = self.said();
        let place = |what: &str| {
            let place = said.lines().find_map(|line| line.trim_start().strip_prefix(what));
            place.map(str::trim).ok_or_else(|| Failure::new(format!("no {what} in: {said}")))
        };
        for (what, path) in [("http ", "/"), ("operator ", "/health")] {
            let answer = rehearsal::get(place(what)?, path)?;
            let first = answer.lines().next().unwrap_or_default();
            expect(first.starts_with("HTTP/1.1 200 "), &format!("the edge answers {first}"))?;
        }
        Ok(())
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.said);
    }
}

/// A port that was free a moment ago: systemd-socket-activate wants to know one.
fn free_port() -> Outcome<u16> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .map(|bound| bound.port())
        .map_err(|error| Failure::new(format!("there is no free port: {error}")))
}

/// Connects as soon as somebody listens.
fn first_client(port: u16) -> Outcome<TcpStream> {
    let started = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(socket) => return Ok(socket),
            Err(error) if started.elapsed() > START => {
                return Err(Failure::new(format!("nobody opened port {port}: {error}")));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn expect(holds: bool, what: &str) -> Outcome {
    if holds { Ok(()) } else { Err(Failure::new(what)) }
}
