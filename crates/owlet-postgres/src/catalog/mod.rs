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
    SELECT parts.root, sum(p.relpages) FILTER (WHERE p.relkind <> 'p') AS relpages,
        sum(p.reltuples::float8) FILTER (WHERE p.relkind <> 'p' AND p.reltuples >= 0) AS reltuples,
        count(*) FILTER (WHERE p.relkind <> 'p' AND p.reltuples < 0) AS unknown
    FROM parts JOIN pg_catalog.pg_class AS p ON p.oid = parts.part GROUP BY parts.root
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
        WHERE i.indrelid = c.oid AND i.indisprimary)
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
    let mut tables: BTreeMap<String, (TableMetadata, Vec<(usize, i32)>)> = BTreeMap::new();
    for row in rows {
        let name: String = row.try_get(0)?;
        let size = size(row)?;
        if !tables.contains_key(&name) {
            let table = TableMetadata {
                schema: schema.to_owned(),
                name: name.clone(),
                kind: table_kind(row.try_get(1)?),
                columns: Vec::new(),
                rows: size.rows,
                bytes: size.bytes,
                primary_key: Vec::new(),
                comment: row.try_get(9)?,
            };
            tables.insert(name.clone(), (table, Vec::new()));
        }
        let Some((table, key)) = tables.get_mut(&name) else {
            continue;
        };
        let Some(mut column) = column::read(row, policy)? else {
            continue;
        };
        column.statistics = statistics.of(&column, size.rows);
        if let Some(place) = row.try_get::<_, Option<i32>>(28)? {
            key.push((table.columns.len(), place));
        }
        table.columns.push(column);
    }
    Ok(tables
        .into_values()
        .map(|(mut table, mut key)| {
            key.sort_by_key(|(_, place)| *place);
            table.primary_key = key.into_iter().map(|(position, _)| position).collect();
            TableMetadata::make_names_unique(&mut table.columns);
            Arc::new(table)
        })
        .collect())
}

struct Size {
    rows: RowCount,
    bytes: Option<u64>,
}

/// PostgreSQL's block size is nearly always this; `relpages` counts blocks.
const BLOCK_BYTES: f64 = 8192.0;

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
    if matches!(kind, "v") {
        return Ok(Size {
            rows: RowCount::Unknown,
            bytes: None,
        });
    }
    let own_rows = match (own_rows, present_pages) {
        (rows, _) if rows < 0.0 => None,
        // Before version 14 an unanalysed table has 0 rows on 0 pages.
        (0.0, Some(present)) if own_pages == 0 && present > 0 => None,
        (rows, Some(present)) if own_pages > 0 => Some(rows * present as f64 / own_pages as f64),
        (rows, _) => Some(rows),
    };
    let own_pages = present_pages.unwrap_or(own_pages).max(0);
    let (rows, pages) = match (kind, part_pages) {
        ("p", Some(parts)) if unknown_parts == 0 => (part_rows, parts),
        ("p", Some(parts)) => (own_rows, parts),
        (_, Some(parts)) => {
            let parts_known = if unknown_parts == 0 { part_rows } else { None };
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
        rows: rows.map_or(RowCount::Unknown, |rows| {
            RowCount::Estimated(rows.round() as u64)
        }),
        bytes,
    })
}
