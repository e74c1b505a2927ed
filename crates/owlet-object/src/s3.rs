//! S3 buckets as read-only object stores. Must never know a table.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{
    ClientConfigKey, CopyOptions, CredentialProvider, GetOptions, GetResult, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RetryConfig,
};
use owlet_connector::{ConnectorError, Result};
use url::{Host, Url};

use crate::options::{CredentialSource, ObjectOptions, S3Credentials};
use crate::profile::read_profile;

/// An open bucket.
pub struct S3Bucket {
    /// The bucket; its paths begin with `scope`.
    pub store: Arc<dyn ObjectStore>,
    /// What stands before every key.
    pub scope: Path,
    /// Its keys.
    pub keys: Keys,
}

/// How deep a listing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// One folder.
    Folder,
    /// All folders below, too.
    Below,
}

/// Which objects of a folder a listing is for.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// How their names, from the folder on, begin.
    pub beginning: &'a str,
    /// How deep they may lie.
    pub depth: Depth,
    /// Names, from the folder on, that are certainly not wanted. A key that is no path is an error unless it is one.
    pub unwanted: &'a (dyn Fn(&str) -> bool + Send + Sync),
}

/// Keys asked for at a time.
const PAGE_KEYS: usize = 1000;
/// Keys that can be passed over in one listing: each takes a request of its own.
const MOST_ODD_KEYS: usize = 1000;

/// The keys of a bucket, listed by any beginning. Keys that are no paths (`a//b`, `a/../b`) are passed over where they
/// are not wanted; the object store's own listings end with an error there.
#[derive(Clone)]
pub struct Keys {
    client: Arc<AmazonS3>,
    scope: Path,
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Keys({})", self.scope)
    }
}

impl Keys {
    /// The wanted objects of a folder (and, for one folder only, the folders in it).
    pub async fn list(
        &self,
        folder: &Path,
        wanted: Wanted<'_>,
    ) -> object_store::Result<ListResult> {
        let Wanted {
            beginning,
            depth,
            unwanted,
        } = wanted;
        let folder = match inside(&self.scope, folder) {
            root if root.as_ref().is_empty() => String::new(),
            folder => format!("{folder}/"),
        };
        let prefix = format!("{folder}{beginning}");
        let mut found = ListResult {
            common_prefixes: Vec::new(),
            objects: Vec::new(),
        };
        let mut options = PaginatedListOptions {
            delimiter: (depth == Depth::Folder).then_some("/".into()),
            ..PaginatedListOptions::default()
        };
        let (mut page_keys, mut odd_keys) = (PAGE_KEYS, 0);
        loop {
            options.max_keys = Some(page_keys);
            let page = self
                .client
                .list_paginated(Some(&prefix), options.clone())
                .await;
            match page {
                Ok(page) => {
                    let shown = page.result.objects.into_iter();
                    found
                        .objects
                        .extend(shown.map(|meta| show(&self.scope, meta)));
                    let folders = page.result.common_prefixes.iter();
                    found
                        .common_prefixes
                        .extend(folders.map(|folder| outside(&self.scope, folder)));
                    let Some(next) = page.page_token else {
                        return Ok(found);
                    };
                    options.page_token = Some(next);
                    options.offset = None;
                    page_keys = (page_keys * 2).min(PAGE_KEYS);
                }
                Err(error) => {
                    let Some(key) = key_that_is_no_path(&error) else {
                        return Err(error);
                    };
                    // One such key hides its whole page.
                    if page_keys > 1 {
                        page_keys /= 2;
                        continue;
                    }
                    odd_keys += 1;
                    let relative = key.strip_prefix(&folder).unwrap_or(&key);
                    if odd_keys > MOST_ODD_KEYS || !unwanted(relative) {
                        return Err(error);
                    }
                    options.page_token = None;
                    options.offset = Some(match depth == Depth::Folder && key.ends_with('/') {
                        // Behind all keys of that folder.
                        true => format!("{key}{}", char::MAX),
                        false => key,
                    });
                }
            }
        }
    }
}

/// The key because of which a page cannot be shown.
fn key_that_is_no_path(error: &object_store::Error) -> Option<String> {
    use object_store::path::Error as PathError;
    match error {
        object_store::Error::InvalidPath {
            source: PathError::EmptySegment { path } | PathError::BadSegment { path, .. },
        } => Some(path.clone()),
        _ => None,
    }
}

fn inside(scope: &Path, path: &Path) -> Path {
    match path.prefix_match(scope) {
        Some(rest) => rest.collect(),
        None => path.clone(),
    }
}

fn outside(scope: &Path, path: &Path) -> Path {
    scope.parts().chain(path.parts()).collect()
}

