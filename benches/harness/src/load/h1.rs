//! HTTP/1.1, with and without TLS: one request at a time on each connection.

use std::rc::Rc;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Load, Objects, Protocol, Result, Tally, tls};

/// One connection.
pub(super) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    objects: Objects,
    only: Option<Uri>,
}

impl Connection {
    pub(super) async fn open(load: &Load) -> Result<Self> {
        let sender = if load.protocol == Protocol::H1Tls {
            let stream = tls::connect(load, b"http/1.1").await?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::task::spawn_local(connection);
            sender
        } else {
            let stream = TcpStream::connect(load.addr).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::task::spawn_local(connection);
            sender
        };
        let only = load.objects.only().map(|path| path.parse()).transpose()?;
        Ok(Self { sender, objects: load.objects.clone(), only })
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
            None => self.objects.path().parse()?,
        };
        let mut request = Request::get(uri).header(header::HOST, "localhost");
        if let Some(page) = self.objects.player.page {
            request = request.header(header::ORIGIN, page);
        }
        let request = request.body(Empty::new())?;
        let response = self.sender.send_request(request).await?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, |data| data.len() as u64);
        }
        Ok((status, length))
    }
}
