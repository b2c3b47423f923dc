//! The roles of the stack, and how they go together.
//!
//! Each is a tower service of its own concrete type; only a shield's origins are boxed, which no
//! hit ever meets.

use headwater_cache::Cache;
use headwater_net::client::Upstream;
use headwater_net::server::{ServerBuilder, ServerHandle};
use headwater_origin::Shield;
use headwater_packager::Packager;
use prometheus_client::registry::Registry;
use tower::Layer as _;

use crate::pages::Pages;
use crate::router::Router;
use crate::{Args, Error, Role};

/// Starts the services of this process's role on `server`, with their metrics in `registry`.
///
/// # Errors
/// When an upstream or the pages cannot be used, or a listener cannot be opened.
pub fn serve(
    args: &Args,
    server: ServerBuilder,
    packager: Option<Packager>,
    registry: &mut Registry,
    pages: Pages,
) -> Result<ServerHandle, Error> {
    if let Some(packager) = &packager {
        packager.metrics().register(registry);
    }
    match (args.role, packager) {
        (Role::All, Some(packager)) => {
            let shield = shield(args, Shield::builder().origin(packager), registry);
            edge(args, server, shield, registry, pages)
        }
        (Role::Packager, Some(packager)) => Ok(server.serve(move |_| packager.clone())?),
        (Role::Shield, _) => {
            let mut builder = Shield::builder();
            for url in &args.upstream {
                builder = builder.origin(upstream(url)?);
            }
            let shield = shield(args, builder, registry);
            Ok(server.serve(move |_| shield.clone())?)
        }
        (Role::Edge, _) => {
            let Some(url) = args.upstream.first() else {
                return Err(Error::Usage("--role edge needs --upstream, its shield".into()));
            };
            edge(args, server, upstream(url)?, registry, pages)
        }
        (Role::All | Role::Packager, None) => Err(Error::Usage("there is nothing to play".into())),
    }
}

/// The edge: cache and layers over what is behind it, pages beside it.
fn edge<S>(
    args: &Args,
    server: ServerBuilder,
    behind: S,
    registry: &mut Registry,
    pages: Pages,
) -> Result<ServerHandle, Error>
where
    S: tower_service::Service<
            http::Request<headwater_net::Body>,
            Response = http::Response<headwater_net::Body>,
        > + Clone
        + Send
        + Sync
        + 'static,
    S::Error: Into<headwater_cache::BoxError>,
    S::Future: Send,
{
    let service = Router::new(cache(args, "edge", registry).layer().layer(behind), pages);
    Ok(server.serve(move |_| service.clone())?)
}

/// A shield over the origins that `builder` was given.
fn shield(
    args: &Args,
    builder: headwater_origin::ShieldBuilder,
    registry: &mut Registry,
) -> Shield {
    let shield = builder.cache(cache(args, "shield", registry)).build();
    shield.metrics().register(registry);
    shield
}

/// A cache that signs with the name of its role.
fn cache(args: &Args, role: &'static str, registry: &mut Registry) -> Cache {
    let cache = Cache::builder().name(role).ram(args.cache_mib << 20).build();
    cache.metrics().register(registry.sub_registry_with_label(("cache".into(), role.into())));
    cache
}

/// A client of the process that `url` names.
fn upstream(url: &http::Uri) -> Result<Upstream, Error> {
    Upstream::builder(url.clone())
        .build()
        .map_err(|error| Error::Upstream { url: url.to_string(), why: error.to_string() })
}
