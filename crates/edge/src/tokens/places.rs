//! Where a request carries its token, and how it is taken off.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use headwater_net::query::{self, parameters};
use headwater_net::{Body, Timestamp};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header};

use super::cat::{Renewed, Way};
use super::verifier::Allowed;
use crate::normalise;

/// A place for a token in a request, in the order in which they count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// `/t/TOKEN/…`: URLs relative to such a one keep it.
    Path,
    /// A parameter of the query: URLs relative to such a one lose it.
    Query,
    /// `Authorization: Bearer` or `CTA-Common-Access-Token`, which only scripts can send.
    Header,
    /// A cookie.
    Cookie,
}

/// What a Common Access Token is called in a field and as a cookie, and in a query (CTA-5007).
const CAT: &str = "CTA-Common-Access-Token";
const CAT_FIELD: HeaderName = HeaderName::from_static("cta-common-access-token");
const CAT_PARAMETER: &str = "CAT";

/// Where tokens are looked for. The query and `Authorization: Bearer` always are, and where CTA-5007
/// puts a Common Access Token: the field and the cookie `CTA-Common-Access-Token`, the parameter `CAT`.
#[derive(Clone, Debug)]
pub struct Places {
    path: Option<Box<str>>,
    parameter: Box<str>,
    cookie: Box<str>,
    give_cookie: bool,
}

/// A token as it came. Debugged, it says where alone.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) text: String,
    pub(super) place: Place,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("place", &self.place).finish_non_exhaustive()
    }
}

/// In a request's extensions: the token that its path had. Debugged, it is not shown.
#[derive(Clone)]
struct FromPath(String);

impl fmt::Debug for FromPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromPath")
    }
}

impl Default for Places {
    /// The parameter `token`, the cookie `headwater-token`, no path; no cookie is given.
    fn default() -> Self {
        Self {
            path: None,
            parameter: "token".into(),
            cookie: "headwater-token".into(),
            give_cookie: false,
        }
    }
}

impl Places {
    /// What a path with a token in it begins with, such as `/t/`; with a `/` at both ends. Then
    /// `/t/TOKEN/films/7/index.m3u8` asks for `/films/7/index.m3u8`, and what that names by relative
    /// URLs is asked for with the same token. Default none.
    #[must_use]
    pub fn path(mut self, begins: impl Into<Box<str>>) -> Self {
        self.path = Some(begins.into()).filter(|path| path.starts_with('/') && path.ends_with('/'));
        self
    }

