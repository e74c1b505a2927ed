//! What went wrong with a file, said so that a user can act. Must never know how a format is decoded.

use datafusion::error::DataFusionError;
use owlet_connector::ConnectorError;

/// An object store's error about `object` as a connector error.
pub fn store_error(catalog: &str, object: &str, error: &object_store::Error) -> ConnectorError {
    let catalog = catalog.to_owned();
    let details = innermost(error);
    match error {
        object_store::Error::NotFound { .. } => ConnectorError::TableNotFound {
            catalog,
            table: object.to_owned(),
            hint: "the file is not there, or it was removed while the query was planned".to_owned(),
        },
        object_store::Error::PermissionDenied { .. } => ConnectorError::PermissionDenied {
            catalog,
            object: object.to_owned(),
            message: details,
            hint: "the identity needs the rights to list the location and to read its files"
                .to_owned(),
        },
        object_store::Error::Unauthenticated { .. } => ConnectorError::Authentication {
            catalog,
            message: details,
            hint: "check the access key, the secret key and the session token".to_owned(),
        },
        object_store::Error::InvalidPath { .. } => ConnectorError::Source {
            catalog,
            code: None,
            message: format!(
                "{object}: {error}: a key with an empty segment (//), . or .. cannot be read (hint: copy the object to \
                 a plain key, or use a path that leaves it out)"
            ),
        },
        _ => generic_store_error(catalog, object, error, details),
    }
}

fn generic_store_error(
    catalog: String,
    object: &str,
    error: &object_store::Error,
    details: String,
) -> ConnectorError {
    let chain = chain(error).join(": ").to_lowercase();
    let about_credentials = [
        "credential",
        "169.254.169.254",
        "instancemetadata",
        "invalidaccesskeyid",
    ]
    .iter()
    .any(|word| chain.replace(' ', "").contains(word));
    if about_credentials || chain.contains("signaturedoesnotmatch") {
        return ConnectorError::Authentication {
            catalog,
            message: details,
            hint: "set access_key_id and secret_access_key, a profile, or the AWS environment variables".to_owned(),
        };
    }
    if chain.contains("nosuchbucket") {
        return ConnectorError::Configuration {
            catalog,
            message: format!("{object}: {details}"),
            hint: "check the name of the bucket, and the endpoint or region that it is in"
                .to_owned(),
        };
    }
    let about_reaching = [
        "error sending request",
        "connection refused",
        "dns",
        "connect error",
        "timed out",
    ]
    .iter()
    .any(|word| chain.contains(word));
    if about_reaching {
        return ConnectorError::Unreachable {
            catalog,
            message: format!("{object}: {details}"),
            hint: "check endpoint, region and network".to_owned(),
        };
    }
    ConnectorError::Source {
        catalog,
        code: None,
        message: format!("{object}: {details}"),
    }
}

/// A DataFusion error that happened while `object` was inspected.
pub fn inspect_error(catalog: &str, object: &str, error: DataFusionError) -> ConnectorError {
    match error.find_root() {
        DataFusionError::ObjectStore(source) => return store_error(catalog, object, source),
        DataFusionError::External(source) => {
            if let Some(own) = source.downcast_ref::<ConnectorError>() {
                return ConnectorError::Source {
                    catalog: catalog.to_owned(),
                    code: None,
                    message: own.to_string(),
                };
            }
        }
        _ => {}
    }
    unreadable(catalog, object, &error.strip_backtrace())
}

/// A file whose content is not what its suffix promises, or that is damaged.
pub fn unreadable(catalog: &str, object: &str, message: &str) -> ConnectorError {
    ConnectorError::Source {
        catalog: catalog.to_owned(),
        code: None,
        message: format!("{object} cannot be read: {}", without_layers(message)),
    }
}

