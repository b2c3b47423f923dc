//! Several layers of an edge as one type.
//!
//! A compiler that is asked whether twenty layers around each other are a service asks it of each layer
//! several times over, and takes minutes (each has a body of its own that it has to find). So the
//! layers are divided: each stretch says by itself what it is, which is proved once, here, and who is around
//! it is told.
//!
//! A stretch keeps the future of its layers in a box. What they remember of a request until its answer is
//! there comes to half a KiB in one of them, and without a box each layer further out would carry that
//! along, and copy it, since a future is moved into the one around it. One allocation costs less than a
//! dozen such copies.

use headwater_cache::BoxError;
use headwater_net::Body;
use http::{Request, Response};
use tower_service::Service;

/// What an edge may stand before.
pub trait Inner:
    Service<Request<Body>, Response = Response<Body>, Error: Into<BoxError>, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Inner for S
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
}

/// Makes a type of layers around `S`, and one of their futures.
macro_rules! stretch {
    ($(#[$doc:meta])+ $name:ident, $future:ident, $layers:ty) => {
        $(#[$doc])+
        #[derive(Clone, Debug)]
        pub struct $name<S>($layers);

        impl<S: Inner> Service<Request<Body>> for $name<S> {
            type Response = Response<Body>;
            type Error = std::convert::Infallible;
            type Future = $future<S>;

            fn poll_ready(
                &mut self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Result<(), Self::Error>> {
                self.0.poll_ready(cx)
            }

            fn call(&mut self, request: Request<Body>) -> $future<S> {
                $future { inner: Box::pin(self.0.call(request)) }
            }
        }

        /// The answer of a stretch of layers.
        pub struct $future<S>
        where
            S: Inner,
        {
            inner: std::pin::Pin<Box<<$layers as Service<Request<Body>>>::Future>>,
        }

        impl<S: Inner> std::future::Future for $future<S> {
            type Output = Result<Response<Body>, std::convert::Infallible>;

            fn poll(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Self::Output> {
                self.inner.as_mut().poll(cx)
            }
        }
    };
}

pub(crate) use stretch;
