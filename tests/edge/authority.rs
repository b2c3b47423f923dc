//! Certificates for tests, of an authority that nobody knows.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::process::Files;

/// An authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes a certificate for some names and its key; returns where they are.
    pub(crate) fn issue(&self, files: &Files, name: &str, names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.0).unwrap();
        let (at, key_at) = (files.path(&format!("{name}.pem")), files.path(&format!("{name}.key")));
        fs::write(&at, certificate.pem()).unwrap();
        fs::write(&key_at, key.serialize_pem()).unwrap();
        (at.display().to_string(), key_at.display().to_string())
    }

    /// Writes its own.
    pub(crate) fn write(&self, files: &Files) -> String {
        let at = files.path("ca.pem");
        fs::write(&at, self.pem()).unwrap();
        at.display().to_string()
    }

    /// Its own, in PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }
}
