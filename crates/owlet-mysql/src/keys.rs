//! Where to cut a table into ranges of its primary key. Must never read table data but for single keys.
//!
//! Nothing is assumed of how keys are spread: a boundary is guessed in the space of possible keys, the server's
//! optimizer estimates how many rows lie below it (a dive into the index, no read of the rows), and the guess is
//! corrected until it is close to its share. Where one value alone has more rows than a share, the next column of
//! the key is cut within it. Boundaries need not be keys that exist, and the server compares with them by its own
//! order of the column, so the ranges together are all rows, each once, whatever the guesses were worth.

use mysql_async::{Error, Row};

use crate::catalog::{KeyColumn, Layout, number, text};
use crate::plan::KeyRange;
use crate::session::Session;

/// A range of fewer bytes than this is not worth a connection of its own.
const LEAST_BYTES_OF_A_SPLIT: u64 = 8 << 20;
/// Questions to the optimizer for one boundary.
const QUESTIONS: usize = 80;
/// Of these, the first ones that guess by proportion; the others halve, for keys that are not spread evenly.
const PROPORTIONAL: usize = 4;
/// A boundary is good enough when it misses its place by less than this share of a range.
const TOLERANCE: f64 = 0.1;
/// Below this share of the table the estimate of a range's rows is trusted; older servers cap estimates at a half.
const TRUSTED_SHARE: f64 = 0.45;
/// Columns of the key that are cut within one another.
const LONGEST_PREFIX: usize = 3;
/// Bytes of a key that a guess spells.
const GUESSED_BYTES: usize = 12;

/// What the number of splits depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SplitLimits {
    /// The engine's wish.
    pub(crate) target_partitions: usize,
    /// Connections the pool can lend at once.
    pub(crate) connections: usize,
}

/// The table to cut.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) schema: &'a str,
    pub(crate) table: &'a str,
    pub(crate) layout: &'a Layout,
}

/// How many ranges to make, or why only one.
pub(crate) fn wanted_ranges(layout: &Layout, limits: SplitLimits) -> Result<u64, String> {
    if let Some(obstacle) = &layout.obstacle {
        return Err(format!("not split: {obstacle}"));
    }
    let first = layout.key.first();
    if first.and_then(Space::of).is_none() {
        return Err("not split: the type of the key's first column cannot be cut".to_owned());
    }
    let wanted = limits.target_partitions.min(limits.connections) as u64;
    let parts = wanted.min(layout.bytes / LEAST_BYTES_OF_A_SPLIT);
    if parts < 2 {
        let reason = if wanted < 2 {
            "one reader"
        } else {
            "the table is small"
        };
        return Err(format!("not split: {reason}"));
    }
    Ok(parts)
}

/// The ranges, in the order of the key; a single one when the key cannot be cut.
pub(crate) async fn ranges(
    session: &mut Session,
    subject: &Subject<'_>,
    parts: u64,
) -> Result<Vec<KeyRange>, Error> {
    let mut cutter = Cutter {
        session,
        subject,
        total: subject.layout.rows.max(1) as f64,
        part: subject.layout.rows.max(1) as f64 / parts as f64,
    };
    let mut boundaries: Vec<Vec<String>> = Vec::new();
    for part in 1..parts {
        let target = cutter.part * part as f64;
        if let Some(boundary) = cutter.boundary(target).await?
            && boundaries.last() != Some(&boundary)
        {
            boundaries.push(boundary);
        }
    }
    let boundaries = cutter.increasing(boundaries).await?;
    let names: Vec<String> = subject
        .layout
        .key
        .iter()
        .map(|key| quote(&key.name))
        .collect();
    Ok(key_ranges(&names, &boundaries))
}

