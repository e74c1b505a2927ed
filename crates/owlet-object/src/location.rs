//! Where files are: local folders and S3 prefixes, as users write them. Must never do I/O.

use std::path::{Component, Path, PathBuf};

use owlet_connector::{ConnectorError, Result};
use url::Url;

/// A place that holds files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// A path of the local file system, absolute, without `.` and `..`.
    Local(PathBuf),
    /// A key prefix of a bucket, without a leading slash (a trailing one is kept).
    S3 {
        /// Bucket name.
        bucket: String,
        /// Key or key prefix; may be empty.
        key: String,
    },
}

impl Location {
    /// Reads `dir`, `/dir`, `file:///dir`, `s3://bucket/key`. `catalog` is for messages only.
    pub fn parse(catalog: &str, text: &str) -> Result<Self> {
        let invalid = |message: String, hint: &str| ConnectorError::Configuration {
            catalog: catalog.to_owned(),
            message,
            hint: hint.to_owned(),
        };
        if text.trim().is_empty() {
            return Err(invalid(
                "location is empty".to_owned(),
                "give a folder, e.g. location = \"data/\", or s3://bucket/prefix/",
            ));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::Local(absolute(catalog, Path::new(text))?));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "s3" | "s3a" => {
                let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
                if bucket.is_empty() {
                    return Err(invalid(
                        format!("{text} names no bucket"),
                        "write s3://bucket/prefix/",
                    ));
                }
                if key
                    .split('/')
                    .any(|segment| segment == "." || segment == "..")
                {
                    return Err(invalid(
                        format!("{text} contains . or .. as a folder"),
                        "write the plain key prefix",
                    ));
                }
                Ok(Self::S3 {
                    bucket: bucket.to_owned(),
                    key: key.trim_start_matches('/').to_owned(),
                })
            }
            "file" => {
                let path = Url::parse(text)
                    .ok()
                    .and_then(|url| url.to_file_path().ok())
                    .ok_or_else(|| {
                        invalid(
                            format!("{text} is not a file URL"),
                            "write file:///absolute/path/",
                        )
                    })?;
                Ok(Self::Local(absolute(catalog, &path)?))
            }
            other => Err(invalid(
                format!("{text}: files cannot be read over {other}"),
                "use a local path, file:// or s3://",
            )),
        }
    }

    /// The location as a user would write it.
    pub fn display(&self) -> String {
        match self {
            Self::Local(path) => path.display().to_string(),
            Self::S3 { bucket, key } => format!("s3://{bucket}/{key}"),
        }
    }
}

/// An absolute path without `.` and `..`, links left alone.
fn absolute(catalog: &str, path: &Path) -> Result<PathBuf> {
    let full = std::path::absolute(path).map_err(|error| ConnectorError::Configuration {
        catalog: catalog.to_owned(),
        message: format!("path {} cannot be resolved: {error}", path.display()),
        hint: "use an absolute path".to_owned(),
    })?;
    let mut clean = PathBuf::new();
    for component in full.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    Ok(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_as_users_write_them() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(
            Location::parse("c", "data/").unwrap(),
            Location::Local(here.join("data"))
        );
        assert_eq!(
            Location::parse("c", "./a/../b").unwrap(),
            Location::Local(here.join("b"))
        );
        assert_eq!(
            Location::parse("c", "/a/./b").unwrap(),
            Location::Local(PathBuf::from("/a/b"))
        );
        assert_eq!(
            Location::parse("c", "file:///a%20b/").unwrap(),
            Location::Local(PathBuf::from("/a b"))
        );
        let s3 = Location::parse("c", "s3://bucket/some/prefix/").unwrap();
        assert_eq!(
            s3,
            Location::S3 {
                bucket: "bucket".to_owned(),
                key: "some/prefix/".to_owned()
            }
        );
        assert_eq!(s3.display(), "s3://bucket/some/prefix/");
        for wrong in ["", " ", "s3://", "ftp://x/y", "s3://b/../x"] {
            assert!(
                matches!(
                    Location::parse("c", wrong),
                    Err(ConnectorError::Configuration { .. })
                ),
                "{wrong}"
            );
        }
    }
}
