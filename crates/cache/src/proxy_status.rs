//! `Proxy-Status` (RFC 9209): why an answer that no origin gave is as it is.

use headwater_net::BodyError;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::upstream::BoxError;

/// `Proxy-Status`.
pub(crate) const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// What went wrong (§2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "client"), allow(dead_code, reason = "some are a client's alone"))]
pub(crate) enum ProxyError {
    /// §2.3.2
    DnsError,
    /// §2.3.4: no connection, and nothing more is known.
    DestinationUnavailable,
    /// §2.3.6
    DestinationIpUnroutable,
    /// §2.3.7
    ConnectionRefused,
    /// §2.3.8
    ConnectionTerminated,
    /// §2.3.9
    ConnectionTimeout,
    /// §2.3.12: as many fetches as there may be.
    ConnectionLimitReached,
    /// §2.3.13
    TlsProtocolError,
    /// §2.3.14
    TlsCertificateError,
    /// §2.3.15
    TlsAlertReceived,
    /// §2.3.16: what the client sent cannot be sent on.
    HttpRequestError,
    /// §2.3.21
    HttpResponseBodySize,
    /// §2.3.26
    HttpResponseTimeout,
    /// §2.3.28: what came is no HTTP.
    HttpProtocolError,
    /// §2.3.29: upstream was not asked.
    ProxyInternalResponse,
    /// §2.3.31
    ProxyConfigurationError,
    /// §2.3.32
    ProxyLoopDetected,
}

impl ProxyError {
    const fn as_str(self) -> &'static str {
        match self {
            Self::DnsError => "dns_error",
            Self::DestinationIpUnroutable => "destination_ip_unroutable",
            Self::ConnectionTimeout => "connection_timeout",
            Self::TlsProtocolError => "tls_protocol_error",
            Self::TlsCertificateError => "tls_certificate_error",
            Self::TlsAlertReceived => "tls_alert_received",
            Self::DestinationUnavailable => "destination_unavailable",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTerminated => "connection_terminated",
            Self::ConnectionLimitReached => "connection_limit_reached",
            Self::HttpRequestError => "http_request_error",
            Self::HttpResponseBodySize => "http_response_body_size",
            Self::HttpResponseTimeout => "http_response_timeout",
            Self::HttpProtocolError => "http_protocol_error",
            Self::ProxyInternalResponse => "proxy_internal_response",
            Self::ProxyConfigurationError => "proxy_configuration_error",
            Self::ProxyLoopDetected => "proxy_loop_detected",
        }
    }

    /// The status to answer with where upstream gave no answer: 504 where it took too long, 400 where the request
    /// could not be sent to its end (RFC 9209 §2.3.16), else 502 (RFC 9110 §15.6.3 and §15.6.5).
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::HttpResponseTimeout | Self::ConnectionTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::HttpRequestError => StatusCode::BAD_REQUEST,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// What an inner service's error comes to, by the first cause that tells.
    pub(crate) fn of(error: &BoxError) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
        // A chain of causes is short; the bound is against one that bites its tail.
        for _ in 0..16 {
            let Some(this) = cause else { break };
            if let Some(known) = known(this) {
                return known;
            }
            cause = this.source();
        }
        Self::DestinationUnavailable
    }
}

