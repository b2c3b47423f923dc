//! The one host that a request names (RFC 9110 §7.2, RFC 9112 §3.2, RFC 9113 §8.3.1).

use http::{HeaderMap, HeaderValue, Uri, header};

use super::path::table;

/// What may be in a host with its port (RFC 3986 §3.2.2).
const IN_HOST: [bool; 256] = table(b"-._~:[]%!$&'()*+,;=");
/// What of it with its port is longer than any name.
const LONGEST: usize = 255;

/// A host in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Host<'r> {
    /// Without the dot of the root.
    name: &'r [u8],
    /// With its colon; empty where none is said.
    port: &'r [u8],
    /// Whether the name ended in the dot that stands for the root of all names (RFC 1034 §3.1): it
    /// is the same host with and without.
    pub(super) is_rooted: bool,
}

impl<'r> Host<'r> {
    /// That of a request; `None` where it names none.
    ///
    /// # Errors
    /// What is wrong, where it names two or what is none.
    pub(super) fn of(uri: &'r Uri, headers: &'r HeaderMap) -> Result<Option<Self>, &'static str> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().map(HeaderValue::as_bytes);
        if hosts.next().is_some() {
            return Err("there is more than one host");
        }
        let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
        let named = match (authority, host) {
            (Some(a), Some(b)) if !a.eq_ignore_ascii_case(b) => {
                return Err("the target and the host field differ");
            }
            (Some(host), _) | (None, Some(host)) => host,
            (None, None) => return Ok(None),
        };
        Self::read(named).map(Some).ok_or("the host is not a host")
    }

    fn read(named: &'r [u8]) -> Option<Self> {
        if named.len() > LONGEST || !named.iter().all(|byte| IN_HOST[usize::from(*byte)]) {
            return None;
        }
        let end = match named {
            [b'[', rest @ ..] => rest.iter().position(|byte| *byte == b']')? + 2,
            _ => named.iter().position(|byte| *byte == b':').unwrap_or(named.len()),
        };
        let (name, port) = named.split_at_checked(end)?;
        let is_port = match port {
            [] => true,
            [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
            _ => false,
        };
        let rootless = name.strip_suffix(b".");
        let (name, is_rooted) = (rootless.unwrap_or(name), rootless.is_some());
        // Behind the root there is nothing, and nothing has no name.
        (is_port && !name.is_empty() && !name.ends_with(b".")).then_some(Self {
            name,
            port,
            is_rooted,
        })
    }

    /// Whether this is what `known` says, in letters of either case.
    pub(super) fn is(&self, known: &str) -> bool {
        let split = known.as_bytes().split_at_checked(self.name.len());
        split.is_some_and(|(name, port)| name.eq_ignore_ascii_case(self.name) && port == self.port)
    }
}

/// Names the host of a request without the dot of the root, that of which [`Host::is_rooted`].
/// `None` where it cannot be read.
pub(super) fn unroot(uri: &mut Uri, headers: &mut HeaderMap) -> Option<()> {
    let Host { name, port, .. } = Host::of(uri, headers).ok()??;
    let named = HeaderValue::from_bytes(&[name, port].concat()).ok()?;
    if uri.authority().is_some() {
        let mut parts = uri.clone().into_parts();
        parts.authority = Some(named.as_bytes().try_into().ok()?);
        *uri = Uri::from_parts(parts).ok()?;
    }
    if let Some(host) = headers.get_mut(header::HOST) {
        *host = named;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn rfc_1034_3_1_a_host_is_the_same_with_the_dot_of_the_root() {
        for (named, name, port, is_rooted) in [
            ("video.example", "video.example", "", false),
            ("video.example.", "video.example", "", true),
            ("video.example.:8443", "video.example", ":8443", true),
            ("[::1]:8443", "[::1]", ":8443", false),
            ("video.example:", "video.example", ":", false),
        ] {
            let (name, port) = (name.as_bytes(), port.as_bytes());
            let host = Host::read(named.as_bytes()).unwrap();
            assert_eq!(host, Host { name, port, is_rooted }, "{named}");
        }
        for none in [".", "..", "a..", ".:1", "", ":1", "[::1].", "[]x"] {
            assert_eq!(Host::read(none.as_bytes()), None, "{none}");
        }
        let host = Host::read(b"Video.Example.:8443").unwrap();
        assert!(host.is("video.example:8443"));
        assert!(!host.is("video.example") && !host.is("video.example:84430"));
    }

    #[test]
    fn the_dot_is_taken_off_wherever_the_host_stands() {
        let host = HeaderValue::from_static("a.example.:81");
        for (target, named, without) in [
            ("/x?y", Some(&host), "/x?y"),
            ("https://a.example.:81/x?y", Some(&host), "https://a.example:81/x?y"),
            ("https://a.example.:81/x?y", None, "https://a.example:81/x?y"),
        ] {
            let (mut uri, mut headers) = (Uri::from_static(target), HeaderMap::new());
            if let Some(host) = named {
                headers.insert(header::HOST, host.clone());
            }
            unroot(&mut uri, &mut headers).unwrap();
            assert_eq!(uri, without);
            assert_eq!(headers.contains_key("host"), named.is_some());
            assert!(headers.get("host").is_none_or(|host| host == "a.example:81"));
        }
    }
}
