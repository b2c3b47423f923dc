//! How groups of origins stand, for the page of metrics.
//!
//! | name | labels |
//! |---|---|
//! | `headwater_upstream_up` | `upstream`, `origin`; 1 or 0 |
//! | `headwater_upstream_requests_total` | `upstream`, `origin` |
//! | `headwater_upstream_failures_total` | `upstream`, `origin` |
//! | `headwater_upstream_answers_total` | `upstream`, `origin`, `protocol` (`h1`, `h2`, `h3`) |

use std::fmt;

use headwater_net::Protocol;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::Standing;

/// Adds to `registry` how each origin of these groups stands, which are asked for at each scrape: the name
/// of each, and how its origins stand ([`Origins::standing`](super::Origins::standing)).
pub fn register_standing(
    registry: &mut Registry,
    groups: impl Fn() -> Vec<(String, Vec<Standing>)> + Send + Sync + 'static,
) {
    registry.register_collector(Box::new(Told(groups)));
}

struct Told<F>(F);

/// What is counted of an origin.
type Count = fn(&Standing) -> u64;

impl<F> Collector for Told<F>
where
    F: Fn() -> Vec<(String, Vec<Standing>)> + Send + Sync + 'static,
{
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let groups = (self.0)();
        let all: Vec<(&str, &Standing)> = groups
            .iter()
            .flat_map(|(name, origins)| origins.iter().map(move |one| (name.as_str(), one)))
            .collect();
        let mut family = encoder.encode_descriptor(
            "headwater_upstream_up",
            "Whether an origin is asked (1) or down (0)",
            None,
            MetricType::Gauge,
        )?;
        for (name, standing) in &all {
            let set = [("upstream", *name), ("origin", standing.name.as_str())];
            ConstGauge::new(i64::from(standing.up)).encode(family.encode_family(&set)?)?;
        }
        let counted: [(&str, &str, Count); 2] = [
            ("requests", "Requests sent to an origin", |standing| standing.asked),
            ("failures", "Requests that an origin failed", |standing| standing.failed),
        ];
        for (what, help, count) in counted {
            let name = format!("headwater_upstream_{what}");
            let mut family = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
            for (name, standing) in &all {
                let set = [("upstream", *name), ("origin", standing.name.as_str())];
                ConstCounter::new(count(standing)).encode(family.encode_family(&set)?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "headwater_upstream_answers",
            "Answers of an origin that began",
            None,
            MetricType::Counter,
        )?;
        for (name, standing) in &all {
            for (protocol, count) in Protocol::ALL.iter().zip(standing.answered) {
                let set = [
                    ("upstream", *name),
                    ("origin", standing.name.as_str()),
                    ("protocol", protocol.as_str()),
                ];
                ConstCounter::new(count).encode(family.encode_family(&set)?)?;
            }
        }
        Ok(())
    }
}

impl<F> fmt::Debug for Told<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").finish_non_exhaustive()
    }
}
