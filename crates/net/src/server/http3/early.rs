//! Early data (0-RTT: RFC 9001 §4.6, RFC 8470): requests that come before the handshake is done.
//!
//! Their sender is known, by its session, but may be somebody's recording. So only requests that
//! are safe and have no body are handed on before it has shown that it is there; any other is held
//! until then. RFC 8470 §3 leaves the choice between this and 425 to us: who is held needs no second
//! attempt.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use http::Method;
use quinn::{Connecting, Connection, ConnectionError, ZeroRttAccepted};

use super::connection::Conn;
use super::sender::Sender;
use crate::handshake::Handshake;
use crate::server::quic::Begun;
use crate::server::unfinished::Turn;
use crate::{Body, ConnInfo};

/// A stream that a client opened, both sides of it.
pub(super) type Both = (quinn::SendStream, quinn::RecvStream);

/// A connection that has come as far as its first request, if not further.
pub(super) struct Arrived {
    pub(super) quic: Connection,
    /// The stream that came while the handshake was under way.
    pub(super) early: Option<(Both, ZeroRttAccepted)>,
}

/// Waits for the handshake or, where early data is taken, for a first request before.
///
/// # Errors
/// When the handshake fails.
pub(super) async fn arrive(
    mut connecting: Connecting,
    early_data: bool,
) -> Result<Arrived, ConnectionError> {
    if !early_data {
        return Ok(Arrived { quic: connecting.await?, early: None });
    }
    // Before this there are no keys to read early data with, and the server name is not known.
    connecting.handshake_data().await?;
    let (quic, mut done) = match connecting.into_0rtt() {
        Ok(both) => both,
        Err(connecting) => return Ok(Arrived { quic: connecting.await?, early: None }),
    };
    tokio::select! {
        biased;
        _ = &mut done => match quic.close_reason() {
            None => Ok(Arrived { quic, early: None }),
            Some(error) => Err(error),
        },
        first = quic.accept_bi() => Ok(Arrived { early: Some((first?, done)), quic }),
    }
}

/// A handshake under way while requests are answered. Dropped, it counts as failed.
pub(super) struct UnderWay {
    ending: Pin<Box<dyn Future<Output = bool> + Send>>,
    handshake: Handshake,
}

impl UnderWay {
    /// The handshake that `done` tells the end of, which it may take `patience` for. It keeps its
    /// `place` among handshakes until then, unless it has to give way, and whoever takes over is told of
    /// it.
    pub(super) fn new(
        quic: Connection,
        done: ZeroRttAccepted,
        place: (Turn, Begun),
        patience: Duration,
    ) -> Self {
        let ending = Box::pin(async move {
            let (mut turn, begun) = place;
            let in_time = tokio::select! {
                done = tokio::time::timeout(patience, done) => done.is_ok(),
                () = turn.gives_way() => false,
            };
            drop((turn, begun));
            in_time && quic.close_reason().is_none()
        });
        Self { ending, handshake: Handshake::default() }
    }

    /// What requests wait for it by.
    pub(super) fn handshake(&self) -> Handshake {
        self.handshake.clone()
    }

    /// Waits for the end; says whether the handshake was done, in time. Cancel safe.
    pub(super) async fn ended(under_way: Option<&mut Self>) -> bool {
        let Some(this) = under_way else { return std::future::pending().await };
        let done = this.ending.as_mut().await;
        this.handshake.end(done);
        done
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.handshake.end(false);
    }
}

/// What the service is told of the connection of a request, and the handshake that the request has
/// to wait for by [`shown`] before it is handed on.
pub(super) fn admit(
    conn: &Conn,
    is_early: bool,
    method: &Method,
    body: &Body,
) -> (ConnInfo, Option<Handshake>) {
    let mut info = conn.info.clone();
    let handshake = conn.handshake.as_ref().filter(|_| is_early);
    let Some(handshake) = handshake.filter(|handshake| !handshake.is_done()) else {
        return (info, None);
    };
    let safe = *method == Method::GET || *method == Method::HEAD;
    // Until then, anybody may have written a proxy's address, which what it says is believed by.
    let held = !safe || !matches!(body, Body::Empty) || conn.forwarded.is_some();
    conn.worker.counters.early(held);
    if held {
        return (info, Some(handshake.clone()));
    }
    info.early_data = true;
    info.handshake = Some(handshake.clone());
    (info, None)
}

/// Waits until the client has shown that it is there; `false` when it did not, or wants no answer
/// any more.
pub(super) async fn shown(handshake: Handshake, sender: &Sender) -> bool {
    tokio::select! {
        done = handshake.done() => done,
        () = sender.stopped() => false,
    }
}
