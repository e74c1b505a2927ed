//! One row of the describe query as column metadata. Must never do I/O.

use arrow_schema::DataType;
use owlet_connector::{Collation, ColumnMetadata};
use tokio_postgres::Row;

use crate::types::{NativeType, TypePolicy, arrow_type};

/// The column of this row, or `None` for the row of a table without columns.
pub(super) fn read(
    row: &Row,
    policy: TypePolicy,
) -> Result<Option<ColumnMetadata>, tokio_postgres::Error> {
    let Some(name) = row.try_get::<_, Option<String>>(11)? else {
        return Ok(None);
    };
    let native = native_type(row)?;
    let data_type = arrow_type(&native, policy);
    let mut column = ColumnMetadata::new(name, data_type.clone(), row.try_get::<_, String>(13)?);
    let kind: &str = row.try_get(1)?;
    let has_children: bool = row.try_get(4)?;
    let declared_not_null: bool = row.try_get::<_, Option<bool>>(12)?.unwrap_or(false);
    // A foreign server need not keep the promise; neither need tables that inherit from this one.
    let guaranteed = match kind {
        "r" => !has_children,
        "p" => true,
        _ => false,
    };
    column.nullable = !(declared_not_null && guaranteed);
    column.collation = collation(row, &native, &data_type)?;
    column.comment = row.try_get(27)?;
    Ok(Some(column))
}

fn native_type(row: &Row) -> Result<NativeType, tokio_postgres::Error> {
    let column_modifier: i32 = row.try_get(14)?;
    let element = match row.try_get::<_, Option<u32>>(18)? {
        Some(oid) => Some(Box::new(NativeType {
            oid,
            name: row.try_get(19)?,
            kind: type_kind(row.try_get(20)?),
            modifier: -1,
            element: None,
        })),
        None => None,
    };
    // numeric(10,2)[] has its modifier on the column, an array of a domain on the domain.
    let element_modifier: i32 = row.try_get(21)?;
    let modifier = if element_modifier >= 0 {
        element_modifier
    } else {
        column_modifier
    };
    Ok(NativeType {
        oid: row.try_get(15)?,
        name: row.try_get(16)?,
        kind: type_kind(row.try_get(17)?),
        modifier,
        element,
    })
}

fn type_kind(text: &str) -> char {
    text.chars().next().unwrap_or('b')
}

/// How the server compares a text column. `None` for types without a collation.
fn collation(
    row: &Row,
    native: &NativeType,
    data_type: &DataType,
) -> Result<Option<Collation>, tokio_postgres::Error> {
    if *data_type != DataType::Utf8 {
        return Ok(None);
    }
    let Some(name) = row.try_get::<_, Option<String>>(22)? else {
        return Ok(None);
    };
    if native.name == "citext" {
        return Ok(Some(Collation {
            name: "citext (ignores case)".to_owned(),
            binary_equality: false,
            binary_ordering: false,
        }));
    }
    let deterministic: bool = row.try_get::<_, Option<bool>>(25)?.unwrap_or(true);
    let (name, provider, locale) = if name == "default" {
        let (provider, locale) = database_collation(row.try_get(26)?);
        (locale.clone(), provider, locale)
    } else {
        let provider: String = row.try_get(23)?;
        let locale: Option<String> = row.try_get(24)?;
        let locale = locale.unwrap_or_else(|| name.clone());
        (name, provider, locale)
    };
    Ok(Some(Collation {
        binary_ordering: deterministic && orders_bytes(&provider, &locale),
        binary_equality: deterministic,
        name,
    }))
}

/// The row `(provider,locale)` as text.
fn database_collation(text: &str) -> (String, String) {
    let inner = text.trim_start_matches('(').trim_end_matches(')');
    let (provider, locale) = inner.split_once(',').unwrap_or(("c", inner));
    (provider.to_owned(), locale.trim_matches('"').to_owned())
}

/// The locale compares by bytes: libc's `C` and `POSIX`, and the builtin provider's `C` and `C.UTF-8` (version 17).
/// libc's own `C.UTF-8` does so only in some versions of libc.
fn orders_bytes(provider: &str, locale: &str) -> bool {
    match provider {
        "b" => true,
        "c" => matches!(locale, "C" | "POSIX"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_collations() {
        assert_eq!(
            database_collation("(c,en_US.UTF-8)"),
            ("c".to_owned(), "en_US.UTF-8".to_owned())
        );
        assert_eq!(
            database_collation("(i,\"de-u-co, x\")"),
            ("i".to_owned(), "de-u-co, x".to_owned())
        );
    }

    #[test]
    fn byte_orders() {
        assert!(orders_bytes("c", "C"));
        assert!(orders_bytes("c", "POSIX"));
        assert!(orders_bytes("b", "C.UTF-8"));
        assert!(!orders_bytes("c", "C.UTF-8"));
        assert!(!orders_bytes("i", "en"));
    }
}
