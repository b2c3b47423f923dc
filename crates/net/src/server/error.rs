//! Why a server did not start: one sentence for the person at the keyboard.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a server did not start. Each message is one sentence that names the thing to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Neither `https` nor `http` was given.
    #[error("the server has no address to listen on")]
    NoAddress,
    /// An `https` address was given, and no certificate.
    #[error("an https address needs a certificate: none was given")]
    NoCertificate,
    /// An address could not be read or resolved.
    #[error("an address to listen on is not valid: {0}")]
    Address(#[source] io::Error),
    /// Another process, or this one, listens there already.
    #[error("{transport} port {} of {} is already in use", addr.port(), addr.ip())]
    AddressInUse {
        /// `TCP` or `UDP`.
        transport: &'static str,
        /// The address wanted.
        addr: SocketAddr,
    },
    /// The system does not let this user bind there.
    #[error("no permission to listen on {transport} port {} of {}", addr.port(), addr.ip())]
    Permission {
        /// `TCP` or `UDP`.
        transport: &'static str,
        /// The address wanted.
        addr: SocketAddr,
    },
    /// The address could not be bound for another reason, such as not being this machine's.
    #[error("cannot listen on {transport} {addr}: {source}")]
    Bind {
        /// `TCP` or `UDP`.
        transport: &'static str,
        /// The address wanted.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate or key file could not be read, or could not be written.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A PEM text holds nothing usable.
    #[error("{what} holds no {wanted} in PEM form")]
    Pem {
        /// The file's path, or what the text was given as.
        what: String,
        /// `certificate` or `private key`.
        wanted: &'static str,
    },
    /// The private key is not the certificate's.
    #[error("{key} is not the private key of the certificate in {certificate}")]
    KeyMismatch {
        /// Where the certificate came from.
        certificate: String,
        /// Where the key came from.
        key: String,
    },
    /// A certificate or key of a kind that is not supported, or that is damaged.
    #[error("the certificate or key cannot be used: {0}")]
    Certificate(String),
    /// What an authority is to be asked for makes no sense.
    #[cfg(feature = "acme")]
    #[error("no certificate can be asked for: {0}")]
    Acme(String),
    /// The key of the account with an authority that is called this is none.
    #[cfg(feature = "acme")]
    #[error("what was given for the external account {0} holds no key in base64url")]
    ExternalAccount(String),
    /// The operating system gave no thread, timer or event queue.
    #[error("cannot start a worker: {0}")]
    Worker(#[source] io::Error),
}

impl ServerError {
    /// Sorts what the system said about binding `addr`.
    pub(super) fn bind(transport: &'static str, addr: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::AddressInUse { transport, addr },
            io::ErrorKind::PermissionDenied => Self::Permission { transport, addr },
            _ => Self::Bind { transport, addr, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever runs the tests may be allowed to bind anything.
    #[test]
    fn a_missing_permission_is_named() {
        let addr = SocketAddr::from(([192, 0, 2, 1], 443));
        let error = ServerError::bind("TCP", addr, io::ErrorKind::PermissionDenied.into());
        assert_eq!(error.to_string(), "no permission to listen on TCP port 443 of 192.0.2.1");
    }
}