/// The message without the names of the libraries and layers that it passed through.
fn without_layers(message: &str) -> String {
    const LAYERS: &[&str] = &[
        "Arrow error: ",
        "External error: ",
        "External: ",
        "IO error: ",
        "Io error: ",
        "Parquet error: ",
        "Parser error: ",
    ];
    let mut rest = message;
    while let Some(inner) = LAYERS.iter().find_map(|layer| rest.strip_prefix(layer)) {
        rest = inner;
    }
    match rest.strip_prefix("Failed to resolve ") {
        Some(name) => format!(
            "its schema uses the type {} before it is complete, as records that contain themselves do, and such a \
             type is no column of SQL (hint: write the file without that field)",
            name.trim_start_matches('.')
        ),
        None => rest.to_owned(),
    }
}

/// A connector error on its way through DataFusion; the engine takes it out again.
pub fn through_datafusion(error: ConnectorError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn chain(error: &dyn std::error::Error) -> Vec<String> {
    let mut messages = vec![error.to_string()];
    let mut source = error.source();
    while let Some(inner) = source {
        messages.push(inner.to_string());
        source = inner.source();
    }
    messages
}

/// The message closest to the cause, without the layers that repeat it.
fn innermost(error: &dyn std::error::Error) -> String {
    let messages = chain(error);
    let last = messages.last().cloned().unwrap_or_default();
    let message = if last.len() >= 12 {
        last
    } else {
        messages.first().cloned().unwrap_or(last)
    };
    without_markup(&message)
}

/// S3 answers errors with a document: its code and its message are what says something.
fn without_markup(message: &str) -> String {
    let Some((status, document)) = message.split_once('<') else {
        return message.to_owned();
    };
    let beginning = document.to_lowercase();
    if !["?xml", "error>", "html", "!doctype"]
        .iter()
        .any(|known| beginning.starts_with(known))
    {
        return message.to_owned();
    }
    let status = status
        .trim_start_matches("Server returned non-2xx status code: ")
        .trim_start_matches("Server returned error response: ")
        .trim_end_matches([':', ' ']);
    let element = |name: &str| {
        let (_, rest) = document.split_once(&format!("<{name}>"))?;
        let (text, _) = rest.split_once(&format!("</{name}>"))?;
        Some(unescaped(text)).filter(|text| !text.is_empty())
    };
    let parts = [Some(status.to_owned()), element("Code"), element("Message")];
    let parts: Vec<String> = parts
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect();
    if parts.is_empty() {
        return "the answer is no answer of S3".to_owned();
    }
    parts.join(": ")
}

fn unescaped(text: &str) -> String {
    let text = text.trim().replace("&lt;", "<").replace("&gt;", ">");
    text.replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_not_shown_to_people() {
        for (message, expected) in [
            ("Parquet error: Parquet error: Invalid file", "Invalid file"),
            ("IO error: unexpected end of file", "unexpected end of file"),
            ("External error: IO error: cut off", "cut off"),
        ] {
            assert_eq!(without_layers(message), expected);
        }
        let recursive = without_layers("Parser error: Failed to resolve x.y.Q");
        assert!(recursive.contains("type x.y.Q before"), "{recursive}");
    }

    #[test]
    fn a_missing_bucket_is_a_wrong_configuration() {
        let source =
            "404 Not Found: <?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code></Error>";
        let error = object_store::Error::Generic {
            store: "S3",
            source: source.into(),
        };
        let error = store_error("lake", "s3://b/x", &error).to_string();
        assert!(error.contains("check the name of the bucket"), "{error}");
    }

    #[test]
    fn documents_are_not_shown_to_people() {
        for (message, expected) in [
            (
                "Server returned non-2xx status code: 404 Not Found: <?xml version=\"1.0\"?>\n<Error>\
                 <Code>NoSuchBucket</Code><Message>The bucket &quot;b&quot; does not exist</Message>\
                 <RequestId>x</RequestId></Error>",
                "404 Not Found: NoSuchBucket: The bucket \"b\" does not exist",
            ),
            (
                "Server returned non-2xx status code: 502 Bad Gateway: <html><body>nginx</body></html>",
                "502 Bad Gateway",
            ),
            ("<html></html>", "the answer is no answer of S3"),
            ("operation timed out", "operation timed out"),
            ("the size is < 0", "the size is < 0"),
        ] {
            assert_eq!(without_markup(message), expected);
        }
    }
}
