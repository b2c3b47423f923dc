//! The certificates of the listeners: from files, from an authority, or signed by themselves.

use std::path::Path;

use headwater::net::Clock;
use headwater::net::server::{
    Acme, AcmeBuilder, AcmeChallenge, ClientCertificate, ServerError, Tls,
};
use headwater::proto::config::acme::{self, Challenge};
use headwater::proto::config::server::{Clients, Server};

use super::super::named::Named;
use super::super::{Error, secret};
use super::basis::authorities;

/// All that a configuration names, where there are any: those of files first. Reads the files, and makes
/// the folder of an authority's.
pub(super) fn all(server: &Server) -> Result<Option<Tls>, Error> {
    let mut found = own(server)?;
    if let Some(asked) = from_authority(&server.acme)? {
        let asked = Tls::from_acme(asked)?;
        found = Some(match found {
            Some(files) => files.and(&asked)?,
            None => asked,
        });
    }
    let Some(tls) = found else { return Ok(None) };
    of_clients(server, tls.reload_every(Some(server.tls.reload_every.get()))).map(Some)
}

/// Those of `[server.tls]`: of files, or else such as are signed by themselves.
pub(super) fn own(server: &Server) -> Result<Option<Tls>, Error> {
    match from_files(server)? {
        None if !server.tls.self_signed.is_empty() => {
            let names = server.tls.self_signed.iter().map(ToString::to_string);
            Ok(Some(Tls::self_signed(names, None, &Clock::system())?))
        }
        files => Ok(files),
    }
}

/// Each fault of what a configuration names. Reads the files, and makes nothing.
pub(super) fn look(server: &Server) -> Vec<Error> {
    let of_clients = || -> Result<(), Error> {
        if server.tls.client_ca.is_none() {
            return Ok(());
        }
        let shown = Tls::self_signed(["localhost"], None, &Clock::system())?;
        of_clients(server, shown).map(drop)
    };
    let mut all = of_one(server);
    all.extend(folder(server).err());
    all.extend(of_clients().err());
    all.extend(of_authority(&server.acme));
    all
}

/// Each fault of `certificate` and `key`.
fn of_one(server: &Server) -> Vec<Error> {
    let (Some(certificate), Some(key)) = (&server.tls.certificate, &server.tls.key) else {
        return Vec::new();
    };
    let alone = super::pair::faults(("certificate", certificate), ("key", key));
    if alone.is_empty() { pair(server).err().into_iter().collect() } else { alone }
}

/// Each fault of what an authority is asked with.
fn of_authority(config: &acme::Acme) -> Vec<Error> {
    if config.directory.is_none() {
        return Vec::new();
    }
    let believed = config.ca.as_deref().map(authorities).transpose().err();
    let bound = external_key(config).err();
    let alone: Vec<Error> = believed.into_iter().chain(bound).collect();
    if !alone.is_empty() {
        return alone;
    }
    let check = || -> Result<(), Error> {
        let Some(described) = described(config)? else { return Ok(()) };
        described.check().map_err(|error| eab(config, error))
    };
    check().err().into_iter().collect()
}

/// Those of `certificate` and `key`, and of `folder`.
fn from_files(server: &Server) -> Result<Option<Tls>, Error> {
    Ok(match (pair(server)?, folder(server)?) {
        (Some(files), Some(folder)) => Some(files.and(&folder)?),
        (files, folder) => files.or(folder),
    })
}

fn pair(server: &Server) -> Result<Option<Tls>, Error> {
    let (Some(certificate), Some(key)) = (&server.tls.certificate, &server.tls.key) else {
        return Ok(None);
    };
    let read = Tls::from_pem_files(certificate, key);
    Ok(Some(read.map_err(|error| of_pair(&error, certificate))?))
}

fn folder(server: &Server) -> Result<Option<Tls>, Error> {
    let Some(folder) = &server.tls.folder else { return Ok(None) };
    Ok(Some(Tls::from_folder(folder).map_err(|error| Named::file(folder, error).under("folder"))?))
}

/// Whose certificates clients are asked for, and whether they must have one.
pub(super) fn clients(server: &Server) -> Option<(&Path, ClientCertificate)> {
    let wanted = match server.tls.clients {
        Clients::Optional => ClientCertificate::Optional,
        _ => ClientCertificate::Required,
    };
    server.tls.client_ca.as_deref().map(|authorities| (authorities, wanted))
}

/// Asks clients for theirs, where that is wanted.
fn of_clients(server: &Server, tls: Tls) -> Result<Tls, Error> {
    let Some((authorities, wanted)) = clients(server) else { return Ok(tls) };
    let asking = tls.clients_from_file(authorities, wanted);
    Ok(asking.map_err(|error| Named::file(authorities, error).under("client_ca"))?)
}

/// Which file of a certificate and its key is at fault.
fn of_pair(error: &ServerError, certificate: &Path) -> Named {
    match error {
        ServerError::File { path, .. } => Named::file(path, error),
        ServerError::Pem { wanted: "private key", what: named }
        | ServerError::KeyMismatch { key: named, .. } => Named::new(named, error).under("key"),
        _ => Named::file(certificate, error).under("certificate"),
    }
}

/// What is asked of an authority. Makes its folder.
fn from_authority(config: &acme::Acme) -> Result<Option<Acme>, Error> {
    let Some(described) = described(config)? else { return Ok(None) };
    Ok(Some(described.build().map_err(|error| eab(config, error))?))
}

/// An error that the key of another account can be at fault for.
fn eab(config: &acme::Acme, error: ServerError) -> Error {
    match (&error, &config.eab_key_file, &config.eab_key_env) {
        (ServerError::ExternalAccount(_), Some(file), _) => {
            Named::file(file, error).under("eab_key_file").into()
        }
        (ServerError::ExternalAccount(_), _, Some(name)) => {
            Named::new(name, error).under("eab_key_env").into()
        }
        _ => error.into(),
    }
}

fn described(config: &acme::Acme) -> Result<Option<AcmeBuilder>, Error> {
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
    if let Some(path) = &config.ca {
        acme = acme.ca_pem(&authorities(path)?);
    }
    if let (Some(id), Some(key)) = (&config.eab_key_id, external_key(config)?) {
        acme = acme.external_account(id, &key);
    }
    Ok(Some(acme))
}

/// The key of the account that an authority's is bound to.
fn external_key(config: &acme::Acme) -> Result<Option<Vec<u8>>, Error> {
    let (file, variable) = (config.eab_key_file.as_deref(), config.eab_key_env.as_deref());
    secret::read(file, variable)
}
