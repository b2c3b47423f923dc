//! The certificates of the listeners: from files, from an authority, or signed by themselves.

use headwater::net::Clock;
use headwater::net::server::{Acme, AcmeChallenge, ClientCertificate, Tls};
use headwater::proto::config::acme::{self, Challenge};
use headwater::proto::config::server::{Clients, Server};

use super::super::{Error, secret};

use super::settings::read;

/// All that a configuration names, where there are any: those of files first. Reads the files, and makes
/// the folder of an authority's.
pub(super) fn all(server: &Server) -> Result<Option<Tls>, Error> {
    let mut found = from_files(server)?;
    if let Some(asked) = from_authority(&server.acme)? {
        let asked = Tls::from_acme(asked)?;
        found = Some(match found {
            Some(files) => files.and(&asked)?,
            None => asked,
        });
    }
    let tls = match found {
        Some(tls) => tls,
        None if server.tls.self_signed.is_empty() => return Ok(None),
        None => {
            let names = server.tls.self_signed.iter().map(ToString::to_string);
            Tls::self_signed(names, None, &Clock::system())?
        }
    };
    of_clients(server, tls.reload_every(Some(server.tls.reload_every.get()))).map(Some)
}

/// Those of `certificate` and `key`, and of `folder`.
pub(super) fn from_files(server: &Server) -> Result<Option<Tls>, Error> {
    let config = &server.tls;
    let files = match (&config.certificate, &config.key) {
        (Some(certificate), Some(key)) => Some(Tls::from_pem_files(certificate, key)?),
        _ => None,
    };
    Ok(match (files, &config.folder) {
        (Some(files), Some(folder)) => Some(files.and(&Tls::from_folder(folder)?)?),
        (None, Some(folder)) => Some(Tls::from_folder(folder)?),
        (files, None) => files,
    })
}

/// Asks clients for theirs, where that is wanted.
pub(super) fn of_clients(server: &Server, tls: Tls) -> Result<Tls, Error> {
    let Some(authorities) = &server.tls.client_ca else { return Ok(tls) };
    let wanted = match server.tls.clients {
        Clients::Optional => ClientCertificate::Optional,
        _ => ClientCertificate::Required,
    };
    Ok(tls.clients(&read(authorities)?, wanted)?)
}

/// What is asked of an authority. Makes its folder.
fn from_authority(config: &acme::Acme) -> Result<Option<Acme>, Error> {
    let (Some(directory), Some(folder)) = (&config.directory, &config.folder) else {
        return Ok(None);
    };
    let mut acme = Acme::builder(&**directory, folder).challenge(match config.challenge {
        Challenge::Http01 => AcmeChallenge::Http01,
        _ => AcmeChallenge::TlsAlpn01,
    });
    if config.together {
        acme = acme.certificate(config.domains.iter().map(|name| &**name));
    } else {
        for name in config.domains.iter() {
            acme = acme.certificate([&**name]);
        }
    }
    for contact in config.contact.iter() {
        acme = acme.contact(contact);
    }
    if let Some(authorities) = &config.ca {
        acme = acme.ca_pem(&read(authorities)?);
    }
    if let (Some(id), Some(key)) = (&config.eab_key_id, external_key(config)?) {
        acme = acme.external_account(id, &key);
    }
    Ok(Some(acme.build()?))
}

/// The key of the account that an authority's is bound to.
pub(super) fn external_key(config: &acme::Acme) -> Result<Option<Vec<u8>>, Error> {
    let (file, variable) = (config.eab_key_file.as_deref(), config.eab_key_env.as_deref());
    secret::read(file, variable)
}
