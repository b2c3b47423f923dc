//! New connections: opened, asked once over for 1 KiB, closed. What a handshake costs, whole or
//! resumed.

use serde::Serialize;

use super::{Bench, turns};
use crate::load::{Load, Objects, Protocol, Result};
use crate::peer::Server;
use crate::stats::Spread;

/// One kind of connection.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) protocol: Protocol,
    pub(super) resumed: bool,
    /// Ours first.
    pub(super) servers: Vec<Figures>,
}

/// One server's figures: medians over the rounds.
#[derive(Serialize)]
pub(super) struct Figures {
    pub(super) name: &'static str,
    pub(super) connections_per_s: f64,
    /// CPU time of the server a connection, request included.
    pub(super) cpu_us: Spread,
    /// That of our edge over this server's, round by round.
    pub(super) ratio: Spread,
    /// The share of connections for which the client had a ticket.
    pub(super) with_ticket: f64,
}

struct Measured {
    per_s: f64,
    cpu_us: f64,
    with_ticket: f64,
}

/// Measures H1+TLS and H3, each with whole and with resumed handshakes.
///
/// # Errors
/// When a connection fails, or where sessions are to be resumed most of them are not.
pub(super) async fn measure(bench: &Bench<'_>, servers: &[Server]) -> Result<Vec<Row>> {
    let rounds = bench.args.rounds;
    let protocols = [Protocol::H1Tls, Protocol::H3];
    bench.bar.set_position(0);
    bench.bar.set_length(2 * protocols.len() as u64 * u64::from(rounds));
    let mut rows = Vec::new();
    for protocol in protocols {
        let servers: Vec<&Server> =
            servers.iter().filter(|server| server.speaks(protocol)).collect();
        for resumed in [false, true] {
            let mut measured: Vec<Vec<Measured>> = servers.iter().map(|_| Vec::new()).collect();
            for round in 0..rounds {
                for which in turns(servers.len(), round) {
                    let server = servers[which];
                    bench.bar.set_message(format!(
                        "{} connects {}",
                        protocol.name(),
                        server.name()
                    ));
                    measured[which].push(once(bench, server, protocol, resumed).await?);
                }
                bench.bar.inc(1);
            }
            let ours = &measured[0];
            let figures = servers.iter().zip(&measured);
            let servers = figures
                .map(|(server, rounds)| Figures::of(server.name(), ours, rounds))
                .collect::<Result<_>>()?;
            rows.push(Row { protocol, resumed, servers });
        }
    }
    Ok(rows)
}

async fn once(
    bench: &Bench<'_>,
    server: &Server,
    protocol: Protocol,
    resumed: bool,
) -> Result<Measured> {
    let (tls, tickets) = if resumed {
        let (tls, tickets) = bench.resumed();
        (tls, Some(tickets))
    } else {
        (bench.unresumed(), None)
    };
    let load = Load {
        protocol,
        addr: server.addr(protocol),
        objects: Objects::new(1 << 10, 1),
        connections: bench.args.connections.into(),
        streams: 1,
        tls,
    };
    // The first connections have no ticket yet.
    load.keep().await?;
    let used = || tickets.as_ref().map_or(0, |tickets| tickets.used());
    let (before, had) = (server.cpu_time()?, used());
    let outcome = load.connect(bench.time()).await.map_err(|error| {
        format!("connections to {} over {}: {error}", server.name(), protocol.name())
    })?;
    let spent = server.cpu_time()?.saturating_sub(before);
    if outcome.connections == 0 {
        return Err(format!("no connection to {} was opened", server.name()).into());
    }
    let connections = outcome.connections as f64;
    let with_ticket = (used() - had) as f64 / connections;
    if resumed && with_ticket < 0.9 {
        let share = with_ticket * 100.0;
        let name = server.name();
        return Err(format!("{name} gave tickets for {share:.0} % of the connections").into());
    }
    Ok(Measured {
        per_s: connections / outcome.elapsed.as_secs_f64(),
        cpu_us: spent.as_secs_f64() * 1e6 / connections,
        with_ticket,
    })
}

impl Figures {
    fn of(name: &'static str, ours: &[Measured], rounds: &[Measured]) -> Result<Self> {
        let spread = |pick: fn(&Measured) -> f64| {
            Spread::of(rounds.iter().map(pick)).ok_or("no rounds were run")
        };
        let ratio = ours.iter().zip(rounds).map(|(ours, theirs)| ours.cpu_us / theirs.cpu_us);
        Ok(Self {
            name,
            connections_per_s: spread(|round| round.per_s)?.median,
            cpu_us: spread(|round| round.cpu_us)?,
            ratio: Spread::of(ratio).ok_or("no rounds were run")?,
            with_ticket: spread(|round| round.with_ticket)?.median,
        })
    }
}
