//! The certificates that the command line names.

use std::path::{Path, PathBuf};

use headwater_net::Clock;
use headwater_net::server::{Acme, AcmeChallenge, Tls};

use crate::{Args, Error};

/// Those given, those that an authority gives, or one of our own; and behind it those of a folder.
pub(crate) fn all(args: &Args, state: &Path) -> Result<Tls, Error> {
    let first = first(args, state)?;
    match &args.certs {
        Some(folder) => Ok(first.and(&Tls::from_folder(folder)?)?),
        None => Ok(first),
    }
}

fn first(args: &Args, state: &Path) -> Result<Tls, Error> {
    if let (Some(certificate), Some(key)) = (&args.cert, &args.key) {
        return Ok(Tls::from_pem_files(certificate, key)?);
    }
    let Some(directory) = &args.acme else {
        let names = ["localhost", "127.0.0.1", "::1"];
        return Ok(Tls::self_signed(names, Some(&state.join("certificate")), &Clock::system())?);
    };
    let mut acme = Acme::builder(directory, state.join("acme"));
    for names in &args.acme_names {
        acme = acme.certificate(names.split(',').map(str::trim));
    }
    for contact in &args.acme_contact {
        acme = acme.contact(contact);
    }
    if args.acme_http {
        acme = acme.challenge(AcmeChallenge::Http01);
    }
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|source| Error::File { path: path.clone(), source })
    };
    if let (Some(id), Some(path)) = (&args.acme_eab_key_id, &args.acme_eab_key_file) {
        acme = acme.external_account(id, &read(path)?);
    }
    if let Some(path) = &args.acme_ca {
        acme = acme.ca_pem(&read(path)?);
    }
    Ok(Tls::from_acme(acme.build()?)?)
}
