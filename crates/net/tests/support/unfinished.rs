//! A client that comes back, and whose handshake somebody on the path holds up: its server reads what it
//! sends early, answers, and does not learn whether it is there.
#![allow(dead_code, clippy::unwrap_used, reason = "shared by tests of several crates")]

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use tokio::task::JoinHandle;

use crate::h3_client::{Answer, H3};
use crate::relay::Relay;

/// See the module.
pub(crate) struct Unfinished {
    relay: Relay,
    client: Arc<H3>,
    accepted: quinn::ZeroRttAccepted,
}

impl Unfinished {
    /// Comes back to the server at `addr` with what it remembers, and hears nothing yet: what a client
    /// sends after that is early no more. However long that takes, all that it sends until then is let
    /// through, again where it says it again.
    pub(crate) async fn return_to(addr: SocketAddr, config: &quinn::ClientConfig) -> Self {
        let relay = Relay::new(addr).await;
        relay.only_first_flight(true);
        relay.hold(true);
        let (client, accepted) = H3::return_to(addr, relay.addr, config).await;
        Self { relay, client: Arc::new(client), accepted }
    }

    /// Asks in early data; the task ends with the answer.
    pub(crate) fn get(&self, path: &str) -> JoinHandle<Answer> {
        let (client, path) = (Arc::clone(&self.client), path.to_owned());
        tokio::spawn(async move { client.send(Method::GET, &path, Bytes::new()).await.unwrap() })
    }

    /// Hears what the server says. What it says itself does not get through.
    pub(crate) fn hears(&self) {
        self.relay.hold(false);
    }

    /// Lets the handshake come to its end. Whether what was asked early was taken as that.
    pub(crate) async fn finish(&mut self) -> bool {
        self.relay.only_first_flight(false);
        (&mut self.accepted).await
    }
}
