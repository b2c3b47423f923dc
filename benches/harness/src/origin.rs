//! The origin behind both servers: objects of any size, cacheable for long, made of zeros.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The largest object it makes.
const MAX_OBJECT: usize = 64 << 20;

/// Serves `/…/object-SIZE` on a free port of the loopback until the runtime ends.
///
/// # Errors
/// When no port can be had.
pub async fn serve() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::spawn(connection);
        }
    });
    Ok(addr)
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let size = request.uri().path().rsplit_once("object-").and_then(|(_, size)| size.parse().ok());
    let response = match size {
        Some(size) if size <= MAX_OBJECT => Response::builder()
            .header(header::CONTENT_TYPE, "video/mp4")
            .header(header::CACHE_CONTROL, "public, max-age=86400")
            .header(header::ETAG, format!("\"{size}\""))
            .body(Full::new(Bytes::from(vec![0; size]))),
        _ => Response::builder().status(StatusCode::NOT_FOUND).body(Full::default()),
    };
    Ok(response.unwrap_or_default())
}
