//! From what a configuration says to what the builders of the parts take.

use std::path::Path;

use headwater::cache::{Cache, Choices, Disk, Downstream};
use headwater::edge::access_log::{AccessLogBuilder, Format, LogFile, Masked, Reopened};
use headwater::edge::{
    AccessLog, EarlyDataLayer, Edge, EdgeBuilder, GeoDatabase, GeoRules, HeadersLayer, Metrics,
    NormaliseLayer, TokenLayer,
};
use headwater::net::encoding::Coding;
use headwater::net::server::{ConnLimits, QuicConfig, ServerBuilder, Tls};
use headwater::net::{ForwardedField, Proxies, Secret};
use headwater::proto::config::cache::Downstream as Asked;
use headwater::proto::config::clients::Geo;
use headwater::proto::config::log::{Log, LogFormat};
use headwater::proto::config::running::Operator;
use headwater::proto::config::server::{self, Limits, Quic};
use headwater::proto::config::text::{List, Network};
use headwater::proto::config::{Edge as Config, Wrong};
use http::{HeaderName, HeaderValue};

use super::super::named::Named;
use super::super::{Error, named, secret};
use super::media::{Kept, Media};
use super::route_policy::methods;
use super::shields::Shields;
use super::sites::SitePolicy;
use super::trace::Recorder;

/// What is said of a log that this program cannot write.
const NO_QLOG: &str = "this program was built without the feature qlog";

/// The listeners of `[server]`.
pub(super) fn listeners(
    builder: ServerBuilder,
    server: &server::Server,
    tls: Option<Tls>,
) -> Result<ServerBuilder, Error> {
    let mut builder = builder.limits(limits(&server.limits));
    for address in server.listen.iter() {
        builder = builder.https(&**address);
    }
    for address in server.listen_http.iter() {
        builder = builder.http(&**address);
    }
    if let Some(path) = &server.listen_unix {
        builder = builder.unix(path);
    }
    if let Some(tls) = tls {
        builder = builder.tls(tls);
    }
    if let Some(workers) = server.workers {
        builder = builder.workers(workers.into());
    }
    builder = if server.http3 {
        builder.quic(quic(&server.quic, server.early_data)?)
    } else {
        builder.without_quic()
    };
    Ok(builder
        .extended_connect(server.websockets)
        .forwarded_by(proxies(&server.forwarded_by)?)
        .forwarded_field(forwarded_field(server.forwarded_field))
        .proxy_protocol_from(proxies(&server.proxy_protocol_from)?))
}

pub(super) fn proxies(networks: &List<Network>) -> Result<Proxies, Error> {
    let all: Vec<&str> = networks.iter().map(|network| &**network).collect();
    Ok(all.join(",").parse()?)
}

fn forwarded_field(field: server::ForwardedField) -> ForwardedField {
    match field {
        server::ForwardedField::Forwarded => ForwardedField::Forwarded,
        _ => ForwardedField::XForwardedFor,
    }
}

/// What one client may use up.
pub(super) fn limits(config: &Limits) -> ConnLimits {
    let mut limits = ConnLimits::default();
    limits.header_timeout = config.header_timeout.get();
    limits.handshake_timeout = config.handshake_timeout.get();
    limits.idle_timeout = config.idle_timeout.get();
    limits.write_timeout = config.write_timeout.get();
    limits.max_headers = config.max_headers.into();
    limits.max_header_bytes = u32::try_from(config.max_header_bytes.get()).unwrap_or(u32::MAX);
    limits.h2_max_streams = config.h2_max_streams;
    limits.h2_send_buffer = size(config.h2_send_buffer.get());
    limits.send_budget = size(config.send_budget.get());
    limits.h2_pending_resets = count(config.h2_pending_resets);
    limits.max_body = config.max_body.get();
    limits.h2_receive_window = u32::try_from(config.h2_receive_window.get()).unwrap_or(u32::MAX);
    limits.min_rate = config.min_rate.get();
    limits.body_timeout = config.body_timeout.get();
    limits.max_per_address = count(config.max_per_address);
    limits.max_handshakes = count(config.max_handshakes);
    limits.max_connections = count(config.max_connections);
    limits
}

