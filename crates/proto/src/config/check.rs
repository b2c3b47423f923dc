//! What no single value says: references, names that are there twice, listeners that overlap,
//! bounds.

mod acme;
mod listeners;
mod media;
mod routes;
mod shield;
mod sites;
mod tokens;
mod trace;
mod upstreams;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;

use super::bounded::Bound;
use super::cache::Cache;
use super::near;
use super::quantity::{Size, Time};
use super::server::Server;
use super::text::{Field, FieldValue, Name};
use super::tree::Step;
use super::wrong::Wrong;
use super::{Edge, MAX_WRONGS};
use routes::Names;

/// Fields that frame a message, or say whom it is for: no rule changes them.
const FRAMING: [&str; 4] = ["connection", "content-length", "host", "transfer-encoding"];

/// The most listeners of a kind, and origins of an upstream.
const MAX_FEW: usize = 64;

pub(super) fn check(edge: &Edge) -> Vec<Wrong> {
    let mut found = Found::default();
    listeners::check(&mut found, edge);
    acme::check(&mut found, &edge.server);
    server(&mut found, &edge.server);
    cache(&mut found, &edge.cache);
    let upstreams = upstreams::check(&mut found, &edge.upstreams);
    let names = Names::of(&mut found, edge, upstreams);
    sites::check(&mut found, edge, &names);
    media::check(&mut found, edge);
    shield::check(&mut found, edge);
    trace::check(&mut found, &edge.trace);
    found.absolute(&path(["geo", "database"]), edge.geo.database.as_deref());
    let operator = &edge.operator;
    if operator.token_file.is_some() && operator.token_env.is_some() {
        found.add(
            &["operator".into(), "token_env".into()],
            "the token is given twice: token_file says it, too",
        );
    }
    let at = |key: &str| path(["log", key]);
    found.within(&at("queue"), edge.log.queue, 1, 1_000_000);
    found.within(&at("sample"), edge.log.sample, 1, 1_000_000);
    if let Some(masked) = &edge.log.masked {
        found.few(&at("masked"), masked);
    }
    found.all
}

/// What was found so far.
#[derive(Default)]
struct Found {
    all: Vec<Wrong>,
}

impl Found {
    /// Adds what is wrong with the value at a path.
    fn add(&mut self, path: &[Step], says: impl AsRef<str>) {
        self.push(Wrong::with(path.iter().cloned(), says.as_ref()));
    }

    /// Adds what is wrong with a section as a whole.
    fn section(&mut self, path: &[Step], says: impl Into<String>) {
        self.push(Wrong::of(path.to_vec(), says));
    }

    fn push(&mut self, wrong: Wrong) {
        if self.all.len() < MAX_WRONGS {
            self.all.push(wrong);
        }
    }

    /// The beginning of a list, each of which is compared with the others; more is wrong.
    fn few<'l, T>(&mut self, path: &[Step], list: &'l [T]) -> &'l [T] {
        if list.len() > MAX_FEW {
            self.add(path, format!("{} are more than {MAX_FEW}", list.len()));
        }
        list.get(..MAX_FEW).unwrap_or(list)
    }

    /// The beginning of a list of sections; more is wrong.
    fn bounded<'l, T>(&mut self, path: &[Step], list: &'l [T], bound: Bound) -> &'l [T] {
        if let Some(says) = bound.wrong(list.len()) {
            self.add(path, says);
        }
        list.get(..bound.most).unwrap_or(list)
    }

    fn within<T: Copy + PartialOrd + Display>(
        &mut self,
        path: &[Step],
        value: T,
        least: T,
        most: T,
    ) {
        if value < least || value > most {
            self.add(path, format!("{value} is not from {least} to {most}"));
        }
    }

    fn at_least<T: Copy + PartialOrd + Display>(&mut self, path: &[Step], value: T, least: T) {
        if value < least {
            self.add(path, format!("{value} is less than {least}"));
        }
    }

    fn positive(&mut self, path: &[Step], time: Time) {
        if time == Time::default() {
            self.add(path, "it is more than zero");
        }
    }

    fn absolute(&mut self, path: &[Step], file: Option<&Path>) {
        if let Some(file) = file.filter(|file| !file.is_absolute()) {
            self.add(path, format!("'{}' is no absolute path", file.display()));
        }
    }

    /// Fields that rules set or remove.
    fn fields<'a>(&mut self, path: &[Step], names: impl IntoIterator<Item = &'a Field>) {
        for name in names.into_iter().filter(|name| FRAMING.contains(&&***name)) {
            self.add(path, format!("'{name}' is no field that a rule may change"));
        }
    }
}

/// A section as it is looked at.
pub(super) struct Looked<'f> {
    found: &'f mut Found,
    path: Vec<Step>,
}

impl<'f> Looked<'f> {
    fn new(found: &'f mut Found, path: Vec<Step>) -> Self {
        Self { found, path }
    }

    fn found(&mut self) -> &mut Found {
        self.found
    }

    fn path(&self, key: &str) -> Vec<Step> {
        let mut path = self.path.clone();
        path.push(key.into());
        path
    }

