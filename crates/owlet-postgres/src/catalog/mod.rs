//! Metadata from PostgreSQL's system catalogs. Must never know plans.

mod column;
mod layout;
mod statistics;

use std::collections::BTreeMap;
use std::sync::Arc;

use owlet_connector::{RowCount, TableKind, TableMetadata, TableSummary};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::session::Session;
use crate::types::TypePolicy;
use statistics::TableStatistics;

pub(crate) use layout::{Layout, layout};

/// Kinds of relations that hold rows a query can ask for: tables, partitioned tables, views, materialised views,
/// foreign tables.
const READABLE_KINDS: &str = "('r', 'p', 'v', 'm', 'f')";

/// Schemas of the server's own that no user looks for in a listing; they can still be read by name.
const USER_SCHEMA: &str = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') \
     AND n.nspname NOT LIKE 'pg\\_temp\\_%' AND n.nspname NOT LIKE 'pg\\_toast\\_temp\\_%'";

type Result<T> = std::result::Result<T, tokio_postgres::Error>;

/// Schemas the user may use.
pub(crate) async fn schemas(session: &Session) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT n.nspname::text FROM pg_catalog.pg_namespace AS n \
         WHERE {USER_SCHEMA} AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') ORDER BY n.nspname"
    );
    session
        .query(&sql, &[])
        .await?
        .iter()
        .map(|row| row.try_get(0))
        .collect()
}

/// All schema names, the server's own included, for matching a name that differs by case.
pub(crate) async fn all_schemas(session: &Session) -> Result<Vec<String>> {
    let sql = "SELECT n.nspname::text FROM pg_catalog.pg_namespace AS n \
               WHERE n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp\\_%'";
    session
        .query(sql, &[])
        .await?
        .iter()
        .map(|row| row.try_get(0))
        .collect()
}

/// Tables, views and foreign tables of a schema.
pub(crate) async fn tables(session: &Session, schema: &str) -> Result<Vec<TableSummary>> {
    let sql = format!(
        "SELECT c.relname::text, c.relkind::text FROM pg_catalog.pg_class AS c \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relkind IN {READABLE_KINDS} ORDER BY c.relname"
    );
    session
        .query(&sql, &[(&schema, Type::TEXT)])
        .await?
        .iter()
        .map(|row| {
            Ok(TableSummary {
                name: row.try_get(0)?,
                kind: table_kind(row.try_get(1)?),
            })
        })
        .collect()
}

/// Which tables to describe.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Selection<'a> {
    /// One table, by its exact name.
    Table(&'a str),
    /// All tables of the schema.
    All,
}

/// Full metadata of one or all tables of a schema (exact names), in one query.
pub(crate) async fn describe(
    session: &Session,
    schema: &str,
    selection: Selection<'_>,
    policy: TypePolicy,
) -> Result<Vec<Arc<TableMetadata>>> {
    let name = match selection {
        Selection::Table(name) => Some(name),
        Selection::All => None,
    };
    // NOT NULL constraints that are not validated exist since version 18; pg_constraint knows.
    let not_null = if session.server_version >= 180_000 {
        "(a.attnotnull AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = c.oid \
          AND k.contype = 'n' AND a.attnum = ANY (k.conkey) AND (NOT k.convalidated OR k.connoinherit)))"
    } else {
        "a.attnotnull"
    };
    let sql = DESCRIBE
        .replace("{readable_kinds}", READABLE_KINDS)
        .replace("{not_null}", not_null)
        .replace(
            "{database_collation}",
            // A provider's own locale has a column of its own: daticulocale (15, 16), datlocale (17 and later).
            match session.server_version {
                170_000.. => "d.datlocprovider::text, coalesce(d.datlocale, d.datcollate)::text",
                150_000.. => "d.datlocprovider::text, coalesce(d.daticulocale, d.datcollate)::text",
                _ => "'c'::text, d.datcollate::text",
            },
        );
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&schema, Type::TEXT), (&name, Type::TEXT)];
    match selection {
        Selection::Table(table) => {
            let (rows, statistics) = futures::try_join!(
                session.query(&sql, &parameters),
                statistics::read(session, schema, table),
            )?;
            assemble(&rows, schema, policy, &statistics)
        }
        // Lists of columns have no use for statistics, which are large.
        Selection::All => {
            let rows = session.query(&sql, &parameters).await?;
            assemble(&rows, schema, policy, &TableStatistics::default())
        }
    }
}

