//! File formats and compressions, told by a file's name. Must never do I/O.

use std::fmt;

use datafusion::datasource::file_format::file_compression_type::FileCompressionType;

/// How a file's rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values.
    Csv,
    /// Tab-separated values: fields may be quoted as in CSV, and have backslash escapes where they are not.
    Tsv,
    /// JSON: one object a line, or one array of objects.
    Json,
    /// Arrow IPC (file or stream).
    Arrow,
    /// Apache Avro object container.
    Avro,
}

/// How a file's bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (`.gz`), several members allowed.
    Gzip,
    /// bzip2 (`.bz2`), several streams allowed.
    Bzip2,
    /// xz (`.xz`).
    Xz,
    /// Zstandard (`.zst`), several frames allowed.
    Zstandard,
}

/// A file name taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName {
    /// Name without the suffixes that were understood.
    pub stem: String,
    /// Format, if the suffix tells.
    pub format: Option<Format>,
    /// Compression.
    pub compression: Compression,
}

impl Format {
    /// All formats, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Parquet,
        Self::Csv,
        Self::Tsv,
        Self::Json,
        Self::Arrow,
        Self::Avro,
    ];

    /// Suffixes (lower case, without the dot) that mean this format.
    pub fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Parquet => &["parquet", "pq"],
            Self::Csv => &["csv"],
            Self::Tsv => &["tsv", "tab"],
            Self::Json => &["json", "ndjson", "jsonl"],
            Self::Arrow => &["arrow", "feather", "ipc"],
            Self::Avro => &["avro"],
        }
    }

    /// The format called by this name in the configuration, or having this suffix.
    pub fn by_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|format| format.suffixes().contains(&name.as_str()))
    }

    /// Files of this format may be compressed as a whole. The others compress inside and need random access.
    pub fn may_be_compressed(self) -> bool {
        matches!(self, Self::Csv | Self::Tsv | Self::Json | Self::Avro)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Parquet => "Parquet",
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Json => "JSON",
            Self::Arrow => "Arrow IPC",
            Self::Avro => "Avro",
        })
    }
}

impl Compression {
    /// Suffix with its dot; empty for none.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Bzip2 => ".bz2",
            Self::Xz => ".xz",
            Self::Zstandard => ".zst",
        }
    }

    /// The decoder's name for it.
    pub fn decoder(self) -> FileCompressionType {
        match self {
            Self::None => FileCompressionType::UNCOMPRESSED,
            Self::Gzip => FileCompressionType::GZIP,
            Self::Bzip2 => FileCompressionType::BZIP2,
            Self::Xz => FileCompressionType::XZ,
            Self::Zstandard => FileCompressionType::ZSTD,
        }
    }

    fn by_suffix(suffix: &str) -> Option<Self> {
        match suffix.to_ascii_lowercase().as_str() {
            "gz" | "gzip" => Some(Self::Gzip),
            "bz2" => Some(Self::Bzip2),
            "xz" => Some(Self::Xz),
            "zst" | "zstd" => Some(Self::Zstandard),
            _ => None,
        }
    }
}

impl FileName {
    /// Takes a file name (no folders) apart: `orders.csv.gz` is `orders`, CSV, gzip.
    pub fn parse(name: &str) -> Self {
        let (rest, compression) = match name.rsplit_once('.') {
            Some((rest, suffix)) if !rest.is_empty() => match Compression::by_suffix(suffix) {
                Some(compression) => (rest, compression),
                None => (name, Compression::None),
            },
            _ => (name, Compression::None),
        };
        let (stem, format) = match rest.rsplit_once('.') {
            Some((stem, suffix)) if !stem.is_empty() => match Format::by_name(suffix) {
                Some(format) => (stem, Some(format)),
                None => (rest, None),
            },
            _ => (rest, None),
        };
        Self {
            stem: stem.to_owned(),
            format,
            compression,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_format_and_compression() {
        let cases = [
            (
                "orders.csv.gz",
                "orders",
                Some(Format::Csv),
                Compression::Gzip,
            ),
            (
                "orders.parquet",
                "orders",
                Some(Format::Parquet),
                Compression::None,
            ),
            (
                "Part-0.snappy.PARQUET",
                "Part-0.snappy",
                Some(Format::Parquet),
                Compression::None,
            ),
            (
                "events.jsonl.zst",
                "events",
                Some(Format::Json),
                Compression::Zstandard,
            ),
            ("a.b.tsv", "a.b", Some(Format::Tsv), Compression::None),
            ("README.md", "README.md", None, Compression::None),
            ("part-00000", "part-00000", None, Compression::None),
            ("backup.gz", "backup", None, Compression::Gzip),
            (".csv", ".csv", None, Compression::None),
            ("x.feather", "x", Some(Format::Arrow), Compression::None),
        ];
        for (name, stem, format, compression) in cases {
            let expected = FileName {
                stem: stem.to_owned(),
                format,
                compression,
            };
            assert_eq!(FileName::parse(name), expected, "{name}");
        }
    }
}
