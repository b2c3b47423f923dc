//! How long the certificates last, and what was ordered of authorities, for the page of metrics.
//!
//! | name | labels |
//! |---|---|
//! | `headwater_server_certificate_expires_seconds` | `name` |
//! | `headwater_server_certificate_orders_total` | `outcome` (`ok`, `failed`) |
//!
//! The first is the time until the certificate of a name ends, of several the one that ends first: less
//! than zero after it, and zero while one that the server signed itself stands in for one that has not
//! been issued yet. Of more than [`MAX_NAMES`] names, those that end first are shown. The second is there
//! where an authority is asked (ACME).

use std::collections::BTreeMap;
use std::fmt::Error;

use headwater_net::server::{CertificateStatus, Tls};
use headwater_net::{Clock, Timestamp};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// The most names that the page shows.
pub const MAX_NAMES: usize = 1_000;

/// Adds how long the certificates of `tls` last by `clock`, and what was ordered, to `registry`.
pub fn register_certificates(tls: &Tls, clock: Clock, registry: &mut Registry) {
    registry.register_collector(Box::new(Certificates { tls: tls.clone(), clock }));
}

#[derive(Debug)]
struct Certificates {
    tls: Tls,
    clock: Clock,
}

impl Collector for Certificates {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut family = encoder.encode_descriptor(
            "headwater_server_certificate_expires_seconds",
            "Time until the certificate of a name ends",
            None,
            MetricType::Gauge,
        )?;
        for (name, seconds) in left(self.tls.certificates(), self.clock.now()) {
            let label = [("name", name.as_str())];
            ConstGauge::new(seconds).encode(family.encode_family(&label)?)?;
        }
        let Some(orders) = self.tls.orders() else { return Ok(()) };
        let mut family = encoder.encode_descriptor(
            "headwater_server_certificate_orders",
            "Certificates ordered of an authority, by what became of it",
            None,
            MetricType::Counter,
        )?;
        for (outcome, count) in [("ok", orders.issued), ("failed", orders.failed)] {
            ConstCounter::new(count).encode(family.encode_family(&[("outcome", outcome)])?)?;
        }
        Ok(())
    }
}

/// Seconds left by name, the fewest first.
fn left(certificates: Vec<CertificateStatus>, now: Timestamp) -> Vec<(String, i64)> {
    let mut of: BTreeMap<String, i64> = BTreeMap::new();
    for CertificateStatus { names, expires, .. } in certificates {
        let seconds = |time: Timestamp| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let left = expires.map_or(0, |expires| seconds(expires) - seconds(now));
        for name in names {
            of.entry(name).and_modify(|least| *least = left.min(*least)).or_insert(left);
        }
    }
    let mut all: Vec<_> = of.into_iter().collect();
    all.sort_by_key(|(_, left)| *left);
    all.truncate(MAX_NAMES);
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use std::time::Duration;

    use prometheus_client::encoding::text;

    use super::*;

    #[test]
    fn each_name_is_told_with_the_time_that_it_has_left() {
        let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let made = |name: &str| Tls::self_signed([name], None, &clock).unwrap();
        let first = made("a.example");
        clock.advance(Duration::from_secs(86_400));
        let tls = first.and(&made("b.example")).unwrap();
        let page = || {
            let (mut registry, mut page) = (Registry::default(), String::new());
            register_certificates(&tls, clock.clone(), &mut registry);
            text::encode(&mut page, &registry).unwrap();
            page
        };
        let seconds = |name: &str| -> i64 {
            let page = page();
            let line = format!("headwater_server_certificate_expires_seconds{{name=\"{name}\"}} ");
            let value = page.lines().find_map(|one| one.strip_prefix(&line));
            value.unwrap_or_else(|| panic!("{line} is not in {page}")).parse().unwrap()
        };
        assert_eq!(seconds("b.example") - seconds("a.example"), 86_400);
        // Both are for it: the one that ends first counts.
        assert_eq!(seconds("localhost"), seconds("a.example"));
        clock.advance(Duration::from_secs(20 * 86_400));
        assert!(seconds("b.example") < 0);
        assert!(!page().contains("orders"), "nobody is asked");
    }
}
