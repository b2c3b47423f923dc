//! `[server.acme]`: certificates that the server gets for itself from an authority.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::text::{Directory, Host, List};

/// Certificates that the server gets for itself from an authority (ACME, RFC 8555), and renews
/// (docs/certificates.md). Naming a directory agrees to the authority's terms of service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Acme {
    /// The URL of the authority's directory, such as
    /// `https://acme-v02.api.letsencrypt.org/directory`. Default none. Bound: `domains` and `folder`
    /// must be there, too. Danger: authorities limit how often they are asked; try with one for tests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<Directory>,
    /// Names that a certificate is asked for, each its own. Default none. Bound: at most 100, spelt out:
    /// no wildcard and no address. Danger: each must lead to this server, or the authority refuses it.
    pub domains: List<Host>,
    /// Whether one certificate is for all of the names. Default false. Bound: none. Danger: with true, a
    /// name that the authority refuses keeps all others from a new certificate.
    pub together: bool,
    /// Where the authority may write to, such as `mailto:operations@video.example`. Default none. Bound:
    /// `mailto:` and an address. Danger: without, nobody is told when renewing fails for long.
    pub contact: List<String>,
    /// What shows that a name is this server's: `tls-alpn-01`, a handshake that the authority begins
    /// with port 443, or `http-01`, a request that it sends to port 80. Default `tls-alpn-01`. Bound:
    /// `listen`, or `listen_http`, must be there. Danger: what stands before the server must pass it on.
    pub challenge: Challenge,
    /// The folder of the account's key and of the certificates with theirs, which is made where there is
    /// none. Default none. Bound: an absolute path. Danger: who can read it can be these sites; one that
    /// does not outlive the machine asks the authority anew, up to its limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// The file of authorities in PEM that the directory's own certificate is signed by, in the place of
    /// the system's. Default none. Bound: none. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The name of the account with the authority that the one made here is bound to (RFC 8555 §7.3.4).
    /// Default none. Bound: `eab_key_file` or `eab_key_env` must be there, too. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eab_key_id: Option<String>,
    /// The file of that account's key, in base64url. Default none. Bound: not beside `eab_key_env`.
    /// Danger: who can read it can have certificates issued on that account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eab_key_file: Option<PathBuf>,
    /// The environment variable that holds it. Default none. Bound: not beside `eab_key_file`. Danger: as
    /// for `eab_key_file`, for who may read the process's environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eab_key_env: Option<String>,
}

/// What shows that a name is the server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Challenge {
    /// A handshake (RFC 8737).
    #[default]
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// A request over plain HTTP (RFC 8555 §8.3).
    #[serde(rename = "http-01")]
    Http01,
}
