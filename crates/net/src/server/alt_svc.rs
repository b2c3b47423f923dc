//! Telling clients of HTTP/1.1 and HTTP/2 that HTTP/3 is here (RFC 7838 §3).

use http::HeaderValue;

/// The `Alt-Svc` value that offers HTTP/3 on `port` of the same host for a day.
pub fn alt_svc(port: u16) -> HeaderValue {
    HeaderValue::try_from(format!("h3=\":{port}\"; ma=86400"))
        .unwrap_or_else(|_| HeaderValue::from_static("clear"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_h3_the_port_and_a_day() {
        assert_eq!(super::alt_svc(8443), "h3=\":8443\"; ma=86400");
    }
}
