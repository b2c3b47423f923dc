//! How the shields of an edge stand, for the page of metrics and the live page: `headwater_upstream_up`, 1 or
//! 0, and `headwater_upstream_requests_total`, by `upstream` (`shields`) and `origin`, a shield's URL.

use std::fmt;

use headwater_net::Balance;
use headwater_net::client::Upstream;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Adds them to `registry`.
pub(crate) fn register(shields: &Balance<Upstream>, registry: &mut Registry) {
    registry.register_collector(Box::new(Shields(shields.clone())));
}

struct Shields(Balance<Upstream>);

impl Collector for Shields {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let members = self.0.members();
        let mut family = encoder.encode_descriptor(
            "headwater_upstream_up",
            "Whether an origin is asked (1) or down (0)",
            None,
            MetricType::Gauge,
        )?;
        for member in &members {
            let set = [("upstream", "shields"), ("origin", &*member.name)];
            ConstGauge::new(i64::from(!member.is_down)).encode(family.encode_family(&set)?)?;
        }
        let mut family = encoder.encode_descriptor(
            "headwater_upstream_requests",
            "Requests sent to an origin",
            None,
            MetricType::Counter,
        )?;
        for member in &members {
            let set = [("upstream", "shields"), ("origin", &*member.name)];
            ConstCounter::new(member.asked).encode(family.encode_family(&set)?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Shields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shields").finish_non_exhaustive()
    }
}
