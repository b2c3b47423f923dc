//! `[operator]`, `[process]`: who may ask the process, and how it is replaced.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::text::{Address, List};

/// Who may look inside and purge: metrics, health, purges and explanations over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Operator {
    /// Where the operator is answered, by plain HTTP. Default none. Bound: a loopback address, unless
    /// there is a token. Danger: what is said here, everybody on the way reads.
    pub listen: List<Address>,
    /// A Unix socket for the same, which its owner and their group may connect to. Default none. Bound:
    /// an absolute path. Danger: who may connect may purge, where there is no token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen_unix: Option<PathBuf>,
    /// The file of the token that purges and explanations want, in `Authorization: Bearer`; it is read
    /// again at SIGHUP. Default none.
    /// Bound: not beside `token_env`. Danger: without, whoever can connect may purge; pages of others
    /// in browsers may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// The environment variable that holds it. Default none. Bound: not beside `token_file`. Danger: who
    /// may read the process's environment may purge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
}

/// The process and the one after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Process {
    /// A Unix socket, for its owner alone, at which the next process comes in to take over: one that is
    /// started with the same takes over without a lost request. Default none. Bound: an absolute path.
    /// Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hand_over_socket: Option<PathBuf>,
}
