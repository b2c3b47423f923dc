//! What players say of themselves (CMCD: CTA-5004, CTA-5004-A), made into sessions: with requests, in
//! the query or in fields, and by reports of their own, posted to a path of the operator's choice.
//!
//! What a player said with a request is read once, and lies in the request's extensions as [`Told`]
//! for layers further in. Requests without it are noted, too, where they are for media: see
//! [`sessions`](crate::sessions) for what is made of them. What cannot be read was not said.
//!
//! When the layer is on, a request for media costs a look into the table of sessions, one more when a
//! body of over 64 KiB has gone out, and one with CMCD what its texts take. Off, it costs a branch.

mod reports;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_cache::BoxError;
use headwater_net::clock::moment;
use headwater_net::{Body, ConnInfo, Protocol};
use headwater_proto::cmcd::{Cmcd, CmcdError};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use crate::kind::Kind;
use crate::normalise;
use crate::sessions::{By, Key, Sessions, Tier, Who};
use crate::watch::{End, Witness, at_once, into_body, watch};
use crate::whom::{Country, network};
use reports::Route;

/// What a player said with a request: an extension of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told(pub Arc<Cmcd>);

/// Notes what is asked and told as sessions; by default nothing.
#[derive(Clone, Debug, Default)]
pub struct CmcdLayer {
    on: Option<Arc<On>>,
}

#[derive(Clone, Debug)]
struct On {
    sessions: Sessions,
    reports: Option<Route>,
}

impl CmcdLayer {
    /// Notes into `sessions`.
    pub fn new(sessions: Sessions) -> Self {
        Self { on: Some(Arc::new(On { sessions, reports: None })) }
    }

    /// Takes reports (event mode) by POST to `path`, which is asked of nobody further in then. At most
    /// [`MAX_MESSAGE`] bytes and [`MAX_REPORTS`](headwater_proto::cmcd::MAX_REPORTS) reports a message.
    /// A report of a session that this edge does not serve is counted and makes none.
    #[must_use]
    pub fn reports_at(mut self, path: impl Into<String>) -> Self {
        if let Some(on) = &mut self.on {
            let origins = on.reports.as_ref().map(|route| Arc::clone(&route.origins));
            let route = Route { path: path.into().into(), origins: origins.unwrap_or_default() };
            Arc::make_mut(on).reports = Some(route);
        }
        self
    }

    /// The origins whose pages may post reports (CORS), as `Origin` names them; all by default. To be
    /// called after [`CmcdLayer::reports_at`].
    #[must_use]
    pub fn reports_from(mut self, origins: impl IntoIterator<Item = HeaderValue>) -> Self {
        if let Some(on) = &mut self.on
            && let Some(route) = &mut Arc::make_mut(on).reports
        {
            route.origins = origins.into_iter().collect();
        }
        self
    }

    /// Where it takes reports.
    pub(crate) fn reports_path(&self) -> Option<&str> {
        self.on.as_ref()?.reports.as_ref().map(|route| &*route.path)
    }
}

pub use reports::MAX_MESSAGE;

impl<S> Layer<S> for CmcdLayer {
    type Service = CmcdService<S>;

    fn layer(&self, inner: S) -> CmcdService<S> {
        CmcdService { inner, on: self.on.clone() }
    }
}

/// The service of [`CmcdLayer`].
#[derive(Clone, Debug)]
pub struct CmcdService<S> {
    inner: S,
    on: Option<Arc<On>>,
}

impl<S, A, B> Service<Request<A>> for CmcdService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    A: HttpBody<Data = Bytes> + Send + 'static,
    A::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = CmcdFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> CmcdFuture<S::Future> {
        let Some(on) = &self.on else {
            return CmcdFuture {
                state: State::Inner { inner: self.inner.call(request), asked: None },
            };
        };
        if let Some(route) = &on.reports
            && request.uri().path() == &*route.path
        {
            let taken = route.take(on.sessions.clone(), request);
            return CmcdFuture { state: State::Report { taken } };
        }
        let asked = Asked::of(on, &mut request);
        CmcdFuture { state: State::Inner { inner: self.inner.call(request), asked } }
    }
}

pin_project! {
    /// The answer of [`CmcdService`]; boxed for reports alone.
    pub struct CmcdFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<F> {
        Inner { #[pin] inner: F, asked: Option<Asked> },
        Report { taken: Pin<Box<dyn Future<Output = Response<Body>> + Send>> },
    }
}

impl<F> std::fmt::Debug for CmcdFuture<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CmcdFuture").finish_non_exhaustive()
    }
}

impl<F, B, E> Future for CmcdFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projected::Inner { inner, asked } => {
                let answer = std::task::ready!(inner.poll(cx)).map(into_body);
                Poll::Ready(answer.map(|response| match asked.take() {
                    Some(asked) => asked.answered(response),
                    None => response,
                }))
            }
            Projected::Report { taken } => taken.as_mut().poll(cx).map(Ok),
        }
    }
}

/// What a client asked for: parts that are counted, not copied.
#[derive(Debug)]
struct Asked {
    on: Arc<On>,
    uri: Uri,
    host: Option<HeaderValue>,
    address: Option<IpAddr>,
    protocol: Option<Protocol>,
    country: Option<Country>,
    cmcd: Option<Arc<Cmcd>>,
    at: Instant,
}

