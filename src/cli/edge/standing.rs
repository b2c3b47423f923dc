//! How origins stand, for the page of metrics, by `upstream` and `origin`: `headwater_upstream_up`, 1 or 0,
//! `headwater_upstream_requests_total` and `headwater_upstream_failures_total`, and by `protocol` besides,
//! `headwater_upstream_answers_total`. These count from the last reload that changed their group.

use std::sync::{Arc, Mutex, PoisonError};

use headwater::net::Protocol;
use headwater::origin::upstream as origin;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::upstreams::Upstreams;

/// What is counted of an origin.
type Count = fn(&origin::Standing) -> u64;

/// The groups that are in force. Clones are of the same.
#[derive(Clone, Default)]
pub(super) struct Standing(Arc<Mutex<Upstreams>>);

impl Standing {
    /// These groups are told of from now on.
    pub(super) fn put(&self, upstreams: &Upstreams) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = upstreams.clone();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
    }
}

impl Collector for Standing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let upstreams = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let all: Vec<_> = upstreams
            .iter()
            .flat_map(|(name, (_, origins))| {
                origins.standing().into_iter().map(move |standing| (name.as_str(), standing))
            })
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

impl std::fmt::Debug for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Standing").finish_non_exhaustive()
    }
}
