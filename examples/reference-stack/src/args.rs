//! The command line of the reference stack.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use headwater_net::{ForwardedField, Proxies};
use headwater_origin::PrefetchConfig;

use crate::{Clients, Viewers};

/// The whole of Headwater on one machine: packager, shield and edge, with pages to watch by.
///
/// Without --input it makes a one-minute demo video first, and keeps it in the state folder.
#[derive(Parser, Debug, Clone)]
#[command(name = "reference-stack", version, max_term_width = 100)]
pub struct Args {
    /// A video file, a folder of them, or a descriptor NAME.headwater.json; give it several times
    /// for several. Each file is one asset named after the file; in a folder, each file is one
    /// asset, files such as film_720p.mp4 and film_1080p.mp4 are the renditions of one, and so are
    /// the files of each sub-folder (docs/descriptor.md)
    #[arg(long, value_name = "PATH")]
    pub input: Vec<PathBuf>,

    /// The port, for HTTPS over TCP (HTTP/1.1, HTTP/2) and over UDP (HTTP/3). Plain HTTP listens on
    /// the next one, metrics and health on the one after. 0 picks free ones
    #[arg(long, value_name = "N", default_value_t = 8443)]
    pub port: u16,

    /// An address to listen on; several may be given [default: 127.0.0.1 and ::1]
    #[arg(long, value_name = "ADDRESS")]
    pub bind: Vec<IpAddr>,

    /// A Unix socket to listen on for plain HTTP, too; its owner and their group may connect
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// Proxies that are believed when they say whom they speak for: addresses, networks such as
    /// 10.0.0.0/8, and `unix` for who comes by --socket, separated by commas
    #[arg(long, value_name = "NETWORKS")]
    pub forwarded_by: Option<Proxies>,