/// One row a column; a table without columns has one row without a column. Sizes of partitioned tables are the
/// sums of their parts.
const DESCRIBE: &str = "
WITH RECURSIVE chosen AS (
    SELECT c.* FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND ($2::text IS NULL OR c.relname = $2) AND c.relkind IN {readable_kinds}
), parts AS (
    SELECT chosen.oid AS root, i.inhrelid AS part
    FROM chosen JOIN pg_catalog.pg_inherits AS i ON i.inhparent = chosen.oid
    UNION ALL
    SELECT parts.root, i.inhrelid FROM parts JOIN pg_catalog.pg_inherits AS i ON i.inhparent = parts.part
), part_sizes AS (
    SELECT parts.root, sum(coalesce(present.pages, p.relpages)) AS relpages,
        sum(p.reltuples::float8) FILTER (WHERE p.reltuples >= 0 AND coalesce(present.pages, 0) = 0) AS reltuples,
        count(*) FILTER (WHERE p.reltuples < 0 AND present.pages IS NULL) AS unknown,
        sum(present.pages) AS unsampled_pages
    FROM parts JOIN pg_catalog.pg_class AS p ON p.oid = parts.part
    CROSS JOIN LATERAL (
        SELECT CASE WHEN $2::text IS NOT NULL AND p.relkind = 'r'
            AND (p.reltuples < 0 OR (p.reltuples = 0 AND p.relpages = 0)) THEN
            pg_catalog.pg_relation_size(p.oid) / pg_catalog.current_setting('block_size')::int8 END AS pages
    ) AS present
    WHERE p.relkind <> 'p' GROUP BY parts.root
), domain_chain AS (
    SELECT t.oid AS type_oid, t.typbasetype AS base, t.typtypmod AS modifier
    FROM pg_catalog.pg_type AS t WHERE t.typtype = 'd'
    UNION ALL
    SELECT domain_chain.type_oid, t.typbasetype, t.typtypmod
    FROM domain_chain JOIN pg_catalog.pg_type AS t ON t.oid = domain_chain.base WHERE t.typtype = 'd'
), domains AS (
    SELECT domain_chain.* FROM domain_chain
    JOIN pg_catalog.pg_type AS t ON t.oid = domain_chain.base WHERE t.typtype <> 'd'
), this_database AS (
    SELECT {database_collation}
    FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()
)
SELECT c.relname::text, c.relkind::text, c.reltuples::float8, c.relpages::int8, c.relhassubclass,
    s.reltuples, s.relpages::int8, s.unknown,
    CASE WHEN $2::text IS NOT NULL AND c.relkind IN ('r', 'm') THEN
        pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::int8 END,
    pg_catalog.obj_description(c.oid, 'pg_class'),
    a.attnum, a.attname::text, {not_null},
    pg_catalog.format_type(t.oid, CASE WHEN dm.base IS NULL THEN a.atttypmod ELSE dm.modifier END),
    CASE WHEN dm.base IS NULL THEN a.atttypmod ELSE dm.modifier END,
    t.oid, t.typname::text, t.typtype::text,
    e.oid, e.typname::text, e.typtype::text,
    CASE WHEN ed.base IS NULL THEN -1 ELSE ed.modifier END,
    co.collname::text, co.collprovider::text, co.collcollate::text, co.collisdeterministic,
    (SELECT this_database FROM this_database)::text,
    (SELECT pg_catalog.col_description(c.oid, a.attnum)),
    (SELECT pg_catalog.array_position(i.indkey::int2[], a.attnum) FROM pg_catalog.pg_index AS i
        WHERE i.indrelid = c.oid AND i.indisprimary),
    s.unsampled_pages::int8, a.attlen
