//! What a group of origins is made of: its configuration, and what the files held that it names. Where both
//! are the same after a reload, the group is.

use std::ops::Deref;
use std::path::Path;

use headwater::net::client::Upstream;
use headwater::origin::upstream::Origins;
use headwater::proto::config::text::Field;
use headwater::proto::config::upstream::{Sign, Upstream as Config};
use http::{HeaderName, HeaderValue};

use super::super::named::Named;
use super::super::{Error, secret};
use super::settings::read;
use super::{pair, store};

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
            shown(certificate, key)?;
        }
        if let Some(store) = &config.store {
            drop(store::add(store, config, Origins::builder())?);
        }
        Ok(Self { config: config.clone(), files })
    }
}

/// Each fault of the files that a group names. Reads them.
pub(super) fn faults(config: &Config) -> Vec<Error> {
    let mut all = Vec::new();
    all.extend(config.ca.as_deref().map(authorities).transpose().err());
    if let (Some(certificate), Some(key)) = (&config.client_certificate, &config.client_key) {
        all.extend(pair::faults(("client_certificate", certificate), ("client_key", key)));
    }
    for (name, file) in &config.field_files {
        all.extend(field(name, file).err());
    }
    if let Some(sign) = &config.sign {
        all.extend(secrets(sign).filter_map(Result::err));
    }
    if let Some(store) = &config.store {
        all.extend(store::faults(store));
    }
    // What no file shows by itself.
    if all.is_empty() { Basis::read(config).err().into_iter().collect() } else { all }
}

/// A field for an origin that a file holds. Reads it.
pub(super) fn field(name: &Field, file: &Path) -> Result<(HeaderName, HeaderValue), Error> {
    let says = format!("the file {} holds nothing that a field can hold", file.display());
    let value = secret::read(Some(file), None)?.unwrap_or_default();
    let value = HeaderValue::from_bytes(&value).map_err(|_| Named::file(file, says))?;
    Ok((HeaderName::try_from(&**name)?, value))
}

/// What requests are signed with: the secret, and a token of a session where there is one. Reads the files.
pub(super) fn secrets(sign: &Sign) -> impl Iterator<Item = Result<Option<Vec<u8>>, Error>> {
    let (file, variable) = (sign.secret_file.as_deref(), sign.secret_env.as_deref());
    let token = || -> Result<Option<Vec<u8>>, Error> {
        let read = secret::read(sign.token_file.as_deref(), None)?;
        if let (Some(file), Some(token)) = (&sign.token_file, &read) {
            let says = format!("the file {} holds no token", file.display());
            HeaderValue::from_bytes(token).map_err(|_| Named::file(file, says))?;
        }
        Ok(read)
    };
    [secret::read(file, variable), token()].into_iter()
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

/// A certificate that is shown, and its key, in PEM.
pub(super) fn shown(certificate: &Path, key: &Path) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let (chain, private) = (read(certificate)?, read(key)?);
    // Whom it trusts does not matter.
    let shown = Upstream::builder(ANY).pin_spki_sha256("").certificate_pem(&chain, &private);
    let shown = shown.build();
    shown.map_err(|error| Named::file(certificate, error).under("client_certificate"))?;
    Ok((chain, private))
}

/// The files that are read for a group.
fn named(config: &Config) -> impl Iterator<Item = &Path> {
    let Config { ca, client_certificate, client_key, link_file, field_files, sign, .. } = config;
    let named = [ca, client_certificate, client_key, link_file].into_iter().flatten();
    let stored = config.store.iter().flat_map(|store| store.setting_files.values());
    let signs = sign.iter().flat_map(|sign| [&sign.secret_file, &sign.token_file]).flatten();
    named.chain(field_files.values()).chain(signs).chain(stored).map(|path| &**path)
}