/// How QUIC behaves.
fn quic(config: &Quic, early_data: bool) -> Result<QuicConfig, Error> {
    let mut quic = QuicConfig::default();
    quic.idle_timeout = config.idle_timeout.get();
    quic.max_streams = config.max_streams;
    quic.send_window = config.send_window.get();
    quic.retry_above = count(config.retry_above);
    quic.max_handshakes = count(config.max_handshakes);
    quic.receive_window = u32::try_from(config.receive_window.get()).unwrap_or(u32::MAX);
    quic.socket_buffer = size(config.socket_buffer.get());
    quic.early_data = early_data;
    if let Some(folder) = &config.qlog {
        log_quic(&mut quic, folder)?;
    }
    Ok(quic)
}

/// Whether what QUIC does can be logged, where that is asked for.
pub(super) fn qlog(config: &server::Server) -> Result<(), Wrong> {
    if cfg!(feature = "qlog") || !config.http3 || config.quic.qlog.is_none() {
        return Ok(());
    }
    Err(Wrong::with(["server", "quic", "qlog"].map(Into::into), NO_QLOG))
}

/// Has what QUIC does logged in a folder.
#[cfg(feature = "qlog")]
fn log_quic(quic: &mut QuicConfig, folder: &Path) -> Result<(), Error> {
    let qlog = headwater::net::server::Qlog::new(folder);
    let failed = |error| format!("server.quic.qlog: cannot use {}: {error}", folder.display());
    quic.qlog = Some(qlog.map_err(failed)?);
    Ok(())
}

#[cfg(not(feature = "qlog"))]
fn log_quic(_: &mut QuicConfig, _: &Path) -> Result<(), Error> {
    Err(format!("server.quic.qlog: {NO_QLOG}").into())
}

pub(super) fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

pub(super) fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A file that a configuration names.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    Ok(named::read(path)?)
}

/// The cache, with its disk tier opened.
pub(super) fn cache(config: &Config, policy: SitePolicy) -> Result<Cache, Error> {
    let cache = &config.cache;
    let targeted = cache.targeted.iter().map(|name| name.parse::<HeaderName>());
    let choices = Choices::new()
        .targeted(targeted.collect::<Result<Vec<_>, _>>()?)
        .share_cookies(cache.share_cookies)
        .stale_if_unreachable(cache.stale_if_unreachable.get())
        .max_error_body(cache.max_error_body.get())
        .max_hops(cache.max_hops.into())
        .tell_key(cache.tell_key);
    let builder = Cache::builder()
        .name(&*cache.name)
        .policy(policy)
        .choices(choices)
        .ram(cache.ram.get())
        .max_object(cache.max_object.get())
        .slice(cache.slice.get())
        .window(cache.window.get())
        .fill_memory(cache.fill_memory.get())
        .max_fills(count(cache.max_fills))
        .max_passes(count(cache.max_passes))
        .pass_wait(cache.pass_wait.get())
        .finish_percent(cache.finish_percent)
        .uncollapsed(cache.uncollapsed.get())
        .honour_request_directives(cache.honour_request_directives)
        .downstream(match cache.downstream {
            Asked::Caches => Downstream::Caches,
            _ => Downstream::Clients,
        });
    let disk = &cache.disk;
    let Some(folder) = &disk.folder else { return Ok(builder.build()) };
    let disk = Disk::builder(folder, disk.size.get())
        .promote(disk.promote.get())
        .write_queue(disk.write_queue.get())
        .read_memory(disk.read_memory.get())
        .read_threads(disk.read_threads.into())
        .selective(disk.selective)
        .open()?;
    Ok(builder.disk(disk).build())
}

/// Where clients are found to be. Reads the database.
pub(super) fn geo(config: &Geo) -> Result<GeoRules, Error> {
    let Some(path) = &config.database else { return Ok(GeoRules::default()) };
    let of = |error: Named| error.under("database");
    let database = GeoDatabase::read(named::read(path).map_err(of)?);
    Ok(GeoRules::new(database.map_err(|error| of(Named::unfit(path, error)))?))
}