/// Ranges between boundaries, the first without a lower end, the last without an upper one.
fn key_ranges(names: &[String], boundaries: &[Vec<String>]) -> Vec<KeyRange> {
    (0..=boundaries.len())
        .map(|position| {
            let lower = position
                .checked_sub(1)
                .and_then(|below| boundaries.get(below));
            let upper = boundaries.get(position);
            let conditions: Vec<String> = [
                lower.map(|boundary| not_below(names, boundary)),
                upper.map(|boundary| below(names, boundary)),
            ]
            .into_iter()
            .flatten()
            .collect();
            let spelled = |boundary: &Vec<String>| boundary.join(", ");
            let description = match (lower, upper) {
                (None, None) => "whole".to_owned(),
                (None, Some(upper)) => format!("keys below {}", spelled(upper)),
                (Some(lower), None) => format!("keys from {}", spelled(lower)),
                (Some(lower), Some(upper)) => {
                    format!("keys from {} to {}", spelled(lower), spelled(upper))
                }
            };
            KeyRange {
                condition: conditions.join(" AND "),
                description,
            }
        })
        .collect()
}

/// `k1 < a OR (k1 = a AND k2 < b)`: in this form the optimizer finds the range of the index.
fn below(names: &[String], boundary: &[String]) -> String {
    compared(names, boundary, "<")
}

/// `k1 > a OR (k1 = a AND k2 >= b)`.
fn not_below(names: &[String], boundary: &[String]) -> String {
    compared(names, boundary, ">=")
}

fn compared(names: &[String], boundary: &[String], last: &str) -> String {
    let strict = last.trim_end_matches('=');
    match (names, boundary) {
        ([name, ..], [value]) => format!("{name} {last} {value}"),
        ([name, names @ ..], [value, boundary @ ..]) if !names.is_empty() => format!(
            "({name} {strict} {value} OR ({name} = {value} AND {}))",
            compared(names, boundary, last)
        ),
        _ => "TRUE".to_owned(),
    }
}

struct Cutter<'s, 'a> {
    session: &'s mut Session,
    subject: &'a Subject<'a>,
    /// Rows of the table.
    total: f64,
    /// Rows of a range.
    part: f64,
}

impl Cutter<'_, '_> {
    /// Values of the first columns of the key such that about `target` rows lie below.
    async fn boundary(&mut self, target: f64) -> Result<Option<Vec<String>>, Error> {
        let mut prefix: Vec<String> = Vec::new();
        while prefix.len() < LONGEST_PREFIX {
            let Some(column) = self.subject.layout.key.get(prefix.len()) else {
                break;
            };
            match self.cut(&prefix, column, target).await? {
                Cut::None => break,
                Cut::Close(value) => {
                    prefix.push(value);
                    return Ok(Some(prefix));
                }
                Cut::Heavy(value) => prefix.push(value),
            }
        }
        // The boundary lies within the rows of one prefix that cannot be cut further: before all of them.
        Ok(Some(prefix).filter(|prefix| !prefix.is_empty()))
    }

    /// Looks for a value of one column, the columns before it being fixed.
    async fn cut(
        &mut self,
        prefix: &[String],
        column: &KeyColumn,
        target: f64,
    ) -> Result<Cut, Error> {
        let Some(space) = Space::of(column) else {
            return Ok(Cut::None);
        };
        let Some((smallest, largest)) = self.extremes(prefix, column).await? else {
            return Ok(Cut::None);
        };
        let (Some(mut low), Some(mut high)) = (space.place(&smallest), space.place(&largest))
        else {
            return Ok(Cut::None);
        };
        if low >= high {
            return Ok(space.spelled(low, &smallest).map_or(Cut::None, Cut::Heavy));
        }
        let mut below_low = self
            .rows_below(prefix, space.spelled(low, &smallest))
            .await?;
        if below_low > target {
            // The guess for the smallest value lies above it already: that value has them all.
            return Ok(space.literal(&smallest).map_or(Cut::None, Cut::Heavy));
        }
        let mut below_high = self
            .rows_below(prefix, space.spelled(high, &largest))
            .await?;
        for question in 0..QUESTIONS {
            if high - low < 2 {
                break;
            }
            let share = (target - below_low) / (below_high - below_low);
            let share = if question >= PROPORTIONAL || !(0.02..=0.98).contains(&share) {
                0.5
            } else {
                share
            };
            let middle = if share == 0.5 {
                low + (high - low) / 2
            } else {
                (low + ((high - low) as f64 * share) as i128).clamp(low + 1, high - 1)
            };
            let Some(value) = space.spelled(middle, &smallest) else {
                return Ok(Cut::None);
            };
            let rows = self.rows_below(prefix, Some(value.clone())).await?;
            if (rows - target).abs() < self.part * TOLERANCE {
                return Ok(Cut::Close(value));
            }
            if rows < target {
                (low, below_low) = (middle, rows);
            } else {
                (high, below_high) = (middle, rows);
            }
        }
        // Between two guesses next to each other lies a value with many rows, if there is one at all.
        match self
            .first_from(prefix, column, space.spelled(low, &smallest))
            .await?
        {
            Some(value) => Ok(space.literal(&value).map_or(Cut::None, Cut::Heavy)),
            None => Ok(Cut::None),
        }
    }

