//! One server for HTTP/1.1, HTTP/2 and HTTP/3.
//!
//! Each worker is one thread with a runtime of its own, its own listening sockets (SO_REUSEPORT)
//! and its own instance of the service: a request that needs nobody else never leaves its core.
//!
//! ```no_run
//! use std::{convert::Infallible, time::Duration};
//! use headwater_net::server::{Server, Tls};
//! use headwater_net::{Body, Clock, ConnInfo};
//! use http::{Request, Response};
//!
//! # async fn run() -> Result<(), headwater_net::server::ServerError> {
//! let server = Server::builder()
//!     .https("localhost:8443")
//!     .tls(Tls::self_signed(["localhost"], None, &Clock::system())?)
//!     .serve(|_worker| {
//!         tower::service_fn(|request: Request<Body>| async move {
//!             let by = request.extensions().get::<ConnInfo>().map(|info| info.protocol);
//!             Ok::<_, Infallible>(Response::new(Body::from(format!("you came by {by:?}\n"))))
//!         })
//!     })?;
//! server.drain(Duration::from_secs(10)).await;
//! # Ok(()) }
//! ```
//!
//! # What is promised
//! - A body that ends in an error, or short of its `Content-Length`, is visibly cut: HTTP/1.1
//!   closes the connection, HTTP/2 and HTTP/3 reset the stream.
//! - An answer to HEAD, and a 204 or 304, carries no body, whatever the service returned.
//! - When the client goes away, the service's future and body are dropped.
//! - On HTTP/3, of answers that wait for the network the more urgent goes first (RFC 9218): by the
//!   request's `Priority`, the answer's own, or a PRIORITY_UPDATE. HTTP/2 shares alike: hyper has no
//!   place for priorities.
//! - Nothing a client sends makes memory grow past the [`ConnLimits`].
//! - A connection that changed its protocol, to a WebSocket for one, is a connection still: see below.
//!
//! # Connections that change their protocol
//! A service may take a connection of HTTP/1.1, or a stream of HTTP/2, by `hyper::upgrade::on` and speak
//! something else on it. Until it lets go of what it was given, the connection has its place among
//! `max_connections` and `max_per_address`, counts as open in the [`Metrics`], and holds up a
//! [drain](ServerHandle::drain), which cuts it at its deadline. Nothing has to be done for that. But what is
//! said on a stream of HTTP/2 then does not tell the server that its connection is in use, so that this is closed
//! after `idle_timeout`, unless the request's [`UnderWay`](crate::UnderWay) is held meanwhile. What speaks the
//! other protocol should be a task of the worker's own runtime, in which the service is called: it ends with
//! that, and outlives no server. [`Upstream`](crate::client::Upstream) does all of this.

#[cfg(feature = "acme")]
mod acme;
mod activation;
mod addresses;
mod alt_svc;
mod control;
mod error;
mod fronts;
mod gather;
mod hand_over;
mod handle;
mod http3;
mod keys;
mod limited;
mod limits;
mod malformed;
mod metrics;
mod pace;
mod places;
mod process;
mod proxy_protocol;
#[cfg(feature = "qlog")]
mod qlog;
mod quic;
mod received;
mod respond;
mod self_signed;
mod shared;
mod socket;
mod supervisor;
mod tcp;
mod tcp_path;
mod tls;
mod unfinished;
mod unix;
mod watched;
mod wire;
mod worker;

use std::convert::Infallible;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use http::{Request, Response};
use tower_service::Service;

use crate::{Body, Clock, ForwardedField, Proxies};

#[cfg(feature = "acme")]
pub use acme::{Acme, AcmeBuilder, AcmeChallenge, AcmeStatus};
pub use activation::{Activation, ActivationError};
pub use alt_svc::alt_svc;
pub use error::ServerError;
pub use hand_over::{Door, HandOverError, Inherited, Successor};
pub use handle::{Drained, ServerHandle};
pub use limits::{ConnLimits, QuicConfig};
pub use metrics::{Ended, Metrics, Refused};
pub use process::{Duties, End, Process, ProcessError};
#[cfg(feature = "qlog")]
pub use qlog::Qlog;
pub use supervisor::Supervisor;
pub use tls::{CertificateStatus, ClientCertificate, Orders, Reloaded, Tls};

/// The number of a worker, from 0 to one less than their count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub usize);

/// The entrance to [`ServerBuilder`].
#[derive(Debug)]
pub struct Server(());

impl Server {
    /// Starts to describe a server.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }
}

/// Describes a server: addresses, certificate, limits. [`ServerBuilder::serve`] starts it.
#[derive(Debug, Default)]
#[must_use = "a server does nothing until `serve`"]
pub struct ServerBuilder {
    name: String,
    https: Vec<SocketAddr>,
    http: Vec<SocketAddr>,
    unix: Vec<std::path::PathBuf>,
    fronts: fronts::Fronts,
    bad_address: Option<std::io::Error>,
    tls: Option<Tls>,
    quic: Option<QuicConfig>,
    no_quic: bool,
    extended_connect: bool,
    limits: ConnLimits,
    workers: Option<usize>,
    clock: Clock,
    metrics: Metrics,
    inherited: Option<Inherited>,
    activation: Option<Activation>,
}

impl ServerBuilder {
    /// Listens for HTTP/1.1 and HTTP/2 over TLS on TCP and for HTTP/3 on the same port over UDP.
    ///
    /// May be called several times; a name such as `localhost:443` stands for all its addresses.
    /// `[::]` also takes IPv4 unless an IPv4 address is given too. All addresses with port 0 share
    /// one port chosen by the system, free on TCP and UDP.
    pub fn https(mut self, addr: impl ToSocketAddrs) -> Self {
        match addr.to_socket_addrs() {
            Ok(addrs) => add_new(&mut self.https, addrs),
            Err(error) => self.bad_address = Some(error),
        }
        self
    }

