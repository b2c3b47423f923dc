//! Object stores as a configuration names them, where this program can ask them.

#[cfg(feature = "object-store")]
use headwater::origin::store::{OpenError, StoreOrigin};
#[cfg(feature = "object-store")]
use headwater::origin::upstream::OriginConfig;
use headwater::origin::upstream::OriginsBuilder;
use headwater::proto::config::store::Store as Config;

use super::super::Error;
use super::super::named::Named;
#[cfg(feature = "object-store")]
use super::super::secret;

/// Adds the store to a group. Reads the files that are named.
///
/// # Errors
/// In one sentence, which repeats no secret, and neither what a store says.
#[cfg(feature = "object-store")]
pub(super) fn add(config: &Config, origins: OriginsBuilder) -> Result<OriginsBuilder, Error> {
    let url = config.url.as_deref().unwrap_or_default();
    let mut files = Vec::new();
    for (name, path) in &config.setting_files {
        let value = secret::read(Some(path), None)?.unwrap_or_default();
        let text = String::from_utf8(value).map_err(|_| {
            Named::file(path, format_args!("the file {} is no text", path.display()))
        })?;
        files.push((name, text));
    }
    let given = config.settings.iter().map(|(name, value)| (&**name, &**value));
    let read = files.iter().map(|(name, value)| (&***name, &**value));
    let opened = StoreOrigin::open(url, given.chain(read), config.environment);
    let store = opened.map_err(|error| {
        let says = match error {
            OpenError::NotBuilt(feature) => not_built(url, feature),
            error => format!("{url}: {error}"),
        };
        Named::new(url, says).under("url")
    })?;
    Ok(origins.origin_with(store, OriginConfig::new(url, 0)))
}

/// Refuses it: this program can ask none.
#[cfg(not(feature = "object-store"))]
pub(super) fn add(config: &Config, _: OriginsBuilder) -> Result<OriginsBuilder, Error> {
    let url = config.url.as_deref().unwrap_or_default();
    let feature = match url.split(':').next() {
        Some("gs") => "gcp",
        Some("az") => "azure",
        _ => "aws",
    };
    Err(Named::new(url, not_built(url, feature)).under("url").into())
}

fn not_built(url: &str, feature: &str) -> String {
    format!("{url} cannot be asked: this program was built without the feature {feature}")
}