    /// Smallest and largest value of a column, as text.
    async fn extremes(
        &mut self,
        prefix: &[String],
        column: &KeyColumn,
    ) -> Result<Option<(String, String)>, Error> {
        let sql = format!(
            "SELECT {form}, 0 FROM {table} WHERE {fixed} ORDER BY {column} LIMIT 1",
            form = shown(column),
            table = self.table(),
            fixed = self.fixed(prefix),
            column = quote(&column.name),
        );
        let smallest = self.session.query(&sql, &[]).await?;
        let largest = self
            .session
            .query(&sql.replace(" LIMIT 1", " DESC LIMIT 1"), &[])
            .await?;
        let value = |rows: &[Row]| rows.first().and_then(|row| text(row, 0));
        Ok(value(&smallest).zip(value(&largest)))
    }

    /// The first value not below this one.
    async fn first_from(
        &mut self,
        prefix: &[String],
        column: &KeyColumn,
        from: Option<String>,
    ) -> Result<Option<String>, Error> {
        let Some(from) = from else {
            return Ok(None);
        };
        let sql = format!(
            "SELECT {form} FROM {table} WHERE {fixed} AND {column} >= {from} ORDER BY {column} LIMIT 1",
            form = shown(column),
            table = self.table(),
            fixed = self.fixed(prefix),
            column = quote(&column.name),
        );
        let rows = self.session.query(&sql, &[]).await?;
        Ok(rows.first().and_then(|row| text(row, 0)))
    }

    /// The optimizer's estimate of the rows below a key.
    async fn rows_below(&mut self, prefix: &[String], value: Option<String>) -> Result<f64, Error> {
        let Some(value) = value else {
            return Ok(0.0);
        };
        let names: Vec<String> = self
            .subject
            .layout
            .key
            .iter()
            .map(|key| quote(&key.name))
            .collect();
        let boundary: Vec<String> = prefix.iter().cloned().chain([value]).collect();
        let rows = self.estimate(&below(&names, &boundary)).await?;
        if rows < self.total * TRUSTED_SHARE {
            return Ok(rows);
        }
        let above = self.estimate(&not_below(&names, &boundary)).await?;
        Ok((self.total - above).max(0.0))
    }

    async fn estimate(&mut self, condition: &str) -> Result<f64, Error> {
        let sql = format!(
            "EXPLAIN SELECT 1 FROM {} FORCE INDEX (PRIMARY) WHERE {condition}",
            self.table()
        );
        let rows = self.session.query(&sql, &[]).await?;
        let estimate = rows.first().and_then(|row| {
            let columns = row.columns();
            let field = |name: &str| {
                columns
                    .iter()
                    .position(|column| column.name_str().eq_ignore_ascii_case(name))
            };
            // "Impossible WHERE": no rows, and no number.
            field("rows").map(|position| number(row, position).unwrap_or(0))
        });
        Ok(estimate.unwrap_or(0) as f64)
    }