    /// A section within it.
    fn within(&mut self, key: &str) -> Looked<'_> {
        let path = self.path(key);
        Looked { found: self.found, path }
    }

    /// Adds what is wrong with a file that is no absolute path.
    pub(super) fn absolute(&mut self, key: &str, file: Option<&Path>) {
        let path = self.path(key);
        self.found.absolute(&path, file);
    }

    /// Adds what is wrong with a key.
    pub(super) fn add(&mut self, key: &str, says: impl AsRef<str>) {
        let path = self.path(key);
        self.found.add(&path, says);
    }

    /// Adds what is wrong with the whole: that a key is missing.
    pub(super) fn section(&mut self, key: &str, says: impl Into<String>) {
        let path = self.path(key);
        self.found.section(&path, says);
    }
}

/// A name that something of its kind has to have.
fn known(found: &mut Found, at: &[Step], kind: &str, name: Option<&Name>, names: &BTreeSet<&str>) {
    if let Some(name) = name.filter(|name| !names.contains(&***name)) {
        let hint = near::hint(name, names.iter().copied());
        found.add(at, format!("there is no [[{kind}]] '{name}'{hint}"));
    }
}

/// A path of keys, put together.
fn path<const N: usize>(steps: [&str; N]) -> [Step; N] {
    steps.map(Step::from)
}

fn server(found: &mut Found, server: &Server) {
    let at = |key: &str| path(["server", key]);
    if let Some(workers) = server.workers {
        found.within(&at("workers"), workers, 1, 512);
    }
    if server.methods.is_empty() {
        found.add(&at("methods"), "no method is let in");
    }
    found.at_least(&at("max_target"), server.max_target, Size::bytes(256));
    headers(found, &at("headers"), &server.headers);
    found.within(&at("drain"), server.drain, Time::default(), Time::secs(3600));
    let day = Time::secs(86_400);
    found.within(&at("hand_over_drain"), server.hand_over_drain, Time::default(), day);

    let limits = &server.limits;
    let at = |key: &str| path(["server", "limits", key]);
    for (key, time) in [
        ("header_timeout", limits.header_timeout),
        ("handshake_timeout", limits.handshake_timeout),
        ("idle_timeout", limits.idle_timeout),
        ("write_timeout", limits.write_timeout),
        ("body_timeout", limits.body_timeout),
    ] {
        found.positive(&at(key), time);
    }
    found.within(&at("max_headers"), limits.max_headers, 1, 10_000);
    let most = Size::bytes(u32::MAX.into());
    found.within(&at("max_header_bytes"), limits.max_header_bytes, Size::bytes(8 << 10), most);
    found.at_least(&at("h2_max_streams"), limits.h2_max_streams, 1);
    found.within(&at("h2_send_buffer"), limits.h2_send_buffer, Size::bytes(16 << 10), most);
    found.at_least(&at("h2_pending_resets"), limits.h2_pending_resets, 1);
    found.at_least(&at("max_per_address"), limits.max_per_address, 1);
    let (least, most) = (Size::bytes(256 << 10), Size::bytes(1 << 30));
    found.within(&at("h2_receive_window"), limits.h2_receive_window, least, most);
    found.at_least(&at("max_handshakes"), limits.max_handshakes, 1);
    found.at_least(&at("max_connections"), limits.max_connections, 1);

    let quic = &server.quic;
    let at = |key: &str| path(["server", "quic", key]);
    found.positive(&at("idle_timeout"), quic.idle_timeout);
    found.within(&at("max_streams"), quic.max_streams, 1, 10_000);
    found.at_least(&at("send_window"), quic.send_window, Size::bytes(64 << 10));
    found.at_least(&at("max_handshakes"), quic.max_handshakes, 1);
    let (least, most) = (Size::bytes(64 << 10), Size::bytes(1 << 30));
    found.within(&at("receive_window"), quic.receive_window, least, most);
    found.within(&at("socket_buffer"), quic.socket_buffer, least, most);
}

fn headers(found: &mut Found, at: &[Step], set: &BTreeMap<Field, FieldValue>) {
    found.fields(at, set.keys());
}

fn cache(found: &mut Found, cache: &Cache) {
    let at = |key: &str| path(["cache", key]);
    found.within(&at("max_object"), cache.max_object, Size::default(), Size::bytes(2 << 30));
    if cache.max_object > cache.ram && cache.disk.folder.is_none() && cache.ram > Size::default() {
        let says = format!("{} do not fit into ram = \"{}\"", cache.max_object, cache.ram);
        found.add(&at("max_object"), says);
    }
    if cache.slice > cache.max_object {
        found.add(&at("slice"), format!("it is more than max_object = \"{}\"", cache.max_object));
    }
    found.at_least(&at("window"), cache.window, Size::bytes(128 << 10));
    found.at_least(&at("max_fills"), cache.max_fills, 1);
    found.at_least(&at("max_passes"), cache.max_passes, 1);
    found.within(&at("finish_percent"), cache.finish_percent, 0, 100);
    found.at_least(&at("max_hops"), cache.max_hops, 1);

    let disk = &cache.disk;
    let at = |key: &str| path(["cache", "disk", key]);
    found.at_least(&at("size"), disk.size, Size::bytes(1 << 20));
    found.within(&at("read_threads"), disk.read_threads, 1, 256);
    if disk.read_memory < disk.promote {
        found.add(&at("read_memory"), format!("it is less than promote = \"{}\"", disk.promote));
    }
}
