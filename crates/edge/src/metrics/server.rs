//! What the listeners counted, for the page of metrics.
//!
//! | name | labels |
//! |---|---|
//! | `headwater_server_requests_total` | `protocol` |
//! | `headwater_server_connections_total` | `protocol` |
//! | `headwater_server_connections_open` | `protocol` |
//! | `headwater_server_handshakes_failed_total` | `transport` (`tcp`, `quic`) |
//! | `headwater_server_connections_refused_total` | `limit` (`connections`, `address`, `handshakes`) |
//! | `headwater_server_connections_ended_total` | `reason` (`idle`, `stalled`, `flood`) |
//! | `headwater_server_early_requests_total` | `handled` (`at_once`, `after_handshake`) |
//! | `headwater_server_tickets_refused_total` | |
//! | `headwater_server_retries_total` | |
//! | `headwater_server_datagrams_passed_on_total` | |

use std::fmt::Error;

use headwater_net::Protocol;
use headwater_net::server::{Ended, Metrics, Refused};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Adds a server's counters to `registry`. They are a server's own, which
/// [`ServerBuilder::metrics`](headwater_net::server::ServerBuilder::metrics) is given before it is
/// served; with several servers, a sub-registry with a label for each tells them apart.
pub fn register_server(metrics: &Metrics, registry: &mut Registry) {
    registry.register_collector(Box::new(Listeners(metrics.clone())));
}

#[derive(Debug)]
struct Listeners(Metrics);

/// A family of counters: name, help, the name of its label, and counts by its values.
type Family = (&'static str, &'static str, &'static str, Vec<(&'static str, u64)>);

const PROTOCOLS: [(&str, Protocol); 3] =
    [("h1", Protocol::H1), ("h2", Protocol::H2), ("h3", Protocol::H3)];
/// Over TCP, the version of HTTP is not known before a handshake is done.
const TRANSPORTS: [(&str, Protocol); 2] = [("tcp", Protocol::H1), ("quic", Protocol::H3)];

fn limit(why: Refused) -> &'static str {
    match why {
        Refused::Address => "address",
        Refused::Handshakes => "handshakes",
        _ => "connections",
    }
}

fn reason(why: Ended) -> &'static str {
    match why {
        Ended::Stalled => "stalled",
        Ended::Flood => "flood",
        _ => "idle",
    }
}

impl Collector for Listeners {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let Self(metrics) = self;
        let by_protocol = |count: &dyn Fn(Protocol) -> u64| {
            PROTOCOLS.map(|(name, of)| (name, count(of))).to_vec()
        };
        let families: [Family; 6] = [
            (
                "headwater_server_requests",
                "Requests handed to the service",
                "protocol",
                by_protocol(&|of| metrics.requests(of)),
            ),
            (
                "headwater_server_connections",
                "Connections that finished their handshake",
                "protocol",
                by_protocol(&|of| metrics.connections_accepted(of)),
            ),
            (
                "headwater_server_handshakes_failed",
                "TLS and QUIC handshakes that failed or took too long",
                "transport",
                TRANSPORTS.map(|(name, of)| (name, metrics.handshakes_failed(of))).to_vec(),
            ),
            (
                "headwater_server_connections_refused",
                "Connections turned away at a limit",
                "limit",
                Refused::ALL.map(|why| (limit(why), metrics.connections_refused_for(why))).to_vec(),
            ),
            (
                "headwater_server_connections_ended",
                "Connections that the server ended by itself",
                "reason",
                Ended::ALL.map(|why| (reason(why), metrics.connections_ended(why))).to_vec(),
            ),
            (
                "headwater_server_early_requests",
                "Requests in early data (0-RTT), by when they were handed to the service",
                "handled",
                vec![
                    ("at_once", metrics.early_requests()),
                    ("after_handshake", metrics.early_requests_held()),
                ],
            ),
        ];
        for (name, help, label, values) in families {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (value, count) in values {
                ConstCounter::new(count).encode(family.encode_family(&[(label, value)])?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "headwater_server_connections_open",
            "Connections open now",
            None,
            MetricType::Gauge,
        )?;
        for (name, of) in PROTOCOLS {
            let open = i64::try_from(metrics.connections_open(of)).unwrap_or(i64::MAX);
            ConstGauge::new(open).encode(family.encode_family(&[("protocol", name)])?)?;
        }
        for (name, help, count) in [
            (
                "headwater_server_tickets_refused",
                "QUIC session tickets that were shown and not taken",
                metrics.tickets_refused(),
            ),
            (
                "headwater_server_retries",
                "QUIC clients told to show first that they are where they say",
                metrics.retries(),
            ),
            (
                "headwater_server_datagrams_passed_on",
                "QUIC datagrams passed on to the process that this one took over from",
                metrics.datagrams_passed_on(),
            ),
        ] {
            let encoder = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(count).encode(encoder)?;
        }
        Ok(())
    }
}
