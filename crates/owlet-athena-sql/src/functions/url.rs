//! Functions on URLs. It must never know tables.

use datafusion_common::{Result, exec_datafusion_err};
use datafusion_expr::ScalarUDF;

use super::scalar::Kind::Text;
use super::scalar::Overload::Exact;
use super::scalar::{function, returns};

macro_rules! part {
    ($name:literal, $part:expr) => {
        function(&[$name], &[Exact(&[Text])], returns::text, |call| {
            let urls = call.texts(0)?;
            let part: fn(&Parts<'_>) -> Option<String> = $part;
            call.text(|row| Ok(Parts::read(urls.value(row)).and_then(|parts| part(&parts))))
        })
    };
}

/// All of them.
pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        part!("url_extract_protocol", |parts| Some(
            parts.protocol.to_owned()
        )),
        part!("url_extract_host", |parts| Some(parts.host.to_owned())),
        part!("url_extract_path", |parts| Some(decoded_plain(parts.path))),
        part!("url_extract_query", |parts| Some(
            parts.query.unwrap_or_default().to_owned()
        )),
        part!("url_extract_fragment", |parts| Some(decoded_plain(
            parts.fragment.unwrap_or_default()
        ))),
        function(
            &["url_extract_port"],
            &[Exact(&[Text])],
            returns::bigint,
            |call| {
                let urls = call.texts(0)?;
                call.bigint(|row| {
                    Ok(Parts::read(urls.value(row)).and_then(|parts| parts.port?.parse().ok()))
                })
            },
        ),
        function(
            &["url_extract_parameter"],
            &[Exact(&[Text, Text])],
            returns::text,
            |call| {
                let (urls, names) = (call.texts(0)?, call.texts(1)?);
                call.text(|row| {
                    Ok(Parts::read(urls.value(row))
                        .and_then(|parts| parts.parameter(names.value(row))))
                })
            },
        ),
        function(&["url_encode"], &[Exact(&[Text])], returns::text, |call| {
            let texts = call.texts(0)?;
            call.text(|row| Ok(Some(encoded(texts.value(row)))))
        }),
        function(&["url_decode"], &[Exact(&[Text])], returns::text, |call| {
            let texts = call.texts(0)?;
            call.text(|row| decoded(&texts.value(row).replace('+', " ")).map(Some))
        }),
    ]
}

/// `protocol://user@host:port/path?query#fragment`.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    protocol: &'a str,
    host: &'a str,
    port: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> Parts<'a> {
    /// `None` if the text cannot be a URL.
    fn read(url: &'a str) -> Option<Self> {
        if url.contains(|character: char| {
            character.is_whitespace() || "<>\"{}|\\^`".contains(character)
        }) {
            return None;
        }
        let (rest, fragment) = split(url, '#');
        let (rest, query) = split(rest, '?');
        let is_scheme = |scheme: &&str| {
            scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme
                    .chars()
                    .all(|character| character.is_ascii_alphanumeric() || "+-.".contains(character))
        };
        let scheme = rest
            .split_once(':')
            .map(|(scheme, _)| scheme)
            .filter(is_scheme);
        let (protocol, rest) = match scheme {
            Some(scheme) => (scheme, &rest[scheme.len() + 1..]),
            None => ("", rest),
        };
        let Some(hierarchy) = rest.strip_prefix("//") else {
            return Some(Self {
                protocol,
                host: "",
                port: None,
                path: rest,
                query,
                fragment,
            });
        };
        let (authority, path) = hierarchy.split_at(hierarchy.find('/').unwrap_or(hierarchy.len()));
        let address = authority
            .rsplit_once('@')
            .map_or(authority, |(_, address)| address);
        // The colons of an IPv6 address stand inside brackets.
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port))
                if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.is_empty() =>
            {
                (host, Some(port).filter(|port| !port.is_empty()))
            }
            _ => (address, None),
        };
        Some(Self {
            protocol,
            host,
            port,
            path,
            query,
            fragment,
        })
    }

    /// The first value of a query parameter.
    fn parameter(&self, name: &str) -> Option<String> {
        self.query?.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded_plain(key) == name).then(|| decoded_plain(&value.replace('+', " ")))
        })
    }
}

fn split(text: &str, mark: char) -> (&str, Option<&str>) {
    match text.split_once(mark) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => {
                encoded.push(char::from(byte))
            }
            b' ' => encoded.push('+'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn decoded(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let digits = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or_else(|| {
            exec_datafusion_err!("url_decode: '{text}' has a % without two digits")
        })?);
        rest = &after[2..];
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Decoded if that is possible, as it is otherwise.
fn decoded_plain(text: &str) -> String {
    decoded(text).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_fall_into_their_parts() {
        let parts = Parts::read("http://me:secret@h.com:80/p/q?x=1&y=a+b%26#top").expect("a URL");
        assert_eq!(
            (parts.protocol, parts.host, parts.port, parts.path),
            ("http", "h.com", Some("80"), "/p/q")
        );
        assert_eq!(
            (parts.query, parts.fragment),
            (Some("x=1&y=a+b%26"), Some("top"))
        );
        assert_eq!(parts.parameter("y").as_deref(), Some("a b&"));
        assert_eq!(parts.parameter("z"), None);
        assert_eq!(
            Parts::read("http://[::1]/x").map(|parts| parts.host),
            Some("[::1]")
        );
        assert_eq!(
            Parts::read("mailto:x@y").map(|parts| (parts.protocol, parts.path)),
            Some(("mailto", "x@y"))
        );
        assert_eq!(Parts::read("no url"), None);
    }
}
