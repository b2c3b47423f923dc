//! Whose pages may show what is served: the hosts that `Referer` may name (RFC 9110 §10.1.3).
//!
//! A rule against pages that embed what is not theirs, and no more: browsers alone tell the truth in
//! this field, and leave it out where a page, its user or an extension wants it.

use std::sync::Arc;

use headwater_net::Problem;
use http::{HeaderMap, Request, StatusCode, header};

use crate::guard::{GuardLayer, Rule};
use crate::route_policy::RoutePolicy;

/// Hosts of pages, and whether a request has to name one. Clones are of the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrers {
    /// In lower case; `.name` for all below a name.
    hosts: Arc<[Box<str>]>,
    missing: bool,
}

impl Referrers {
    /// Lets in what pages of these hosts ask for: `video.example`, or `*.video.example` for all below it.
    /// Ports do not count. Requests that name no page are not let in.
    #[must_use]
    pub fn new<H: AsRef<str>>(hosts: impl IntoIterator<Item = H>) -> Self {
        let host = |host: H| {
            let host = host.as_ref().to_ascii_lowercase();
            host.strip_prefix('*').map_or(host.as_str(), |below| below).into()
        };
        Self { hosts: hosts.into_iter().map(host).collect(), missing: false }
    }

    /// Whether requests that name no page are let in, too: applications and television sets name none,
    /// and neither do browsers where they are told not to.
    #[must_use]
    pub const fn or_missing(mut self, missing: bool) -> Self {
        self.missing = missing;
        self
    }

    fn lets_in(&self, headers: &HeaderMap) -> bool {
        let mut lines = headers.get_all(header::REFERER).iter();
        match (lines.next(), lines.next()) {
            (None, _) => self.missing,
            (Some(line), None) => host_of(line.as_bytes()).is_some_and(|host| self.has(host)),
            (Some(_), Some(_)) => false,
        }
    }

    fn has(&self, host: &[u8]) -> bool {
        self.hosts.iter().map(|known| known.as_bytes()).any(|known| match known {
            [b'.', ..] => {
                let end = host.len().checked_sub(known.len()).filter(|begins| *begins > 0);
                let end = end.and_then(|begins| host.get(begins..));
                end.is_some_and(|end| end.eq_ignore_ascii_case(known))
            }
            known => host.eq_ignore_ascii_case(known),
        })
    }
}

/// The host of a page's address, without its port; `None` where it is none of HTTP, or names a user.
fn host_of(page: &[u8]) -> Option<&[u8]> {
    let scheme = |name: &[u8]| {
        let (scheme, rest) = page.split_at_checked(name.len())?;
        scheme.eq_ignore_ascii_case(name).then_some(rest)
    };
    let rest = scheme(b"https://").or_else(|| scheme(b"http://"))?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\'));
    let authority = rest.get(..end.unwrap_or(rest.len()))?;
    if authority.contains(&b'@') {
        return None;
    }
    let port = authority.iter().rposition(|byte| *byte == b':');
    let is_port =
        |at: usize| authority.get(at + 1..).is_some_and(|port| port.iter().all(u8::is_ascii_digit));
    match port.filter(|at| is_port(*at)) {
        Some(at) => authority.get(..at),
        None => Some(authority),
    }
    .filter(|host| !host.is_empty())
}

/// What a [`ReferrerLayer`] goes by where a request's [`RoutePolicy`] says nothing else; by default nothing.
#[derive(Clone, Debug, Default)]
pub struct ReferrerRules(pub Option<Referrers>);

impl Rule for ReferrerRules {
    fn admit<B>(&self, request: &mut Request<B>) -> Result<(), Problem> {
        let here =
            RoutePolicy::of(request.extensions()).and_then(|policy| policy.referrers.as_ref());
        match here.or(self.0.as_ref()) {
            Some(referrers) if !referrers.lets_in(request.headers()) => {
                let problem = Problem::new(StatusCode::FORBIDDEN);
                Err(problem.detail("this is not shown on pages of others"))
            }
            _ => Ok(()),
        }
    }
}

/// Lets in what pages of some hosts ask for; others are answered 403.
pub type ReferrerLayer = GuardLayer<ReferrerRules>;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn lets_in(referrers: &Referrers, lines: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::REFERER, line.parse().unwrap());
        }
        referrers.lets_in(&headers)
    }

    #[test]
    fn pages_of_named_hosts_are_let_in() {
        let referrers = Referrers::new(["video.example", "*.Partner.example", "[2001:db8::1]"]);
        for (page, let_in) in [
            ("https://video.example/", true),
            ("HTTPS://VIDEO.example:8443/a?b#c", true),
            ("http://video.example", true),
            ("https://video.example?x=https://other.example", true),
            ("https://www.partner.example/", true),
            ("https://[2001:db8::1]:8443/", true),
            ("https://partner.example/", false),
            ("https://notpartner.example/", false),
            ("https://.partner.example/", false),
            ("https://video.example.evil.example/", false),
            ("https://evil.example/https://video.example/", false),
            ("https://video.example@evil.example/", false),
            ("https://evil.example\\@video.example/", false),
            ("https://evil.example#@video.example/", false),
            ("//video.example/", false),
            ("android-app://video.example/", false),
            ("video.example", false),
            ("https://", false),
            ("", false),
        ] {
            assert_eq!(lets_in(&referrers, &[page]), let_in, "{page}");
        }
        let two = ["https://video.example/", "https://video.example/"];
        assert!(!lets_in(&referrers, &two), "two lines are two stories");
    }

    #[test]
    fn who_names_no_page_is_let_in_where_that_is_wanted() {
        let referrers = Referrers::new(["video.example"]);
        assert!(!lets_in(&referrers, &[]));
        assert!(lets_in(&referrers.or_missing(true), &[]));
    }
}