fn show(scope: &Path, mut meta: ObjectMeta) -> ObjectMeta {
    meta.location = outside(scope, &meta.location);
    meta
}

/// Opens a bucket. Does no network I/O, but reads the environment and, for a profile, the credentials file.
pub fn open_bucket(catalog: &str, bucket: &str, options: &ObjectOptions) -> Result<S3Bucket> {
    let configuration = |message: String, hint: &str| ConnectorError::Configuration {
        catalog: catalog.to_owned(),
        message,
        hint: hint.to_owned(),
    };
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_config(
            AmazonS3ConfigKey::Client(ClientConfigKey::ConnectTimeout),
            "5 seconds",
        )
        .with_retry(RetryConfig {
            max_retries: 4,
            retry_timeout: Duration::from_secs(30),
            ..RetryConfig::default()
        });
    let from_environment = || {
        ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
            .into_iter()
            .find_map(environment)
    };
    let endpoint = options.endpoint.clone().or_else(from_environment);
    if let Some(endpoint) = &endpoint {
        let plain_http = check_endpoint(catalog, endpoint, options)?;
        builder = builder
            .with_allow_http(plain_http)
            .with_config(
                AmazonS3ConfigKey::S3Endpoint,
                endpoint.trim_end_matches('/'),
            )
            .with_virtual_hosted_style_request(false);
    }
    let mut region = options.region.clone();
    let explicit = match (&options.access_key_id, &options.secret_access_key) {
        (Some(access_key_id), Some(secret_access_key)) => Some(S3Credentials {
            access_key_id: access_key_id.clone(),
            secret_access_key: secret_access_key.clone(),
            session_token: options.session_token.clone(),
        }),
        (None, None) => None,
        _ => {
            return Err(configuration(
                "access_key_id and secret_access_key go together".to_owned(),
                "set both or neither",
            ));
        }
    };
    if let Some(credentials) = explicit {
        builder = with_keys(builder, credentials);
    } else if let Some(profile) = &options.profile {
        match (read_profile(profile), &options.credential_source) {
            (Ok(found), _) => {
                region = region.or(found.region);
                builder = with_keys(builder, found.credentials);
            }
            (Err(_), Some(source)) => builder = with_source(builder, catalog, source),
            (Err(message), None) => {
                return Err(configuration(
                    message,
                    "aws configure export-credentials --format env gives keys of any profile",
                ));
            }
        }
    } else if let Some(source) = &options.credential_source {
        builder = with_source(builder, catalog, source);
    }
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    let store = builder.build().map_err(|error| {
        configuration(
            format!("bucket {bucket}: {error}"),
            "check endpoint and credentials",
        )
    })?;
    let scope = match &endpoint {
        Some(endpoint) => Path::from(format!(
            "{}/{bucket}",
            endpoint.replace("://", "-").replace('/', "-")
        )),
        None => Path::from(bucket),
    };
    let client = Arc::new(store);
    let keys = Keys {
        client: Arc::clone(&client),
        scope: scope.clone(),
    };
    let store = Arc::new(ReadOnlyStore {
        inner: client,
        scope: scope.clone(),
    });
    Ok(S3Bucket { store, scope, keys })
}

fn with_keys(builder: AmazonS3Builder, keys: S3Credentials) -> AmazonS3Builder {
    builder.with_credentials(Arc::new(object_store::StaticCredentialProvider::new(
        AwsCredential {
            key_id: keys.access_key_id,
            secret_key: keys.secret_access_key,
            token: keys.session_token,
        },
    )))
}

fn with_source(
    builder: AmazonS3Builder,
    catalog: &str,
    source: &Arc<dyn CredentialSource>,
) -> AmazonS3Builder {
    builder.with_credentials(Arc::new(ChainProvider {
        catalog: catalog.to_owned(),
        source: Arc::clone(source),
    }))
}

fn environment(variable: &str) -> Option<String> {
    std::env::var(variable)
        .ok()
        .filter(|value| !value.is_empty())
}