fn known(error: &(dyn std::error::Error + 'static)) -> Option<ProxyError> {
    use std::io::ErrorKind as Io;
    if error.is::<tokio::time::error::Elapsed>() {
        return Some(ProxyError::HttpResponseTimeout);
    }
    if let Some(io) = error.downcast_ref::<std::io::Error>() {
        return match io.kind() {
            Io::TimedOut => Some(ProxyError::HttpResponseTimeout),
            Io::ConnectionRefused => Some(ProxyError::ConnectionRefused),
            Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::UnexpectedEof => {
                Some(ProxyError::ConnectionTerminated)
            }
            _ => None,
        };
    }
    if let Some(BodyError::TimedOut) = error.downcast_ref() {
        return Some(ProxyError::HttpResponseTimeout);
    }
    #[cfg(feature = "client")]
    {
        use headwater_net::client::{Unconnected, UpstreamError};
        match error.downcast_ref()? {
            UpstreamError::Connect(why, _) => Some(match why {
                Unconnected::Name => ProxyError::DnsError,
                Unconnected::Refused => ProxyError::ConnectionRefused,
                Unconnected::Unroutable => ProxyError::DestinationIpUnroutable,
                Unconnected::Timeout => ProxyError::ConnectionTimeout,
                Unconnected::Certificate => ProxyError::TlsCertificateError,
                Unconnected::Alert => ProxyError::TlsAlertReceived,
                Unconnected::Tls => ProxyError::TlsProtocolError,
                _ => ProxyError::DestinationUnavailable,
            }),
            UpstreamError::Timeout => Some(ProxyError::HttpResponseTimeout),
            UpstreamError::TooLarge { .. } => Some(ProxyError::HttpResponseBodySize),
            UpstreamError::Reset(_) => Some(ProxyError::ConnectionTerminated),
            UpstreamError::Invalid(_) => Some(ProxyError::HttpProtocolError),
            UpstreamError::Request(_) | UpstreamError::RequestBody(_) => {
                Some(ProxyError::HttpRequestError)
            }
            UpstreamError::Config(_) => Some(ProxyError::ProxyConfigurationError),
            _ => None,
        }
    }
    #[cfg(not(feature = "client"))]
    None
}

/// A member of `Proxy-Status` by a cache of this name, which is a token or a string already (§2).
pub(crate) fn member(name: &str, error: ProxyError) -> HeaderValue {
    let text = format!("{name}; error={}", error.as_str());
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("headwater"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_9209_2_3_an_error_is_named_by_the_first_cause_that_tells() {
        let io = |kind: std::io::ErrorKind| BoxError::from(std::io::Error::from(kind));
        for (error, expected, status) in [
            (io(std::io::ErrorKind::TimedOut), "http_response_timeout", 504),
            (BodyError::TimedOut.into(), "http_response_timeout", 504),
            (io(std::io::ErrorKind::ConnectionRefused), "connection_refused", 502),
            (io(std::io::ErrorKind::UnexpectedEof), "connection_terminated", 502),
            ("something".into(), "destination_unavailable", 502),
        ] {
            let error = ProxyError::of(&error);
            assert_eq!((error.as_str(), error.status().as_u16()), (expected, status));
        }
        #[cfg(feature = "client")]
        {
            use headwater_net::client::{Unconnected, UpstreamError};
            for (why, expected, status) in [
                (Unconnected::Name, "dns_error", 502),
                (Unconnected::Refused, "connection_refused", 502),
                (Unconnected::Unroutable, "destination_ip_unroutable", 502),
                (Unconnected::Timeout, "connection_timeout", 504),
                (Unconnected::Certificate, "tls_certificate_error", 502),
                (Unconnected::Alert, "tls_alert_received", 502),
                (Unconnected::Tls, "tls_protocol_error", 502),
                (Unconnected::Other, "destination_unavailable", 502),
            ] {
                let error = ProxyError::of(&UpstreamError::Connect(why, "why".into()).into());
                assert_eq!((error.as_str(), error.status().as_u16()), (expected, status));
            }
            let error = ProxyError::of(&UpstreamError::TooLarge { limit: 1 }.into());
            assert_eq!(error.as_str(), "http_response_body_size");
            let error = ProxyError::of(&UpstreamError::RequestBody(BodyError::TimedOut).into());
            assert_eq!((error.as_str(), error.status().as_u16()), ("http_request_error", 400));
        }
        let member = member("\"edge 1\"", ProxyError::ProxyLoopDetected);
        assert_eq!(member, "\"edge 1\"; error=proxy_loop_detected");
    }
}
