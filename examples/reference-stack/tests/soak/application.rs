//! What clients do with the application beside the videos: uploads, event streams, WebSockets.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use crate::app::{self, ECHO, EVENTS, SINK, Sum, TELLS};
use crate::clients::{Answer, Ended, Pieces, Site};
use crate::sockets::Socket;
use crate::{Done, PAUSE, Tcp, client, open, right};

/// A body that the application is sent, in pieces.
const PIECE: usize = 32 << 10;
const SINK_PIECES: usize = 32;
const ECHO_PIECES: usize = 8;

/// So many pieces of a body, and its sum.
fn body(pieces: usize) -> (Pieces, Sum) {
    let piece = |number: usize| Bytes::from(vec![number as u8 ^ 0x5a; PIECE]);
    let mut sum = Sum::default();
    (0..pieces).for_each(|number| sum.add(&piece(number)));
    (Box::pin(stream::iter((0..pieces).map(piece))), sum)
}

impl Tcp {
    /// Sends the application a body of which the length is not known beforehand.
    async fn sink(&self, base: &str) -> Result<(), String> {
        let (pieces, sum) = body(SINK_PIECES);
        let pieces = reqwest::Body::wrap_stream(pieces.map(Ok::<_, std::io::Error>));
        let asked = self.client.put(format!("{base}{SINK}")).body(pieces).send().await;
        let answer = asked.map_err(|error| self.failed("sink", error))?;
        let said = answer.text().await.map_err(|error| self.failed("sink's answer", error))?;
        right(said == sum.text(), "sink", said)
    }

    /// Gets a body back that it sends.
    async fn echo(&self, base: &str) -> Result<(), String> {
        let (pieces, sum) = body(ECHO_PIECES);
        let pieces = reqwest::Body::wrap_stream(pieces.map(Ok::<_, std::io::Error>));
        let asked = self.client.post(format!("{base}{ECHO}")).body(pieces).send().await;
        let answer = asked.map_err(|error| self.failed("echo", error))?;
        let back = answer.bytes().await.map_err(|error| self.failed("echo's answer", error))?;
        right(Sum::of(&back).text() == sum.text(), "echo", (back.len(), sum.len))
    }

    /// Hears all events, or leaves after some.
    async fn events(&self, base: &str, leaves: bool) -> Result<(), String> {
        let asked = self.client.get(format!("{base}{TELLS}")).send().await;
        let mut answer = asked.map_err(|error| self.failed("events", error))?;
        let all: String = (0..EVENTS).map(app::event).collect();
        let mut heard = Vec::new();
        while let Some(piece) =
            answer.chunk().await.map_err(|error| self.failed("an event", error))?
        {
            heard.extend_from_slice(&piece);
            if leaves && heard.len() > all.len() / 4 {
                return right(all.as_bytes().starts_with(&heard), "events", heard.len());
            }
        }
        right(heard == all.as_bytes(), "events", heard.len())
    }
}

/// What the application is asked for, one thing after the other.
pub(crate) async fn with_app(base: String, http2: bool, stop: Arc<AtomicBool>, done: Arc<Done>) {
    let name = if http2 { "H2" } else { "H1" };
    let mut one = Tcp { client: client(http2), http2, name };
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        if turn % 100 == 99 {
            one.client = client(http2);
        }
        match turn % 8 {
            0 => done.count(&done.events, one.events(&base, false).await),
            4 => done.count(&done.events, one.events(&base, true).await),
            turn if turn % 2 == 1 => done.count(&done.sent, one.sink(&base).await),
            _ => done.count(&done.sent, one.echo(&base).await),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The same by HTTP/3.
pub(crate) async fn with_app_by_quic(site: Arc<Site>, stop: Arc<AtomicBool>, done: Arc<Done>) {
    let events: String = (0..EVENTS).map(app::event).collect();
    let mut one = open(&site, &done).await.expect("a connection");
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        if turn % 100 == 99 {
            one = open(&site, &done).await.expect("a connection");
        }
        let whole = |asked: Result<Answer, Ended>, wanted: &dyn Fn(&[u8]) -> bool| match asked {
            Ok(Answer { body, .. }) => right(wanted(&body), "H3 application", body.len()),
            Err(Ended::Failed(why)) => Err(format!("H3 application: {why}")),
            Err(Ended::Told | Ended::Idle) => Err("H3 application: the connection ended".into()),
        };
        match turn % 4 {
            0 => {
                let heard = one.get(TELLS).await;
                done.count(&done.events, whole(heard, &|body| body == events.as_bytes()));
            }
            1 => {
                let (pieces, sum) = body(ECHO_PIECES);
                let back = one.post(ECHO, pieces).await;
                done.count(&done.sent, whole(back, &|body| Sum::of(body).text() == sum.text()));
            }
            _ => {
                let (pieces, sum) = body(SINK_PIECES);
                let said = one.post(SINK, pieces).await;
                done.count(&done.sent, whole(said, &|body| body == sum.text().as_bytes()));
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Opens WebSockets, says something in each, and leaves. A few stay for a while.
pub(crate) async fn talk(site: Arc<Site>, stop: Arc<AtomicBool>, done: Arc<Done>) {
    let mut open = VecDeque::new();
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let protocol = Socket::PROTOCOLS[turn % Socket::PROTOCOLS.len()];
        let talked = async {
            let mut socket = Socket::open(protocol, site.addr).await?;
            socket.echoes(&vec![turn as u8; 10_000]).await?;
            open.push_back(socket);
            if open.len() > 16
                && let Some(mut oldest) = open.pop_front()
            {
                oldest.echoes(b"good bye").await?;
            }
            Ok(())
        };
        done.count(&done.sockets, talked.await);
        tokio::time::sleep(PAUSE).await;
    }
}
