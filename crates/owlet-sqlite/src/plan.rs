//! Scans and relations to plans: what is pushed, the SQL, and what a split carries. Pure apart from nothing:
//! must never open a connection.

use arrow_schema::{Field, Schema};
use owlet_connector::{
    ConnectorError, CostEstimate, Exactness, Expression, Result, ScanPlan, ScanRequest, Split,
    TableMetadata,
};
use owlet_remote_sql::request::saves_work;
use owlet_remote_sql::sqlite::SqliteDialect;
use owlet_remote_sql::sqlite::column::{ColumnKind, INFERRED_SUFFIX};
use owlet_remote_sql::{Dialect, Refusal, Relation, RemoteTable};
use serde::{Deserialize, Serialize};

use crate::decode::ColumnSource;
use crate::remap::Narrowing;

/// Assumed width of a value, for estimates.
const VALUE_BYTES: f64 = 12.0;

/// What a split carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SplitWork {
    /// The statement, if no filter is added at run time.
    pub sql: String,
    /// The relation as JSON of its own, from which the statement is made again with such filters.
    pub relation: String,
    /// `PRAGMA encoding` of the database.
    pub encoding: String,
    /// Where the output columns come from.
    pub columns: Vec<ColumnSource>,
}

impl SplitWork {
    /// The statement for these run-time filters. They only save work, so one that cannot be applied is left out.
    pub fn statement(&self, dynamic_filters: &[Expression]) -> String {
        if dynamic_filters.is_empty() {
            return self.sql.clone();
        }
        let filtered = serde_json::from_str::<Relation>(&self.relation)
            .ok()
            .and_then(|relation| {
                let dialect = SqliteDialect::with_encoding(&self.encoding);
                let columns = relation.columns();
                let applicable: Vec<Expression> = dynamic_filters
                    .iter()
                    .filter(|filter| saves_work(filter))
                    .filter_map(|filter| dialect.prefilter(filter, &columns))
                    .collect();
                if applicable.is_empty() {
                    return None;
                }
                let relation = Relation::Filter {
                    input: Box::new(relation),
                    predicate: Expression::And(applicable),
                };
                dialect.render(&relation).ok()
            });
        filtered.map_or_else(|| self.sql.clone(), |query| query.sql)
    }
}

/// A relation that answers a scan, and what it does not do.
pub(crate) struct ScanRelation {
    pub relation: Relation,
    pub filters: Vec<Exactness>,
    pub limit_applied: bool,
    pub ordering_applied: bool,
    pub notes: Vec<String>,
}

/// Decides what of a scan SQLite does.
pub(crate) fn scan_relation(
    dialect: &SqliteDialect,
    table: &TableMetadata,
    request: &ScanRequest,
) -> Result<ScanRelation> {
    let filter_columns = request.filters.iter().flat_map(Expression::columns);
    let order_columns = request
        .ordering
        .iter()
        .flat_map(|key| key.expression.columns());
    let narrowing = Narrowing::new(
        request
            .projection
            .iter()
            .copied()
            .chain(filter_columns)
            .chain(order_columns),
    );
    let mut columns = Vec::with_capacity(narrowing.kept().len());
    for position in narrowing.kept() {
        let column = table.columns.get(*position).ok_or_else(|| {
            ConnectorError::Internal(format!("{} has no column number {position}", table.name))
        })?;
        columns.push(column.clone());
    }
    let mut relation = Relation::Table(RemoteTable {
        schema: table.schema.clone(),
        name: table.name.clone(),
        columns,
        restriction: None,
    });
    let input = relation.columns();

    let mut filters = Vec::with_capacity(request.filters.len());
    let mut pushed = Vec::new();
    for filter in &request.filters {
        let filter = narrowing.expression(filter);
        match dialect.check_expression(&filter, &input) {
            Ok(()) => {
                pushed.push(filter);
                filters.push(Exactness::Exact);
            }
            Err(Refusal { reason }) => match dialect.prefilter(&filter, &input) {
                Some(weaker) => {
                    pushed.push(weaker);
                    filters.push(Exactness::Inexact(reason));
                }
                None => filters.push(Exactness::Unsupported(reason)),
            },
        }
    }
    if !pushed.is_empty() {
        relation = Relation::Filter {
            input: Box::new(relation),
            predicate: Expression::And(pushed),
        };
    }

    let mut notes: Vec<String> = Vec::new();
    let all_exact = filters
        .iter()
        .all(|exactness| *exactness == Exactness::Exact);
    let mut ordering_applied = request.ordering.is_empty();
    // Ordering pays only where a limit cuts the rows; otherwise the engine sorts as well.
    if !request.ordering.is_empty() && request.limit.is_some() && all_exact {
        let keys = request
            .ordering
            .iter()
            .map(|key| narrowing.sort_key(key))
            .collect();
        let sorted = Relation::Sort {
            input: Box::new(relation.clone()),
            keys,
        };
        match dialect.check_operator(&sorted) {
            Ok(()) => {
                relation = sorted;
                ordering_applied = true;
            }
            Err(Refusal { reason }) => notes.push(reason),
        }
    }
    let limit_applied = request.limit.is_some() && all_exact && ordering_applied;
    if limit_applied {
        relation = Relation::Limit {
            input: Box::new(relation),
            skip: 0,
            fetch: request.limit,
        };
    }
    let output: Vec<Expression> = request
        .projection
        .iter()
        .filter_map(|column| narrowing.position(*column))
        .filter_map(|position| {
            let column = relation.columns().get(position)?.clone();
            Some(Expression::Column(owlet_connector::ColumnReference {
                index: position,
                name: column
                    .origin
                    .as_ref()
                    .map(|origin| origin.name.clone())
                    .unwrap_or_default(),
                data_type: column.data_type,
                nullable: column.nullable,
            }))
        })
        .collect();
    relation = Relation::Project {
        input: Box::new(relation),
        expressions: output,
    };
    Ok(ScanRelation {
        relation,
        filters,
        limit_applied,
        ordering_applied: ordering_applied && !request.ordering.is_empty(),
        notes,
    })
}

