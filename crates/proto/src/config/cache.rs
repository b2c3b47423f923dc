//! `[cache]`: how much is kept, where, and by which of the standard's choices.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::quantity::{Size, Time};
use super::text::{Field, List, Name};

/// The cache (RFC 9111) that all sites share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Cache {
    /// What it signs `Cache-Status` and `CDN-Loop` with. Default `edge`. Bound: letters, digits, `-`,
    /// `_` and `.`, at most 64. Danger: two nodes in a row with one name take each other's requests
    /// for loops.
    pub name: Name,
    /// Memory for what is cached, headers and keys counted. Default 256 MiB. Bound: less than the
    /// machine has. Danger: the process takes this, `fill_memory` and what connections hold.
    pub ram: Size,
    /// The largest body stored in one piece; a larger one is stored in slices. Default 64 MiB. Bound:
    /// at most 2 GiB, and at most `ram` where there is no disk. Danger: one body may push out this
    /// much.
    pub max_object: Size,
    /// The size of a slice; `0 B` for none. Default 4 MiB. Bound: at most `max_object`. Danger: small
    /// ones make many requests of one download.
    pub slice: Size,
    /// What is kept, behind its fastest reader, of a body that is not stored. Default 4 MiB. Bound: at
    /// least 128 KiB. Danger: a client that lags further behind is cut off.
    pub window: Size,
    /// Memory of all fetches together. Default 256 MiB. Bound: none. Danger: past it, what is fetched
    /// is not stored.
    pub fill_memory: Size,
    /// Fetches at a time; a request that would begin another is answered 503. Unit: fetches. Default 4096.
    /// Bound: at least 1. Danger: each may hold 128 KiB beside `fill_memory`.
    pub max_fills: u32,
    /// Requests at a time that wait for an upstream by themselves, since their answers are nobody else's; the
    /// others wait in line. Unit: requests. Default 1024. Bound: at least 1. Danger: an upstream gets as many
    /// at once.
    pub max_passes: u32,
    /// How long a request waits in that line before it is answered 503. Default 10 s. Bound: none.
    /// Danger: none.
    pub pass_wait: Time,
    /// The share of a body, in percent, from which on a fetch is finished though nobody waits for it any more.
    /// Unit: percent. Default 50. Bound: 0 to 100. Danger: low ones fetch what nobody asks for again.
    pub finish_percent: u8,
    /// How long requests for a key do not wait for one another after its answer turned out to be its
    /// asker's alone. Default 10 s. Bound: none. Danger: meanwhile each goes upstream.
    pub uncollapsed: Time,
    /// Whether clients' `Cache-Control` and `Pragma` are listened to. Default false. Bound: none.
    /// Danger: then every client can have everything fetched anew.
    pub honour_request_directives: bool,
    /// Who asks: `clients`, who are strangers, or `caches` of the same operator, who are told surrogate
    /// keys and believed what they say of purges. Default `clients`. Bound: `clients` or `caches`.
    /// Danger: with `caches`, a stranger could say which purges there were.
    pub downstream: Downstream,
    /// Fields of their own that caches obey before `Cache-Control` (RFC 9213). Default
    /// `cdn-cache-control`. Bound: none. Danger: who writes them decides what is cached.
    pub targeted: List<Field>,
    /// Whether an answer with `Set-Cookie` may be stored without `public` or `s-maxage`. Default false.
    /// Bound: none. Danger: one viewer in another's session.
    pub share_cookies: bool,
    /// How long past its freshness a response answers while upstream cannot be reached at all. Default
    /// 60 s. Bound: none. Danger: long ones hide that an upstream is gone.
    pub stale_if_unreachable: Time,
    /// The longest body of a 4xx or 5xx that is stored. Default 64 KiB. Bound: none. Danger: whoever
    /// asks for what is not there fills this much.
    pub max_error_body: Size,
    /// How many nodes a request may have passed; one more is answered 508. Unit: nodes. Default 20. Bound: at
    /// least 1. Danger: none.
    pub max_hops: u16,
    /// Whether `Cache-Status` tells the key. Default false. Bound: none. Danger: what a route rewrites
    /// is told to everybody.
    pub tell_key: bool,
    /// The tier on disk, which outlives the process; there is none without `folder`.
    pub disk: Disk,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            name: Name::fixed("edge"),
            ram: Size::bytes(256 << 20),
            max_object: Size::bytes(64 << 20),
            slice: Size::bytes(4 << 20),
            window: Size::bytes(4 << 20),
            fill_memory: Size::bytes(256 << 20),
            max_fills: 4096,
            max_passes: 1024,
            pass_wait: Time::secs(10),
            finish_percent: 50,
            uncollapsed: Time::secs(10),
            honour_request_directives: false,
            downstream: Downstream::Clients,
            targeted: vec![Field::fixed("cdn-cache-control")].into(),
            share_cookies: false,
            stale_if_unreachable: Time::secs(60),
            max_error_body: Size::bytes(64 << 10),
            max_hops: 20,
            tell_key: false,
            disk: Disk::default(),
        }
    }
}

/// Who asks a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Downstream {
    /// Strangers.
    #[default]
    Clients,
    /// Caches of the same operator, and nobody else.
    Caches,
}

/// The tier on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Disk {
    /// A folder of its own, made where it is missing. What was cached and what was purged lie there
    /// and are found after a restart. Default none. Bound: one process has it at a time. Danger: who
    /// can write to it can change what is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// How much of the disk it takes. Default 4 GiB. Bound: at least 1 MiB. Danger: it takes 42 bytes of
    /// memory for each response.
    pub size: Size,
    /// The largest response read in one piece and put into memory; larger ones stream. Default 4 MiB.
    /// Bound: none. Danger: its first byte waits until all of it is read.
    pub promote: Size,
    /// Bodies that wait to be written. Default 64 MiB. Bound: none. Danger: past it, responses are not
    /// written.
    pub write_queue: Size,
    /// Memory to read into before an answer begins. Default 64 MiB. Bound: at least `promote`. Danger:
    /// past it, requests wait for one another.
    pub read_memory: Size,
    /// Threads that read. Unit: threads. Default 4. Bound: 1 to 256. Danger: fewer than the disk serves at a
    /// time leave it idle.
    pub read_threads: u16,
    /// Whether a full disk takes only what is asked for more often than what it would replace. Default
    /// true. Bound: none. Danger: without, everything is written, and the disk wears.
    pub selective: bool,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            folder: None,
            size: Size::bytes(4 << 30),
            promote: Size::bytes(4 << 20),
            write_queue: Size::bytes(64 << 20),
            read_memory: Size::bytes(64 << 20),
            read_threads: 4,
            selective: true,
        }
    }
}