impl Asked {
    /// `None` for what is no part of a playback.
    fn of<A>(on: &Arc<On>, request: &mut Request<A>) -> Option<Self> {
        if request.method() != Method::GET {
            return None;
        }
        let counts = on.sessions.counts();
        let cmcd = match read(request.uri(), request.headers()) {
            Some((by, Ok(cmcd))) => {
                counts.read(by);
                Some(cmcd)
            }
            Some((by, Err(_))) => {
                counts.refused(by, 1);
                None
            }
            None => None,
        };
        if let Some(cmcd) = &cmcd {
            request.extensions_mut().insert(Told(Arc::clone(cmcd)));
        }
        let extensions = request.extensions();
        let conn = extensions.get::<ConnInfo>();
        Some(Self {
            on: Arc::clone(on),
            uri: request.uri().clone(),
            host: request.headers().get(header::HOST).cloned(),
            address: conn.map(|conn| conn.peer.ip()),
            protocol: conn.map(|conn| conn.protocol),
            country: extensions.get::<Country>().copied(),
            cmcd,
            at: moment(),
        })
    }

    fn answered(self, response: Response<Body>) -> Response<Body> {
        let (status, headers) = (response.status(), response.headers());
        let failed = status.is_client_error() || status.is_server_error();
        let object = self.cmcd.as_ref().and_then(|cmcd| cmcd.object);
        let path = self.uri.path();
        let kind =
            object.map_or_else(|| Kind::of_answer(headers, Kind::of_path(path)), Kind::of_object);
        let id = self.cmcd.as_ref().and_then(|cmcd| cmcd.session.as_deref());
        if id.is_none() && (failed || !(kind.is_segment() || kind == Kind::Manifest)) {
            return response;
        }
        let sessions = &self.on.sessions;
        let tier = Tier::of(headers);
        let now_sent = at_once(response.body(), true);
        let host = self.uri.authority().map_or_else(
            || self.host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or_default(),
            |authority| authority.as_str(),
        );
        let (key, title) = if let Some(id) = id {
            (sessions.key_of_id(id), path.rsplit_once('/').map_or("", |(folder, _)| folder))
        } else {
            let manifest = kind == Kind::Manifest;
            sessions.key_of_place(self.address.map(network), host, path, manifest)
        };
        let look = |session: &mut crate::sessions::Session,
                    now: headwater_net::Timestamp,
                    happened: &mut Vec<headwater_proto::session::What>| {
            session.answered(tier, failed, now_sent.unwrap_or(0), now);
            if let Some(cmcd) = &self.cmcd {
                session.told(cmcd, false, now, |what| happened.push(what));
            }
        };
        // What was not found here is nobody's session, whatever it is called.
        if failed {
            sessions.look(key, look);
        } else {
            let who = || Who {
                id: id.map_or_else(|| format!("{:012x}", key.short()), ToOwned::to_owned),
                title: as_handed_on(title),
                host: host.to_ascii_lowercase(),
                address: self.address,
                country: self.country,
                protocol: self.protocol,
            };
            sessions.note(key, who, look);
        }
        if now_sent.is_some() {
            return response;
        }
        let delivery = Delivery { sessions: sessions.clone(), key, at: self.at };
        response.map(|body| watch(body, delivery))
    }
}

/// A folder as the layers further in call it.
fn as_handed_on(folder: &str) -> String {
    let uri = folder.parse::<Uri>().ok();
    match uri.as_ref().and_then(normalise::checked) {
        Some(uri) if !folder.is_empty() => uri.path().to_owned(),
        _ => folder.to_owned(),
    }
}

/// A body on its way to a session.
struct Delivery {
    sessions: Sessions,
    key: Key,
    at: Instant,
}

impl Witness for Delivery {
    fn ended(self, bytes: u64, _: End) {
        let micros = u64::try_from(self.at.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.sessions.look(self.key, |session, _, _| session.sent(bytes, micros));
    }
}

/// Whether a request belongs to a session that is known.
pub(crate) fn has_session<A>(sessions: &Sessions, request: &Request<A>) -> bool {
    let (uri, headers) = (request.uri(), request.headers());
    let told = read(uri, headers).and_then(|(_, told)| told.ok());
    if let Some(id) = told.as_ref().and_then(|told| told.session.as_deref()) {
        return sessions.is_known(sessions.key_of_id(id));
    }
    let host = uri.authority().map_or_else(
        || headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default(),
        |authority| authority.as_str(),
    );
    let network = request.extensions().get::<ConnInfo>().map(|conn| network(conn.peer.ip()));
    let manifest = Kind::of_path(uri.path()) == Kind::Manifest;
    let (key, _) = sessions.key_of_place(network, host, uri.path(), manifest);
    sessions.is_known(key)
}

/// What a player said, by its fields or its query (CTA-5004 §2), and by which.
pub(crate) fn read(uri: &Uri, headers: &HeaderMap) -> Option<(By, Result<Arc<Cmcd>, CmcdError>)> {
    const FIELDS: [&str; 4] = ["cmcd-request", "cmcd-object", "cmcd-session", "cmcd-status"];
    if let Some(told) = uri.query().and_then(|query| Cmcd::read_query(query).transpose()) {
        return Some((By::Query, told));
    }
    // Players that tell by fields send one of the first two with every object, and the id in the
    // third at least once.
    // Who says nothing is told by one pass over the names that there are.
    let any = headers.keys().any(|name| name.as_str().starts_with("cmcd-"));
    if !any || !FIELDS.iter().take(3).any(|name| headers.contains_key(*name)) {
        return None;
    }
    let fields = FIELDS.iter().filter_map(|name| headers.get(*name)?.to_str().ok());
    Some((By::Fields, Cmcd::read_all(fields)))
}
