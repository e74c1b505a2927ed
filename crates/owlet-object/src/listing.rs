//! Which tables a location has and which files a table has. Must never know what is in a file.

use std::path::PathBuf;

use glob::{MatchOptions, Pattern};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use owlet_connector::{ConnectorError, Result};

use crate::error::store_error;
use crate::format::{Compression, FileName, Format};
use crate::location::Location;
use crate::place::Place;
use crate::s3::{Depth, Wanted};

/// One table of a catalog: a file or a folder directly below the location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name under which it is listed.
    pub listed: String,
    /// File name, or folder name with a trailing slash.
    pub full: String,
    /// Name without suffixes.
    pub stem: String,
    /// Where it is.
    pub path: Path,
    /// File or folder.
    pub kind: EntryKind,
}

/// File or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// One file.
    File,
    /// All files below a folder.
    Folder,
}

/// One data file of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct DataFile {
    /// Path, size, version.
    pub meta: ObjectMeta,
    /// Name for messages.
    pub display: String,
    /// How it is packed.
    pub compression: Compression,
    /// Folders between the table and the file.
    pub folders: Vec<String>,
}

/// The files of a table and how they are written.
#[derive(Debug, Clone)]
pub struct TableFiles {
    /// Format of all files.
    pub format: Format,
    /// The files, sorted by path.
    pub files: Vec<DataFile>,
}

/// Names that tools use for their own files.
fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || name.starts_with('_')
}

/// Lists the tables of a location. `configured` says whether a file whose suffix tells nothing has a configured
/// format.
pub async fn list_entries(
    catalog: &str,
    place: &Place,
    configured: impl Fn(&str) -> bool,
) -> Result<Vec<Entry>> {
    check_folder(catalog, place, &place.root).await?;
    let tables = Wanted {
        beginning: "",
        depth: Depth::Folder,
        unwanted: &|_| true,
    };
    let found = place
        .list(&place.root, tables)
        .await
        .map_err(|error| store_error(catalog, &place.display(&place.root), &error))?;
    let mut entries = Vec::new();
    for folder in found.common_prefixes {
        let Some(name) = folder.filename().map(str::to_owned) else {
            continue;
        };
        if is_hidden(&name) {
            continue;
        }
        entries.push(Entry {
            listed: name.clone(),
            full: format!("{name}/"),
            stem: name,
            path: folder,
            kind: EntryKind::Folder,
        });
    }
    for object in found.objects {
        let Some(name) = object.location.filename().map(str::to_owned) else {
            continue;
        };
        let parsed = FileName::parse(&name);
        if is_hidden(&name)
            || !(parsed.format.is_some() || configured(&name) || configured(&parsed.stem))
        {
            continue;
        }
        entries.push(Entry {
            listed: parsed.stem.clone(),
            full: name,
            stem: parsed.stem,
            path: object.location,
            kind: EntryKind::File,
        });
    }
    use_full_names_for_duplicates(&mut entries);
    entries.sort_by(|one, other| one.listed.cmp(&other.listed));
    Ok(entries)
}

fn use_full_names_for_duplicates(entries: &mut [Entry]) {
    for index in 0..entries.len() {
        let stem = entries[index].stem.clone();
        if entries.iter().filter(|entry| entry.stem == stem).count() > 1 {
            entries[index].listed = entries[index].full.clone();
        }
    }
}

