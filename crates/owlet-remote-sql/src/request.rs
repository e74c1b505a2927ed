//! A scan request as a relation, as far as the dialect is exact, and what joins find out when it runs. Must never do I/O.

use arrow_schema::{Field, Schema};
use owlet_connector::{
    ColumnReference, ConnectorError, Exactness, Expression, Result, ScanRequest, SortKey,
    TableMetadata,
};

use crate::{Dialect, Relation, RemoteTable};

/// What of a request the server will do.
#[derive(Debug)]
pub struct ScanRelation {
    /// What it is asked.
    pub relation: Relation,
    /// Columns of its answer, in the order of the request's projection.
    pub schema: Schema,
    /// One entry for each of the request's filters.
    pub filters: Vec<Exactness>,
    /// The relation has the request's limit.
    pub limit_applied: bool,
    /// The relation has the request's ordering.
    pub ordering_applied: bool,
}

/// Table, exact filters, order and limit if everything before them is exact, projection.
///
/// # Errors
/// [`ConnectorError::UnreadableColumn`] if a column must be looked at that has no readable type.
pub fn scan_relation(
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
                table: format!("{}.{}", metadata.schema, metadata.name),
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

/// Alternatives that a server is asked. It compares each row with one after another (sets of single values it hashes), so
/// the thousand pairs of a join on two columns cost more than they save; the sets of each column stay.
const MAXIMUM_ALTERNATIVES: usize = 50;

/// The relation below those of the filters over its output that the dialect can say. The filters only save work:
/// one that cannot be said, or would make work, is left out.
pub fn narrowed(relation: &Relation, filters: &[Expression], dialect: &dyn Dialect) -> Relation {
    let input = relation.columns();
    let mut applied = Vec::new();
    for filter in filters {
        if !saves_work(filter) {
            continue;
        }
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

/// Whether a server should be asked what a join has found out.
pub fn saves_work(filter: &Expression) -> bool {
    !matches!(filter, Expression::Or(alternatives) if alternatives.len() > MAXIMUM_ALTERNATIVES)
}

/// Values of a join shown in full in the work report, and how many of a longer list.
const KEYS_SHOWN: usize = 10;
const KEYS_BEGUN: usize = 3;

/// What joins have found out, for the work report: in words, and as a statement that people can read.
#[derive(Debug)]
pub struct Findings {
    /// E.g. `120 keys of customer_id, a range of day`.
    pub phrase: String,
    /// The filters with long lists cut short.
    pub shortened: Vec<Expression>,
    /// Says that lists were cut; empty when none was.
    pub remark: String,
}

/// Describes the filters that joins have found out; `None` without any.
pub fn findings(filters: &[Expression]) -> Option<Findings> {
    let filters: Vec<&Expression> = filters.iter().filter(|filter| saves_work(filter)).collect();
    if filters.is_empty() {
        return None;
    }
    let mut phrases: Vec<String> = Vec::new();
    let mut remarks = Vec::new();
    let mut shortened = Vec::with_capacity(filters.len());
    for filter in filters {
        let Expression::InList {
            expression,
            list,
            negated,
        } = filter
        else {
            let phrase = match filter
                .clone()
                .into_conjuncts()
                .first()
                .and_then(column_name)
            {
                Some(name) => format!("a range of {name}"),
                None => "a condition".to_owned(),
            };
            if !phrases.contains(&phrase) {
                phrases.push(phrase);
            }
            shortened.push(filter.clone());
            continue;
        };
        let plural = if list.len() == 1 { "" } else { "s" };
        let name = column_name(expression).unwrap_or_else(|| "an expression".to_owned());
        phrases.push(format!("{} key{plural} of {name}", list.len()));
        let shown = if list.len() > KEYS_SHOWN {
            remarks.push(format!(
                "the first {KEYS_BEGUN} of {} keys of {name} are shown",
                list.len()
            ));
            KEYS_BEGUN
        } else {
            list.len()
        };
        shortened.push(Expression::InList {
            expression: expression.clone(),
            list: list.iter().take(shown).cloned().collect(),
            negated: *negated,
        });
    }
    let remark = if remarks.is_empty() {
        String::new()
    } else {
        format!(" /* {} */", remarks.join("; "))
    };
    Some(Findings {
        phrase: phrases.join(", "),
        shortened,
        remark,
    })
}

/// The column a comparison is about.
fn column_name(expression: &Expression) -> Option<String> {
    match expression {
        Expression::Column(column) => Some(column.name.clone()),
        Expression::Compare { left, right, .. } => column_name(left).or_else(|| column_name(right)),
        Expression::Cast { expression, .. } => column_name(expression),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::DataType;
    use owlet_connector::{CompareOperator, Literal, LiteralValue};

    use super::*;

    #[test]
    fn many_pairs_are_not_asked() {
        let alternatives =
            |count: usize| Expression::Or(vec![Expression::Literal(Literal::boolean(true)); count]);
        assert!(saves_work(&alternatives(MAXIMUM_ALTERNATIVES)));
        assert!(!saves_work(&alternatives(MAXIMUM_ALTERNATIVES + 1)));
        assert!(findings(&[alternatives(1_000)]).is_none());
    }

    #[test]
    fn long_lists_of_keys_are_counted_and_cut() {
        let id = || {
            Box::new(Expression::Column(ColumnReference {
                index: 0,
                name: "id".to_owned(),
                data_type: DataType::Int64,
                nullable: false,
            }))
        };
        let key = |value| {
            Expression::Literal(Literal {
                value: LiteralValue::Integer(value),
                data_type: DataType::Int64,
            })
        };
        let keys = Expression::InList {
            expression: id(),
            list: (0..120).map(key).collect(),
            negated: false,
        };
        let range = Expression::Compare {
            operator: CompareOperator::LessOrEqual,
            left: id(),
            right: Box::new(key(119)),
        };
        let found = findings(&[keys, range.clone()]).expect("filters");
        assert_eq!(found.phrase, "120 keys of id, a range of id");
        assert_eq!(
            found.remark,
            " /* the first 3 of 120 keys of id are shown */"
        );
        assert!(matches!(&found.shortened[0], Expression::InList { list, .. } if list.len() == 3));
        assert_eq!(found.shortened[1], range);
        assert!(findings(&[]).is_none());
    }
}
