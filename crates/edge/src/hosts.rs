//! Names of hosts, and all that is below a name, as lists of an operator's have them.

use std::sync::Arc;

/// Hosts, in lower case; `.name` for all below a name, and an empty one for any. Clones are of the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hosts(Arc<[Box<str>]>);

impl Hosts {
    /// `video.example`, `*.video.example` for all below it, or `*`.
    pub(crate) fn new<H: AsRef<str>>(hosts: impl IntoIterator<Item = H>) -> Self {
        let host = |host: H| {
            let host = host.as_ref().to_ascii_lowercase();
            host.strip_prefix('*').map_or(host.as_str(), |below| below).into()
        };
        Self(hosts.into_iter().map(host).collect())
    }

    /// Whether a host, without its port, is among them.
    pub(crate) fn has(&self, host: &[u8]) -> bool {
        self.0.iter().map(|known| known.as_bytes()).any(|known| match known {
            [] => true,
            [b'.', ..] => {
                let end = host.len().checked_sub(known.len()).filter(|begins| *begins > 0);
                let end = end.and_then(|begins| host.get(begins..));
                end.is_some_and(|end| end.eq_ignore_ascii_case(known))
            }
            known => host.eq_ignore_ascii_case(known),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_named_or_below_a_name() {
        let hosts = Hosts::new(["Video.example", "*.partner.example"]);
        for (host, is_there) in [
            ("video.example", true),
            ("VIDEO.EXAMPLE", true),
            ("a.partner.example", true),
            ("a.b.Partner.example", true),
            ("partner.example", false),
            (".partner.example", false),
            ("notpartner.example", false),
            ("a.video.example", false),
            ("", false),
        ] {
            assert_eq!(hosts.has(host.as_bytes()), is_there, "{host}");
        }
        assert!(Hosts::new(["*"]).has(b"any.example"));
        let none: [&str; 0] = [];
        assert!(!Hosts::new(none).has(b"any.example"));
    }
}