/// Finds a table by name: exactly first, then ignoring case.
pub fn find_entry<'a>(
    catalog: &str,
    entries: &'a [Entry],
    name: &str,
) -> Result<Option<&'a Entry>> {
    let name_without_slash = name.strip_suffix('/').unwrap_or(name);
    let outside = name_without_slash.contains('/')
        || name_without_slash.contains('\\')
        || matches!(name_without_slash, "." | "..")
        || name.contains('\0');
    if outside {
        return Err(ConnectorError::Configuration {
            catalog: catalog.to_owned(),
            message: format!("{name} is not a table name: it would lead outside the catalog's location"),
            hint: "tables are the files and folders directly below the location; SELECT * FROM 'path/to/file' \
                   reads any path"
                .to_owned(),
        });
    }
    let exact: Vec<&Entry> = entries
        .iter()
        .filter(|entry| [&entry.listed, &entry.full, &entry.stem].contains(&&name.to_owned()))
        .collect();
    let matching = if exact.is_empty() {
        let lowered = name.to_lowercase();
        entries
            .iter()
            .filter(|entry| {
                [&entry.listed, &entry.full, &entry.stem]
                    .iter()
                    .any(|own| own.to_lowercase() == lowered)
            })
            .collect()
    } else {
        exact
    };
    match matching.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        several => Err(ConnectorError::AmbiguousName {
            catalog: catalog.to_owned(),
            name: name.to_owned(),
            candidates: several
                .iter()
                .map(|entry| format!("\"{}\"", entry.full))
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

/// The files of a table.
pub async fn entry_files(
    catalog: &str,
    place: &Place,
    entry: &Entry,
    format: Option<Format>,
) -> Result<TableFiles> {
    let objects = match entry.kind {
        EntryKind::File => vec![head(catalog, place, &entry.path).await?],
        EntryKind::Folder => list_folder(catalog, place, &entry.path).await?,
    };
    refuse_links_outside(catalog, place, &objects).await?;
    let base = match entry.kind {
        EntryKind::File => place.root.clone(),
        EntryKind::Folder => entry.path.clone(),
    };
    let files = data_files(place, objects, &base, Hidden::Ignored);
    table_files(catalog, &place.display(&entry.path), files, format)
}

/// The files of an ad-hoc path: a file, a folder or a glob.
pub async fn path_files(
    catalog: &str,
    place: &Place,
    pattern: Option<&Pattern>,
    written_depth: usize,
    shown: &str,
) -> Result<TableFiles> {
    let (objects, hidden) = match pattern {
        Some(pattern) => {
            let options = MatchOptions {
                case_sensitive: true,
                require_literal_separator: true,
                require_literal_leading_dot: false,
            };
            let asks_hidden = pattern.as_str().split('/').any(is_hidden);
            let matches = |name: &str| pattern.matches_with(name, options);
            let unwanted =
                |name: &str| !matches(name) || !asks_hidden && name.split('/').any(is_hidden);
            let (beginning, depth) = listing_of(pattern.as_str());
            let wanted = Wanted {
                beginning,
                depth,
                unwanted: &unwanted,
            };
            let mut objects = list(catalog, place, &place.root, wanted).await?;
            objects.retain(|object| matches(&relative(&object.location, &place.root)));
            (
                objects,
                if asks_hidden {
                    Hidden::Included
                } else {
                    Hidden::Ignored
                },
            )
        }
        None => match single_file(catalog, place).await? {
            Some(object) => (vec![object], Hidden::Included),
            None => (
                list_folder(catalog, place, &place.root).await?,
                Hidden::Ignored,
            ),
        },
    };
    if objects.is_empty() {
        return Err(ConnectorError::TableNotFound {
            catalog: catalog.to_owned(),
            table: shown.to_owned(),
            hint: "no file matches the path".to_owned(),
        });
    }
    // Partition folders count from where the path as written begins.
    let base: Path = {
        let parts: Vec<_> = place.root.parts().collect();
        parts
            .iter()
            .take(parts.len().saturating_sub(written_depth))
            .cloned()
            .collect()
    };
    let mut files = data_files(place, objects, &place.root, hidden);
    for file in &mut files {
        file.folders = folders_below(&file.meta.location, &base);
    }
    table_files(catalog, shown, files, None)
}

/// Splits a path as written into the part before the first pattern character and the pattern.
pub fn split_glob(text: &str) -> Option<(&str, &str)> {
    let first = text.find(['*', '?', '['])?;
    match text[..first].rfind('/') {
        Some(slash) => Some((&text[..=slash], &text[slash + 1..])),
        None => Some(("", text)),
    }
}

/// Whether hidden files count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hidden {
    Ignored,
    Included,
}

fn data_files(
    place: &Place,
    objects: Vec<ObjectMeta>,
    base: &Path,
    hidden: Hidden,
) -> Vec<DataFile> {
    let mut files: Vec<DataFile> = objects
        .into_iter()
        .filter(|object| {
            hidden == Hidden::Included
                || !relative(&object.location, base).split('/').any(is_hidden)
        })
        .map(|meta| DataFile {
            display: place.display(&meta.location),
            compression: FileName::parse(meta.location.filename().unwrap_or_default()).compression,
            folders: folders_below(&meta.location, base),
            meta,
        })
        .collect();
    files.sort_by(|one, other| one.meta.location.cmp(&other.meta.location));
    files
}

fn folders_below(location: &Path, base: &Path) -> Vec<String> {
    let inside = relative(location, base);
    let mut parts: Vec<String> = inside.split('/').map(str::to_owned).collect();
    parts.pop();
    parts
}

fn relative(location: &Path, base: &Path) -> String {
    match location.prefix_match(base) {
        Some(rest) => rest
            .map(|part| part.as_ref().to_owned())
            .collect::<Vec<_>>()
            .join("/"),
        None => location.as_ref().to_owned(),
    }
}

/// Decides the format of a table's files.
fn table_files(
    catalog: &str,
    shown: &str,
    files: Vec<DataFile>,
    configured: Option<Format>,
) -> Result<TableFiles> {
    let invalid = |message: String, hint: &str| ConnectorError::Configuration {
        catalog: catalog.to_owned(),
        message,
        hint: hint.to_owned(),
    };
    let format_of =
        |file: &DataFile| FileName::parse(file.meta.location.filename().unwrap_or_default()).format;
    if let Some(twice) = files
        .windows(2)
        .find(|two| two[0].meta.location == two[1].meta.location)
    {
        return Err(invalid(
            format!(
                "{} stands for two objects whose keys differ only by a slash at the beginning or end",
                twice[0].display
            ),
            "remove or rename one of them",
        ));
    }
    let (format, files) = match configured {
        Some(format) => (format, files),
        None => {
            let known: Vec<(Format, DataFile)> = files
                .iter()
                .filter_map(|file| Some((format_of(file)?, file.clone())))
                .collect();
            let Some((format, first)) = known.first().cloned() else {
                return Err(invalid(
                    match files.first() {
                        None => format!("{shown} holds no files"),
                        Some(file) => format!("the suffix of {} tells no format", file.display),
                    },
                    "data files end in .parquet, .csv, .tsv, .json, .ndjson, .jsonl, .arrow or .avro (text files \
                     also in .gz, .bz2, .xz, .zst); for other names set the table's format",
                ));
            };
            if let Some((other, file)) = known.iter().find(|(other, _)| *other != format) {
                return Err(invalid(
                    format!(
                        "{shown} mixes formats: {} is {format}, {} is {other}",
                        first.display, file.display
                    ),
                    "keep files of one format in a folder",
                ));
            }
            (format, known.into_iter().map(|(_, file)| file).collect())
        }
    };
    if let Some(packed) = files
        .iter()
        .find(|file| file.compression != Compression::None && !format.may_be_compressed())
    {
        return Err(invalid(
            format!(
                "{} is a packed {format} file, which cannot be read in place",
                packed.display
            ),
            "unpack it; the format compresses inside",
        ));
    }
    if files.is_empty() {
        return Err(invalid(
            format!("{shown} holds no files"),
            "put data files there",
        ));
    }
    Ok(TableFiles { format, files })
}

/// All files below a folder.
async fn list_folder(catalog: &str, place: &Place, root: &Path) -> Result<Vec<ObjectMeta>> {
    let unwanted = |name: &str| name.split('/').any(is_hidden);
    let wanted = Wanted {
        beginning: "",
        depth: Depth::Below,
        unwanted: &unwanted,
    };
    list(catalog, place, root, wanted).await
}

async fn list(
    catalog: &str,
    place: &Place,
    root: &Path,
    wanted: Wanted<'_>,
) -> Result<Vec<ObjectMeta>> {
    let mut objects = place
        .list(root, wanted)
        .await
        .map_err(|error| store_error(catalog, &place.display(root), &error))?
        .objects;
    // S3 consoles mark folders by empty objects whose key ends in a slash.
    objects.retain(|object| object.size > 0 || object.location != *root);
    Ok(objects)
}

/// What must be listed to find all that match a pattern: how their names begin, and how deep they are.
fn listing_of(pattern: &str) -> (&str, Depth) {
    let literal = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
    let depth = match pattern.contains('/') || pattern.contains("**") {
        true => Depth::Below,
        false => Depth::Folder,
    };
    (&pattern[..literal], depth)
}

async fn head(catalog: &str, place: &Place, path: &Path) -> Result<ObjectMeta> {
    place
        .store
        .head(path)
        .await
        .map_err(|error| store_error(catalog, &place.display(path), &error))
}

/// The object at the place itself, if it is a file.
async fn single_file(catalog: &str, place: &Place) -> Result<Option<ObjectMeta>> {
    if let Some(path) = place.local_path(&place.root) {
        return match tokio::fs::metadata(&path).await {
            Ok(metadata) if metadata.is_dir() => Ok(None),
            Ok(_) => head(catalog, place, &place.root).await.map(Some),
            Err(error) => Err(local_error(catalog, &path, &error)),
        };
    }
    if place.root.as_ref().is_empty() {
        return Ok(None);
    }
    match place.store.head(&place.root).await {
        Ok(meta) => Ok(Some(meta)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(store_error(catalog, &place.display(&place.root), &error)),
    }
}

/// A local folder must be there and be a folder; S3 has no folders to check.
async fn check_folder(catalog: &str, place: &Place, path: &Path) -> Result<()> {
    let Some(path) = place.local_path(path) else {
        return Ok(());
    };
    match tokio::fs::metadata(&path).await {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(ConnectorError::Configuration {
            catalog: catalog.to_owned(),
            message: format!("location {} is a file", path.display()),
            hint: "location is the folder that holds the files".to_owned(),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(ConnectorError::Configuration {
                catalog: catalog.to_owned(),
                message: format!("location {} does not exist", path.display()),
                hint: format!(
                    "create the folder, or correct `location` of [catalog.{catalog}]; it is relative to the \
                     configuration file"
                ),
            })
        }
        Err(error) => Err(local_error(catalog, &path, &error)),
    }
}

fn local_error(catalog: &str, path: &std::path::Path, error: &std::io::Error) -> ConnectorError {
    match error.kind() {
        std::io::ErrorKind::NotFound => ConnectorError::TableNotFound {
            catalog: catalog.to_owned(),
            table: path.display().to_string(),
            hint: "there is no such file or folder".to_owned(),
        },
        std::io::ErrorKind::PermissionDenied => ConnectorError::PermissionDenied {
            catalog: catalog.to_owned(),
            object: path.display().to_string(),
            message: error.to_string(),
            hint: "the user who runs Owlet must be able to read it".to_owned(),
        },
        _ => ConnectorError::Source {
            catalog: catalog.to_owned(),
            code: None,
            message: format!("{}: {error}", path.display()),
        },
    }
}

/// Links that lead out of the location would let whoever may write there show any file of the machine.
async fn refuse_links_outside(catalog: &str, place: &Place, objects: &[ObjectMeta]) -> Result<()> {
    let Some(root) = place.local_path(&place.root) else {
        return Ok(());
    };
    let paths: Vec<PathBuf> = objects
        .iter()
        .filter_map(|object| place.local_path(&object.location))
        .collect();
    let shown_root = root.clone();
    let outside = tokio::task::spawn_blocking(move || {
        let root = std::fs::canonicalize(&root)?;
        for path in paths {
            if !std::fs::canonicalize(&path)?.starts_with(&root) {
                return Ok(Some(path));
            }
        }
        Ok::<Option<PathBuf>, std::io::Error>(None)
    })
    .await
    .map_err(|error| ConnectorError::Internal(format!("checking links failed: {error}")))?;
    match outside {
        Ok(None) => Ok(()),
        Ok(Some(path)) => Err(ConnectorError::Configuration {
            catalog: catalog.to_owned(),
            message: format!(
                "{} is a link that leads outside the catalog's location",
                path.display()
            ),
            hint: "copy the file into the location, or make another catalog for its folder"
                .to_owned(),
        }),
        Err(error) => Err(local_error(catalog, &shown_root, &error)),
    }
}

/// Opens the place of a path as written and its glob pattern, if it has one. A file whose name contains pattern
/// characters is itself.
pub fn path_place(
    open: impl Fn(&Location) -> Result<Place>,
    catalog: &str,
    text: &str,
) -> Result<(Place, Option<Pattern>, usize)> {
    let literal = Location::parse(catalog, text)?;
    let is_file = matches!(&literal, Location::Local(path) if path.exists());
    let (prefix, pattern) = match split_glob(text) {
        Some((prefix, pattern)) if !is_file => {
            let compiled = Pattern::new(pattern).map_err(|error| ConnectorError::Configuration {
                catalog: catalog.to_owned(),
                message: format!("pattern {text}: {error}"),
                hint: "* matches within a folder name, ** any folders, ? one character, [ab] one of them".to_owned(),
            })?;
            let prefix = if prefix.is_empty() { "." } else { prefix };
            (prefix.to_owned(), Some(compiled))
        }
        _ => (text.to_owned(), None),
    };
    let location = Location::parse(catalog, &prefix)?;
    let written = prefix
        .split_once("://")
        .map_or(prefix.as_str(), |(_, rest)| rest);
    let written_depth = written
        .split('/')
        .filter(|part| !matches!(*part, "" | "." | ".."))
        .count();
    Ok((open(&location)?, pattern, written_depth))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(full: &str) -> Entry {
        let (stem, kind) = match full.strip_suffix('/') {
            Some(folder) => (folder.to_owned(), EntryKind::Folder),
            None => (FileName::parse(full).stem, EntryKind::File),
        };
        Entry {
            listed: stem.clone(),
            full: full.to_owned(),
            stem,
            path: Path::from(full),
            kind,
        }
    }

    fn entries(names: &[&str]) -> Vec<Entry> {
        let mut entries: Vec<Entry> = names.iter().map(|name| entry(name)).collect();
        use_full_names_for_duplicates(&mut entries);
        entries
    }

    #[test]
    fn names_are_found_exactly_then_ignoring_case() {
        let tables = entries(&[
            "Orders.csv",
            "orders.parquet",
            "Customers.csv",
            "events/",
            "x.csv",
            "x.parquet",
        ]);
        let find = |name: &str| find_entry("c", &tables, name);
        assert_eq!(find("Orders").unwrap().unwrap().full, "Orders.csv");
        assert_eq!(find("orders").unwrap().unwrap().full, "orders.parquet");
        assert!(matches!(
            find("ORDERS"),
            Err(ConnectorError::AmbiguousName { .. })
        ));
        assert_eq!(find("customers").unwrap().unwrap().full, "Customers.csv");
        assert_eq!(
            find("customers.csv").unwrap().unwrap().full,
            "Customers.csv"
        );
        assert_eq!(find("EVENTS").unwrap().unwrap().full, "events/");
        assert!(find("nothing").unwrap().is_none());
        let Err(ConnectorError::AmbiguousName { candidates, .. }) = find("x") else {
            panic!("must be ambiguous")
        };
        assert_eq!(candidates, "\"x.csv\", \"x.parquet\"");
        assert_eq!(find("x.csv").unwrap().unwrap().full, "x.csv");
        let listed: Vec<&str> = tables.iter().map(|entry| entry.listed.as_str()).collect();
        assert_eq!(
            listed,
            [
                "Orders",
                "orders",
                "Customers",
                "events",
                "x.csv",
                "x.parquet"
            ]
        );
    }

    #[test]
    fn names_cannot_leave_the_location() {
        for name in [
            "../x",
            "..",
            "a/b",
            "/etc/passwd",
            ".",
            "a\\b",
            "events/../x",
        ] {
            assert!(
                find_entry("c", &entries(&["events/"]), name).is_err(),
                "{name}"
            );
        }
        assert!(
            find_entry("c", &entries(&["events/", "events.csv"]), "events/")
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn globs_list_no_more_than_they_must() {
        for (pattern, listing) in [
            ("2024-*.csv", ("2024-", Depth::Folder)),
            ("*.csv", ("", Depth::Folder)),
            ("x=*/y?.csv", ("x=", Depth::Below)),
            ("a**", ("a", Depth::Below)),
        ] {
            assert_eq!(listing_of(pattern), listing, "{pattern}");
        }
    }

    #[test]
    fn globs_are_split_before_the_first_pattern() {
        assert_eq!(split_glob("data/*.csv"), Some(("data/", "*.csv")));
        assert_eq!(split_glob("*.csv"), Some(("", "*.csv")));
        assert_eq!(
            split_glob("s3://b/p/x=*/y?.csv"),
            Some(("s3://b/p/", "x=*/y?.csv"))
        );
        assert_eq!(split_glob("data/x.csv"), None);
    }
}
