//! Several layers of an edge as one type.
//!
//! A compiler that is asked whether twenty layers around each other are a service asks it of each layer
//! several times over, and takes minutes (each has a body of its own that it has to find). So the
//! layers are divided: each stretch says by itself what it is, which is proved once, here, and who is around
//! it is told. In the program that comes of it there is nothing of this: no call, no pointer, no byte.

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
                $future { inner: self.0.call(request) }
            }
        }

        pin_project_lite::pin_project! {
            /// The answer of a stretch of layers.
            pub struct $future<S>
            where
                S: Inner,
            {
                #[pin]
                inner: <$layers as Service<Request<Body>>>::Future,
            }
        }

        impl<S: Inner> std::future::Future for $future<S> {
            type Output = Result<Response<Body>, std::convert::Infallible>;

            fn poll(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Self::Output> {
                self.project().inner.poll(cx)
            }
        }
    };
}

pub(crate) use stretch;
