//! The folder or bucket exports lie in, opened for reading. Must never know manifests.

use std::fmt;
use std::path::{Component, Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{CredentialProvider, ObjectStore, ObjectStoreExt as _, RetryConfig};
use owlet_connector::ConnectorError;
use tokio::sync::OnceCell;

use crate::options::DynamoDbOptions;
use crate::transport::Identity;

/// Where exports are, opened at the first use.
pub(crate) struct ExportStore {
    catalog: String,
    location: Location,
    options: Arc<DynamoDbOptions>,
    identity: Arc<Identity>,
    store: OnceCell<Arc<dyn ObjectStore>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Location {
    Local(Path),
    S3 { bucket: String, root: Path },
}

impl fmt::Debug for ExportStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ExportStore")
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

impl ExportStore {
    /// Checks the location; opens nothing.
    pub(crate) fn new(
        catalog: &str,
        location: &str,
        options: Arc<DynamoDbOptions>,
    ) -> Result<Self, ConnectorError> {
        let invalid = |message: String| ConnectorError::Configuration {
            catalog: catalog.to_owned(),
            message: format!("location {location:?}: {message}"),
            hint: "give a local folder or s3://bucket/prefix".to_owned(),
        };
        let parsed = match location.split_once("://") {
            Some(("s3" | "s3a", rest)) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                if bucket.is_empty() {
                    return Err(invalid("it names no bucket".to_owned()));
                }
                Location::S3 {
                    bucket: bucket.to_owned(),
                    root: Path::parse(prefix.trim_end_matches('/'))
                        .map_err(|error| invalid(error.to_string()))?,
                }
            }
            Some(("file", path)) => Location::Local(local_path(path).map_err(invalid)?),
            Some((scheme, _)) => return Err(invalid(format!("{scheme}:// cannot be read"))),
            None => Location::Local(local_path(location).map_err(invalid)?),
        };
        Ok(Self {
            catalog: catalog.to_owned(),
            identity: Arc::new(Identity::new(catalog, &options)?),
            location: parsed,
            options,
            store: OnceCell::new(),
        })
    }

    /// The folder everything is looked for in.
    pub(crate) fn root(&self) -> &Path {
        match &self.location {
            Location::Local(root) | Location::S3 { root, .. } => root,
        }
    }

    /// An object for people, e.g. `s3://bucket/key`.
    pub(crate) fn name(&self, path: &Path) -> String {
        match &self.location {
            Location::Local(_) => format!("/{path}"),
            Location::S3 { bucket, .. } => format!("s3://{bucket}/{path}"),
        }
    }

    /// Name of the catalog, for messages.
    pub(crate) fn catalog(&self) -> &str {
        &self.catalog
    }

    /// The bytes of a small object; `None` when it does not exist.
    pub(crate) async fn small(&self, path: &Path) -> Result<Option<Bytes>, ConnectorError> {
        let failed = |error| self.failure(path, &error);
        match self.store().await?.get(path).await {
            Ok(found) => found.bytes().await.map(Some).map_err(failed),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// How long a stream may stay silent.
    pub(crate) fn patience(&self) -> Duration {
        self.options.read_timeout
    }

    /// The bytes of an object as they come.
    pub(crate) async fn stream(
        &self,
        path: &Path,
    ) -> Result<BoxStream<'static, object_store::Result<Bytes>>, ConnectorError> {
        let found = self
            .store()
            .await?
            .get(path)
            .await
            .map_err(|error| self.failure(path, &error))?;
        Ok(found.into_stream())
    }

    /// The folders directly in a folder.
    pub(crate) async fn folders(&self, folder: &Path) -> Result<Vec<Path>, ConnectorError> {
        let listed = self
            .store()
            .await?
            .list_with_delimiter(Some(folder))
            .await
            .map_err(|error| self.failure(folder, &error))?;
        Ok(listed.common_prefixes)
    }

    /// What an error of the store means.
    pub(crate) fn failure(&self, path: &Path, error: &object_store::Error) -> ConnectorError {
        // The store wraps what the credentials say, which is the whole story.
        if let object_store::Error::Unauthenticated { source, .. } = error
            && let Some(own) = source.downcast_ref::<ConnectorError>()
        {
            return own.clone();
        }
        let name = self.name(path);
        match error {
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => ConnectorError::PermissionDenied {
                catalog: self.catalog.clone(),
                object: name,
                message: error.to_string(),
                hint: "allow s3:GetObject and s3:ListBucket on the export's bucket".to_owned(),
            },
            object_store::Error::NotFound { .. } => ConnectorError::Source {
                catalog: self.catalog.clone(),
                code: None,
                message: format!("{name} is missing; is the export complete?"),
            },
            other => ConnectorError::ConnectionLost {
                catalog: self.catalog.clone(),
                object: name,
                message: other.to_string(),
            },
        }
    }

    async fn store(&self) -> Result<&Arc<dyn ObjectStore>, ConnectorError> {
        self.store.get_or_try_init(|| self.open()).await
    }

    async fn open(&self) -> Result<Arc<dyn ObjectStore>, ConnectorError> {
        let Location::S3 { bucket, .. } = &self.location else {
            return Ok(Arc::new(LocalFileSystem::new()));
        };
        let credentials = Arc::new(Credentials(Arc::clone(&self.identity)));
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(self.identity.region().await?)
            .with_credentials(credentials)
            .with_retry(RetryConfig {
                max_retries: self.options.max_retries as usize,
                retry_timeout: Duration::from_secs(60),
                ..RetryConfig::default()
            })
            .with_client_options(
                object_store::ClientOptions::new()
                    .with_connect_timeout(self.options.connect_timeout)
                    .with_timeout_disabled()
                    .with_allow_http(true),
            );
        if let Some(endpoint) = &self.options.endpoint {
            builder = builder
                .with_endpoint(endpoint.trim_end_matches('/'))
                .with_virtual_hosted_style_request(false);
        }
        let store = builder
            .build()
            .map_err(|error| ConnectorError::Configuration {
                catalog: self.catalog.clone(),
                message: format!("bucket {bucket}: {error}"),
                hint: "check location, region and endpoint".to_owned(),
            })?;
        Ok(Arc::new(store))
    }
}

/// The catalog's AWS credentials for the bucket.
#[derive(Debug)]
struct Credentials(Arc<Identity>);

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let credentials =
            self.0
                .credentials()
                .await
                .map_err(|error| object_store::Error::Unauthenticated {
                    path: String::new(),
                    source: Box::new(error),
                })?;
        Ok(Arc::new(AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        }))
    }
}

fn local_path(text: &str) -> Result<Path, String> {
    let absolute = std::path::absolute(FilePath::new(text)).map_err(|error| error.to_string())?;
    // Paths of the store know no `..`; it is taken out by name, since nothing is opened yet.
    let mut path = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::ParentDir => {
                path.pop();
            }
            other => path.push(other),
        }
    }
    Path::from_absolute_path(path).map_err(|error| error.to_string())
}
