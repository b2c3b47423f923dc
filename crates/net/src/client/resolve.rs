//! Names: the addresses of an upstream, for as long as they count.
//!
//! A name is asked for when a connection is made and its addresses are too old, and from time to time
//! while requests go by connections that there are: one that leads to an address which has left the
//! answer takes no new request ([`Names::has_moved`]). Where a resolver fails, what it said last goes on
//! counting: whoever has connections keeps them, and new ones go where the old ones went.
//!
//! Addresses of both families are tried as RFC 8305 says: those of the family that comes first, and 300 ms
//! later those of the other one beside them. Within a family the connections are spread, each begins one
//! further.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, HttpInfo};

use crate::{Clock, Timestamp};

/// Answers count at least and at most so long, whatever their TTL.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(3600);
/// Addresses of one name that are heeded.
const MAX_ADDRESSES: usize = 64;
/// How long a resolver may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a resolver says of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its addresses, those to try first in front.
    pub addresses: Vec<IpAddr>,
    /// How long they count, where it is known.
    pub ttl: Option<Duration>,
}

/// What becomes an answer.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Answer>> + Send>>;

/// Turns names into addresses. Errors are for people; no address at all is one, too.
pub trait Resolve: std::fmt::Debug + Send + Sync {
    /// The addresses of a host.
    fn resolve(&self, host: &str) -> Resolving;
}

/// The system's resolver (`getaddrinfo`), its files and order; it tells no TTL. `NameServers`, with the feature
/// `dns`, does.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Resolve for System {
    fn resolve(&self, host: &str) -> Resolving {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(Answer { addresses: found.map(|address| address.ip()).collect(), ttl: None })
        })
    }
}

/// The addresses of one name.
#[derive(Debug)]
pub(super) struct Names {
    host: String,
    resolver: Arc<dyn Resolve>,
    ttl: Duration,
    clock: Clock,
    known: Mutex<Known>,
    /// Held by who asks the resolver.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    addresses: Vec<IpAddr>,
    until: Option<Timestamp>,
    /// Connections that were made, for the next to begin further on.
    connections: usize,
}

impl Names {
    /// Those of a host; none where it is an address.
    pub(super) fn of(
        host: &str,
        resolver: Arc<dyn Resolve>,
        ttl: Duration,
        clock: Clock,
    ) -> Option<Arc<Self>> {
        if bare(host).parse::<IpAddr>().is_ok() {
            return None;
        }
        let (known, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        Some(Arc::new(Self { host: host.to_owned(), resolver, ttl, clock, known, turn }))
    }

    /// Where to connect to, in this order; the port is zero.
    pub(super) async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        if !self.is_fresh() {
            let _turn = self.turn.lock().await;
            // Another may have asked meanwhile.
            if !self.is_fresh() {
                self.ask().await?;
            }
        }
        let mut known = self.known();
        known.connections = known.connections.wrapping_add(1);
        Ok(in_turn(&known.addresses, known.connections.wrapping_sub(1)))
    }

    /// Has the resolver asked again, beside what waits, where the addresses are too old.
    pub(super) fn refresh(self: &Arc<Self>) {
        if self.is_fresh() || self.known().addresses.is_empty() || self.turn.try_lock().is_err() {
            return;
        }
        let names = Arc::clone(self);
        // Bounded by its patience; one at a time asks.
        tokio::spawn(async move {
            if let Ok(_turn) = names.turn.try_lock()
                && !names.is_fresh()
                && let Err(error) = names.ask().await
            {
                tracing::debug!(%error, "no addresses");
            }
        });
    }

    /// Whether a connection leads to an address that the name has no more.
    pub(super) fn has_moved(&self, connection: &Connected) -> bool {
        let mut told = http::Extensions::new();
        connection.get_extras(&mut told);
        told.get::<HttpInfo>().is_some_and(|info| self.lacks(info.remote_addr().ip()))
    }

    /// Whether the name has other addresses than this.
    pub(super) fn lacks(&self, address: IpAddr) -> bool {
        let known = self.known();
        !known.addresses.is_empty() && !known.addresses.contains(&address)
    }

    fn is_fresh(&self) -> bool {
        let now = self.clock.now();
        self.known().until.is_some_and(|until| now < until)
    }

    /// Asks the resolver. Where it fails, what was known counts on for a while.
    async fn ask(&self) -> io::Result<()> {
        let asked = tokio::time::timeout(PATIENCE, self.resolver.resolve(&self.host)).await;
        let answer = asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let answer = answer.and_then(|answer| match answer.addresses.as_slice() {
            [] => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
            _ => Ok(answer),
        });
        let now = self.clock.now();
        let mut known = self.known();
        match answer {
            Ok(Answer { mut addresses, ttl }) => {
                addresses.truncate(MAX_ADDRESSES);
                known.addresses = addresses;
                known.until = Some(now.plus(ttl.unwrap_or(self.ttl).clamp(LEAST, MOST)));
                Ok(())
            }
            Err(error) if known.addresses.is_empty() => Err(error),
            Err(error) => {
                tracing::warn!(%error, "a name cannot be resolved again");
                known.until = Some(now.plus(LEAST));
                Ok(())
            }
        }
    }

    /// Nothing panics while it is held.
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A host without the brackets of an IPv6 address.
pub(super) fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Those of the family that is first, then those of the other one, each from the `turn`th on.
fn in_turn(addresses: &[IpAddr], turn: usize) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (mut one, mut other): (Vec<_>, Vec<_>) =
        addresses.iter().partition(|address| address.is_ipv6() == first);
    for family in [&mut one, &mut other] {
        let len = family.len().max(1);
        family.rotate_left(turn % len);
    }
    one.into_iter().chain(other).map(|address: &IpAddr| SocketAddr::new(*address, 0)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn connections_are_spread_within_families() {
        let all: Vec<IpAddr> =
            ["::1", "10.0.0.1", "::2", "10.0.0.2", "::3"].map(|ip| ip.parse().unwrap()).into();
        let said = |turn| {
            let said = in_turn(&all, turn).into_iter().map(|at| at.ip().to_string());
            said.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(said(0), "::1 ::2 ::3 10.0.0.1 10.0.0.2");
        assert_eq!(said(1), "::2 ::3 ::1 10.0.0.2 10.0.0.1");
        assert_eq!(said(5), "::3 ::1 ::2 10.0.0.2 10.0.0.1");
        assert!(in_turn(&[], 3).is_empty());
    }
}
