//! What lies behind the cache: each request goes to the origins of its route.

use std::future::{Future, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use headwater::cache::{BoxError, Policy as _};
use headwater::edge::compress::Level;
use headwater::edge::{CompressLayer, RefusedBy};
use headwater::net::client::is_websocket;
use headwater::net::{Body, Problem};
use headwater::origin::learn::{AskedAs, LearnLayer};
use headwater::origin::upstream::OriginError;
use headwater::proto::hints;
use http::{Request, Response, StatusCode};
use tower_layer::Layer as _;
use tower_service::Service;

use super::sites::{Pinned, SitePolicy, Target, came_for, is_prepared};
use super::upstreams::Group;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Router {
    policy: SitePolicy,
    learn: Option<LearnLayer>,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

impl Router {
    /// To the origins of the sites that the policy knows; a shield learns from what they answer.
    pub(super) const fn new(policy: SitePolicy, learn: Option<LearnLayer>) -> Self {
        Self { policy, learn }
    }

    /// The sites.
    pub(super) const fn policy(&self) -> &SitePolicy {
        &self.policy
    }
}

/// Asks for an answer, and makes it smaller where that is wanted.
fn ask<S>(mut service: S, compress: Option<Level>, request: Request<Body>) -> Answer
where
    S: Service<Request<Body>, Response = Response<Body>, Error = OriginError>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    if let Some(level) = compress.filter(|_| !is_websocket(&request)) {
        let answer = CompressLayer::new().level(level).layer(service).call(request);
        Box::pin(async move { answer.await.map_err(Into::into) })
    } else {
        let answer = service.call(request);
        Box::pin(async move { answer.await.map_err(Into::into) })
    }
}

impl Service<Request<Body>> for Router {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let (mut parts, body) = request.into_parts();
        // What goes past the cache, such as a WebSocket, has not met its policy.
        if !is_prepared(&parts) {
            self.policy.prepare(&mut parts);
        }
        let pinned = parts.extensions.get::<Pinned>();
        let target = pinned.and_then(|pinned| pinned.target(&parts)).cloned();
        let is_served = pinned.is_some_and(Pinned::is_served);
        let Some(Target { origins, compress, shield }) = target else {
            return Box::pin(ready(Ok(if is_served {
                let problem = Problem::new(StatusCode::NOT_FOUND);
                problem.detail("nothing is served at this path").into_response()
            } else {
                let problem = Problem::new(StatusCode::MISDIRECTED_REQUEST);
                let mut response = problem.detail("this host is not served here").into_response();
                RefusedBy::Host.mark(&mut response);
                response
            })));
        };
        // Edges alone tell shields of sessions.
        if shield.is_some() && parts.uri.path() == hints::PATH {
            return Box::pin(ready(Ok(Problem::new(StatusCode::NOT_FOUND).into_response())));
        }
        let group = Group { origins, is_shield: shield.is_some(), is_read: self.learn.is_some() };
        let Some(learn) = &self.learn else {
            return ask(group, compress, Request::from_parts(parts, body));
        };
        if let Some(uri) = came_for(&parts).cloned() {
            parts.extensions.insert(AskedAs(uri));
        }
        ask(learn.layer(group), compress, Request::from_parts(parts, body))
    }
}
