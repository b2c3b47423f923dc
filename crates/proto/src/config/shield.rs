//! `[shield]`: an edge that other edges ask, which knows what a segment is. docs/shield.md tells what it
//! does with it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::quantity::{Size, Time};
use super::text::{List, Network, Url};

/// Segment sense between the cache and the origins of every `[[upstream]]`: manifests that pass are read,
/// and what comes next is fetched into the cache before it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Shield {
    /// Whether this is a shield. Default false. Bound: none. Danger: what is fetched ahead and not asked for
    /// was fetched for nobody.
    pub on: bool,
    /// Segments fetched ahead of the one that a session has asked for, at the most; it begins with one. 0
    /// fetches nothing ahead. Unit: segments. Default 4. Bound: at most 64. Danger: what a player that leaves
    /// had before it is wasted.
    pub ahead: u16,
    /// Renditions whose playlists and beginnings are fetched when a manifest is first asked for; 0 for none.
    /// Unit: renditions. Default 16. Bound: at most 256. Danger: each title that is only looked at costs as
    /// many requests.
    pub heads: u16,
    /// Whether the next segment of a neighbouring rendition is fetched where a switch is near. Default true.
    /// Bound: none. Danger: a switch that does not come wastes a segment.
    pub neighbours: bool,
    /// Fetches ahead at a time. Unit: fetches. Default 256. Bound: 1 to 10,000. Danger: with fewer than there
    /// are sessions that nobody else is with, most come too late.
    pub concurrency: u32,
    /// Fetches ahead that may wait; the least urgent of more are dropped. Unit: fetches. Default 256. Bound: 1
    /// to 100,000. Danger: each holds up to 8 KiB.
    pub queue: u32,
    /// Requests that may wait at origins for the next part or playlist of what is live (LL-HLS); 0 for none.
    /// Unit: requests. Default 64. Bound: at most 10,000. Danger: each takes one of an origin's `max_requests`.
    pub waiting_live: u32,
    /// The share of `max_requests` of an origin, in percent, up to which it is asked ahead, real requests
    /// counted. Unit: percent. Default 50. Bound: 1 to 100. Danger: high ones have real requests find a full
    /// origin.
    pub share: u8,
    /// Bytes a second that may be fetched ahead, those of ten seconds at once; `0 B` for no such bound.
    /// Default 64 MiB. Bound: none. Danger: without, a crowd of new sessions fills the link to the origin.
    pub bytes_per_second: Size,
    /// The largest object fetched ahead. Default 64 MiB. Bound: more than zero. Danger: small ones leave
    /// long segments out.
    pub max_object: Size,
    /// How long a segment that was fetched ahead counts as used when it is asked for, and else as wasted.
    /// Default 60 s. Bound: 1 s to 1 h. Danger: none.
    pub window: Time,
    /// How long after its last request a session counts as gone, and is fetched nothing more for. Default
    /// 20 s. Bound: 1 s to 1 h. Danger: shorter than players' buffers are long, those are left out.
    pub silence: Time,
    /// How long one fetch ahead may take. Default 30 s. Bound: more than zero. Danger: none.
    pub timeout: Time,
    /// Memory for what manifests say. Default 64 MiB. Bound: at least 1 MiB. Danger: titles beyond it are
    /// forgotten, and nothing is fetched ahead of them.
    pub map: Size,
    /// Presentations that are known at once. Unit: presentations. Default 4096. Bound: 1 to 1,000,000. Danger:
    /// as for `map`.
    pub presentations: u32,
    /// Whether the cache makes room in memory by who watches what: heads of titles, what a session comes to
    /// next, the newest live window and popular renditions stay, tails of abandoned titles go. Default false.
    /// Bound: none. Danger: titles that no manifest tells of share the memory as before, and disk does not
    /// know.
    pub retention: bool,
    /// The file of the secret by which edges are known, in `Headwater-Link`: their `link_file` of
    /// `[[upstream]]` holds the same. Default none: nobody is believed. Bound: not with `hints_from`.
    /// Danger: who has it can have this shield fetch from its origins, and pass for a peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_file: Option<PathBuf>,
    /// Networks whose every host is such an edge. Default none. Bound: at most 64. Danger: as for
    /// `link_file`, of every host there.
    pub hints_from: List<Network>,
    /// The URL by which edges and `peers` call this shield. Default none. Bound: it is there where `peers`
    /// are. Danger: all must write it the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_as: Option<Url>,
    /// The shields that share titles with this one, `http://HOST[:PORT]` or `https://…`: each is asked for
    /// what is its own before an origin is. `known_as` may be among them. Default none. Bound: at most 64,
    /// without paths; `downstream` of `[cache]` is `caches`, its `name` no peer's; no route rewrites. Danger:
    /// those that do not know the same ones wait for one another.
    pub peers: List<Url>,
    /// The shares of `peers`, in their order, that of `known_as` among them; without them all are alike. Unit:
    /// shares. Default none. Bound: as many as there are peers, `known_as` being one, each from 0 to 1000; 0 is
    /// asked when all others are down. Danger: shields and edges that are given other ones choose otherwise.
    pub weights: List<u32>,
    /// The file of authorities in PEM that peers' certificates are signed by, in the place of the system's.
    /// Default none. Bound: some peer is `https`. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The file of a certificate chain that peers are shown that ask for one. Default none. Bound: `client_key`
    /// must be there, too, and some peer is `https`. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<PathBuf>,
    /// The file of its private key. Default none. Bound: it is that of `client_certificate`. Danger: who can read
    /// it can be this shield.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key: Option<PathBuf>,
    /// How long a peer may take until its answer begins, before an origin is asked. Default 3 s. Bound: more
    /// than zero. Danger: too short asks origins for what a peer is about to have.
    pub patience: Time,
}

impl Default for Shield {
    fn default() -> Self {
        Self {
            on: false,
            ahead: 4,
            heads: 16,
            neighbours: true,
            concurrency: 256,
            queue: 256,
            waiting_live: 64,
            share: 50,
            bytes_per_second: Size::bytes(64 << 20),
            max_object: Size::bytes(64 << 20),
            window: Time::secs(60),
            silence: Time::secs(20),
            timeout: Time::secs(30),
            map: Size::bytes(64 << 20),
            presentations: 4096,
            retention: false,
            link_file: None,
            hints_from: List::default(),
            known_as: None,
            peers: List::default(),
            weights: List::default(),
            ca: None,
            client_certificate: None,
            client_key: None,
            patience: Time::secs(3),
        }
    }
}