FROM chosen AS c
LEFT JOIN part_sizes AS s ON s.root = c.oid
LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN domains AS dm ON dm.type_oid = a.atttypid
LEFT JOIN pg_catalog.pg_type AS t ON t.oid = coalesce(dm.base, a.atttypid)
LEFT JOIN pg_catalog.pg_type AS raw_e ON raw_e.oid = t.typelem AND t.typcategory = 'A' AND t.typlen = -1
LEFT JOIN domains AS ed ON ed.type_oid = raw_e.oid
LEFT JOIN pg_catalog.pg_type AS e ON e.oid = coalesce(ed.base, raw_e.oid)
LEFT JOIN pg_catalog.pg_collation AS co ON co.oid = a.attcollation
ORDER BY c.relname, a.attnum";

fn table_kind(relkind: &str) -> TableKind {
    match relkind {
        "v" | "m" => TableKind::View,
        "f" => TableKind::Foreign,
        _ => TableKind::Table,
    }
}

fn assemble(
    rows: &[Row],
    schema: &str,
    policy: TypePolicy,
    statistics: &TableStatistics,
) -> Result<Vec<Arc<TableMetadata>>> {
    let mut tables: BTreeMap<String, Assembly> = BTreeMap::new();
    for row in rows {
        let name: String = row.try_get(0)?;
        let size = size(row)?;
        if !tables.contains_key(&name) {
            let table = TableMetadata {
                schema: schema.to_owned(),
                name: name.clone(),
                kind: table_kind(row.try_get(1)?),
                columns: Vec::new(),
                rows: RowCount::Unknown,
                bytes: size.bytes,
                primary_key: Vec::new(),
                comment: row.try_get(9)?,
            };
            let assembly = Assembly {
                table,
                key: Vec::new(),
                size,
                tuple_bytes: 0,
            };
            tables.insert(name.clone(), assembly);
        }
        let Some(Assembly {
            table,
            key,
            tuple_bytes,
            ..
        }) = tables.get_mut(&name)
        else {
            continue;
        };
        let Some(mut column) = column::read(row, policy)? else {
            continue;
        };
        *tuple_bytes += u64::try_from(row.try_get::<_, i16>(30)?).unwrap_or(USUAL_VARIABLE_BYTES);
        column.statistics = statistics.of(&column, size.sampled_rows());
        if let Some(place) = row.try_get::<_, Option<i32>>(28)? {
            key.push((table.columns.len(), place));
        }
        table.columns.push(column);
    }
    Ok(tables
        .into_values()
        .map(|assembly| {
            let Assembly {
                mut table, mut key, ..
            } = assembly;
            table.rows = assembly.size.rows(assembly.tuple_bytes);
            key.sort_by_key(|(_, place)| *place);
            table.primary_key = key.into_iter().map(|(position, _)| position).collect();
            TableMetadata::make_names_unique(&mut table.columns);
            Arc::new(table)
        })
        .collect())
}

/// A table whose columns are still coming.
struct Assembly {
    table: TableMetadata,
    /// Positions of the primary key's columns, and their places in it.
    key: Vec<(usize, i32)>,
    size: Size,
    /// What a row's values take, by their types.
    tuple_bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Size {
    /// Rows that VACUUM or ANALYZE counted; `None` when nothing is known.
    counted: Option<f64>,
    /// Pages whose rows nobody has counted.
    unsampled_pages: f64,
    bytes: Option<u64>,
}

/// PostgreSQL's block size is nearly always this; `relpages` counts blocks.
const BLOCK_BYTES: f64 = 8192.0;
/// Of it, the page's own.
const PAGE_HEADER_BYTES: f64 = 24.0;
/// A row's header and its entry in the page.
const TUPLE_OVERHEAD_BYTES: u64 = 24 + 4;
/// What PostgreSQL's planner takes for a value without a fixed length, of which it knows nothing.
const USUAL_VARIABLE_BYTES: u64 = 32;

impl Size {
    /// Rows as far as they were counted.
    fn sampled_rows(self) -> RowCount {
        match self.counted {
            Some(rows) if self.unsampled_pages == 0.0 => RowCount::Estimated(rows.round() as u64),
            _ => RowCount::Unknown,
        }
    }