    /// The query's parameter. Default `token`.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<Box<str>>) -> Self {
        self.parameter = name.into();
        self
    }

    /// The cookie's name. Default `headwater-token`.
    #[must_use]
    pub fn cookie(mut self, name: impl Into<Box<str>>) -> Self {
        self.cookie = name.into();
        self
    }

    /// Whether who comes with a token in the query is given it as a cookie, for the path that it lets
    /// in and until it expires: so it reaches what a manifest names by relative URLs, where the player
    /// keeps cookies. Default false.
    #[must_use]
    pub const fn give_cookie(mut self, give: bool) -> Self {
        self.give_cookie = give;
        self
    }

    /// Takes a token off the path, where there is one, and keeps it in the request's extensions for
    /// the layer. The path is read as [`normalise`](crate::normalise) makes it, and loses one token, however
    /// often this is called: what is left is what is asked for. To be called before anything looks at the
    /// path: a log, for example, or who chooses a route.
    pub fn take_path<B>(&self, request: &mut Request<B>) {
        let Some(begins) = &self.path else { return };
        if request.extensions().get::<FromPath>().is_some() {
            return;
        }
        // Without an escape it is in that form or is refused later; what is refused later has no other form, and
        // loses its token all the same.
        let escaped = request.uri().path().as_bytes().contains(&b'%');
        let normal = escaped.then(|| normalise::checked(request.uri())).flatten();
        let uri = normal.as_deref().unwrap_or(request.uri());
        let path = uri.path();
        let Some((token, _)) = path.strip_prefix(&**begins).and_then(|rest| rest.split_once('/'))
        else {
            return;
        };
        let token = token.to_owned();
        let rest = path.len().min(begins.len() + token.len());
        let target = uri.path_and_query().map_or("", PathAndQuery::as_str);
        let target = target.get(rest..).unwrap_or_default().to_owned();
        if let Some(uri) = with_target(uri, target) {
            *request.uri_mut() = uri;
            request.extensions_mut().insert(FromPath(token));
        }
    }

    /// The parameters of a query that hold tokens: what is written down of queries has no values of
    /// these.
    pub fn parameters(&self) -> [&str; 2] {
        [&self.parameter, CAT_PARAMETER]
    }

    /// Whether a cookie is one that holds tokens, by its name.
    pub(super) fn is_cookie(&self, name: &str) -> bool {
        name == &*self.cookie || name == CAT
    }

    /// Whether a field is one that holds a token and nothing else.
    pub(super) fn is_field(name: &HeaderName) -> bool {
        *name == CAT_FIELD
    }

    /// Takes every token off, and gives the one that counts, and what is to be asked where that has
    /// expired: the next that is another.
    pub(super) fn take<B>(&self, request: &mut Request<B>) -> [Option<Found>; 2] {
        self.take_path(request);
        let path = request.extensions_mut().remove::<FromPath>().map(|FromPath(text)| text);
        let query = self.take_query(request);
        let headers = request.headers_mut();
        let field = headers.remove(CAT_FIELD);
        let field = field.map(|field| as_text(field.as_bytes()));
        let bearer = take_bearer(headers);
        let (ours, theirs) = (take_cookie(headers, &self.cookie), take_cookie(headers, CAT));
        let all = [
            (path, Place::Path),
            (query, Place::Query),
            (bearer, Place::Header),
            (field, Place::Header),
            (ours, Place::Cookie),
            (theirs, Place::Cookie),
        ];
        let found = |(text, place): (Option<String>, Place)| Some(Found { text: text?, place });
        let mut all = all.into_iter().filter_map(found);
        let first = all.next();
        // The cookie that is given for a token in the query is that token.
        let next = all.find(|one| first.as_ref().is_some_and(|first| first.text != one.text));
        [first, next]
    }

    fn take_query<B>(&self, request: &mut Request<B>) -> Option<String> {
        let query = request.uri().query()?;
        // Most have none, and their other parameters may be long.
        if !parameters(query).any(|parameter| self.is_token(parameter)) {
            return None;
        }
        let mut found = None;
        let mut kept = String::new();
        for parameter in parameters(query) {
            if let Some(token) = self.token_in(parameter) {
                found = found.or_else(|| Some(token.into_owned()));
            } else {
                kept.push(if kept.is_empty() { '?' } else { '&' });
                kept.push_str(parameter);
            }
        }
        let found = found?;
        let target = format!("{}{kept}", request.uri().path());
        *request.uri_mut() = with_target(request.uri(), target)?;
        Some(found)
    }

    /// Whether a parameter is one that holds tokens, by its name.
    fn is_token(&self, parameter: &str) -> bool {
        let name = query::name(parameter);
        let names = |name: &str| *name == *self.parameter || name == CAT_PARAMETER;
        if name.contains(['%', '+']) {
            let read = form_urlencoded::parse(name.as_bytes()).next();
            return read.is_some_and(|(name, _)| names(&name));
        }
        names(name)
    }

    fn token_in<'p>(&self, parameter: &'p str) -> Option<Cow<'p, str>> {
        let read = || form_urlencoded::parse(parameter.as_bytes()).next();
        self.is_token(parameter).then(read).flatten().map(|(_, value)| value)
    }

    /// The cookie to give for a token that came in the query and was let in.
    pub(super) fn cookie_for(
        &self,
        found: &Found,
        allowed: &Allowed,
        is_tls: bool,
        now: Timestamp,
    ) -> Option<HeaderValue> {
        if !self.give_cookie || found.place != Place::Query {
            return None;
        }
        let mut cookie = format!("{}={}", self.cookie, found.text);
        cookie.push_str("; Path=");
        cookie.push_str(allowed.path.as_deref().filter(|path| !path.contains(';')).unwrap_or("/"));
        if let Some(expires) = allowed.expires {
            let _ = write!(cookie, "; Max-Age={}", expires.since(now).as_secs());
        }
        cookie.push_str(attributes(is_tls));
        HeaderValue::try_from(cookie).ok().map(secret)
    }
}

