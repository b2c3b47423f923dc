//! Where certificates come from, and when those files are other ones than before.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::super::ServerError;
use super::identity::{Identity, Named};
use super::provider;

/// The most certificates that one folder may hold.
const MAX_FOLDER: usize = 10_000;

/// Where one or more certificates come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// Handed over; never read again.
    Given(Identity),
    /// Two PEM files.
    Files { certificate: PathBuf, key: PathBuf },
    /// Every `NAME.crt` or `NAME.pem` of a folder that has a `NAME.key` beside it, by name.
    Folder(PathBuf),
    /// From an authority, kept in files.
    #[cfg(feature = "acme")]
    Acme(super::super::Acme),
}

/// What tells a file's content from what it was, short of reading it.
pub(super) type Stamp = Vec<(PathBuf, Option<(SystemTime, u64)>)>;

impl Source {
    /// Whether an authority issues them.
    pub(super) const fn is_issued(&self) -> bool {
        match self {
            Self::Given(_) | Self::Files { .. } | Self::Folder(_) => false,
            #[cfg(feature = "acme")]
            Self::Acme(_) => true,
        }
    }

    /// Reads its certificates.
    pub(super) fn read(&self) -> Result<Vec<Identity>, ServerError> {
        match self {
            Self::Given(identity) => Ok(vec![identity.clone()]),
            Self::Files { certificate, key } => Ok(vec![read_pair(certificate, key)?]),
            Self::Folder(folder) => {
                let pairs = pairs(folder)?;
                pairs.iter().map(|(certificate, key)| read_pair(certificate, key)).collect()
            }
            #[cfg(feature = "acme")]
            Self::Acme(acme) => Ok(acme.identities()),
        }
    }

    /// Its files as they are now; symbolic links are followed, so that a folder that is switched
    /// as a whole has changed, too.
    pub(super) fn stamp(&self, into: &mut Stamp) {
        let mut add = |path: &Path| stamp(path, into);
        match self {
            Self::Given(_) => {}
            Self::Files { certificate, key } => {
                add(certificate);
                add(key);
            }
            Self::Folder(folder) => {
                add(folder);
                for (certificate, key) in pairs(folder).unwrap_or_default() {
                    add(&certificate);
                    add(&key);
                }
            }
            #[cfg(feature = "acme")]
            Self::Acme(acme) => acme.paths().for_each(add),
        }
    }
}

/// One file as it is now.
pub(super) fn stamp(path: &Path, into: &mut Stamp) {
    let seen = fs::metadata(path).ok();
    let seen = seen.and_then(|file| Some((file.modified().ok()?, file.len())));
    into.push((path.to_owned(), seen));
}

fn read_pair(certificate: &Path, key: &Path) -> Result<Identity, ServerError> {
    let read = |path: &Path| {
        fs::read(path).map_err(|source| ServerError::File { path: path.to_owned(), source })
    };
    let (certificate_text, key_text) = (read(certificate)?, read(key)?);
    Identity::from_pem(
        &Named { text: &certificate_text, name: &certificate.display().to_string() },
        &Named { text: &key_text, name: &key.display().to_string() },
        &provider(),
    )
}

/// The certificates of a folder with their keys, in order of their names.
fn pairs(folder: &Path) -> Result<Vec<(PathBuf, PathBuf)>, ServerError> {
    let failed = |source| ServerError::File { path: folder.to_owned(), source };
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_certificate = path.extension().is_some_and(|end| end == "crt" || end == "pem");
        let key = path.with_extension("key");
        if is_certificate && key.is_file() && all.len() < MAX_FOLDER {
            all.push((path, key));
        }
    }
    all.sort();
    Ok(all)
}
