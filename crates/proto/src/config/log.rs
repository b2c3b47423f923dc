//! `[log]`: what the process writes down of its answers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::text::List;

/// What is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Log {
    /// The file of the access log, a line for each answer; `-` is standard output. It is opened again
    /// at SIGUSR1, and at SIGHUP. Default none. Bound: none. Danger: addresses of clients are in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<PathBuf>,
    /// How lines are written: `json`, or in the `combined` format, which knows neither host nor cache.
    /// Default `json`. Bound: `json` or `combined`. Danger: none.
    pub format: LogFormat,
    /// Of how many answers one has a line, 1 being all; which, hangs on client, host and path. Unit: answers.
    /// Default 1. Bound: 1 to 1,000,000. Danger: what has no line, nobody can look up.
    pub sample: u32,
    /// Whether errors all have a line, whatever `sample`: answers of 400 and above, and bodies that an
    /// upstream broke off. Default true. Bound: none. Danger: who asks for what is not there has lines
    /// written.
    pub all_errors: bool,
    /// Whether lines name a client's network, of 24 bits of IPv4 or 48 of IPv6, instead of its address and
    /// port. Default false. Bound: none. Danger: without, lines tell which person watched what.
    pub anonymise: bool,
    /// Whether queries are told, with `***` for the values of `masked`. Default false. Bound: none. Danger:
    /// a token under a name that is not masked can be read in the log.
    pub query: bool,
    /// Parameters of queries whose values are not told, in whatever case and however they are escaped.
    /// Without them, those that hold secrets by common use: `token`, `sig`, `signature`, `key`, `password`,
    /// `jwt` and their like. Default none. Bound: at most 64. Danger: a list of your own takes the place of
    /// these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masked: Option<List<String>>,
    /// Lines of each worker that may wait for the disk; more are dropped and counted. Unit: lines. Default
    /// 8192. Bound: 1 to 1,000,000. Danger: each takes up to three quarters of a kilobyte.
    pub queue: u32,
}

/// How lines of the access log are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LogFormat {
    /// A line of JSON.
    #[default]
    Json,
    /// The combined format of other servers.
    Combined,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            access: None,
            format: LogFormat::Json,
            sample: 1,
            all_errors: true,
            anonymise: false,
            query: false,
            masked: None,
            queue: 8192,
        }
    }
}
