//! Object stores as a configuration names them, where this program can ask them.

use std::path::Path;

#[cfg(feature = "object-store")]
use headwater::origin::store::{Connections, StoreOrigin};
#[cfg(feature = "object-store")]
use headwater::origin::upstream::OriginConfig;
use headwater::origin::upstream::OriginsBuilder;
use headwater::proto::config::store::Store as Config;
use headwater::proto::config::upstream::Upstream as Group;

use super::super::named::Named;
use super::super::{Error, secret};
#[cfg(feature = "object-store")]
use super::{settings::count, upstreams::bounds};

/// Adds the store to a group whose it is. Reads the files that are named.
///
/// # Errors
/// In one sentence, which repeats no secret, and neither what a store says.
pub(super) fn add(
    config: &Config,
    group: &Group,
    origins: OriginsBuilder,
) -> Result<OriginsBuilder, Error> {
    let url = config.url.as_deref().unwrap_or_default();
    if let Some(feature) = lacks(url) {
        let says =
            format!("{url} cannot be asked: this program was built without the feature {feature}");
        return Err(Named::new(url, says).under("url").into());
    }
    #[cfg(feature = "object-store")]
    let origins = {
        let store = open(config, group, url)?.bounds(bounds(group)?);
        origins.origin_with(store, OriginConfig::new(url, 0))
    };
    #[cfg(not(feature = "object-store"))]
    let _ = group;
    Ok(origins)
}

/// The feature that a store's kind needs, where this program has it not.
fn lacks(url: &str) -> Option<&'static str> {
    let (feature, is_there) = match url.split(':').next() {
        Some("gs") => ("gcp", cfg!(feature = "gcp")),
        Some("az") => ("azure", cfg!(feature = "azure")),
        _ => ("aws", cfg!(feature = "aws")),
    };
    (!is_there).then_some(feature)
}

#[cfg(feature = "object-store")]
fn open(config: &Config, group: &Group, url: &str) -> Result<StoreOrigin, Error> {
    let files = config.setting_files.iter().map(|(name, path)| Ok((name, text(path)?)));
    let files: Vec<_> = files.collect::<Result<_, Error>>()?;
    let given = config.settings.iter().map(|(name, value)| (&**name, &**value));
    let read = files.iter().map(|(name, value)| (&***name, &**value));
    let connections = Connections::default()
        .connect_timeout(group.connect_timeout.get())
        .pool_idle_timeout(group.keep_alive.get())
        .pool_max_idle(count(group.max_idle));
    let settings = given.chain(read);
    let opened = StoreOrigin::open_by(url, settings, config.environment, &connections);
    let fault = |error| Named::new(url, format_args!("{url}: {error}")).under("url").into();
    opened.map_err(fault)
}

/// Each fault of the files that are named: those that hold settings.
pub(super) fn faults(config: &Config) -> Vec<Error> {
    config.setting_files.values().filter_map(|path| text(path).err()).collect()
}

/// What a file holds, without space around it.
fn text(path: &Path) -> Result<String, Error> {
    let value = secret::read(Some(path), None)?.unwrap_or_default();
    let says = format!("the file {} is no text", path.display());
    Ok(String::from_utf8(value).map_err(|_| Named::file(path, says))?)
}
