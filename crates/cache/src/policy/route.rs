//! What holds for the requests of one route: how they are told apart, what upstream is asked, and
//! where the operator knows better than the origin.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::parameters::Parameters;
use super::{Lifetime, Overrides};

/// Rules for the requests that a pattern matches. Without rules, RFC 9111 holds.
///
/// A pattern is `HOST/PATH` or `/PATH`: a host is a name or `*.` and a name; in a path `*` stands
/// for any bytes of one segment, `**` for any number of segments.
#[derive(Clone, Debug)]
#[must_use = "a route does nothing until it is put into rules"]
pub struct Route {
    pub(super) pattern: String,
    pub(super) parameters: Parameters,
    pub(super) sorted: bool,
    pub(super) host: Option<HeaderValue>,
    pub(super) any_port: bool,
    pub(super) by_device: bool,
    pub(super) bypass: bool,
    pub(super) in_slices: bool,
    pub(super) rewrite: Option<(String, String)>,
    ttl: Option<Lifetime>,
    stale_while_revalidate: Option<Duration>,
    stale_if_error: Option<Duration>,
    errors: Vec<(RangeInclusive<u16>, Duration)>,
    ignore_set_cookie: bool,
    request: Vec<Edit>,
    response: Vec<Edit>,
    wrong: Option<RuleError>,
}