impl Places {
    /// Where a client comes again with a token that was made anew, if it is handed over so: to what it
    /// asked for, with the token in the path where it was there, and else in the query.
    pub(super) fn redirect<B>(
        &self,
        renewed: &Renewed,
        came: &Found,
        request: &Request<B>,
    ) -> Option<Response<Body>> {
        let Way::Redirect(status) = renewed.way else { return None };
        let (uri, token) = (request.uri(), &renewed.token);
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let location = if let (Some(begins), Place::Path) = (&self.path, came.place) {
            let path = uri.path().strip_prefix('/').unwrap_or_default();
            format!("{begins}{token}/{path}{query}")
        } else {
            let mark = if query.is_empty() { '?' } else { '&' };
            format!("{}{query}{mark}{CAT_PARAMETER}={token}", uri.path())
        };
        let location = HeaderValue::try_from(location).ok().map(secret)?;
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = status;
        response.headers_mut().insert(header::LOCATION, location);
        let private = HeaderValue::from_static("private, no-store");
        response.headers_mut().insert(header::CACHE_CONTROL, private);
        Some(response)
    }
}

/// The field of an answer that hands a token over which was made anew.
pub(super) fn hand_over(
    renewed: &Renewed,
    came: Place,
    is_tls: bool,
    now: Timestamp,
) -> Option<(HeaderName, HeaderValue)> {
    if renewed.way == Way::Header || (renewed.way == Way::Automatic && came == Place::Header) {
        let name = renewed.header.clone().unwrap_or(CAT_FIELD);
        return Some((name, HeaderValue::try_from(&renewed.token).ok().map(secret)?));
    }
    let name = renewed.cookie.as_deref().unwrap_or(CAT);
    let mut cookie = format!("{name}={}", renewed.token);
    if renewed.cookie_attributes.is_empty() {
        let lasts = renewed.expires.since(now).as_secs();
        let _ = write!(cookie, "; Path=/; Max-Age={lasts}{}", attributes(is_tls));
    }
    for attribute in &renewed.cookie_attributes {
        cookie.push_str("; ");
        cookie.push_str(attribute);
    }
    Some((header::SET_COOKIE, HeaderValue::try_from(cookie).ok().map(secret)?))
}

/// A value that holds a token.
fn secret(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// A page of another site plays the video: without None its player sends no cookie, and None takes
/// Secure.
const fn attributes(is_tls: bool) -> &'static str {
    if is_tls { "; Secure; SameSite=None; HttpOnly" } else { "; SameSite=Lax; HttpOnly" }
}

fn with_target(uri: &Uri, target: String) -> Option<Uri> {
    let target = PathAndQuery::try_from(target).ok()?;
    if uri.authority().is_none() {
        return Some(target.into());
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target);
    Uri::from_parts(parts).ok()
}

/// Takes `Authorization: Bearer` off (RFC 6750 §2.1); other schemes stay.
fn take_bearer(headers: &mut HeaderMap) -> Option<String> {
    let bearer = |value: &HeaderValue| {
        let (scheme, token) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| as_text(token))
    };
    let lines = || headers.get_all(header::AUTHORIZATION).iter();
    let token = lines().find_map(bearer)?;
    let others: Vec<HeaderValue> = lines().filter(|one| bearer(one).is_none()).cloned().collect();
    headers.remove(header::AUTHORIZATION);
    for other in others {
        headers.append(header::AUTHORIZATION, other);
    }
    Some(token)
}

/// Takes the cookies of a name off; the first counts, which is that of the nearest path (RFC 6265
/// §5.4). Lines are bytes: one that is no text hides no token in what is.
fn take_cookie(headers: &mut HeaderMap, name: &str) -> Option<String> {
    let value = |pair: &[u8]| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (one, value) = pair.split_at_checked(equals)?;
        (one.trim_ascii() == name.as_bytes()).then(|| as_text(value.get(1..).unwrap_or_default()))
    };
    let lines = || headers.get_all(header::COOKIE).iter();
    let pairs = || lines().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let found = pairs().find_map(value)?;
    let kept = pairs().map(<[u8]>::trim_ascii).filter(|pair| value(pair).is_none());
    let kept: Vec<&[u8]> = kept.filter(|pair| !pair.is_empty()).collect();
    let kept = HeaderValue::from_bytes(&kept.join(&b"; "[..])).ok();
    headers.remove(header::COOKIE);
    if let Some(kept) = kept.filter(|kept| !kept.is_empty()) {
        headers.insert(header::COOKIE, kept);
    }
    Some(found.trim_matches('"').to_owned())
}

