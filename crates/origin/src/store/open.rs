//! A store by its URL: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX`, and settings by
//! the names that `object_store` has for them (`region`, `endpoint`, `account_name`, …).

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;

use super::StoreOrigin;

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
    /// The settings together are no good: one is missing, or has a value that it cannot have.
    #[error("the settings of the store are not enough, or have values that they cannot have")]
    Settings,
}

impl StoreOrigin {
    /// The objects of the store that a URL names, below the path that the URL has.
    ///
    /// `settings` are told by the names that `object_store` knows them by, without what stands before them
    /// in variables: of `AWS_SECRET_ACCESS_KEY`, `secret_access_key`. With `from_environment`, those
    /// variables count, too, where `settings` say nothing else; so do the machine's own credentials where
    /// none are told.
    ///
    /// # Errors
    /// An [`OpenError`]. Whether the store is there, and takes the credentials, only requests show.
    pub fn open<'s>(
        url: &str,
        settings: impl IntoIterator<Item = (&'s str, &'s str)>,
        from_environment: bool,
    ) -> Result<Self, OpenError> {
        let wrong = || OpenError::Url(url.to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() || rest.contains(['?', '#', '@']) {
            return Err(wrong());
        }
        let prefix = Path::from_url_path(prefix).map_err(|_| wrong())?;
        let settings = settings.into_iter();
        let store = match scheme {
            "s3" => s3(bucket, settings, from_environment)?,
            "gs" => gs(bucket, settings, from_environment)?,
            "az" => az(bucket, settings, from_environment)?,
            _ => return Err(wrong()),
        };
        Ok(Self::new(store).below(prefix))
    }
}

/// A function that makes one kind of store, where this build has it.
macro_rules! kind {
    ($name:ident, $feature:literal, $builder:path, $with_bucket:ident) => {
        #[cfg(feature = $feature)]
        fn $name<'s>(
            bucket: &str,
            settings: impl Iterator<Item = (&'s str, &'s str)>,
            from_environment: bool,
        ) -> Result<Arc<dyn ObjectStore>, OpenError> {
            use $builder as Builder;
            let mut builder = if from_environment { Builder::from_env() } else { Builder::new() };
            for (name, value) in settings {
                let key = name.parse().map_err(|_| OpenError::Setting(name.to_owned()))?;
                builder = builder.with_config(key, value);
            }
            let store = builder.$with_bucket(bucket).build();
            Ok(Arc::new(store.map_err(|_| OpenError::Settings)?))
        }

        #[cfg(not(feature = $feature))]
        fn $name<'s>(
            _: &str,
            _: impl Iterator<Item = (&'s str, &'s str)>,
            _: bool,
        ) -> Result<Arc<dyn ObjectStore>, OpenError> {
            Err(OpenError::NotBuilt($feature))
        }
    };
}

kind!(s3, "aws", object_store::aws::AmazonS3Builder, with_bucket_name);
kind!(gs, "gcp", object_store::gcp::GoogleCloudStorageBuilder, with_bucket_name);
kind!(az, "azure", object_store::azure::MicrosoftAzureBuilder, with_container_name);

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
