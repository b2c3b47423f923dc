//! A development certificate that signs itself, kept in a folder between runs.
//!
//! Valid for 13 days: browsers accept pins of such certificates for WebTransport only up to 14.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};

use super::ServerError;
use crate::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);
const VALID_DAYS: u32 = 13;

/// Certificate and key as PEM text.
pub(super) struct Pem {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// Takes the certificate kept in `dir` if it has a day left and holds the names; else makes one.
pub(super) fn load_or_make(
    mut names: Vec<String>,
    dir: Option<&Path>,
    now: Timestamp,
) -> Result<Pem, ServerError> {
    names.extend(["localhost", "127.0.0.1", "::1"].map(String::from));
    let names: Vec<String> = names.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    let Some(dir) = dir else { return make(&names, now) };
    let file_error =
        |path: &Path, source: io::Error| ServerError::File { path: path.to_owned(), source };
    std::fs::create_dir_all(dir).map_err(|source| file_error(dir, source))?;
    let (certificate_path, key_path) = (dir.join("dev-cert.pem"), dir.join("dev-key.pem"));
    // What it was made for stands in a note: no need to take the certificate apart again.
    let note_path = dir.join("dev-cert.note");
    if let Ok(note) = std::fs::read_to_string(&note_path)
        && still_good(&note, &names, now)
        && let Ok(certificate) = std::fs::read_to_string(&certificate_path)
        && let Ok(key) = std::fs::read_to_string(&key_path)
        && super::Tls::from_pem(certificate.as_bytes(), key.as_bytes()).is_ok()
    {
        return Ok(Pem { certificate, key });
    }
    let pem = make(&names, now)?;
    // The note goes first and comes back last, so that it never vouches for other files.
    match std::fs::remove_file(&note_path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(file_error(&note_path, source));
        }
        _ => {}
    }
    for (path, text, mode) in [
        (&key_path, pem.key.as_str(), 0o600),
        (&certificate_path, pem.certificate.as_str(), 0o644),
        (&note_path, note(&names, now).as_str(), 0o644),
    ] {
        write(path, text, mode).map_err(|source| file_error(path, source))?;
    }
    Ok(pem)
}

fn make(names: &[String], now: Timestamp) -> Result<Pem, ServerError> {
    let failed = |error: rcgen::Error| ServerError::Certificate(error.to_string());
    let mut params = CertificateParams::new(names).map_err(failed)?;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    // An hour back, for clients whose clock is late.
    params.not_before = epoch + Duration::from_secs(now.as_secs().saturating_sub(3600));
    params.not_after = epoch + Duration::from_secs(now.plus(DAY * VALID_DAYS).as_secs());
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Headwater development");
    params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth);
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok(Pem { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// First line: when it was made; then its names, one a line.
fn note(names: &[String], now: Timestamp) -> String {
    format!("{}\n{}\n", now.as_secs(), names.join("\n"))
}

fn still_good(note: &str, names: &[String], now: Timestamp) -> bool {
    let mut lines = note.lines();
    let Some(made) = lines.next().and_then(|line| line.parse().ok()).map(Timestamp::from_secs)
    else {
        return false;
    };
    lines.eq(names.iter().map(String::as_str))
        && made <= now
        && now.since(made) < DAY * (VALID_DAYS - 1)
}

/// Writes by rename, with `mode` from the first byte on.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let next = path.with_extension("new");
    let _ = std::fs::remove_file(&next);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(&next)?.write_all(text.as_bytes())?;
    std::fs::rename(&next, path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn it_is_kept_until_it_is_about_to_expire_or_names_change() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_secs(1_800_000_000);
        let take = |names: &[&str], now| {
            load_or_make(names.iter().map(ToString::to_string).collect(), Some(dir.path()), now)
                .unwrap()
        };
        let first = take(&["a.example"], now);
        assert_eq!(take(&["a.example"], now.plus(DAY * 11)).certificate, first.certificate);
        let renewed = take(&["a.example"], now.plus(DAY * 12));
        assert_ne!(renewed.certificate, first.certificate);
        let other = take(&["b.example"], now.plus(DAY * 12));
        assert_ne!(other.certificate, renewed.certificate);
        std::fs::write(dir.path().join("dev-key.pem"), "damaged").unwrap();
        assert_ne!(take(&["b.example"], now.plus(DAY * 12)).key, "damaged");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_the_key() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        load_or_make(Vec::new(), Some(dir.path()), Timestamp::from_secs(1_800_000_000)).unwrap();
        let mode = std::fs::metadata(dir.path().join("dev-key.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