/// A plan of one split: all rows of one statement come from one snapshot of the database.
pub(crate) fn plan(
    catalog: &str,
    dialect: &SqliteDialect,
    encoding: String,
    relation: &Relation,
    names: impl Fn(usize) -> String,
) -> Result<ScanPlan> {
    let sql = dialect
        .render(relation)
        .map_err(|refusal| ConnectorError::Source {
            catalog: catalog.to_owned(),
            code: None,
            message: format!("the relation has no exact SQL: {}", refusal.reason),
        })?
        .sql;
    let output = relation.columns();
    let tables = relation.tables();
    let columns: Vec<ColumnSource> = output
        .iter()
        .enumerate()
        .map(|(position, column)| match &column.origin {
            Some(origin) => ColumnSource {
                table: tables
                    .iter()
                    .find(|table| table.columns.contains(origin))
                    .map(|table| table.name.clone())
                    .unwrap_or_default(),
                column: origin.source_name.clone(),
                untyped: ColumnKind::from_declared_type(&origin.native_type) == ColumnKind::Untyped,
                inferred: origin.native_type.ends_with(INFERRED_SUFFIX),
            },
            None => ColumnSource {
                table: String::new(),
                column: format!("c{position}"),
                untyped: false,
                inferred: false,
            },
        })
        .collect();
    let fields: Vec<Field> = output
        .iter()
        .enumerate()
        .map(|(position, column)| {
            Field::new(names(position), column.data_type.clone(), column.nullable)
        })
        .collect();
    let work = SplitWork {
        sql: sql.clone(),
        relation: json(relation)?,
        encoding,
        columns,
    };
    let table_names: Vec<String> = tables
        .iter()
        .map(|table| format!("{}.{}", table.schema, table.name))
        .collect();
    Ok(ScanPlan {
        schema: Schema::new(fields),
        splits: vec![Split {
            description: "whole statement".to_owned(),
            payload: json(&work)?,
        }],
        filters: Vec::new(),
        limit_applied: false,
        ordering_applied: false,
        estimate: CostEstimate {
            requests: Some(1.0),
            ..CostEstimate::default()
        },
        table: table_names.join(", "),
        access: "scan".to_owned(),
        remote: sql,
        notes: Vec::new(),
    })
}

/// Estimated cost of reading a table.
pub(crate) fn scan_estimate(table: &TableMetadata, request: &ScanRequest) -> CostEstimate {
    let rows = table.rows.value().map(|rows| rows as f64);
    let unfiltered = rows.filter(|_| request.filters.is_empty());
    let returned = match (unfiltered, request.limit) {
        (Some(rows), Some(limit)) => Some(rows.min(limit as f64)),
        (rows, _) => rows,
    };
    CostEstimate {
        rows_read: rows,
        rows_returned: returned,
        bytes: returned.map(|rows| rows * VALUE_BYTES * request.projection.len() as f64),
        requests: Some(1.0),
        ..CostEstimate::default()
    }
}

fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| {
        ConnectorError::Internal(format!("a SQLite plan does not serialise: {error}"))
    })
}
