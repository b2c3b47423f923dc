//! Whose pages may show what is served: the hosts that `Referer` may name (RFC 9110 §10.1.3).
//!
//! A rule against pages that embed what is not theirs, and no more: browsers alone tell the truth in
//! this field, and leave it out where a page, its user or an extension wants it.

use headwater_net::Problem;
use http::{HeaderMap, Request, StatusCode, header};

use crate::guard::{GuardLayer, Rule};
use crate::hosts::Hosts;
use crate::refusals::RefusedBy;
use crate::route_policy::RoutePolicy;

/// Hosts of pages, and whether a request has to name one. Clones are of the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrers {
    hosts: Hosts,
    missing: bool,
}

impl Referrers {
    /// Lets in what pages of these hosts ask for: `video.example`, or `*.video.example` for all below it.
    /// Ports do not count. Requests that name no page are not let in.
    #[must_use]
    pub fn new<H: AsRef<str>>(hosts: impl IntoIterator<Item = H>) -> Self {
        Self { hosts: Hosts::new(hosts), missing: false }
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
            (Some(line), None) => host_of(line.as_bytes()).is_some_and(|host| self.hosts.has(host)),
            (Some(_), Some(_)) => false,
        }
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
    let host = match port.filter(|at| is_port(*at)) {
        Some(at) => authority.get(..at)?,
        None => authority,
    };
    // What else has a colon is an address of IPv6, in brackets.
    let is_bracketed = host.starts_with(b"[") && host.ends_with(b"]");
    (!host.is_empty() && (is_bracketed || !host.contains(&b':'))).then_some(host)
}

/// What a [`ReferrerLayer`] goes by where a request's [`RoutePolicy`] says nothing else; by default nothing.
#[derive(Clone, Debug, Default)]
pub struct ReferrerRules(pub Option<Referrers>);

impl Rule for ReferrerRules {
    const BY: RefusedBy = RefusedBy::Referrers;

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
    use proptest::prelude::*;

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
            ("https://video.example:x/", false),
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

    proptest! {
        /// What a browser names a page by is read as the standard of URLs reads it (RFC 3986 §3.2).
        #[test]
        fn the_host_is_the_one_that_a_reader_of_urls_finds(
            page in "(https?://)?([a-z.:@/?#\\\\0-9-]{0,3}|video.example|%2e){0,8}"
        ) {
            let ours = host_of(page.as_bytes());
            let Ok(uri) = page.parse::<http::Uri>() else { return Ok(()) };
            let is_page = uri.scheme_str().is_some_and(|scheme| scheme.starts_with("http"));
            // A backslash is a slash to browsers, and an ordinary byte there.
            if let Some(host) = ours.filter(|_| is_page && !page.contains('\\')) {
                prop_assert_eq!(Some(host), uri.host().map(str::as_bytes), "{}", page);
            }
        }

        #[test]
        fn nobody_is_let_in_by_what_is_no_host_of_theirs(page in prop::collection::vec(any::<u8>(), 0..64)) {
            let referrers = Referrers::new(["video.example", "*.video.example"]);
            let mut headers = HeaderMap::new();
            if let Ok(line) = http::HeaderValue::from_bytes(&page) {
                headers.append(header::REFERER, line);
                let named = page.to_ascii_lowercase();
                let names = named.windows(13).any(|part| part == b"video.example");
                prop_assert!(names || !referrers.lets_in(&headers));
            }
        }
    }
}