    /// The boundaries without those that the server does not hold larger than the one before.
    async fn increasing(
        &mut self,
        boundaries: Vec<Vec<String>>,
    ) -> Result<Vec<Vec<String>>, Error> {
        let mut kept: Vec<Vec<String>> = Vec::new();
        let mut before = 0.0;
        for boundary in boundaries {
            let (value, prefix) = match boundary.split_last() {
                Some((value, prefix)) => (value.clone(), prefix.to_vec()),
                None => continue,
            };
            let rows = self.rows_below(&prefix, Some(value)).await?;
            if rows > before {
                before = rows;
                kept.push(boundary);
            }
        }
        Ok(kept)
    }

    fn table(&self) -> String {
        format!(
            "{}.{}",
            quote(self.subject.schema),
            quote(self.subject.table)
        )
    }

    fn fixed(&self, prefix: &[String]) -> String {
        if prefix.is_empty() {
            return "TRUE".to_owned();
        }
        self.subject
            .layout
            .key
            .iter()
            .zip(prefix)
            .map(|(key, value)| format!("{} = {value}", quote(&key.name)))
            .collect::<Vec<_>>()
            .join(" AND ")
    }
}

/// What came of looking for a value.
enum Cut {
    /// The column cannot be cut.
    None,
    /// About the wanted number of rows lie below this value.
    Close(String),
    /// This value's own rows are more than the tolerance.
    Heavy(String),
}

/// The possible keys of a type, laid out on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Space {
    /// Whole numbers, and decimals by their whole part.
    Number,
    /// Days since the year 0.
    Day,
    /// Bytes, shown in hexadecimal.
    Bytes,
    /// Text, by characters that every collation orders alike.
    Text,
    /// MariaDB's UUID, by its last twelve digits, which it orders by first in most versions.
    Uuid,
}

/// Characters of guessed texts; all other characters count as the nearest of them.
const ALPHABET: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// Characters of a guessed text.
const GUESSED_CHARACTERS: usize = 9;

impl Space {
    fn of(column: &KeyColumn) -> Option<Self> {
        match column.data_type.as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" => {
                Some(Self::Number)
            }
            "date" | "datetime" | "timestamp" => Some(Self::Day),
            "binary" | "varbinary" => Some(Self::Bytes),
            "char" | "varchar" => Some(Self::Text),
            "uuid" => Some(Self::Uuid),
            _ => None,
        }
    }

    /// Where a value lies on the line.
    fn place(self, value: &str) -> Option<i128> {
        match self {
            Self::Number => value.split('.').next().and_then(|whole| whole.parse().ok()),
            Self::Day => {
                let (year, rest) = value.split_once('-')?;
                let (month, day) = rest.get(..5)?.split_once('-')?;
                let (year, month, day): (i128, i128, i128) =
                    (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
                Some(year * 372 + (month - 1) * 31 + day - 1)
            }
            Self::Bytes => {
                let mut place = 0;
                for position in 0..GUESSED_BYTES / 2 {
                    let digits = value.get(position * 2..position * 2 + 2).unwrap_or("00");
                    place = place * 256 + i128::from(u8::from_str_radix(digits, 16).ok()?);
                }
                Some(place)
            }
            Self::Text => {
                let mut characters = value.bytes().map(|byte| {
                    let byte = byte.to_ascii_lowercase();
                    let found = ALPHABET.iter().rposition(|known| *known <= byte);
                    found.unwrap_or(0) as i128
                });
                let base = ALPHABET.len() as i128;
                Some(
                    (0..GUESSED_CHARACTERS)
                        .fold(0, |place, _| place * base + characters.next().unwrap_or(0)),
                )
            }
            Self::Uuid => {
                let digits = value.rsplit('-').next()?;
                u64::from_str_radix(digits, 16).ok().map(i128::from)
            }
        }
    }

    /// The SQL of the value at a place. `like` is a value of the column.
    fn spelled(self, place: i128, like: &str) -> Option<String> {
        Some(match self {
            Self::Number => {
                if place < 0 {
                    format!("({place})")
                } else {
                    place.to_string()
                }
            }
            Self::Day => {
                let days = place as i64;
                let (year, rest) = (days.div_euclid(372), days.rem_euclid(372));
                // The 29th to 31st of a short month are spelled as its 28th: the order stays.
                let (month, day) = (rest / 31 + 1, (rest % 31 + 1).min(28));
                if !(1..=9_999).contains(&year) {
                    return None;
                }
                format!("DATE'{year:04}-{month:02}-{day:02}'")
            }
            Self::Bytes => {
                let mut rest = place as u64;
                let mut bytes = [0_u8; GUESSED_BYTES / 2];
                for byte in bytes.iter_mut().rev() {
                    *byte = (rest & 0xFF) as u8;
                    rest >>= 8;
                }
                let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
                format!("X'{digits}'")
            }
            Self::Text => {
                let base = ALPHABET.len() as u64;
                let mut rest = place as u64;
                let mut characters = [b'0'; GUESSED_CHARACTERS];
                for character in characters.iter_mut().rev() {
                    *character = ALPHABET[(rest % base) as usize];
                    rest /= base;
                }
                format!("'{}'", String::from_utf8_lossy(&characters))
            }
            Self::Uuid => {
                let front = like.rsplit_once('-').map(|(front, _)| front)?;
                format!("'{front}-{:012x}'", (place as u64).min((1 << 48) - 1))
            }
        })
    }

    /// The SQL of a value of the column; `None` when it cannot be spelled safely.
    fn literal(self, value: &str) -> Option<String> {
        match self {
            Self::Number => value
                .bytes()
                .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'))
                .then(|| format!("({value})")),
            Self::Day => value
                .bytes()
                .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b' ' | b'.'))
                .then(|| format!("'{value}'")),
            Self::Bytes => value
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit())
                .then(|| format!("X'{value}'")),
            // A character that the column's own character set lacks, or a backslash, would need more care.
            Self::Text | Self::Uuid => value
                .bytes()
                .all(|byte| (b' '..=b'~').contains(&byte) && !matches!(byte, b'\\' | b'\''))
                .then(|| format!("'{value}'")),
        }
    }
}