/// Why rules were not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// A route's pattern means nothing.
    #[error("the route `{pattern}` cannot be read: {why}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A route's rule means nothing.
    #[error("the route `{pattern}` has a wrong {rule}: {why}")]
    Rule {
        /// The route's pattern.
        pattern: String,
        /// The rule.
        rule: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// A field set or removed.
#[derive(Clone, Debug)]
struct Edit(HeaderName, Option<HeaderValue>);

impl Route {
    /// Rules for what `pattern` matches.
    pub fn on(pattern: impl Into<String>) -> Self {
        Self {
            pattern: pattern.into(),
            parameters: Parameters::All,
            sorted: false,
            host: None,
            any_port: false,
            by_device: false,
            bypass: false,
            in_slices: false,
            rewrite: None,
            ttl: None,
            stale_while_revalidate: None,
            stale_if_error: None,
            errors: Vec::new(),
            ignore_set_cookie: false,
            request: Vec::new(),
            response: Vec::new(),
            wrong: None,
        }
    }

    /// Only these query parameters (and LL-HLS directives) tell resources apart. Upstream sees no
    /// others.
    pub fn only_parameters<S: Into<Box<str>>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Self {
        self.parameters = Parameters::Only(names.into_iter().map(Into::into).collect());
        self
    }

    /// All query parameters but these tell resources apart. Upstream does not see these.
    pub fn without_parameters<S: Into<Box<str>>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Self {
        self.parameters = Parameters::Without(names.into_iter().map(Into::into).collect());
        self
    }

    /// The order of query parameters with different names does not count; upstream sees them in
    /// the order of their names.
    pub fn sort_parameters(mut self) -> Self {
        self.sorted = true;
        self
    }

    /// All hosts of this route are one, with this name in keys and upstream.
    pub fn as_host(mut self, host: &str) -> Self {
        let host = host.to_ascii_lowercase();
        let named = host.parse::<http::uri::Authority>().is_ok();
        match HeaderValue::from_str(&host) {
            Ok(value) if named => self.host = Some(value),
            _ => self.is_wrong("host", format!("`{host}` is none")),
        }
        self
    }

    /// A host is the same on all ports, in keys and upstream: for a site that listens on several, or on
    /// one behind another's. Without, the port that a client names is part of the key where it is not
    /// its scheme's own.
    pub fn any_port(mut self) -> Self {
        self.any_port = true;
        self
    }

    /// Each [class of devices](super::RulesBuilder::device) has answers of its own; upstream is
    /// told the class in `Headwater-Device`.
    pub fn by_device(mut self) -> Self {
        self.by_device = true;
        self
    }

    /// Requests go past the cache.
    pub fn bypass(mut self) -> Self {
        self.bypass = true;
        self
    }

    /// What is here is large: see [`Policy::in_slices`](crate::Policy::in_slices).
    pub fn in_slices(mut self) -> Self {
        self.in_slices = true;
        self
    }

    /// Upstream is asked for a path that begins with `to` where the client's begins with `from`.
    /// Keys keep the client's path.
    pub fn rewrite(mut self, from: impl Into<String>, to: impl Into<String>) -> Self {
        let (from, to) = (from.into(), to.into());
        if from.starts_with('/')
            && (to.is_empty() || to.starts_with('/'))
            && !to.contains(['?', '#'])
        {
            self.rewrite = Some((from, to));
        } else {
            self.is_wrong("rewrite", format!("`{from}` to `{to}` is not from path to path"));
        }
        self
    }

    /// How long responses that are no errors are fresh.
    pub fn ttl(mut self, lifetime: Lifetime) -> Self {
        self.ttl = Some(lifetime);
        self
    }

    /// How long they may answer stale while they are revalidated (RFC 5861 §3), whatever the
    /// origin says of that.
    pub fn stale_while_revalidate(mut self, time: Duration) -> Self {
        self.stale_while_revalidate = Some(time);
        self
    }

    /// How long they may answer stale when upstream fails (RFC 5861 §4), whatever the origin says
    /// of that.
    pub fn stale_if_error(mut self, time: Duration) -> Self {
        self.stale_if_error = Some(time);
        self
    }

    /// How long errors with these statuses are kept (negative caching), whether or not the origin
    /// says that they may be: `error_ttl(404..=404, …)`, `error_ttl(500..=599, …)`. The first range
    /// that holds a status counts.
    pub fn error_ttl(mut self, statuses: RangeInclusive<u16>, time: Duration) -> Self {
        if *statuses.start() < 400 || *statuses.end() > 599 || statuses.is_empty() {
            self.is_wrong("error_ttl", format!("{statuses:?} are not statuses of errors"));
        } else {
            self.errors.push((statuses, time));
        }
        self
    }

    /// `Set-Cookie` is taken off what upstream answers: it neither reaches clients nor keeps a
    /// response from being stored.
    pub fn ignore_set_cookie(mut self) -> Self {
        self.ignore_set_cookie = true;
        self
    }

    /// Upstream's requests have this field.
    pub fn set_request_header(mut self, name: &str, value: &str) -> Self {
        let edit = self.edit("set_request_header", name, Some(value));
        self.request.extend(edit);
        self
    }

    /// Upstream's requests do not have this field.
    pub fn remove_request_header(mut self, name: &str) -> Self {
        let edit = self.edit("remove_request_header", name, None);
        self.request.extend(edit);
        self
    }

    /// Upstream's answers count as if they had this field: `cache-control`, too.
    pub fn set_response_header(mut self, name: &str, value: &str) -> Self {
        let edit = self.edit("set_response_header", name, Some(value));
        self.response.extend(edit);
        self
    }

    /// Upstream's answers count as if they did not have this field.
    pub fn remove_response_header(mut self, name: &str) -> Self {
        let edit = self.edit("remove_response_header", name, None);
        self.response.extend(edit);
        self
    }

    fn edit(&mut self, rule: &'static str, name: &str, value: Option<&str>) -> Option<Edit> {
        const FRAMING: [HeaderName; 4] =
            [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::HOST];
        let read = name.parse::<HeaderName>().ok().filter(|name| !FRAMING.contains(name));
        let value = value.map(HeaderValue::from_str).transpose();
        match (read, value) {
            (Some(name), Ok(value)) => Some(Edit(name, value)),
            (None, _) => {
                self.is_wrong(rule, format!("`{name}` is no field that may be changed"));
                None
            }
            (_, Err(_)) => {
                self.is_wrong(rule, format!("the value of `{name}` is none"));
                None
            }
        }
    }

    fn is_wrong(&mut self, rule: &'static str, why: String) {
        let pattern = self.pattern.clone();
        self.wrong.get_or_insert(RuleError::Rule { pattern, rule, why });
    }

    pub(super) fn check(&self) -> Result<(), RuleError> {
        self.wrong.clone().map_or(Ok(()), Err)
    }

    pub(super) fn edit_request(&self, headers: &mut HeaderMap) {
        edit(&self.request, headers);
    }

    pub(super) fn edit_response(&self, headers: &mut HeaderMap) {
        if self.ignore_set_cookie {
            headers.remove(header::SET_COOKIE);
        }
        edit(&self.response, headers);
    }

    pub(super) fn overrides(&self, status: StatusCode) -> Overrides {
        let code = status.as_u16();
        let lifetime = if code < 400 {
            self.ttl
        } else {
            let time = self.errors.iter().find(|(range, _)| range.contains(&code));
            time.map(|(_, time)| Lifetime::Exactly(*time))
        };
        let stale = |time: Option<Duration>| time.filter(|_| code < 400);
        Overrides {
            lifetime,
            stale_while_revalidate: stale(self.stale_while_revalidate),
            stale_if_error: stale(self.stale_if_error),
        }
    }
}

fn edit(edits: &[Edit], headers: &mut HeaderMap) {
    for Edit(name, value) in edits {
        match value {
            Some(value) => {
                headers.insert(name, value.clone());
            }
            None => {
                headers.remove(name);
            }
        }
    }
}
