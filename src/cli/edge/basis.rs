//! What a group of origins is made of: its configuration, and what the files held that it names. Where both
//! are the same after a reload, the group is.

use std::ops::Deref;
use std::path::Path;

use headwater::net::client::Upstream;
use headwater::origin::upstream::Origins;
use headwater::proto::config::upstream::Upstream as Config;

use super::super::Error;
use super::super::named::Named;
use super::settings::read;
use super::store;

/// See the module.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Basis {
    config: Config,
    files: Vec<Vec<u8>>,
}

impl Basis {
    /// Reads the files, and has a look at certificates and keys among them.
    ///
    /// # Errors
    /// Of the first file that cannot be read or used.
    pub(super) fn read(config: &Config) -> Result<Self, Error> {
        let files = named(config).map(read).collect::<Result<_, _>>()?;
        if let Some(path) = &config.ca {
            authorities(path)?;
        }
        if let (Some(certificate), Some(key)) = (&config.client_certificate, &config.client_key) {
            // Whom it trusts does not matter.
            let shown = Upstream::builder(ANY).pin_spki_sha256("");
            let shown = shown.certificate_pem(&read(certificate)?, &read(key)?).build();
            shown.map_err(|error| Named::file(certificate, error).under("client_certificate"))?;
        }
        if let Some(store) = &config.store {
            drop(store::add(store, Origins::builder())?);
        }
        Ok(Self { config: config.clone(), files })
    }
}

impl Deref for Basis {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.config
    }
}

/// Somebody who is asked over TLS; nobody is.
const ANY: &str = "https://localhost";

/// The authorities of a file, in PEM.
pub(super) fn authorities(path: &Path) -> Result<Vec<u8>, Error> {
    let pem = read(path)?;
    let believed = Upstream::builder(ANY).ca_pem(&pem).build();
    believed.map_err(|error| Named::file(path, error).under("ca"))?;
    Ok(pem)
}

/// The files that are read for a group.
fn named(config: &Config) -> impl Iterator<Item = &Path> {
    let Config { ca, client_certificate, client_key, link_file, field_files, sign, .. } = config;
    let named = [ca, client_certificate, client_key, link_file].into_iter().flatten();
    let stored = config.store.iter().flat_map(|store| store.setting_files.values());
    let signs = sign.iter().flat_map(|sign| [&sign.secret_file, &sign.token_file]).flatten();
    named.chain(field_files.values()).chain(signs).chain(stored).map(|path| &**path)
}