    /// And what the other pages hold when they are full, as PostgreSQL's own planner estimates.
    fn rows(self, tuple_bytes: u64) -> RowCount {
        let row_bytes = tuple_bytes.next_multiple_of(8) + TUPLE_OVERHEAD_BYTES;
        let rows_of_a_page = ((BLOCK_BYTES - PAGE_HEADER_BYTES) / row_bytes as f64)
            .floor()
            .max(1.0);
        match self.counted {
            Some(counted) => {
                RowCount::Estimated((counted + self.unsampled_pages * rows_of_a_page).round() as u64)
            }
            None => RowCount::Unknown,
        }
    }
}

/// `reltuples` is -1 when the table was never analysed. Where the present number of pages is known, the density
/// at the last ANALYZE is applied to it, as PostgreSQL's own planner does.
fn size(row: &Row) -> Result<Size> {
    let kind: &str = row.try_get(1)?;
    let own_rows: f64 = row.try_get(2)?;
    let own_pages: i64 = row.try_get(3)?;
    let part_rows: Option<f64> = row.try_get(5)?;
    let part_pages: Option<i64> = row.try_get(6)?;
    let unknown_parts: i64 = row.try_get::<_, Option<i64>>(7)?.unwrap_or(0);
    let present_pages: Option<i64> = row.try_get(8)?;
    let part_unsampled_pages = row.try_get::<_, Option<i64>>(29)?.unwrap_or(0);
    if matches!(kind, "v") {
        return Ok(Size {
            counted: None,
            unsampled_pages: 0.0,
            bytes: None,
        });
    }
    let mut unsampled_pages = 0;
    let own_rows = match (own_rows, present_pages) {
        // Before version 14 an unanalysed table has 0 rows on 0 pages.
        (rows, Some(present)) if rows < 0.0 || (rows == 0.0 && own_pages == 0) => {
            unsampled_pages = present;
            Some(0.0)
        }
        (rows, _) if rows < 0.0 => None,
        (rows, Some(present)) if own_pages > 0 => Some(rows * present as f64 / own_pages as f64),
        (rows, _) => Some(rows),
    };
    let own_pages = present_pages.unwrap_or(own_pages).max(0);
    let (rows, pages) = match (kind, part_pages) {
        ("p", Some(parts)) if unknown_parts == 0 => {
            unsampled_pages = part_unsampled_pages;
            (Some(part_rows.unwrap_or(0.0)), parts)
        }
        ("p", Some(parts)) => (own_rows, parts),
        (_, Some(parts)) => {
            unsampled_pages += part_unsampled_pages;
            let parts_known = (unknown_parts == 0).then(|| part_rows.unwrap_or(0.0));
            (
                own_rows.zip(parts_known).map(|(own, parts)| own + parts),
                own_pages + parts,
            )
        }
        (_, None) => (own_rows, own_pages),
    };
    let bytes = if kind == "f" {
        None
    } else {
        Some((pages as f64 * BLOCK_BYTES) as u64)
    };
    Ok(Size {
        counted: rows,
        unsampled_pages: unsampled_pages as f64,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_were_never_counted_are_taken_as_full() {
        let size = |counted, unsampled_pages| Size {
            counted,
            unsampled_pages,
            bytes: None,
        };
        // 36 bytes of values in 40, and 28 more: 120 rows a page.
        assert_eq!(size(Some(0.0), 3.0).rows(36), RowCount::Estimated(360));
        assert_eq!(size(Some(50.0), 1.0).rows(36), RowCount::Estimated(170));
        assert_eq!(size(Some(50.0), 1.0).sampled_rows(), RowCount::Unknown);
        assert_eq!(
            size(Some(50.0), 0.0).sampled_rows(),
            RowCount::Estimated(50)
        );
        assert_eq!(size(Some(0.0), 2.0).rows(50_000), RowCount::Estimated(2));
        assert_eq!(size(None, 0.0).rows(36), RowCount::Unknown);
    }
}
