//! HTTP/2 over TLS: many requests under way on one connection.

use std::rc::Rc;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{Load, Objects, Result, Tally, tls};

/// Flow-control windows wide enough that the client never holds the server back.
const WINDOW: u32 = 16 << 20;

/// One connection, shared by its streams.
#[derive(Clone)]
pub(super) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    origin: String,
    objects: Objects,
    only: Option<Uri>,
}

impl Connection {
    pub(super) async fn open(load: &Load) -> Result<Self> {
        let stream = tls::connect(load, b"h2").await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::task::spawn_local(connection);
        let origin = format!("https://localhost:{}", load.addr.port());
        let only = load.objects.only().map(|path| format!("{origin}{path}").parse()).transpose()?;
        Ok(Self { sender, origin, objects: load.objects.clone(), only })
    }

    pub(super) async fn drive(mut self, tally: Rc<Tally>) -> Result<()> {
        tally.started().await;
        while let Some(asked) = tally.next() {
            let (status, length) = self.ask().await?;
            tally.done(asked, status, length)?;
        }
        Ok(())
    }

    /// Asks once; gives status and length of the answer.
    pub(super) async fn ask(&mut self) -> Result<(u16, u64)> {
        self.sender.ready().await?;
        let uri = match &self.only {
            Some(only) => only.clone(),
            None => format!("{}{}", self.origin, self.objects.path()).parse()?,
        };
        let mut request = Request::get(uri);
        if let Some(page) = self.objects.player.page {
            request = request.header(header::ORIGIN, page);
        }
        let response = self.sender.send_request(request.body(Empty::new())?).await?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, |data| data.len() as u64);
        }
        Ok((status, length))
    }
}