/// The value of a column as text.
fn shown(column: &KeyColumn) -> String {
    let name = quote(&column.name);
    match Space::of(column) {
        Some(Space::Bytes) => format!("HEX({name})"),
        _ => format!("CONVERT({name} USING utf8mb4)"),
    }
}

fn quote(identifier: &str) -> String {
    format!("`{}`", identifier.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_everything_once() {
        let names = ["`a`".to_owned(), "`b`".to_owned()];
        let boundaries = [
            vec!["10".to_owned()],
            vec!["20".to_owned(), "'x'".to_owned()],
        ];
        let conditions: Vec<String> = key_ranges(&names, &boundaries)
            .into_iter()
            .map(|range| range.condition)
            .collect();
        assert_eq!(
            conditions,
            [
                "`a` < 10",
                "`a` >= 10 AND (`a` < 20 OR (`a` = 20 AND `b` < 'x'))",
                "(`a` > 20 OR (`a` = 20 AND `b` >= 'x'))",
            ]
        );
        assert_eq!(key_ranges(&names, &[])[0].condition, "");
    }

    #[test]
    fn places_keep_the_order() {
        let ordered = |space: Space, values: &[&str]| {
            let places: Vec<i128> = values
                .iter()
                .map(|value| space.place(value).expect("has a place"))
                .collect();
            assert!(places.is_sorted(), "{space:?} {places:?}");
        };
        ordered(Space::Number, &["-5", "0", "7.5", "18446744073709551615"]);
        ordered(
            Space::Day,
            &["0001-01-01", "1999-12-31 23:00:00", "2000-01-01"],
        );
        ordered(Space::Bytes, &["", "00FF", "0100", "FFFFFFFFFFFFFFFF"]);
        ordered(Space::Text, &["", "0a", "Ab", "abc", "zzz"]);
        assert_eq!(Space::Number.spelled(-5, "").as_deref(), Some("(-5)"));
        assert_eq!(
            Space::Text
                .spelled(Space::Text.place("cat").expect("a place"), "")
                .as_deref(),
            Some("'cat000000'")
        );
        assert_eq!(Space::Text.literal("it's"), None);
        assert_eq!(Space::Text.literal("back\\"), None);
    }
}
