//! Layers that look at a request and either let it in or answer it themselves: a [`Rule`] each, and one
//! layer for all of them.
//!
//! [`AddressLayer`](crate::AddressLayer), [`GeoLayer`](crate::GeoLayer) and
//! [`ReferrerLayer`](crate::ReferrerLayer) are such. Rules in a tuple are one rule, asked in their order:
//! several of them cost one layer.

use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_cache::BoxError;
use headwater_net::{Body, Problem};
use http::{Request, Response};
use http_body::Body as HttpBody;
use tower_layer::Layer;
use tower_service::Service;

use crate::answer::Answer;
use crate::refusals::RefusedBy;

/// Says of a request whether it is let in, by its head alone.
pub trait Rule {
    /// What its refusals are counted under.
    const BY: RefusedBy = RefusedBy::Other;

    /// Lets a request in, perhaps with more among its extensions.
    ///
    /// # Errors
    /// What is answered instead.
    fn admit<B>(&self, request: &mut Request<B>) -> Result<(), Problem>;

    /// The same, with what a refusal is counted under: of several rules, that of the one that refuses.
    ///
    /// # Errors
    /// As [`Rule::admit`].
    fn decide<B>(&self, request: &mut Request<B>) -> Result<(), (RefusedBy, Problem)> {
        self.admit(request).map_err(|problem| (Self::BY, problem))
    }
}

impl<A: Rule, B: Rule, C: Rule> Rule for (A, B, C) {
    fn admit<T>(&self, request: &mut Request<T>) -> Result<(), Problem> {
        self.decide(request).map_err(|(_, problem)| problem)
    }

    fn decide<T>(&self, request: &mut Request<T>) -> Result<(), (RefusedBy, Problem)> {
        self.0.decide(request)?;
        self.1.decide(request)?;
        self.2.decide(request)
    }
}

/// Asks a rule of each request.
#[derive(Clone, Debug, Default)]
pub struct GuardLayer<R> {
    rule: R,
}

impl<R> GuardLayer<R> {
    /// Lets in what `rule` does.
    pub const fn new(rule: R) -> Self {
        Self { rule }
    }

    /// The rule.
    pub const fn rule(&self) -> &R {
        &self.rule
    }
}

impl<S, R: Clone> Layer<S> for GuardLayer<R> {
    type Service = Guard<S, R>;

    fn layer(&self, inner: S) -> Guard<S, R> {
        Guard { inner, rule: self.rule.clone() }
    }
}

/// The service of [`GuardLayer`].
#[derive(Clone, Debug)]
pub struct Guard<S, R> {
    inner: S,
    rule: R,
}

impl<S, R, A, B> Service<Request<A>> for Guard<S, R>
where
    S: Service<Request<A>, Response = Response<B>>,
    R: Rule,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Answer<S::Future> {
        match self.rule.decide(&mut request) {
            Ok(()) => Answer::of(self.inner.call(request)),
            Err((by, problem)) => Answer::refused(by, problem.into_response()),
        }
    }
}