/// What stands for a token. Bytes that are no text are no token, and are refused as what they become.
fn as_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.trim_ascii()).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn take(uri: &str, headers: &[(&str, &str)]) -> (Option<Found>, Request<()>) {
        let mut request = request(uri, headers);
        let [found, _] = Places::default().path("/t/").take(&mut request);
        (found, request)
    }

    fn found(text: &str, place: Place) -> Found {
        Found { text: text.to_owned(), place }
    }

    #[test]
    fn a_token_is_taken_off_wherever_it_is() {
        for (uri, rest, token) in [
            ("/t/T/a/b?x=1", "/a/b?x=1", Some(found("T", Place::Path))),
            ("/t/T/", "/", Some(found("T", Place::Path))),
            ("/t/T", "/t/T", None),
            ("/a?token=T", "/a", Some(found("T", Place::Query))),
            ("/a?x=1&token=T&y=%20", "/a?x=1&y=%20", Some(found("T", Place::Query))),
            ("/a?%74oken=T%2d", "/a", Some(found("T-", Place::Query))),
            ("/a?token=T&token=U", "/a", Some(found("T", Place::Query))),
            ("/t/T/a?token=U", "/a", Some(found("T", Place::Path))),
            ("/a?tokens=T&;token=T", "/a?tokens=T&;token=T", None),
            ("http://h/t/T/a", "http://h/a", Some(found("T", Place::Path))),
            ("/a", "/a", None),
            ("/%74/T%2d/%61?x=%61", "/a?x=%61", Some(found("T-", Place::Path))),
            ("/t/T/../a", "/../a", Some(found("T", Place::Path))),
            ("/t/T/t/U/a", "/t/U/a", Some(found("T", Place::Path))),
        ] {
            let (taken, request) = take(uri, &[]);
            assert_eq!((taken, request.uri()), (token, &rest.parse().unwrap()), "{uri}");
        }
    }

    #[test]
    fn headers_and_cookies_lose_the_token_and_nothing_else() {
        let (taken, request) = take("/", &[("authorization", "bearer  T ")]);
        assert_eq!((taken, request.headers().len()), (Some(found("T", Place::Header)), 0));
        let (taken, request) = take("/", &[("authorization", "Basic dTpw")]);
        assert_eq!((taken, request.headers().len()), (None, 1));
        let cookies = [("cookie", "a=1; headwater-token=T"), ("cookie", "headwater-token=U;b=2")];
        let (taken, request) = take("/", &cookies);
        assert_eq!(taken, Some(found("T", Place::Cookie)));
        assert_eq!(request.headers()["cookie"], "a=1; b=2");
        let all = [("authorization", "Bearer H"), ("cookie", "headwater-token=C")];
        let (taken, request) = take("/?token=Q", &all);
        assert_eq!((taken, request.headers().len()), (Some(found("Q", Place::Query)), 0));
    }

    #[test]
    fn the_next_is_another_token_in_the_order_of_places() {
        let next = |uri: &str, headers: &[(&str, &str)]| {
            let mut request = request(uri, headers);
            let [_, next] = Places::default().path("/t/").take(&mut request);
            next
        };
        let cookies = ("cookie", "CTA-Common-Access-Token=C; headwater-token=D");
        let all = [("cta-common-access-token", "H"), ("authorization", "Bearer B"), cookies];
        assert_eq!(next("/t/P/a?token=Q", &all), Some(found("Q", Place::Query)));
        assert_eq!(next("/t/P/a?CAT=P", &all), Some(found("B", Place::Header)));
        assert_eq!(next("/a", &all), Some(found("H", Place::Header)));
        assert_eq!(next("/t/P/a", &[cookies]), Some(found("D", Place::Cookie)));
        assert_eq!(next("/a", &[cookies]), Some(found("C", Place::Cookie)));
        let given = [("cookie", "headwater-token=Q; CTA-Common-Access-Token=C")];
        assert_eq!(next("/a?token=Q", &given), Some(found("C", Place::Cookie)));
        assert_eq!(next("/a?token=Q&token=R", &[]), None);
        assert_eq!(next("/a", &[("cookie", "headwater-token=D")]), None);
        assert_eq!(next("/a", &[]), None);
    }

    #[test]
    fn bytes_that_are_no_text_hide_no_token() {
        let mut request = request("/", &[]);
        let headers = request.headers_mut();
        let line = HeaderValue::from_bytes(b"a=\xff\xe9; headwater-token=T; b=\xe4").unwrap();
        headers.append(header::COOKIE, line);
        headers.append(header::COOKIE, "CTA-Common-Access-Token=C".parse().unwrap());
        headers.append(header::AUTHORIZATION, "Basic dTpw".parse().unwrap());
        headers.append(header::AUTHORIZATION, "Bearer B".parse().unwrap());
        let both = [found("B", Place::Header), found("T", Place::Cookie)].map(Some);
        assert_eq!(Places::default().take(&mut request), both);
        assert_eq!(request.headers()["cookie"].as_bytes(), b"a=\xff\xe9; b=\xe4");
        assert_eq!(request.headers()["authorization"], "Basic dTpw");
        let mut request = self::request("/", &[]);
        let line = HeaderValue::from_bytes(b"headwater-token=T\xff").unwrap();
        request.headers_mut().append(header::COOKIE, line);
        let [taken, next] = Places::default().take(&mut request);
        assert_eq!((taken.unwrap().text.as_str(), next), ("T\u{fffd}", None));
        assert!(request.headers().is_empty());
    }

    #[test]
    fn a_token_is_not_shown_when_what_holds_it_is_debugged() {
        let mut request = request("/t/SECRET/a", &[]);
        let places = Places::default().path("/t/").give_cookie(true);
        places.take_path(&mut request);
        assert!(!format!("{:?}", request.extensions().get::<FromPath>()).contains("SECRET"));
        let [found, _] = places.take(&mut request);
        let found = found.unwrap();
        assert!(!format!("{found:?}").contains("SECRET"));
        let allowed = Allowed {
            expires: None,
            path: None,
            holder: crate::rates::Holder(0),
            once: None,
            shared: None,
            chance: None,
            instead_of_replay: None,
            instead_of_chance: None,
            renewed: Some(Renewed {
                token: "SECRET".to_owned(),
                expires: Timestamp::from_secs(100),
                way: Way::Header,
                cookie: None,
                header: None,
                cookie_attributes: Vec::new(),
            }),
        };
        assert!(!format!("{allowed:?}").contains("SECRET"));
        let now = Timestamp::from_secs(0);
        let field = hand_over(allowed.renewed.as_ref().unwrap(), Place::Header, true, now);
        assert!(!format!("{field:?}").contains("SECRET"));
        let found = Found { place: Place::Query, ..found };
        let cookie = places.cookie_for(&found, &allowed, true, now).unwrap();
        assert!(cookie.as_bytes().starts_with(b"headwater-token=SECRET;"));
        assert!(!format!("{cookie:?}").contains("SECRET"));
    }

    #[test]
    fn a_cookie_is_given_for_the_tokens_path_and_time() {
        let places = Places::default().give_cookie(true);
        let found = |place| Found { text: "T".to_owned(), place };
        let allowed = Allowed {
            expires: Some(Timestamp::from_secs(100)),
            path: Some("/films/7/".into()),
            holder: crate::rates::Holder(0),
            once: None,
            shared: None,
            chance: None,
            renewed: None,
            instead_of_replay: None,
            instead_of_chance: None,
        };
        let now = Timestamp::from_secs(40);
        let cookie = |place, is_tls| places.cookie_for(&found(place), &allowed, is_tls, now);
        assert_eq!(
            cookie(Place::Query, true).unwrap(),
            "headwater-token=T; Path=/films/7/; Max-Age=60; Secure; SameSite=None; HttpOnly"
        );
        assert_eq!(
            cookie(Place::Query, false).unwrap(),
            "headwater-token=T; Path=/films/7/; Max-Age=60; SameSite=Lax; HttpOnly"
        );
        assert_eq!(cookie(Place::Path, true), None);
        assert_eq!(cookie(Place::Cookie, true), None);
    }
}