    /// The field that those proxies write, x-forwarded-for or forwarded: the other is not believed
    #[arg(
        long,
        value_name = "FIELD",
        default_value = "x-forwarded-for",
        requires = "forwarded_by"
    )]
    pub forwarded_field: ForwardedField,

    /// Load balancers that begin each connection with a header of the PROXY protocol, version 2;
    /// as for --forwarded-by
    #[arg(long, value_name = "NETWORKS")]
    pub proxy_protocol_from: Option<Proxies>,

    /// Where the demo video and the development certificate are kept
    /// [default: headwater under $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Write a JSON file here when the stack answers: pid, base, metrics, spki_sha256, assets
    #[arg(long, value_name = "FILE")]
    pub ready: Option<PathBuf>,

    /// A file that holds the token which purges and explanations on the operator's port want, in
    /// `Authorization: Bearer` [default: none is wanted, and pages of others in browsers are refused]
    #[arg(long, value_name = "FILE")]
    pub operator_token: Option<PathBuf>,

    /// The folder of built pages
    #[arg(long, value_name = "DIR", default_value = "web/dist")]
    pub web: PathBuf,

    /// The certificate chain and key to serve with, in PEM; without them a self-signed development
    /// certificate is made and kept in the state folder
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,

    /// The private key of --cert
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,

    /// A folder of further certificates, each NAME.crt (or .pem) with its NAME.key; a client is
    /// shown the one of the name it asks for. Certificates are read again when their files change,
    /// and on SIGHUP
    #[arg(long, value_name = "DIR")]
    pub certs: Option<PathBuf>,

    /// Get certificates from the authority whose directory is at this https URL (ACME), such as
    /// <https://acme-v02.api.letsencrypt.org/directory>, and renew them; kept in the state folder. This
    /// agrees to its terms of service (docs/certificates.md)
    #[arg(long, value_name = "URL", requires = "acme_names", conflicts_with = "cert")]
    pub acme: Option<String>,

    /// The names of a certificate that --acme gets, separated by commas; several times for several
    /// certificates
    #[arg(long, value_name = "NAMES", requires = "acme")]
    pub acme_names: Vec<String>,

    /// Where the authority may write to, such as mailto:operations@media.example
    #[arg(long, value_name = "URL", requires = "acme")]
    pub acme_contact: Vec<String>,

    /// Show the authority that the names are this server's by plain HTTP, which it asks on port 80,
    /// and not by a handshake, on port 443
    #[arg(long, requires = "acme")]
    pub acme_http: bool,

    /// The account with the authority that the one made here is bound to (external account binding): its
    /// name
    #[arg(long, value_name = "ID", requires = "acme", requires = "acme_eab_key_file")]
    pub acme_eab_key_id: Option<String>,

    /// The file of that account's key, in base64url
    #[arg(long, value_name = "FILE", requires = "acme_eab_key_id")]
    pub acme_eab_key_file: Option<PathBuf>,

    /// Authorities to believe the ACME server by instead of the system's, in PEM
    #[arg(long, value_name = "FILE", requires = "acme")]
    pub acme_ca: Option<PathBuf>,

    /// Which part to run; the parts of one process call each other without sockets
    #[arg(long, value_enum, default_value_t = Role::All)]
    pub role: Role,

    /// Where an edge finds its shields, or a shield its origins: the base URL of another
    /// reference-stack's plain HTTP port. Several for a shield are tried in turn; of several for an edge
    /// each has its share of the titles (docs/upstreams.md)
    #[arg(long, value_name = "URL")]
    pub upstream: Vec<http::Uri>,

    /// An application that an edge passes everything below /app to, paths as they are: the base URL of an
    /// HTTP server. It gets requests of any method and bodies as they come, its answers are cached where
    /// they say so, and WebSockets pass
    #[arg(long, value_name = "URL")]
    pub app: Option<http::Uri>,

    /// Another shield that shares titles with this one, by its base URL as edges know it; it is asked for
    /// what is its own before an origin is. Several times for several
    #[arg(long, value_name = "URL", requires = "known_as")]
    pub peer: Vec<http::Uri>,

    /// The base URL that edges and the other shields know this shield by
    #[arg(long, value_name = "URL", requires = "peer")]
    pub known_as: Option<http::Uri>,

    /// Where the edges of a shield come from, and the shields beside it: addresses and networks such as
    /// 10.0.0.0/8, separated by commas. They are believed what they say of sessions and of purges; whoever
    /// comes from elsewhere is answered 403. Who comes by --socket is let in
    /// [default: this machine]
    #[arg(long, value_name = "NETWORKS")]
    pub edges: Option<Proxies>,

    /// Segments that a shield fetches ahead for a session, at the most; with 0 it fetches nothing ahead
    #[arg(long, value_name = "N", default_value_t = PrefetchConfig::default().ahead, value_parser = ahead)]
    pub ahead: usize,

    /// Make room in a shield's memory by who watches what, and not by age: docs/shield.md
    #[arg(long)]
    pub retention: bool,

    /// RAM for the edge's cache, in MiB; the shield's gets the same. With 0, only disk tiers hold
    /// anything
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u64).range(0..=1_048_576))]
    pub cache_mib: u64,

    /// A folder for disk tiers behind the RAM, one for the edge's cache and one for the shield's:
    /// what was cached and what was purged outlive the process [default: none]
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,

    /// Disk for the edge's cache, in MiB; the shield's gets the same
    #[arg(long, value_name = "MIB", default_value_t = 4096, requires = "cache_dir", value_parser = clap::value_parser!(u64).range(1..=1_073_741_824))]
    pub cache_disk_mib: u64,

    /// Worker threads, each with its own listeners [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub workers: Option<u16>,

    /// Seconds that running requests get to finish after SIGINT or SIGTERM
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub drain: u64,

    /// Seconds that running requests get to finish in a process that another one took over from
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub hand_over_drain: u64,

    /// Have clients that come back wait for their handshake: by default the GET and HEAD requests
    /// that they send before it is done (0-RTT) are answered from the cache
    #[arg(long)]
    pub no_early_data: bool,

    /// Send what of those is not in the cache to the shield at once, marked Early-Data: 1, instead of
    /// after the handshake
    #[arg(long, conflicts_with = "no_early_data")]
    pub early_data_upstream: bool,

    /// A Unix socket, for its owner alone, at which the next process comes in to take over; one that
    /// is started with the socket of a running stack takes over from it. On SIGUSR2 a stack does
    /// both by itself: it starts its own program again, with the same arguments, and hands over
    #[arg(long, value_name = "PATH")]
    pub hand_over_socket: Option<PathBuf>,

    /// Where access log lines go, as JSON: a file, which SIGUSR1 has opened again, or `-` for standard
    /// output [default: nowhere]
    #[arg(long, value_name = "FILE")]
    pub access_log: Option<PathBuf>,

    /// A collector that is told what becomes of each request of a viewer, at the edge and behind it: its URL,
    /// such as `http://127.0.0.1:4318` (OpenTelemetry, OTLP over HTTP) [default: none]
    #[arg(long, value_name = "URL")]
    pub trace: Option<http::Uri>,

    #[expect(missing_docs, reason = "its own documentation would stand in the help")]
    #[command(flatten)]
    pub viewers: Viewers,

    #[expect(missing_docs, reason = "its own documentation would stand in the help")]
    #[command(flatten)]
    pub clients: Clients,
}

/// A number of segments.
fn ahead(text: &str) -> Result<usize, String> {
    let fits = text.parse().ok().filter(|segments| *segments <= MAX_AHEAD);
    fits.ok_or_else(|| format!("a number from 0 to {MAX_AHEAD} is wanted"))
}

/// More segments ahead than a player has in its buffer are for nobody.
const MAX_AHEAD: usize = 64;

/// What one process of the stack is.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Edge, shield and packager together.
    All,
    /// The edge: cache and pages in front of a shield.
    Edge,
    /// The shield: cache in front of one or more origins.
    Shield,
    /// The packager: an origin that reads the inputs.
    Packager,
}

impl Role {
    /// Whether this process reads videos.
    pub const fn packages(self) -> bool {
        matches!(self, Self::All | Self::Packager)
    }

    /// Whether this process has an edge, which viewers come to.
    pub const fn has_viewers(self) -> bool {
        matches!(self, Self::All | Self::Edge)
    }

    /// Whether this process asks another one over HTTP.
    pub const fn has_upstream(self) -> bool {
        matches!(self, Self::Edge | Self::Shield)
    }
}
