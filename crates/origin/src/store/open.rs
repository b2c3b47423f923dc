//! A store by its URL: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX`, and settings by
//! the names that `object_store` has for them (`region`, `endpoint`, `account_name`, …).

use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::path::Path;

use super::StoreOrigin;
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
use super::connect::Connector;

/// Why a store cannot be asked. Values of settings are not repeated: they may be secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is not that of a store.
    #[error(
        "'{0}' is no store; one is s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX"
    )]
    Url(String),
    /// This program cannot ask this kind of store.
    #[error("this program was built without the feature {0}")]
    NotBuilt(&'static str),
    /// A setting that this kind of store does not have.
    #[error("'{0}' is no setting of this kind of store")]
    Setting(String),
    /// A setting of connections and times, which [`Connections`] and
    /// [`Bounds`](headwater_net::client::Bounds) say, or which is not known here.
    #[error("'{0}' is no setting here: times and connections are those of the upstream")]
    Elsewhere(String),
    /// The settings together are no good: one is missing, or has a value that it cannot have.
    #[error("the settings of the store are not enough, or have values that they cannot have")]
    Settings,
}

/// How a store is connected to, and who gives credentials for it: by default as an upstream is.
#[derive(Clone, Debug)]
#[must_use = "it is given to a store that is opened"]
#[cfg_attr(
    not(any(feature = "aws", feature = "azure", feature = "gcp")),
    expect(dead_code, reason = "there is nobody to connect to")
)]
pub struct Connections {
    pub(super) connect_timeout: Duration,
    pub(super) pool_idle_timeout: Duration,
    pub(super) pool_max_idle: usize,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            pool_idle_timeout: Duration::from_secs(60),
            pool_max_idle: 64,
        }
    }
}

impl Connections {
    /// As [`UpstreamBuilder::connect_timeout`](headwater_net::client::UpstreamBuilder::connect_timeout); a machine's own metadata have a second at most.
    pub const fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time;
        self
    }

    /// As [`UpstreamBuilder::pool_idle_timeout`](headwater_net::client::UpstreamBuilder::pool_idle_timeout).
    pub const fn pool_idle_timeout(mut self, time: Duration) -> Self {
        self.pool_idle_timeout = time;
        self
    }

    /// As [`UpstreamBuilder::pool_max_idle`](headwater_net::client::UpstreamBuilder::pool_max_idle).
    pub const fn pool_max_idle(mut self, connections: usize) -> Self {
        self.pool_max_idle = connections;
        self
    }
}

impl StoreOrigin {
    /// The objects of the store that a URL names, below the path that the URL has.
    ///
    /// `settings` are told by the names that `object_store` knows them by, without what stands before them
    /// in variables: of `AWS_SECRET_ACCESS_KEY`, `secret_access_key`. With `from_environment`, those
    /// variables count, too, where `settings` say nothing else; so do the machine's own credentials where
    /// none are told. How long anything may take is no setting: that is for [`StoreOrigin::bounds`] and
    /// [`Connections`], which are the usual ones here.
    ///
    /// # Errors
    /// An [`OpenError`]. Whether the store is there, and takes the credentials, only requests show.
    pub fn open<'s>(
        url: &str,
        settings: impl IntoIterator<Item = (&'s str, &'s str)>,
        from_environment: bool,
    ) -> Result<Self, OpenError> {
        Self::open_by(url, settings, from_environment, &Connections::default())
    }

    /// As [`StoreOrigin::open`], by these connections.
    ///
    /// # Errors
    /// As there.
    pub fn open_by<'s>(
        url: &str,
        settings: impl IntoIterator<Item = (&'s str, &'s str)>,
        from_environment: bool,
        connections: &Connections,
    ) -> Result<Self, OpenError> {
        let wrong = || OpenError::Url(url.to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() || rest.contains(['?', '#', '@']) {
            return Err(wrong());
        }
        let prefix = Path::from_url_path(prefix).map_err(|_| wrong())?;
        let given = (settings.into_iter(), from_environment);
        let store = match scheme {
            "s3" => s3(bucket, given, connections)?,
            "gs" => gs(bucket, given, connections)?,
            "az" => az(bucket, given, connections)?,
            _ => return Err(wrong()),
        };
        Ok(Self::new(store).below(prefix))
    }
}

/// A function that makes one kind of store, where this build has it.
macro_rules! kind {
    ($name:ident, $feature:literal, $builder:path, $key:path, $with_bucket:ident) => {
        #[cfg(feature = $feature)]
        fn $name<'s>(
            bucket: &str,
            (settings, from_environment): (impl Iterator<Item = (&'s str, &'s str)>, bool),
            connections: &Connections,
        ) -> Result<Arc<dyn ObjectStore>, OpenError> {
            use $builder as Builder;
            use $key as Key;
            let mut builder = if from_environment { Builder::from_env() } else { Builder::new() };
            for (name, value) in settings {
                let key = name.parse().map_err(|_| OpenError::Setting(name.to_owned()))?;
                if matches!(&key, Key::Client(key) if !Connector::knows(*key)) {
                    return Err(OpenError::Elsewhere(name.to_owned()));
                }
                builder = builder.with_config(key, value);
            }
            let connector = Connector::new(connections);
            let (key, time) = connector.mark();
            builder = builder.with_config(Key::Client(key), time).with_http_connector(connector);
            let store = builder.$with_bucket(bucket).build();
            Ok(Arc::new(store.map_err(|_| OpenError::Settings)?))
        }

        #[cfg(not(feature = $feature))]
        fn $name<'s>(
            _: &str,
            _: (impl Iterator<Item = (&'s str, &'s str)>, bool),
            _: &Connections,
        ) -> Result<Arc<dyn ObjectStore>, OpenError> {
            Err(OpenError::NotBuilt($feature))
        }
    };
}

kind!(
    s3,
    "aws",
    object_store::aws::AmazonS3Builder,
    object_store::aws::AmazonS3ConfigKey,
    with_bucket_name
);
kind!(
    gs,
    "gcp",
    object_store::gcp::GoogleCloudStorageBuilder,
    object_store::gcp::GoogleConfigKey,
    with_bucket_name
);
kind!(
    az,
    "azure",
    object_store::azure::MicrosoftAzureBuilder,
    object_store::azure::AzureConfigKey,
    with_container_name
);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn what_is_no_store_is_refused_by_name() {
        for url in ["bucket", "http://bucket/", "s3://", "s3:///prefix", "s3://b/?x", "gs://a@b/"] {
            let error = StoreOrigin::open(url, [], false).unwrap_err();
            assert_eq!(error, OpenError::Url(url.to_owned()));
        }
    }

    #[test]
    fn a_store_that_was_not_built_in_says_so() {
        for (url, feature, built) in [
            ("s3://b/p", "aws", cfg!(feature = "aws")),
            ("gs://b/p", "gcp", cfg!(feature = "gcp")),
            ("az://b/p", "azure", cfg!(feature = "azure")),
        ] {
            let settings = [("no_such_thing", "a secret")];
            let error = StoreOrigin::open(url, settings, false).unwrap_err();
            if built {
                assert_eq!(error, OpenError::Setting("no_such_thing".into()));
            } else {
                assert_eq!(error, OpenError::NotBuilt(feature));
            }
            assert!(!error.to_string().contains("secret"));
        }
    }
}
