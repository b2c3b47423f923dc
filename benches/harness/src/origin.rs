//! The origin behind both servers: objects of any size, cacheable for long, made of zeros.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The largest object it makes.
const MAX_OBJECT: usize = 64 << 20;

/// A running origin.
pub struct Origin {
    /// Where it answers.
    pub addr: SocketAddr,
    asked: Rc<Cell<u64>>,
}

impl Origin {
    /// How many requests it has answered.
    pub fn asked(&self) -> u64 {
        self.asked.get()
    }
}

/// Serves `/…/object-SIZE` on a free port of the loopback until the runtime ends. To be called
/// within a `LocalSet`.
///
/// # Errors
/// When no port can be had.
pub async fn serve() -> io::Result<Origin> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let addr = listener.local_addr()?;
    let asked = Rc::<Cell<u64>>::default();
    let count = Rc::clone(&asked);
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let count = Rc::clone(&count);
            let service = service_fn(move |request: Request<Incoming>| {
                count.set(count.get() + 1);
                ready(Ok::<_, Infallible>(answer(&request)))
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            tokio::task::spawn_local(connection);
        }
    });
    Ok(Origin { addr, asked })
}

fn answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let size = request.uri().path().rsplit_once("object-").and_then(|(_, size)| size.parse().ok());
    let response = match size {
        Some(size) if size <= MAX_OBJECT => Response::builder()
            .header(header::CONTENT_TYPE, "video/mp4")
            .header(header::CACHE_CONTROL, "public, max-age=86400")
            .header(header::ETAG, format!("\"{size}\""))
            .body(Full::new(Bytes::from(vec![0; size]))),
        _ => Response::builder().status(StatusCode::NOT_FOUND).body(Full::default()),
    };
    response.unwrap_or_default()
}
