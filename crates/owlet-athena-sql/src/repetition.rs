//! The columns of a subquery in the order and as often as a select list with repeated wildcards has them.
//! It must never know how the subquery is written.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use datafusion_common::{Column, DFSchema, Result, TableReference, internal_err, plan_err};
use datafusion_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use sqlparser::ast::{TableAlias, TableFactor};

use crate::names;

/// Parts the words of a piece's text, as a column's name cannot.
const SEPARATOR: char = '\u{1f}';

/// A piece of the select list as written. The number is a place in the subquery's list, which has each wildcard once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// An expression.
    Item(usize),
    /// All columns of the wildcard there.
    All(usize),
    /// Those of one relation, by the parts of its name.
    Part(usize, Vec<String>),
}

impl Piece {
    /// The piece as a text, which an alias of the syntax tree can carry.
    pub(crate) fn to_text(&self) -> String {
        let (kind, place, parts): (_, _, &[String]) = match self {
            Self::Item(place) => ("item", place, &[]),
            Self::All(place) => ("all", place, &[]),
            Self::Part(place, parts) => ("part", place, parts),
        };
        let mut words = vec![kind.to_owned(), place.to_string()];
        words.extend_from_slice(parts);
        words.join(&SEPARATOR.to_string())
    }

    fn of_text(text: &str) -> Option<Self> {
        let mut words = text.split(SEPARATOR);
        let kind = words.next()?;
        let place = words.next()?.parse().ok()?;
        match kind {
            "item" => Some(Self::Item(place)),
            "all" => Some(Self::All(place)),
            "part" => Some(Self::Part(place, words.map(str::to_owned).collect())),
            _ => None,
        }
    }

    fn place(&self) -> usize {
        match self {
            Self::Item(place) | Self::All(place) | Self::Part(place, _) => *place,
        }
    }
}

/// Plans the subqueries that `passes::repeated_wildcards` makes.
#[derive(Debug)]
pub(crate) struct RepetitionPlanner;

impl RelationPlanner for RepetitionPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::Derived {
            lateral: false,
            subquery,
            alias: Some(alias),
            sample: None,
        } = relation
        else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        if alias.name.value != names::repetition() {
            return Ok(RelationPlanning::Original(Box::new(TableFactor::Derived {
                lateral: false,
                subquery,
                alias: Some(alias),
                sample: None,
            })));
        }
        let Some(pieces) = pieces(&alias) else {
            return internal_err!("a repetition without its pieces");
        };
        let input = context.plan(TableFactor::Derived {
            lateral: false,
            subquery,
            alias: None,
            sample: None,
        })?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(
            repeated(input, &pieces)?,
            None,
        ))))
    }
}

fn pieces(alias: &TableAlias) -> Option<Vec<Piece>> {
    let columns = alias.columns.iter();
    columns
        .map(|column| Piece::of_text(&column.name.value))
        .collect()
}

/// An output column: its place among the subquery's columns, and whether a wildcard brought it.
struct Output {
    column: usize,
    from_wildcard: bool,
}

fn repeated(input: LogicalPlan, pieces: &[Piece]) -> Result<LogicalPlan> {
    let outputs = outputs(input.schema(), pieces)?;
    let schema = input.schema();
    let name = |output: &Output| schema.field(output.column).name().as_str();
    let mut uses: HashMap<&str, usize> = HashMap::new();
    for given in outputs
        .iter()
        .filter_map(|output| names::given_name(name(output)))
    {
        *uses.entry(given).or_default() += 1;
    }
    let columns: Vec<Expr> = outputs
        .iter()
        .enumerate()
        .map(|(position, output)| {
            let column = Expr::Column(Column::from(schema.qualified_field(output.column)));
            // A select item that has an internal name has it alone.
            if !output.from_wildcard && names::is_internal(name(output)) {
                return column;
            }
            match names::given_name(name(output)) {
                None => column.alias(names::repeated_unnamed(position)),
                Some(given) if uses.get(given).is_some_and(|uses| *uses > 1) => {
                    column.alias(names::repeated(given, position))
                }
                Some(_) => column,
            }
        })
        .collect();
    LogicalPlanBuilder::from(input.clone())
        .project(columns)?
        .build()
}

fn outputs(schema: &DFSchema, pieces: &[Piece]) -> Result<Vec<Output>> {
    let places = places(schema, pieces)?;
    let mut outputs = Vec::new();
    for piece in pieces {
        let Some(columns) = places.get(piece.place()).cloned() else {
            return internal_err!("a repetition of a column that is not there");
        };
        let before = outputs.len();
        let qualifier = match piece {
            Piece::Part(_, parts) => Some(table(parts)?),
            Piece::Item(_) | Piece::All(_) => None,
        };
        let is_wanted = |column: &usize| {
            qualifier.is_none() || schema.qualified_field(*column).0 == qualifier.as_ref()
        };
        outputs.extend(columns.filter(is_wanted).map(|column| Output {
            column,
            from_wildcard: !matches!(piece, Piece::Item(_)),
        }));
        if let Some(qualifier) = qualifier
            && outputs.len() == before
        {
            return plan_err!("Invalid qualifier {qualifier}");
        }
    }
    Ok(outputs)
}

/// The columns that each entry of the subquery's list has brought.
fn places(schema: &DFSchema, pieces: &[Piece]) -> Result<Vec<Range<usize>>> {
    let columns = schema.fields().len();
    let entries = pieces
        .iter()
        .map(|piece| piece.place() + 1)
        .max()
        .unwrap_or(0);
    let wildcards: BTreeSet<usize> = pieces
        .iter()
        .filter(|piece| !matches!(piece, Piece::Item(_)))
        .map(Piece::place)
        .collect();
    let mut start = 0;
    let mut places = Vec::with_capacity(entries);
    for entry in 0..entries {
        let end = if !wildcards.contains(&entry) {
            Some(start + 1)
        } else if wildcards.len() > 1 {
            (start..columns).find(|column| names::is_mark(schema.field(*column).name()))
        } else {
            (columns + entry + 1).checked_sub(entries)
        };
        let Some(end) = end.filter(|end| (start..=columns).contains(end)) else {
            return internal_err!("a repetition of {entries} entries has {columns} columns");
        };
        places.push(start..end);
        start = end;
    }
    Ok(places)
}

fn table(parts: &[String]) -> Result<TableReference> {
    match parts {
        [table] => Ok(TableReference::bare(table.as_str())),
        [schema, table] => Ok(TableReference::partial(schema.as_str(), table.as_str())),
        [catalog, schema, table] => Ok(TableReference::full(
            catalog.as_str(),
            schema.as_str(),
            table.as_str(),
        )),
        _ => plan_err!("Invalid qualifier {}", parts.join(".")),
    }
}

/// The planner, for the session's builder.
pub(crate) fn planner() -> Arc<dyn RelationPlanner> {
    Arc::new(RepetitionPlanner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_survive_as_texts() {
        for piece in [
            Piece::Item(3),
            Piece::All(0),
            Piece::Part(1, vec!["public".to_owned(), "a b".to_owned()]),
        ] {
            assert_eq!(Piece::of_text(&piece.to_text()), Some(piece));
        }
        assert_eq!(Piece::of_text("a"), None);
    }
}
