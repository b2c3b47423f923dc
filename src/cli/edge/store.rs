//! Object stores as a configuration names them, where this program can ask them.

#[cfg(feature = "object-store")]
use headwater::origin::store::StoreOrigin;
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
pub(super) fn add(config: &Config, origins: OriginsBuilder) -> Result<OriginsBuilder, Error> {
    let url = config.url.as_deref().unwrap_or_default();
    if let Some(feature) = lacks(url) {
        let says =
            format!("{url} cannot be asked: this program was built without the feature {feature}");
        return Err(Named::new(url, says).under("url").into());
    }
    #[cfg(feature = "object-store")]
    let origins = origins.origin_with(open(config, url)?, OriginConfig::new(url, 0));
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
fn open(config: &Config, url: &str) -> Result<StoreOrigin, Error> {
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
    let fault = |error| Named::new(url, format_args!("{url}: {error}")).under("url").into();
    opened.map_err(fault)
}
