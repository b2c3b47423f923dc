//! `[upstream.store]`: an object store in the place of origins. docs/upstreams.md tells what it answers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::text::{Name, StoreUrl};

/// An object store, which is asked by requests that it knows us by. Its answers are held to `idle_timeout`,
/// `whole_timeout`, `max_body` and `response_fields` of the `[[upstream]]`, its connections to `connect_timeout`,
/// `keep_alive` and `max_idle`; keys of hosts, names, certificates, protocols, fields and redirects are refused
/// beside it, and a redirect of a store is a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Store {
    /// Where the objects are: `s3://BUCKET[/PREFIX]` (S3 and what speaks its language),
    /// `gs://BUCKET[/PREFIX]` (Google Cloud Storage) or `az://CONTAINER[/PREFIX]` (Azure). Default none.
    /// Bound: it must be there; a program that was built without the feature `aws`, `gcp` or `azure` refuses
    /// it. Danger: who reaches this edge reads all below it that the credentials may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<StoreUrl>,
    /// Settings by the names that the crate `object_store` knows them by, such as `region`, `endpoint`,
    /// `account_name` or `skip_signature`, and their values. Default none. Bound: those that this kind of
    /// store has, without those of times, pools and HTTP/2's pings and frames. Danger: who can read this file reads them; secrets belong into `setting_files`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<Name, String>,
    /// Such settings whose values are in files, without space around them: `secret_access_key`,
    /// `bearer_token`, `access_key`, `sas_key` and the like. Default none. Bound: as for `settings`, and not
    /// there too. Danger: they are read again at SIGHUP alone.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub setting_files: BTreeMap<Name, PathBuf>,
    /// Whether variables of the environment count that `object_store` knows, such as `AWS_ACCESS_KEY_ID`,
    /// `GOOGLE_SERVICE_ACCOUNT` and `AZURE_STORAGE_ACCOUNT_NAME`, where settings say nothing else. Default
    /// true. Bound: none. Danger: the store is asked as whoever started the process.
    pub environment: bool,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: None,
            settings: BTreeMap::new(),
            setting_files: BTreeMap::new(),
            environment: true,
        }
    }
}