    /// Listens for plain HTTP/1.1, and HTTP/2 with prior knowledge. Addresses as for
    /// [`ServerBuilder::https`].
    pub fn http(mut self, addr: impl ToSocketAddrs) -> Self {
        match addr.to_socket_addrs() {
            Ok(addrs) => add_new(&mut self.http, addrs),
            Err(error) => self.bad_address = Some(error),
        }
        self
    }

    /// Listens for plain HTTP, as [`ServerBuilder::http`] does, on a Unix socket at `path`, which
    /// its owner and their group may connect to. A socket that was left behind there is taken
    /// over; it is removed when the server ends. Its clients have no address:
    /// [`ConnInfo::peer`](crate::ConnInfo::peer) is `0.0.0.0:0` unless a proxy says more.
    pub fn unix(mut self, path: impl Into<std::path::PathBuf>) -> Self {
        self.unix.push(path.into());
        self
    }

    /// Believes what these proxies say of their clients in `X-Forwarded-For` and
    /// `X-Forwarded-Proto`, or in what [`ServerBuilder::forwarded_field`] names:
    /// [`ConnInfo`](crate::ConnInfo) then tells of the client, and `Forwarded` and all of its older
    /// kin are taken off. Without a port said, its port is 0. From anybody else, and without this,
    /// such fields mean nothing and stay as they are.
    pub fn forwarded_by(mut self, proxies: Proxies) -> Self {
        self.fronts.requests = Arc::new(proxies);
        self
    }

    /// The field that the proxies of [`ServerBuilder::forwarded_by`] write, by default
    /// `X-Forwarded-For`; the other one is not believed. Danger: see [`ForwardedField`].
    pub fn forwarded_field(mut self, field: ForwardedField) -> Self {
        self.fronts.field = field;
        self
    }

    /// Demands a header of the PROXY protocol, version 2, at the start of every TCP and Unix
    /// connection from these load balancers, and closes those without one;
    /// [`ConnInfo`](crate::ConnInfo) then tells of their clients. HTTP/3 has no such thing.
    pub fn proxy_protocol_from(mut self, balancers: Proxies) -> Self {
        self.fronts.bytes = Arc::new(balancers);
        self
    }

    /// The certificates of the `https` addresses; without one they are refused by
    /// [`ServerBuilder::serve`].
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Settings of HTTP/3, which is on by default where there is an `https` address.
    pub fn quic(mut self, quic: QuicConfig) -> Self {
        self.quic = Some(quic);
        self.no_quic = false;
        self
    }

    /// Leaves HTTP/3 out: no UDP socket, no `Alt-Svc`.
    pub fn without_quic(mut self) -> Self {
        self.no_quic = true;
        self
    }

    /// Whether clients of HTTP/2 are told that they may ask for a WebSocket on a stream (RFC 8441); by
    /// default they are not, and open a connection of HTTP/1.1 for it. For a service that answers
    /// such a CONNECT, as [`Upstream`](crate::client::Upstream) does, and holds its
    /// [`UnderWay`](crate::UnderWay).
    pub fn extended_connect(mut self, on: bool) -> Self {
        self.extended_connect = on;
        self
    }

    /// What one client may use up.
    pub fn limits(mut self, limits: ConnLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The number of workers, by default one for each core. Off Linux there is always one, because
    /// only Linux spreads connections over sockets that share a port.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = Some(count.max(1));
        self
    }

    /// The clock that dates HTTP/3 answers; by default the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Counts into `metrics`, so that a service of this server can read them.
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// The name by which another process knows this server again when it takes over: needed where
    /// one process has several servers. At most 64 bytes; empty by default.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        let end = (0..=64).rev().find(|end| self.name.is_char_boundary(*end)).unwrap_or(0);
        self.name.truncate(end);
        self
    }

    /// Listens with sockets that another process gave, instead of binding, at those addresses that
    /// it had; goes on with its keys; and serves from [`Inherited::begin`] on. There are at least
    /// as many workers as that process had sockets for QUIC.
    pub fn inherit(mut self, inherited: &Inherited) -> Self {
        self.inherited = Some(inherited.clone());
        self
    }

    /// Listens with the sockets that a supervisor has opened, instead of binding, at those addresses
    /// and paths that it has some for; HTTP/3 wants a UDP socket beside the listener's and has one
    /// bound here otherwise. The files of its Unix sockets stay when the server ends. See
    /// [`Activation::all_taken`] for what no server wants.
    pub fn activated_by(mut self, activation: &Activation) -> Self {
        self.activation = Some(activation.clone());
        self
    }

    /// Binds every socket, starts the workers and returns; `make` is called once in each worker's
    /// thread, inside its runtime.
    ///
    /// All connections of a worker call that one service; a request that finds it not ready waits with
    /// it, and others then have a clone of what `make` made.
    ///
    /// # Errors
    /// [`ServerError`], one sentence that names what is wrong: an address in use, a missing
    /// permission, a missing certificate. Nothing keeps running after an error.
    pub fn serve<F, S>(self, make: F) -> Result<ServerHandle, ServerError>
    where
        F: Fn(WorkerId) -> S + Send + Sync + 'static,
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
    {
        worker::start(self, make)
    }
}

fn add_new(known: &mut Vec<SocketAddr>, more: impl Iterator<Item = SocketAddr>) {
    for addr in more {
        if !known.contains(&addr) {
            known.push(addr);
        }
    }
}
