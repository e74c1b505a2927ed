//! Names of the functions that a connection must have for the dialect's SQL, and what they do.
//! Must never know a driver.

/// `owlet_unfit(value, column, expectation)`: always fails, saying that the column's value is not what its
/// declared type promises.
pub const UNFIT: &str = "owlet_unfit";
/// `owlet_text(value, column)`: the text of an untyped value: text as it is, integers in decimal, doubles in their
/// shortest decimal form; NULL for NULL; fails for blobs.
pub const TEXT: &str = "owlet_text";
/// `owlet_timestamp(value, column)`: the canonical text `YYYY-MM-DD HH:MM:SS.ffffff` of an ISO timestamp without a
/// zone other than UTC; NULL for NULL; fails for anything else.
pub const TIMESTAMP: &str = "owlet_timestamp";
/// `owlet_instant(value, column)`: the canonical text, in UTC, of an ISO timestamp with or without a zone.
pub const INSTANT: &str = "owlet_instant";
/// `owlet_decimal(value, precision, scale, column)`: 1 when the number fits, else fails.
pub const DECIMAL: &str = "owlet_decimal";
/// `owlet_integer(value)`: the value if it is an integer or NULL; fails for a double, which is how SQLite answers an
/// integer overflow.
pub const INTEGER: &str = "owlet_integer";
/// `owlet_double(bits)`: the double with these bits.
pub const DOUBLE: &str = "owlet_double";
/// `owlet_sum(integer)`, an aggregate: the exact sum; NULL without values; fails only when the sum itself is no
/// 64-bit integer.
pub const SUM: &str = "owlet_sum";
/// `owlet_length(text)`: the number of characters, NUL characters included.
pub const LENGTH: &str = "owlet_length";
/// `owlet_substring(text, start, length)`: characters from position `start` (from 1) on, NUL characters included.
pub const SUBSTRING: &str = "owlet_substring";
