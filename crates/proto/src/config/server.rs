//! `[server]`: where clients come in, and what one of them may use up.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::acme::Acme;
use super::quantity::{Size, Time};
use super::text::{Address, Field, FieldValue, Host, List, Network, Verb};

/// Listeners and what holds for every request, whatever its site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Server {
    /// Where HTTPS is served: HTTP/1.1 and HTTP/2 on TCP, HTTP/3 on UDP, on the same port. `[::]`
    /// also takes IPv4. Default none. Bound: one of `listen`, `listen_http` and `listen_unix` must
    /// be there; at most 64; `[server.tls]` or `[server.acme]` must name a certificate. Danger: what listens here, strangers reach.
    pub listen: List<Address>,
    /// Where plain HTTP is served: HTTP/1.1, and HTTP/2 with prior knowledge. Default none. Bound:
    /// at most 64, and no address that `listen` or the operator has. Danger: what is said here, everybody on the
    /// way reads; a token or a cookie is anybody's.
    pub listen_http: List<Address>,
    /// A Unix socket for plain HTTP, which its owner and their group may connect to. Default none.
    /// Bound: an absolute path. Danger: who may write to its folder may put another in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen_unix: Option<PathBuf>,
    /// Threads that serve, each with its own listeners. Unit: threads. Default one for each core. Bound: 1 to
    /// 512. Danger: more than cores only adds switches; fewer leave cores idle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<u16>,
    /// Whether HTTP/3 is served beside HTTP/2. Default true. Bound: none. Danger: without, players
    /// on lossy networks stall more.
    pub http3: bool,
    /// Whether GET and HEAD of clients that come back are answered before their handshake is done
    /// (0-RTT), from the cache alone. Default true. Bound: none. Danger: a flight that somebody
    /// recorded may be answered twice; nothing is sent upstream for it.
    pub early_data: bool,
    /// Whether such a request that the cache cannot answer goes upstream at once, marked `Early-Data: 1`
    /// (RFC 8470), and once more after the handshake where the upstream says 425; otherwise it waits for
    /// the handshake. Default false. Bound: none. Danger: an upstream that does not know the field may
    /// do twice what was asked once.
    pub early_data_upstream: bool,
    /// Whether WebSockets pass through to the upstream of their route. Default false. Bound: none.
    /// Danger: each holds a connection to the upstream, and passes the cache.
    pub websockets: bool,
    /// Whether answers over HTTP/3 go by what they are where the client does not say: manifests and keys
    /// before sound and init segments, these before pictures, and what a browser fetches ahead last (RFC
    /// 9218). What it is, players tell where `[sessions]` are on (CMCD), and else name and type. Default
    /// true. Bound: none. Danger: none known: it orders what one client asked for on one connection.
    pub priorities: bool,
    /// Methods that are let in; others are answered 405. Default GET, HEAD, OPTIONS. Bound: at least
    /// one. Danger: what is let in reaches the upstream.
    pub methods: List<Verb>,
    /// The longest path with query; a longer one is answered 414. Default 8 KiB. Bound: at least
    /// 256 B. Danger: keys of the cache hold it.
    pub max_target: Size,
    /// Fields that every answer gets that has none of that name. Default
    /// `x-content-type-options = "nosniff"`. Bound: fields that frame a message are refused. Danger:
    /// what is cached is kept with them.
    pub headers: BTreeMap<Field, FieldValue>,
    /// Proxies that are believed when they say whom they speak for, in `forwarded_field`: addresses,
    /// networks, and `unix` for who comes by `listen_unix`. Default none. Bound: none. Danger: who
    /// comes from there may say to be anybody.
    pub forwarded_by: List<Network>,
    /// The field that those proxies write: `x-forwarded-for` (and `X-Forwarded-Proto`) or `forwarded`
    /// (RFC 7239); the other one is not believed, and both are taken off. Default `x-forwarded-for`.
    /// Bound: one of the two. Danger: a proxy that leaves this field as its client wrote it lets every
    /// client say to be anybody.
    pub forwarded_field: ForwardedField,
    /// Load balancers that begin each connection with a header of the PROXY protocol, version 2.
    /// Default none. Bound: none. Danger: without the header they are not served.
    pub proxy_protocol_from: List<Network>,
    /// How long requests under way and WebSockets get to finish at the process's end. Default 30 s. Bound: at most
    /// 1 h. Danger: too short breaks downloads off; longer than a supervisor waits, it kills.
    pub drain: Time,
    /// How long requests under way and WebSockets get to finish in a process that another one took over
    /// from. Default 1 h. Bound: at most 1 d. Danger: too short breaks downloads off at each hand-over; each
    /// process that has not ended yet keeps its cache's memory, the new one beside it.
    pub hand_over_drain: Time,
    /// The certificates of `listen`.
    pub tls: Tls,
    /// Certificates that the server gets for itself.
    pub acme: Acme,
    /// What one client may use up.
    pub limits: Limits,
    /// How HTTP/3's transport behaves.
    pub quic: Quic,
}

impl Default for Server {
    fn default() -> Self {
        let nosniff = (Field::fixed("x-content-type-options"), FieldValue::fixed("nosniff"));
        Self {
            listen: List::default(),
            listen_http: List::default(),
            listen_unix: None,
            workers: None,
            http3: true,
            early_data: true,
            early_data_upstream: false,
            websockets: false,
            priorities: true,
            methods: ["GET", "HEAD", "OPTIONS"].map(Verb::fixed).to_vec().into(),
            max_target: Size::bytes(8 << 10),
            headers: [nosniff].into(),
            forwarded_by: List::default(),
            forwarded_field: ForwardedField::default(),
            proxy_protocol_from: List::default(),
            drain: Time::secs(30),
            hand_over_drain: Time::secs(3600),
            tls: Tls::default(),
            acme: Acme::default(),
            limits: Limits::default(),
            quic: Quic::default(),
        }
    }
}

