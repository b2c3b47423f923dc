//! Which request goes where: media to the edge, the rest to the pages.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures_util::future::Either;
use headwater_net::Body;
use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use tower_service::Service;

use crate::pages::Pages;

/// Everything below this path is media; the edge sees the rest of the path.
const MEDIA: &str = "/media";

/// Routes by path. Its type is concrete and so are its futures: a hit is not boxed.
#[derive(Clone)]
pub struct Router<E> {
    edge: E,
    pages: Pages,
}

impl<E> Router<E> {
    /// Media to `edge`, everything else to `pages`.
    pub fn new(edge: E, pages: Pages) -> Self {
        Self { edge, pages }
    }
}

impl<E> Service<Request<Body>> for Router<E>
where
    E: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<E::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.edge.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match below_media(request.uri()) {
            Some(uri) => {
                *request.uri_mut() = uri;
                Either::Left(self.edge.call(request))
            }
            None => Either::Right(ready(Ok(self.pages.respond(&request)))),
        }
    }
}

/// The URI without [`MEDIA`] in front of its path; `None` when it is not below that.
fn below_media(uri: &Uri) -> Option<Uri> {
    let target = uri.path_and_query()?.as_str();
    let rest = target.strip_prefix(MEDIA)?;
    if !rest.starts_with('/') {
        return None;
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(rest).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_below_media_is_media() {
        let below =
            |uri: &'static str| below_media(&Uri::from_static(uri)).map(|uri| uri.to_string());
        assert_eq!(below("/media/a/main.m3u8?x=1").as_deref(), Some("/a/main.m3u8?x=1"));
        assert_eq!(below("https://host/media/").as_deref(), Some("https://host/"));
        assert_eq!(below("/media"), None);
        assert_eq!(below("/mediathek/x"), None);
        assert_eq!(below("/"), None);
    }
}