/// Fields that every answer gets.
fn headers(server: &server::Server) -> Result<HeadersLayer, Error> {
    let mut headers = Vec::new();
    for (name, value) in &server.headers {
        headers.push((name.parse::<HeaderName>()?, HeaderValue::from_str(value)?));
    }
    Ok(HeadersLayer::new(headers))
}

/// What is refused of targets; routes that compress get the codings they can make.
fn normalise(config: &Config) -> NormaliseLayer {
    let resolved = config.resolved();
    let compresses = resolved.sites.iter().any(|site| {
        let otherwise = resolved.otherwise(site);
        site.routes.iter().chain([&otherwise]).any(|route| route.compress == Some(true))
    });
    let layer = NormaliseLayer::new()
        .max_target(size(config.server.max_target.get()))
        .keep_cache_control(config.cache.honour_request_directives);
    if compresses { layer.codings(&Coding::ALL) } else { layer }
}

/// The operator's token, without space around it.
pub(super) fn token(operator: &Operator) -> Result<Option<Secret>, Error> {
    let file = operator.token_file.as_deref();
    Ok(secret::read(file, operator.token_env.as_deref())?.map(Secret::new))
}

/// What the access log tells, and of which answers.
pub(super) fn access_log(config: &Log) -> AccessLogBuilder {
    let log = AccessLog::builder()
        .format(match config.format {
            LogFormat::Combined => Format::Combined,
            _ => Format::Json,
        })
        .sample(config.sample)
        .all_errors(config.all_errors)
        .anonymise(config.anonymise);
    let log = match (config.query, &config.masked) {
        (false, _) => log,
        (true, None) => log.query(Masked::default()),
        (true, Some(names)) => log.query(Masked::new(names.iter().map(String::as_str))),
    };
    if config.access.is_some() { log } else { log.unwritten() }
}

/// Where it goes. Opens the file.
pub(super) fn log_file(config: &Log) -> Result<Reopened, Error> {
    let Some(path) = &config.access else { return Ok(Reopened::nowhere()) };
    let opened = LogFile::reopen_at(path).map_err(|error| {
        format!("the access log cannot be written to {}: {error}", path.display())
    })?;
    Ok(opened)
}

/// What outlives a reload.
pub(super) struct Lasting {
    pub(super) cache: Cache,
    pub(super) log: AccessLog,
    pub(super) metrics: Metrics,
    pub(super) media: Media,
    pub(super) recorder: Recorder,
    /// What is known of tokens for one request; sites say which tokens they want.
    pub(super) tokens: TokenLayer,
}

/// The edge that a configuration describes, around what lasts. Changes none of it.
pub(super) fn edge(
    config: &Config,
    lasting: &Lasting,
    kept: &Kept,
    shields: &Shields,
) -> Result<EdgeBuilder, Error> {
    let edge = Edge::builder()
        .cache(lasting.cache.clone())
        .access_log(lasting.log.again(access_log(&config.log), count(config.log.queue)))
        .metrics(lasting.metrics.clone())
        .tokens(lasting.tokens.clone())
        .headers(headers(&config.server)?)
        .geo(geo(&config.geo)?)
        .methods(methods(&config.server.methods)?)
        .normalise(normalise(config))
        .trace(lasting.recorder.layer(&config.trace))
        .early_data(EarlyDataLayer::new().forward(config.server.early_data_upstream))
        .websockets(config.server.websockets);
    let edge = lasting.media.add(config, kept, edge)?;
    Ok(shields.values().fold(edge, |edge, (_, hints)| edge.hints(hints)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn what_nobody_configured_is_as_the_server_has_it() {
        let server = server::Server::default();
        assert_eq!(format!("{:?}", limits(&server.limits)), format!("{:?}", ConnLimits::default()));
        let mut quic_default = QuicConfig::default();
        quic_default.early_data = true;
        let quic = quic(&server.quic, server.early_data).unwrap();
        assert_eq!(format!("{quic:?}"), format!("{quic_default:?}"));
    }
}
