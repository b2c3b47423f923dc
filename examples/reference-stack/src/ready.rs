//! The file that says the stack answers: written whole, then renamed into place.

use std::io;
use std::path::Path;

use serde::Serialize;

/// What the ready file says.
#[derive(Debug, Clone, Serialize)]
pub struct Ready {
    /// The process to send SIGINT or SIGTERM to.
    pub pid: u32,
    /// The base URL: `https://127.0.0.1:PORT`.
    pub base: String,
    /// The base URL of the plain listener.
    pub http: String,
    /// The URL of the metrics.
    pub metrics: String,
    /// The SHA-256 of the certificate's public key, in base64: what Chromium's
    /// `--ignore-certificate-errors-spki-list` takes.
    pub spki_sha256: String,
    /// What can be watched.
    pub assets: Vec<ReadyAsset>,
}

/// One asset of the ready file, its URLs absolute.
#[derive(Debug, Clone, Serialize)]
pub struct ReadyAsset {
    /// The asset's name: the file's name without its extension.
    pub name: String,
    /// The page that plays it.
    pub player: String,
    /// Its HLS multivariant playlist.
    pub hls: String,
    /// Its DASH manifest.
    pub dash: String,
}

impl Ready {
    /// Writes the file beside its final name and renames it, so that a reader sees all or nothing.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(format!(".{}.partial", self.pid));
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        std::fs::write(&partial, text)?;
        std::fs::rename(&partial, path)
    }
}