/// The certificates of the HTTPS listeners. A client is shown the one of the name it asks for; one
/// that asks for a name nobody has is shown the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Tls {
    /// The file of a certificate chain in PEM, leaf first. Default none. Bound: `key` must be there,
    /// too. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The file of its private key in PEM. Default none. Bound: it must be that of `certificate`.
    /// Danger: who can read it can be this site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// A folder of further certificates, each `NAME.crt` or `NAME.pem` with its `NAME.key`. Default
    /// none. Bound: at most 10,000. Danger: who can write to it can add a site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Names for which a certificate is made and signed by itself, for development. Default none.
    /// Bound: not beside `certificate`, `folder` or `[server.acme]`. Danger: no browser trusts it, and none takes
    /// HTTP/3 by it.
    pub self_signed: List<Host>,
    /// How often the files are looked at: what changed is in force for handshakes from then on.
    /// Default 10 s. Bound: at least 1 s. Danger: longer than a certificate's last days serves one
    /// that has expired.
    pub reload_every: Time,
    /// The file of authorities in PEM that clients' certificates must be signed by: for links from
    /// edges to this one. Default none. Bound: none. Danger: revocation is not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Whether a client must have such a certificate. Default `required`. Bound: `required` or
    /// `optional`. Danger: with `optional`, whoever has none comes in all the same.
    pub clients: Clients,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            folder: None,
            self_signed: List::default(),
            reload_every: Time::secs(10),
            client_ca: None,
            clients: Clients::Required,
        }
    }
}

/// Whether clients need a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Clients {
    /// Who has none is not let in.
    #[default]
    Required,
    /// Who has one must have a good one.
    Optional,
}

/// The field by which proxies say whom they speak for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ForwardedField {
    /// `X-Forwarded-For` and `X-Forwarded-Proto`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// What one client may use up; docs/limits.md says what happens at each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// As `ConnLimits::header_timeout`.
    pub header_timeout: Time,
    /// As `ConnLimits::handshake_timeout`.
    pub handshake_timeout: Time,
    /// As `ConnLimits::idle_timeout`.
    pub idle_timeout: Time,
    /// As `ConnLimits::write_timeout`.
    pub write_timeout: Time,
    /// As `ConnLimits::max_headers`.
    pub max_headers: u16,
    /// As `ConnLimits::max_header_bytes`.
    pub max_header_bytes: Size,
    /// As `ConnLimits::h2_max_streams`.
    pub h2_max_streams: u32,
    /// As `ConnLimits::h2_send_buffer`.
    pub h2_send_buffer: Size,
    /// As `ConnLimits::send_budget`.
    pub send_budget: Size,
    /// As `ConnLimits::h2_pending_resets`.
    pub h2_pending_resets: u32,
    /// As `ConnLimits::max_body`.
    pub max_body: Size,
    /// As `ConnLimits::h2_receive_window`.
    pub h2_receive_window: Size,
    /// As `ConnLimits::min_rate`.
    pub min_rate: Size,
    /// As `ConnLimits::body_timeout`.
    pub body_timeout: Time,
    /// As `ConnLimits::max_per_address`.
    pub max_per_address: u32,
    /// As `ConnLimits::max_handshakes`.
    pub max_handshakes: u32,
    /// As `ConnLimits::max_connections`.
    pub max_connections: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Time::secs(10),
            handshake_timeout: Time::secs(10),
            idle_timeout: Time::secs(60),
            write_timeout: Time::secs(60),
            max_headers: 100,
            max_header_bytes: Size::bytes(32 << 10),
            h2_max_streams: 128,
            h2_send_buffer: Size::bytes(1 << 20),
            send_budget: Size::bytes(8 << 20),
            h2_pending_resets: 20,
            max_body: Size::bytes(4 << 30),
            h2_receive_window: Size::bytes(4 << 20),
            min_rate: Size::bytes(500),
            body_timeout: Time::secs(60),
            max_per_address: 2048,
            max_handshakes: 4096,
            max_connections: 16_384,
        }
    }
}

/// How QUIC behaves under HTTP/3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Quic {
    /// As `QuicConfig::idle_timeout`.
    pub idle_timeout: Time,
    /// As `QuicConfig::max_streams`.
    pub max_streams: u32,
    /// As `QuicConfig::send_window`.
    pub send_window: Size,
    /// As `QuicConfig::retry_above`.
    pub retry_above: u32,
    /// As `QuicConfig::max_handshakes`.
    pub max_handshakes: u32,
    /// As `QuicConfig::receive_window`.
    pub receive_window: Size,
    /// Buffers asked for on each UDP socket; the system may grant less (`net.core.rmem_max`,
    /// `wmem_max`). Default 8 MiB. Bound: 64 KiB to 1 GiB. Danger: too small drops packets whenever
    /// a worker is busy for some milliseconds.
    pub socket_buffer: Size,
    /// A folder in which what QUIC does on each connection is logged (qlog), for finding out what is
    /// wrong: the newest 100 connections, at most 16 MiB each. Default none. Bound: the program is built
    /// with the feature `qlog`. Danger: written on the threads that serve; addresses of clients are in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qlog: Option<PathBuf>,
}

impl Default for Quic {
    fn default() -> Self {
        Self {
            idle_timeout: Time::secs(30),
            max_streams: 128,
            send_window: Size::bytes(8 << 20),
            retry_above: 64,
            max_handshakes: 1024,
            receive_window: Size::bytes(4 << 20),
            socket_buffer: Size::bytes(8 << 20),
            qlog: None,
        }
    }
}
