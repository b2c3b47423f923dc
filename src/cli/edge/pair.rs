//! A certificate and its key, in files: what is wrong with each by itself, so that both are told at once.

use std::path::Path;

use super::super::Error;
use super::super::named::{self, Named};

/// What stands before a certificate (RFC 7468 §5).
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";
/// How what stands before a private key ends, of whichever kind (RFC 7468 §10).
const KEY: &[u8] = b" PRIVATE KEY-----";

/// Each fault that either has without the other, under the keys that name them. Reads the files. Where there
/// is none, they can still be of no use together.
pub(super) fn faults(
    (named, certificate): (&'static str, &Path),
    (key_named, key): (&'static str, &Path),
) -> Vec<Error> {
    let one = holds(certificate, named, "certificate", CERTIFICATE);
    let other = holds(key, key_named, "private key", KEY);
    [one, other].into_iter().filter_map(Result::err).map(Error::from).collect()
}

fn holds(path: &Path, key: &'static str, wanted: &str, mark: &[u8]) -> Result<(), Named> {
    let text = named::read(path).map_err(|error| error.under(key))?;
    if text.windows(mark.len()).any(|part| part == mark) {
        return Ok(());
    }
    let says = format!("{} holds no {wanted} in PEM form", path.display());
    Err(Named::file(path, says).under(key))
}
