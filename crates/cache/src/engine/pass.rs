//! A request that goes past the store, for its sender alone.

use std::sync::Arc;

use headwater_net::{Body, Problem};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use tokio::sync::OwnedSemaphorePermit;
use tower_service::Service;

use super::{Forward, Miss, make_ready, signed};
use crate::cache::{Downstream, Inner};
use crate::fill::length;
use crate::headers;
use crate::loops::Looped;
use crate::object::{Exchange, Head};
use crate::policy::storable::Asked;
use crate::proxy_status::{self, PROXY_STATUS, ProxyError};
use crate::purge::{PurgeSeq, tags};
use crate::status::{CACHE_STATUS, Fwd, Member};
use crate::sync::timeout;
use crate::upstream::{self, BoxError};

impl<S> Forward<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    /// Sends the request on as it is, for its sender alone, and heeds what its method does to
    /// stored responses.
    pub(crate) async fn pass(mut self, fwd: Fwd, body: Body) -> Response<Body> {
        let inner = Arc::clone(self.cache.inner());
        inner.metrics.passed.inc();
        let mut parts = self.parts.clone();
        headers::strip_hop_by_hop(&mut parts.headers);
        let newest = inner.purges.ledger().newest();
        make_ready(&inner, &mut parts, newest);
        let sent = parts.clone();
        let mut member = Member { fwd: Some(fwd), ..Member::default() };
        // Those who would have shared a fetch, had its answer been for all, do not all arrive at
        // upstream at once. What never shares one is not held up by them, and nobody by who reads
        // slowly.
        let permit = match fwd {
            Fwd::Method | Fwd::Bypass => None,
            _ => {
                let Some(permit) = self.turn(&inner).await else {
                    return self.refused(fwd, "too many requests wait for the upstream");
                };
                Some(permit)
            }
        };
        let requested = inner.clock.now();
        let answer = upstream::ask(&mut self.service, Request::from_parts(parts, body)).await;
        drop(permit);
        let mut response = match answer {
            Ok(response) => response,
            Err(error) => {
                let why = error;
                let error = ProxyError::of(&why);
                // A client's fault is no operator's concern.
                if error == ProxyError::HttpRequestError {
                    tracing::debug!(error = %why, "the request could not be sent on");
                } else {
                    tracing::warn!(error = %why, "upstream gave no answer");
                }
                let problem = upstream::problem(error.status());
                return self.sign_error(problem.into_response(), Some(error), &member);
            }
        };
        inner.policy.receive(&sent, response.status(), response.headers_mut());
        self.heed(&response, &sent, requested, newest);
        if !self.parts.method.is_safe() {
            inner.store.settled().await;
        }
        member.fwd_status = Some(response.status());
        let (mut parts, mut body) = response.into_parts();
        if self.parts.method != Method::HEAD && self.parts.method != Method::CONNECT {
            let len = length::promised(parts.status, &parts.headers, &body);
            body = body.metered(len);
        }
        headers::strip_hop_by_hop(&mut parts.headers);
        self.forwarded(Response::from_parts(parts, body), &member)
    }

    /// The turn of one that asks upstream by itself; `None` where it waited too long for that.
    async fn turn(&self, inner: &Inner) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&inner.passes).try_acquire_owned() {
            return Some(permit);
        }
        inner.metrics.passes_queued.inc();
        let turn = Arc::clone(&inner.passes).acquire_owned();
        let permit = timeout(inner.pass_wait, turn).await.ok().and_then(Result::ok);
        if permit.is_none() {
            inner.metrics.passes_refused.inc();
        }
        permit
    }

    /// The answer to a request that comes round again (RFC 8586 §3).
    pub(crate) fn looped(&self, looped: Looped) -> Response<Body> {
        let problem = Problem::new(StatusCode::LOOP_DETECTED).detail(match looped {
            Looped::Here => "this request has been here before",
            Looped::TooFar => "this request has passed too many caches",
        });
        let error = Some(ProxyError::ProxyLoopDetected);
        self.sign_error(problem.into_response(), error, &Member::default())
    }

    /// Sends on a request whose like got answers for themselves alone, without a wait for others;
    /// an answer that could be shared ends that.
    pub(super) async fn pass_alone(self, miss: &Miss) -> Response<Body> {
        let inner = Arc::clone(self.cache.inner());
        let requested = inner.clock.now();
        let authorization = self.parts.headers.contains_key(header::AUTHORIZATION);
        let request = self.parts.headers.clone();
        let mut sent = self.parts.clone();
        headers::strip_hop_by_hop(&mut sent.headers);
        inner.policy.prepare(&mut sent);
        let response = self.pass(miss.fwd, Body::empty()).await;
        let mut answer = Response::new(());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        let exchange = Exchange {
            request: &request,
            sent: &sent,
            asked: Asked { authorization, no_store: false },
            requested,
            received: inner.clock.now(),
            policy: inner.policy.as_ref(),
            choices: &inner.choices,
            purge_seq: PurgeSeq::default(),
            keep_tags: false,
        };
        if Head::receive(&answer.into_parts().0, None, exchange).is_ok() {
            inner.remembered.forget_alone(&miss.key);
        }
        response
    }

    /// A response that only passes by: what was for this hop goes, our signature comes.
    pub(super) fn forwarded(
        &self,
        mut response: Response<Body>,
        member: &Member<'_>,
    ) -> Response<Body> {
        headers::strip_hop_by_hop(response.headers_mut());
        if self.cache.inner().downstream == Downstream::Clients {
            tags::strip(response.headers_mut());
        }
        if !response.headers().contains_key(http::header::DATE)
            && let Ok(date) = HeaderValue::try_from(self.cache.clock().now().to_http_date())
        {
            response.headers_mut().insert(http::header::DATE, date);
        }
        self.sign(response, member)
    }

    /// An answer that no origin gave, with the error that it is for (RFC 9209 §2); without one where
    /// upstream answered, to another.
    pub(super) fn sign_error(
        &self,
        mut response: Response<Body>,
        error: Option<ProxyError>,
        member: &Member<'_>,
    ) -> Response<Body> {
        if let Some(error) = error {
            let value = proxy_status::member(self.cache.inner().signature.name(), error);
            response.headers_mut().append(PROXY_STATUS, value);
        }
        self.sign(response, member)
    }

    pub(super) fn sign(&self, mut response: Response<Body>, member: &Member<'_>) -> Response<Body> {
        if self.parts.method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        let member = signed(self.cache.inner(), &self.parts, member);
        response.headers_mut().append(CACHE_STATUS, member);
        response
    }
}
