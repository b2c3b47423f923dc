//! `[trace]`: which requests are recorded, and which collector is told.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::quantity::Time;
use super::text::{Field, Name, Url};

/// What an OpenTelemetry collector is told of requests, by OTLP over HTTP in JSON, and which requests of
/// different servers are one (W3C Trace Context). Without `endpoint` nothing is recorded, and `traceparent`
/// goes on to origins as it comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Trace {
    /// The collector, `http://HOST[:PORT][/PATH]` or `https://…`; it is asked at `/v1/traces` below that.
    /// Default none. Bound: none. Danger: without `https`, everybody on the way reads which paths are asked
    /// for, and the headers that let this edge in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Url>,
    /// What the collector knows this edge as (`service.name`). Default `headwater-edge`. Bound: none.
    /// Danger: none.
    pub service: Name,
    /// Of how many requests that belong to no trace one begins a trace; 1 records all, 0 none. Unit: requests.
    /// Default 1000. Bound: at most 1,000,000,000. Danger: with 1, each request costs two allocations and a
    /// kilobyte of JSON.
    pub sample: u32,
    /// Whether a request's own `traceparent` is believed: its trace goes on here, and is recorded
    /// where it says so, whatever `sample`; with false it is taken off. Default false. Bound: none.
    /// Danger: with true, whoever can ask decides what is recorded; it is for an edge that other
    /// edges ask.
    pub believe: bool,
    /// Headers for the collector, each with the file that holds its value. Default none. Bound: at most 16,
    /// with those of `header_envs`. Danger: who can read the files can write to the collector.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub header_files: BTreeMap<Field, PathBuf>,
    /// Headers for the collector, each with the environment variable that holds its value. Default none.
    /// Bound: none that is in `header_files`, too. Danger: as for `header_files`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub header_envs: BTreeMap<Field, String>,
    /// The file of authorities in PEM that the collector's certificate is signed by, in the place of the
    /// system's. Default none. Bound: `endpoint` is `https`. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Spans that may wait for the collector; more are dropped and counted. Unit: spans. Default 4096. Bound: 1
    /// to 1,000,000. Danger: each takes up to a third of a kilobyte.
    pub queue: u32,
    /// How long the collector may take for a message; then it is lost and counted. Default 10 s. Bound:
    /// 1 ms to 1 min. Danger: spans wait meanwhile, and fill the queue.
    pub timeout: Time,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            endpoint: None,
            service: Name::fixed("headwater-edge"),
            sample: 1000,
            believe: false,
            header_files: BTreeMap::new(),
            header_envs: BTreeMap::new(),
            ca: None,
            queue: 4096,
            timeout: Time::secs(10),
        }
    }
}
