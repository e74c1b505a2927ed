//! A location opened: its object store, registered with a session, and paths in the store's spelling.
//! Must never know formats.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ListResult, ObjectStore};
use owlet_connector::{ConnectorError, Result};

use crate::location::Location;
use crate::options::ObjectOptions;
use crate::s3::{Depth, Keys, S3Bucket, Wanted, open_bucket};

/// A location within an open store.
#[derive(Clone)]
pub struct Place {
    /// Key of the store in the session's registry.
    pub url: ObjectStoreUrl,
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The location in the store's spelling.
    pub root: Path,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Local,
    S3 {
        bucket: String,
        scope: Path,
        keys: Keys,
    },
}

impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Place")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl Place {
    /// Opens the location's store or takes the registered one. No network I/O.
    pub fn open(
        runtime: &RuntimeEnv,
        catalog: &str,
        location: &Location,
        options: &ObjectOptions,
    ) -> Result<Self> {
        let invalid = |message: String| ConnectorError::Configuration {
            catalog: catalog.to_owned(),
            message,
            hint: "check the location".to_owned(),
        };
        match location {
            Location::Local(path) => {
                let url = ObjectStoreUrl::local_filesystem();
                let store = match runtime.object_store(&url) {
                    Ok(store) => store,
                    Err(_) => {
                        let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
                        runtime.register_object_store(url.as_ref(), Arc::clone(&store));
                        store
                    }
                };
                let root = Path::from_absolute_path(path)
                    .map_err(|error| invalid(format!("path {}: {error}", path.display())))?;
                Ok(Self {
                    url,
                    store,
                    root,
                    kind: Kind::Local,
                })
            }
            Location::S3 { bucket, key } => {
                let url = ObjectStoreUrl::parse(format!(
                    "s3-{:016x}://{bucket}",
                    fingerprint(bucket, options)
                ))
                .map_err(|error| invalid(format!("bucket {bucket}: {error}")))?;
                let S3Bucket { store, scope, keys } = open_bucket(catalog, bucket, options)?;
                let store = match runtime.object_store(&url) {
                    Ok(registered) => registered,
                    Err(_) => {
                        runtime.register_object_store(url.as_ref(), Arc::clone(&store));
                        store
                    }
                };
                let key = Path::parse(key)
                    .map_err(|error| invalid(format!("s3://{bucket}/{key}: {error}")))?;
                let root = scope.parts().chain(key.parts()).collect();
                Ok(Self {
                    url,
                    store,
                    root,
                    kind: Kind::S3 {
                        bucket: bucket.clone(),
                        scope,
                        keys,
                    },
                })
            }
        }
    }

    /// The objects of a folder (and, when only of that one, the folders in it). Names that do not start as those that
    /// are wanted may be among them or not.
    pub async fn list(
        &self,
        folder: &Path,
        wanted: Wanted<'_>,
    ) -> object_store::Result<ListResult> {
        let Kind::S3 { keys, .. } = &self.kind else {
            return self.list_plainly(folder, wanted.depth).await;
        };
        if !wanted.beginning.is_empty() {
            return keys.list(folder, wanted).await;
        }
        // The registered store has connections open already.
        match self.list_plainly(folder, wanted.depth).await {
            Err(object_store::Error::InvalidPath { .. }) => keys.list(folder, wanted).await,
            listed => listed,
        }
    }

    async fn list_plainly(&self, folder: &Path, depth: Depth) -> object_store::Result<ListResult> {
        let prefix = Some(folder).filter(|folder| !folder.as_ref().is_empty());
        match depth {
            Depth::Folder => self.store.list_with_delimiter(prefix).await,
            Depth::Below => Ok(ListResult {
                common_prefixes: Vec::new(),
                objects: self.store.list(prefix).try_collect().await?,
            }),
        }
    }

    /// The store as users write it.
    pub fn store_name(&self) -> String {
        match &self.kind {
            Kind::Local => "file://".to_owned(),
            Kind::S3 { bucket, .. } => format!("s3://{bucket}"),
        }
    }

    /// A path of the store as users write it.
    pub fn display(&self, path: &Path) -> String {
        match &self.kind {
            Kind::Local => format!("/{path}"),
            Kind::S3 { bucket, scope, .. } => {
                let key: Path = match path.prefix_match(scope) {
                    Some(rest) => rest.collect(),
                    None => path.clone(),
                };
                format!("s3://{bucket}/{key}")
            }
        }
    }

    /// The path on disk, for local places.
    pub fn local_path(&self, path: &Path) -> Option<PathBuf> {
        match self.kind {
            Kind::Local => LocalFileSystem::new()
                .path_to_filesystem(path)
                .ok()
                .or_else(|| {
                    // The store's own conversion refuses some names of folders; the plain one is right on Unix.
                    Some(PathBuf::from(format!("/{path}")))
                }),
            Kind::S3 { .. } => None,
        }
    }
}

/// Tells apart buckets reached in different ways; secrets go in, but only the hash comes out.
fn fingerprint(bucket: &str, options: &ObjectOptions) -> u64 {
    let mut hasher = DefaultHasher::new();
    bucket.hash(&mut hasher);
    options.region.hash(&mut hasher);
    options.endpoint.hash(&mut hasher);
    options.profile.hash(&mut hasher);
    options.access_key_id.hash(&mut hasher);
    options.secret_access_key.hash(&mut hasher);
    options.session_token.hash(&mut hasher);
    options
        .credential_source
        .as_ref()
        .map(|source| Arc::as_ptr(source).cast::<()>() as usize)
        .hash(&mut hasher);
    hasher.finish()
}