/// Whether the endpoint is plain HTTP and allowed to be.
fn check_endpoint(catalog: &str, endpoint: &str, options: &ObjectOptions) -> Result<bool> {
    let refuse = |message: String, hint: &str| {
        Err(ConnectorError::Configuration {
            catalog: catalog.to_owned(),
            message,
            hint: hint.to_owned(),
        })
    };
    let Ok(url) = Url::parse(endpoint) else {
        return refuse(
            format!("endpoint {endpoint} is not a URL"),
            "write https://host or http://127.0.0.1:9000",
        );
    };
    match url.scheme() {
        "https" => Ok(false),
        "http" if options.allow_http || is_loopback(&url) => Ok(true),
        "http" => refuse(
            format!("endpoint {endpoint} is not encrypted and not on this machine"),
            "use https, or set allow_http = true",
        ),
        other => refuse(
            format!("endpoint {endpoint}: {other} is not a way to reach S3"),
            "write https://host",
        ),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[derive(Debug)]
struct ChainProvider {
    catalog: String,
    source: Arc<dyn CredentialSource>,
}

#[async_trait]
impl CredentialProvider for ChainProvider {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let keys = self.source.credentials().await.map_err(|error| {
            object_store::Error::Unauthenticated {
                path: self.catalog.clone(),
                source: Box::new(error),
            }
        })?;
        Ok(Arc::new(AwsCredential {
            key_id: keys.access_key_id,
            secret_key: keys.secret_access_key,
            token: keys.session_token,
        }))
    }
}

/// A bucket that cannot be written, whose paths begin with the bucket's name. The name in the path keeps
/// DataFusion's metadata cache, whose key is the path alone, from mixing up equal keys of two buckets.
#[derive(Debug)]
struct ReadOnlyStore {
    inner: Arc<dyn ObjectStore>,
    scope: Path,
}

impl ReadOnlyStore {
    fn inside(&self, path: &Path) -> Path {
        inside(&self.scope, path)
    }

    fn outside(&self, path: &Path) -> Path {
        outside(&self.scope, path)
    }

    fn show(&self, meta: ObjectMeta) -> ObjectMeta {
        show(&self.scope, meta)
    }

    fn refuse<T>(&self, operation: &str) -> object_store::Result<T> {
        Err(object_store::Error::NotImplemented {
            operation: operation.to_owned(),
            implementer: "a read-only source".to_owned(),
        })
    }
}

impl fmt::Display for ReadOnlyStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "s3://{}", self.scope)
    }
}

#[async_trait]
impl ObjectStore for ReadOnlyStore {
    async fn put_opts(
        &self,
        _: &Path,
        _: PutPayload,
        _: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.refuse("put")
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.refuse("put_multipart")
    }

    async fn get_opts(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        let mut result = self.inner.get_opts(&self.inside(location), options).await?;
        result.meta = self.show(result.meta);
        Ok(result)
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[Range<u64>],
    ) -> object_store::Result<Vec<crate::read::Bytes>> {
        self.inner.get_ranges(&self.inside(location), ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        let _ = locations;
        futures::stream::iter([self.refuse("delete")]).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let scope = self.scope.clone();
        let inner = prefix
            .map(|prefix| self.inside(prefix))
            .filter(|prefix| !prefix.as_ref().is_empty());
        self.inner
            .list(inner.as_ref())
            .map_ok(move |meta| show(&scope, meta))
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        let inner = prefix
            .map(|prefix| self.inside(prefix))
            .filter(|prefix| !prefix.as_ref().is_empty());
        let result = self.inner.list_with_delimiter(inner.as_ref()).await?;
        Ok(ListResult {
            common_prefixes: result
                .common_prefixes
                .iter()
                .map(|prefix| self.outside(prefix))
                .collect(),
            objects: result
                .objects
                .into_iter()
                .map(|meta| self.show(meta))
                .collect(),
        })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> object_store::Result<()> {
        self.refuse("copy")
    }
}

/// Where the AWS command line keeps a file, with its override in the environment.
pub(crate) fn aws_file(variable: &str, name: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Some(PathBuf::from(path));
    }
    std::env::home_dir().map(|home| home.join(".aws").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_only_on_this_machine() {
        let options = ObjectOptions::default();
        assert_eq!(
            check_endpoint("c", "http://127.0.0.1:9000", &options).ok(),
            Some(true)
        );
        assert_eq!(
            check_endpoint("c", "http://[::1]:9000", &options).ok(),
            Some(true)
        );
        assert_eq!(
            check_endpoint("c", "https://minio.example", &options).ok(),
            Some(false)
        );
        assert!(check_endpoint("c", "http://minio.example", &options).is_err());
        assert!(check_endpoint("c", "minio", &options).is_err());
        let allowed = ObjectOptions {
            allow_http: true,
            ..ObjectOptions::default()
        };
        assert_eq!(
            check_endpoint("c", "http://minio.example", &allowed).ok(),
            Some(true)
        );
    }

    #[test]
    fn half_a_key_pair_is_an_error() {
        let options = ObjectOptions {
            access_key_id: Some("a".to_owned()),
            ..ObjectOptions::default()
        };
        assert!(matches!(
            open_bucket("c", "b", &options),
            Err(ConnectorError::Configuration { .. })
        ));
    }
}
