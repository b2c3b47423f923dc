//! What a connection takes on which nothing happens: opened, asked once over for 1 KiB, kept.

use serde::Serialize;

use super::Bench;
use crate::load::{Load, Objects, Protocol, Result};
use crate::peer::Tier;

/// One kind of connection.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) protocol: Protocol,
    pub(super) connections: u16,
    /// Ours first.
    pub(super) servers: Vec<Figures>,
}

/// One server's figures.
#[derive(Serialize)]
pub(super) struct Figures {
    pub(super) name: &'static str,
    /// What the server's resident memory grew by, over the number of connections.
    pub(super) bytes_per_connection: f64,
}

/// Measures H1+TLS, H2 and H3, on servers of their own: what one has freed it keeps, and new connections
/// would seem to take nothing.
///
/// # Errors
/// When a server cannot be started or a connection fails.
pub(super) async fn measure(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let protocols = [Protocol::H1Tls, Protocol::H2, Protocol::H3];
    bench.bar.set_position(0);
    bench.bar.set_length(protocols.len() as u64);
    let mut rows = Vec::new();
    for protocol in protocols {
        let servers = bench.servers(&format!("idle-{}", protocol.name()), false, Tier::Ram)?;
        let mut figures = Vec::new();
        for server in servers.iter().filter(|server| server.speaks(protocol)) {
            bench.bar.set_message(format!("{} idle {}", protocol.name(), server.name()));
            let load = |connections| Load {
                protocol,
                addr: server.addr(protocol),
                objects: Objects::new(1 << 10, 1),
                connections,
                streams: 1,
                tls: bench.tls.clone(),
            };
            // What the first ones bring into memory, all later ones share.
            drop(load(8).keep().await?);
            let before = server.memory()?;
            let kept = load(bench.args.idle.into()).keep().await.map_err(|error| {
                format!("idle connections to {} over {}: {error}", server.name(), protocol.name())
            })?;
            let grown = server.memory()?.saturating_sub(before);
            drop(kept);
            let bytes_per_connection = grown as f64 / f64::from(bench.args.idle);
            figures.push(Figures { name: server.name(), bytes_per_connection });
        }
        bench.bar.inc(1);
        rows.push(Row { protocol, connections: bench.args.idle, servers: figures });
    }
    Ok(rows)
}
