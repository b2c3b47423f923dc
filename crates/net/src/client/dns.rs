//! Name servers of one's own, asked by DNS (RFC 1035) through hickory: their answers say how long they count,
//! which the system's resolver does not tell.
//!
//! Nothing is kept here: [`Names`](super::resolve::Names) does that, by the TTL of the answers. Files of the system
//! (`/etc/hosts`, `/etc/resolv.conf`) are not looked at, and names are taken as they are, without search domains.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
    ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;

use super::UpstreamError;
use super::resolve::{Answer, Resolve, Resolving};

/// How long one server may take for one question, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;

/// Resolves by asking these servers, over UDP, and over TCP what does not fit; clones share them.
#[derive(Clone)]
pub struct NameServers {
    resolver: TokioResolver,
}

impl NameServers {
    /// Asks these, such as `10.0.0.2:53`.
    ///
    /// # Errors
    /// [`UpstreamError::Config`] where there are none.
    pub fn new(servers: impl IntoIterator<Item = SocketAddr>) -> Result<Self, UpstreamError> {
        let server = |at: SocketAddr| {
            let by = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            let by = by.map(|mut by| {
                by.port = at.port();
                by
            });
            NameServerConfig::new(at.ip(), true, by.into())
        };
        let servers: Vec<_> = servers.into_iter().map(server).collect();
        if servers.is_empty() {
            return Err(UpstreamError::Config("there is no name server".into()));
        }
        let mut options = ResolverOpts::default();
        options.timeout = PATIENCE;
        options.attempts = ATTEMPTS;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = resolver.with_options(options).build();
        let resolver = resolver.map_err(|error| UpstreamError::Config(error.to_string().into()))?;
        Ok(Self { resolver })
    }
}

impl Resolve for NameServers {
    fn resolve(&self, host: &str) -> Resolving {
        let (resolver, name) = (self.resolver.clone(), Name::from_utf8(host));
        Box::pin(async move {
            let mut name = name.map_err(std::io::Error::other)?;
            name.set_fqdn(true);
            let found = resolver.lookup_ip(name).await.map_err(std::io::Error::other)?;
            // Of a name that is another's, the shorter of both counts.
            let ttl = found.as_lookup().answers().iter().map(|record| record.ttl).min();
            let addresses = found.iter().collect();
            Ok(Answer { addresses, ttl: ttl.map(|ttl| Duration::from_secs(ttl.into())) })
        })
    }
}

impl fmt::Debug for NameServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NameServers").finish_non_exhaustive()
    }
}
