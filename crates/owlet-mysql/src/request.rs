//! A scan request as a relation, as far as the dialect is exact. Must never do I/O.

use arrow_schema::{Field, Schema};
use owlet_connector::{
    ColumnReference, ConnectorError, Exactness, Expression, Result, ScanRequest, SortKey,
    TableMetadata,
};
use owlet_remote_sql::{Dialect, Relation, RemoteTable};

use crate::plan::qualified;

/// What of a request the server will do.
pub(crate) struct ScanRelation {
    pub(crate) relation: Relation,
    pub(crate) schema: Schema,
    pub(crate) filters: Vec<Exactness>,
    pub(crate) limit_applied: bool,
    pub(crate) ordering_applied: bool,
}

/// Table, exact filters, order and limit if everything before them is exact, projection.
pub(crate) fn relation(
    request: &ScanRequest,
    metadata: &TableMetadata,
    dialect: &dyn Dialect,
) -> Result<ScanRelation> {
    let used = used_columns(request);
    let mut columns = Vec::with_capacity(used.len());
    for position in &used {
        columns.push(metadata.columns.get(*position).cloned().ok_or_else(|| {
            ConnectorError::Internal(format!("table {} has no column {position}", metadata.name))
        })?);
    }
    for column in &columns {
        if let Some(message) = &column.unreadable {
            return Err(ConnectorError::UnreadableColumn {
                table: qualified(&metadata.schema, &metadata.name),
                column: column.source_name.clone(),
                native_type: column.native_type.clone(),
                message: message.clone(),
            });
        }
    }
    let place = |position: usize| used.binary_search(&position).ok();
    let table = Relation::Table(RemoteTable {
        schema: metadata.schema.clone(),
        name: metadata.name.clone(),
        columns,
        restriction: None,
    });
    let input = table.columns();
    let filtered_by = |predicate: Expression| Relation::Filter {
        input: Box::new(table.clone()),
        predicate,
    };
    let mut filters = Vec::with_capacity(request.filters.len());
    let mut applied = Vec::new();
    for filter in &request.filters {
        let local = filter.clone().map_columns(&place).ok_or_else(|| {
            ConnectorError::Internal("a filter refers to a column that is not read".to_owned())
        })?;
        match dialect.check_operator(&filtered_by(local.clone())) {
            Ok(()) => {
                filters.push(Exactness::Exact);
                applied.push(local);
            }
            Err(refusal) => match dialect.prefilter(&local, &input) {
                Some(prefilter)
                    if dialect
                        .check_operator(&filtered_by(prefilter.clone()))
                        .is_ok() =>
                {
                    filters.push(Exactness::Inexact(refusal.reason));
                    applied.push(prefilter);
                }
                _ => filters.push(Exactness::Unsupported(refusal.reason)),
            },
        }
    }
    let all_exact = filters
        .iter()
        .all(|exactness| *exactness == Exactness::Exact);
    let mut relation = match applied.len() {
        0 => table,
        1 => filtered_by(applied.remove(0)),
        _ => filtered_by(Expression::And(applied)),
    };
    let mut limit_applied = false;
    let mut ordering_applied = false;
    if let Some(limit) = request.limit.filter(|_| all_exact) {
        let ordered = order(&relation, &request.ordering, &place, dialect);
        if let Some(ordered) = ordered {
            ordering_applied = !request.ordering.is_empty();
            limit_applied = true;
            relation = Relation::Limit {
                input: Box::new(ordered),
                skip: 0,
                fetch: Some(limit),
            };
        }
    }
    let (relation, schema) = project(relation, request, metadata, &place)?;
    Ok(ScanRelation {
        relation,
        schema,
        filters,
        limit_applied,
        ordering_applied,
    })
}

/// Positions in the table of all columns the server must look at, sorted.
fn used_columns(request: &ScanRequest) -> Vec<usize> {
    let mut used = request.projection.clone();
    used.extend(request.filters.iter().flat_map(Expression::columns));
    if request.limit.is_some() {
        used.extend(
            request
                .ordering
                .iter()
                .flat_map(|key| key.expression.columns()),
        );
    }
    used.sort_unstable();
    used.dedup();
    used
}

/// The relation in the wanted order; `None` when the dialect cannot order exactly so.
fn order(
    relation: &Relation,
    ordering: &[SortKey],
    place: &dyn Fn(usize) -> Option<usize>,
    dialect: &dyn Dialect,
) -> Option<Relation> {
    if ordering.is_empty() {
        return Some(relation.clone());
    }
    let keys = ordering
        .iter()
        .map(|key| {
            Some(SortKey {
                expression: key.expression.clone().map_columns(place)?,
                ..key.clone()
            })
        })
        .collect::<Option<Vec<_>>>()?;
    let sorted = Relation::Sort {
        input: Box::new(relation.clone()),
        keys,
    };
    dialect.check_operator(&sorted).is_ok().then_some(sorted)
}

fn project(
    relation: Relation,
    request: &ScanRequest,
    metadata: &TableMetadata,
    place: &dyn Fn(usize) -> Option<usize>,
) -> Result<(Relation, Schema)> {
    let mut expressions = Vec::with_capacity(request.projection.len());
    let mut fields: Vec<Field> = Vec::with_capacity(request.projection.len());
    for position in &request.projection {
        let (Some(index), Some(column)) = (place(*position), metadata.columns.get(*position))
        else {
            return Err(ConnectorError::Internal(
                "a projected column is not read".to_owned(),
            ));
        };
        expressions.push(Expression::Column(ColumnReference {
            index,
            name: column.name.clone(),
            data_type: column.data_type.clone(),
            nullable: column.nullable,
        }));
        fields.push(column.field());
    }
    Ok((
        Relation::Project {
            input: Box::new(relation),
            expressions,
        },
        Schema::new(fields),
    ))
}

/// The relation below those of the filters over its output that the dialect can say. The filters only save work:
/// one that cannot be said is left out.
pub(crate) fn narrowed(
    relation: &Relation,
    filters: &[Expression],
    dialect: &dyn Dialect,
) -> Relation {
    let input = relation.columns();
    let mut applied = Vec::new();
    for filter in filters {
        let alone = |predicate: &Expression| Relation::Filter {
            input: Box::new(relation.clone()),
            predicate: predicate.clone(),
        };
        if dialect.check_operator(&alone(filter)).is_ok() {
            applied.push(filter.clone());
        } else if let Some(prefilter) = dialect.prefilter(filter, &input)
            && dialect.check_operator(&alone(&prefilter)).is_ok()
        {
            applied.push(prefilter);
        }
    }
    let predicate = match applied.len() {
        0 => return relation.clone(),
        1 => applied.remove(0),
        _ => Expression::And(applied),
    };
    Relation::Filter {
        input: Box::new(relation.clone()),
        predicate,
    }
}
