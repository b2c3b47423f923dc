//! What the edge stands in front of: below `/media` the shield, below `/app` an application where there is
//! one, everywhere else the pages.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures_util::TryFutureExt as _;
use futures_util::future::{Either, ErrInto};
use headwater_cache::BoxError;
use headwater_edge::operator::{Site, below};
use headwater_net::Body;
use headwater_net::client::Upstream;
use http::{HeaderValue, Request, Response, Uri, header};
use tower_service::Service;

use crate::pages::Pages;

/// Everything below this path is media; the shield sees the rest of the path.
pub(crate) const MEDIA: &str = "/media";

/// Everything below this path is the application's, which sees all of the path.
pub(crate) const APP: &str = "/app";

/// What the site is called behind the router, whatever clients call it.
pub(crate) const MEDIA_HOST: &str = "media";

/// How requests are addressed behind the router.
pub(crate) const BEHIND: Site = Site::Below { path: MEDIA, host: MEDIA_HOST };

/// Routes by path, behind the edge's cache.
#[derive(Clone)]
pub struct Router<S> {
    media: S,
    pages: Pages,
    app: Option<Upstream>,
}

impl<S> Router<S> {
    /// Media from `media`, what is the application's from `app` where there is one, everything else from
    /// `pages`.
    pub fn new(media: S, pages: Pages, app: Option<Upstream>) -> Self {
        Self { media, pages, app }
    }
}

/// What goes to one of two services.
type Asked<F, G> = Either<ErrInto<F, BoxError>, ErrInto<G, BoxError>>;
type OfApp = <Upstream as Service<Request<Body>>>::Future;

impl<S> Service<Request<Body>> for Router<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Either<Asked<S::Future, OfApp>, Ready<Result<Response<Body>, BoxError>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // A client of another process is ready at any time.
        self.media.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(app) = self.app.as_mut().filter(|_| below(request.uri(), APP).is_some()) {
            return Either::Left(Either::Right(app.call(request).err_into()));
        }
        match below(request.uri(), MEDIA) {
            Some(uri) => {
                *request.uri_mut() = uri;
                // One site, whatever it was called by: a made-up host is not a second copy of
                // everything in the shield.
                request.headers_mut().insert(header::HOST, HeaderValue::from_static(MEDIA_HOST));
                Either::Left(Either::Left(self.media.call(request).err_into()))
            }
            None => Either::Right(ready(Ok(self.pages.respond(&request)))),
        }
    }
}

/// Where the shield has what clients ask for at `uri`; `None` for what is not media.
pub(crate) fn at_shield(uri: &Uri) -> Option<Uri> {
    below(uri, MEDIA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_below_media_is_media() {
        let below =
            |uri: &'static str| below(&Uri::from_static(uri), MEDIA).map(|uri| uri.to_string());
        assert_eq!(below("/media/a/main.m3u8?x=1").as_deref(), Some("/a/main.m3u8?x=1"));
        assert_eq!(below("https://host/media/").as_deref(), Some("/"));
        assert_eq!(below("/media"), None);
        assert_eq!(below("/mediathek/x"), None);
        assert_eq!(below("/"), None);
    }
}
