//! Relations to SQL text: every operator is checked, then merged into a `SELECT` or wrapped around one.
//! Must never know a dialect's spelling.

use std::cell::Cell;

use owlet_connector::{ColumnMetadata, Expression, SortKey};

use crate::class::{TypeClass, comparable};
use crate::dialect::{Refusal, RemoteQuery};
use crate::flavor::{Flavor, Nullability};
use crate::fragment::{Fragment, TextCollation};
use crate::join::render_join;
use crate::limits::{MAXIMUM_MEMBERS, check_expression_depth, check_relation_depth, check_size};
use crate::relation::{
    AggregateExpression, AggregateFunction, OutputColumn, Relation, RemoteTable,
};
use crate::rule::{Call, Construct, Detail, Verdict, find_rule, not_known, refuse};
use crate::select::{Select, merge_collations};
use crate::translate::{apply_rule, translate, translate_predicate};

/// Renders a whole relation.
pub(crate) fn render(flavor: &dyn Flavor, relation: &Relation) -> Result<RemoteQuery, Refusal> {
    check_relation_depth(relation)?;
    let renderer = Renderer::new(flavor);
    let select = renderer.relation(relation)?;
    renderer.check_columns(select.items.len())?;
    let sql = select.to_sql(flavor);
    check_size(&sql)?;
    Ok(RemoteQuery { sql })
}

/// Checks the topmost operator over inputs that are taken as exact, and that the whole can be rendered.
pub(crate) fn check_operator(flavor: &dyn Flavor, relation: &Relation) -> Result<(), Refusal> {
    check_relation_depth(relation)?;
    let renderer = Renderer::new(flavor);
    let inputs = relation
        .inputs()
        .into_iter()
        .map(|input| {
            let alias = renderer.next_alias();
            let items = placeholder_items(flavor, &alias, &input.columns(), &input.tables());
            Select::new(format!("input AS {alias}"), items)
        })
        .collect();
    renderer.operator(relation, inputs)?;
    // The description of an input leaves things out (a scale that is not bounded, a form of storage) that may make the
    // whole inexact.
    render(flavor, relation).map(|_| ())
}

/// Checks an expression over columns of which only the description is known.
pub(crate) fn check_expression(
    flavor: &dyn Flavor,
    expression: &Expression,
    input: &[OutputColumn],
) -> Result<(), Refusal> {
    check_expression_depth(expression)?;
    let items = placeholder_items(flavor, "t0", input, &[]);
    translate(flavor, expression, &items).map(|_| ())
}

fn placeholder_items(
    flavor: &dyn Flavor,
    alias: &str,
    columns: &[OutputColumn],
    tables: &[&RemoteTable],
) -> Vec<Fragment> {
    columns
        .iter()
        .enumerate()
        .map(|(position, column)| {
            let label = match &column.origin {
                Some(origin) => label_of(origin, tables),
                None => format!("column {}", position + 1),
            };
            Fragment {
                nullable: column.nullable,
                collation: column
                    .origin
                    .as_ref()
                    .map_or(TextCollation::Neutral, origin_collation),
                unbounded_length: flavor.may_be_long(&column.data_type, column.origin.as_ref()),
                simple: true,
                ..Fragment::computed(
                    format!("{alias}.c{position}"),
                    column.data_type.clone(),
                    label,
                )
            }
        })
        .collect()
}

fn label_of(origin: &ColumnMetadata, tables: &[&RemoteTable]) -> String {
    match tables.iter().find(|table| table.columns.contains(origin)) {
        Some(table) => format!("{}.{}", table.name, origin.source_name),
        None => origin.source_name.clone(),
    }
}

/// The collation of a canonical text column.
pub(crate) fn origin_collation(column: &ColumnMetadata) -> TextCollation {
    column
        .collation
        .clone()
        .map_or(TextCollation::Neutral, TextCollation::Column)
}

/// Renders operators bottom-up; hands out table aliases.
pub(crate) struct Renderer<'a> {
    /// The dialect.
    pub flavor: &'a dyn Flavor,
    aliases: Cell<usize>,
}

impl<'a> Renderer<'a> {
    fn new(flavor: &'a dyn Flavor) -> Self {
        Self {
            flavor,
            aliases: Cell::new(0),
        }
    }

    fn next_alias(&self) -> String {
        let number = self.aliases.get();
        self.aliases.set(number + 1);
        format!("t{number}")
    }

    /// The select as a derived table of a new one.
    pub fn derived(&self, select: Select) -> Select {
        let alias = self.next_alias();
        select.into_derived(self.flavor, &alias)
    }

    fn relation(&self, relation: &Relation) -> Result<Select, Refusal> {
        let mut inputs = Vec::new();
        for input in relation.inputs() {
            inputs.push(self.relation(input)?);
        }
        self.operator(relation, inputs)
    }

    fn operator(&self, relation: &Relation, mut inputs: Vec<Select>) -> Result<Select, Refusal> {
        let wrong_inputs = || Refusal::new("an operator without its input");
        match relation {
            Relation::Table(table) => self.table(table),
            Relation::SetOperation { .. } => self.union_all(inputs),
            Relation::Join {
                kind, on, filter, ..
            } => {
                let right = inputs.pop().ok_or_else(wrong_inputs)?;
                let left = inputs.pop().ok_or_else(wrong_inputs)?;
                render_join(self, (left, right), *kind, on, filter.as_ref())
            }
            Relation::Filter { predicate, .. } => {
                self.filter(inputs.pop().ok_or_else(wrong_inputs)?, predicate)
            }
            Relation::Project { expressions, .. } => {
                self.project(inputs.pop().ok_or_else(wrong_inputs)?, expressions)
            }
            Relation::Aggregate {
                keys, aggregates, ..
            } => self.aggregate(inputs.pop().ok_or_else(wrong_inputs)?, keys, aggregates),
            Relation::Sort { keys, .. } => self.sort(inputs.pop().ok_or_else(wrong_inputs)?, keys),
            Relation::Limit { skip, fetch, .. } => {
                self.limit(inputs.pop().ok_or_else(wrong_inputs)?, *skip, *fetch)
            }
            Relation::Distinct { .. } => self.distinct(inputs.pop().ok_or_else(wrong_inputs)?),
        }
    }

    fn table(&self, table: &RemoteTable) -> Result<Select, Refusal> {
        let alias = self.next_alias();
        self.check_columns(table.columns.len())?;
        let mut items = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            if let Some(reason) = &column.unreadable {
                return Err(Refusal::new(format!(
                    "reading {}.{}: {reason}",
                    table.name, column.source_name
                )));
            }
            items.push(self.flavor.table_column(&alias, table, column)?);
        }
        let from = format!(
            "{}.{} AS {alias}",
            self.flavor.identifier(&table.schema),
            self.flavor.identifier(&table.name)
        );
        let mut select = Select::new(from, items);
        if let Some(restriction) = &table.restriction {
            select.conditions.push(format!("({restriction})"));
            select.isolated = true;
        }
        Ok(select)
    }

    fn filter(&self, input: Select, predicate: &Expression) -> Result<Select, Refusal> {
        let mut select = self.row_wise_unlimited(input);
        select = self.with_simple_columns(select, [predicate]);
        let condition = translate_predicate(self.flavor, predicate, &select.items)?;
        select.conditions.push(condition.sql);
        add_guards_of(&mut select, [predicate]);
        Ok(select)
    }

    fn project(&self, input: Select, expressions: &[Expression]) -> Result<Select, Refusal> {
        self.check_columns(expressions.len())?;
        let passes_through = expressions
            .iter()
            .all(|expression| matches!(expression, Expression::Column(_)));
        let mut select = input;
        let mergeable = select.is_row_wise() || (select.grouped && passes_through);
        if !mergeable {
            select = self.derived(select);
        }
        let computed = || {
            expressions
                .iter()
                .filter(|expression| !matches!(expression, Expression::Column(_)))
        };
        select = self.with_simple_columns(select, computed());
        let mut items = Vec::with_capacity(expressions.len());
        for expression in expressions {
            items.push(translate(self.flavor, expression, &select.items)?);
        }
        if !passes_through {
            add_guards_of(&mut select, computed());
        }
        select.items = items;
        Ok(select)
    }

    fn sort(&self, input: Select, keys: &[SortKey]) -> Result<Select, Refusal> {
        let select = self.row_wise_unlimited(input);
        let mut select = self.with_simple_columns(select, keys.iter().map(|key| &key.expression));
        let mut terms = Vec::with_capacity(keys.len());
        for key in keys {
            let fragment = translate(self.flavor, &key.expression, &select.items)?;
            if fragment.literal.is_some() {
                continue;
            }
            if fragment.class() == TypeClass::Text
                && let Some(reason) = self.flavor.text_refusal()
            {
                return Err(refuse(Construct::SortKey, &[fragment], reason));
            }
            let tie_breaker = self.flavor.tie_breaker(&fragment);
            let nullable = fragment.nullable;
            let data_type = fragment.data_type.clone();
            let sql = apply_rule(
                self.flavor,
                Construct::SortKey,
                &[fragment],
                &data_type,
                Detail::None,
            )?;
            let nullability = if nullable {
                Nullability::MayBeNull
            } else {
                Nullability::NeverNull
            };
            for term in std::iter::once(sql).chain(tie_breaker) {
                terms.extend(
                    self.flavor
                        .order_terms(&term, key.direction, key.nulls, nullability),
                );
            }
        }
        add_guards_of(&mut select, keys.iter().map(|key| &key.expression));
        select.order = terms;
        Ok(select)
    }

    fn limit(&self, input: Select, skip: u64, fetch: Option<u64>) -> Result<Select, Refusal> {
        let too_large = |number: u64| i64::try_from(number).is_err();
        if too_large(skip) || fetch.is_some_and(too_large) {
            return Err(Refusal::new(
                "LIMIT or OFFSET is beyond a 64-bit signed integer",
            ));
        }
        let mut select = if input.is_limited() {
            self.derived(input)
        } else {
            input
        };
        select.skip = skip;
        select.fetch = fetch;
        Ok(select)
    }

    fn distinct(&self, input: Select) -> Result<Select, Refusal> {
        let mut select = self.row_wise_unlimited(input);
        if select.items.is_empty() {
            return Err(Refusal::new("DISTINCT over no columns"));
        }
        let guards: Vec<String> = select
            .items
            .iter()
            .filter_map(|item| item.guard.clone())
            .collect();
        select.add_guards(guards);
        select.items = self.grouping_items(&select.items)?;
        select.distinct = true;
        select.order.clear();
        Ok(select)
    }

    /// Items as they must be spelled to be grouped the engine's way.
    fn grouping_items(&self, items: &[Fragment]) -> Result<Vec<Fragment>, Refusal> {
        items
            .iter()
            .map(|item| {
                let operand = std::slice::from_ref(item);
                let sql = apply_rule(
                    self.flavor,
                    Construct::Grouping,
                    operand,
                    &item.data_type,
                    Detail::None,
                )?;
                Ok(Fragment {
                    sql,
                    literal: None,
                    stored: None,
                    guard: None,
                    native: None,
                    simple: false,
                    ..item.clone()
                })
            })
            .collect()
    }

    fn aggregate(
        &self,
        input: Select,
        keys: &[Expression],
        aggregates: &[AggregateExpression],
    ) -> Result<Select, Refusal> {
        if keys.is_empty() && aggregates.is_empty() {
            return Err(Refusal::new("an aggregation without keys and aggregates"));
        }
        self.check_columns(keys.len() + aggregates.len())?;
        let arguments = || {
            aggregates
                .iter()
                .flat_map(|aggregate| aggregate.argument.iter().chain(aggregate.filter.as_ref()))
        };
        let mut select = self.row_wise_unlimited(input);
        select = self.with_simple_columns(select, arguments());
        select.order.clear();

        let mut key_items = Vec::with_capacity(keys.len());
        for key in keys {
            key_items.push(translate(self.flavor, key, &select.items)?);
        }
        add_guards_of(&mut select, keys.iter().chain(arguments()));
        let keys_are_columns = key_items
            .iter()
            .all(|item| item.simple && item.literal.is_none());
        if !keys_are_columns {
            // A computed or constant key becomes a column first: sources read constants in GROUP BY as positions.
            let columns = select.items.len();
            select.items.extend(key_items);
            select = self.derived(select);
            key_items = select.items.split_off(columns);
        }
        let key_items = self.grouping_items(&key_items)?;

        let mut items = key_items.clone();
        for aggregate in aggregates {
            items.push(self.aggregate_item(aggregate, &select.items)?);
        }
        select.keys = key_items.into_iter().map(|item| item.sql).collect();
        select.items = items;
        select.grouped = true;
        Ok(select)
    }

    fn aggregate_item(
        &self,
        aggregate: &AggregateExpression,
        scope: &[Fragment],
    ) -> Result<Fragment, Refusal> {
        let flavor = self.flavor;
        let mut operands = Vec::new();
        if let Some(argument) = &aggregate.argument {
            operands.push(translate(flavor, argument, scope)?);
        }
        let construct = Construct::Aggregate(aggregate.function);
        if operands.is_empty() != (aggregate.function == AggregateFunction::CountRows) {
            return Err(Refusal::new(
                "an aggregate with a wrong number of arguments",
            ));
        }
        if aggregate.distinct {
            for operand in &mut operands {
                let data_type = operand.data_type.clone();
                let argument = std::slice::from_ref(operand);
                operand.sql = apply_rule(
                    flavor,
                    Construct::Grouping,
                    argument,
                    &data_type,
                    Detail::None,
                )?;
            }
        }
        let orders_text = matches!(
            aggregate.function,
            AggregateFunction::Minimum | AggregateFunction::Maximum
        ) && operands
            .iter()
            .any(|operand| operand.class() == TypeClass::Text);
        if orders_text && let Some(reason) = flavor.text_refusal() {
            return Err(refuse(construct, &operands, reason));
        }
        let filter_clause = match &aggregate.filter {
            Some(filter) => format!(
                " FILTER (WHERE {})",
                translate_predicate(flavor, filter, scope)?.sql
            ),
            None => String::new(),
        };
        let Some(rule) = find_rule(flavor.rules(), construct, &operands) else {
            return Err(not_known(flavor, construct, &operands));
        };
        let call = Call {
            flavor,
            operands: &operands,
            data_type: &aggregate.data_type,
            detail: Detail::Aggregate {
                function: aggregate.function,
                distinct: aggregate.distinct,
            },
            filter_clause: &filter_clause,
        };
        let sql = match rule.verdict {
            Verdict::Exact(spell) => spell(&call)?,
            Verdict::Refused => return Err(call.refuse(construct, rule.note)),
        };
        check_size(&sql)?;
        let label = match operands.first() {
            Some(operand) => format!(
                "{} of {}",
                crate::rule::aggregate_name(aggregate.function),
                operand.label
            ),
            None => "count(*)".to_owned(),
        };
        Ok(Fragment::computed(sql, aggregate.data_type.clone(), label))
    }

    fn union_all(&self, inputs: Vec<Select>) -> Result<Select, Refusal> {
        if inputs.len() < 2 {
            return Err(Refusal::new("a set operation of fewer than two inputs"));
        }
        if inputs.len() > MAXIMUM_MEMBERS {
            return Err(Refusal::new(format!(
                "UNION ALL of more than {MAXIMUM_MEMBERS} inputs"
            )));
        }
        let mut members = Vec::with_capacity(inputs.len());
        let mut output: Option<Vec<Fragment>> = None;
        for input in inputs {
            let mut member = if input.is_limited() {
                self.derived(input)
            } else {
                input
            };
            member.order.clear();
            if member.is_row_wise() {
                let guards: Vec<String> = member
                    .items
                    .iter()
                    .filter_map(|item| item.guard.clone())
                    .collect();
                member.add_guards(guards);
            }
            match &mut output {
                None => output = Some(member.items.clone()),
                Some(columns) => {
                    self.check_same_types(columns, &member.items)?;
                    merge_collations(columns, &member.items);
                }
            }
            members.push(member.to_member_sql(self.flavor));
        }
        let columns = output.unwrap_or_default();
        if columns.is_empty() {
            return Err(Refusal::new("UNION ALL of rows without columns"));
        }
        let alias = self.next_alias();
        let items = columns
            .into_iter()
            .enumerate()
            .map(|(position, column)| Fragment {
                sql: format!("{alias}.c{position}"),
                literal: None,
                native: None,
                guard: None,
                stored: None,
                simple: true,
                ..column
            })
            .collect();
        let sql = members.join(" UNION ALL ");
        check_size(&sql)?;
        Ok(Select::new(format!("({sql}) AS {alias}"), items))
    }

    fn check_same_types(&self, columns: &[Fragment], other: &[Fragment]) -> Result<(), Refusal> {
        let same = columns.len() == other.len()
            && columns.iter().zip(other).all(|(left, right)| {
                left.data_type == right.data_type
                    || (left.class() == TypeClass::Text
                        && comparable(&left.data_type, &right.data_type))
            });
        if same {
            Ok(())
        } else {
            Err(Refusal::new(
                "the inputs of UNION ALL have different column types",
            ))
        }
    }

    /// A select to which a condition, an ordering or a grouping can be added.
    pub fn row_wise_unlimited(&self, select: Select) -> Select {
        if select.is_row_wise() && !select.is_limited() {
            select
        } else {
            self.derived(select)
        }
    }

    /// A select in which the columns these expressions use may be repeated without growing the text.
    pub fn with_simple_columns<'e>(
        &self,
        select: Select,
        expressions: impl IntoIterator<Item = &'e Expression>,
    ) -> Select {
        let all_simple = expressions
            .into_iter()
            .flat_map(Expression::columns)
            .all(|position| select.items.get(position).is_none_or(|item| item.simple));
        if all_simple {
            select
        } else {
            self.derived(select)
        }
    }

    fn check_columns(&self, columns: usize) -> Result<(), Refusal> {
        let maximum = self.flavor.maximum_columns();
        if columns > maximum {
            return Err(Refusal::new(format!(
                "{columns} columns are more than {} returns ({maximum})",
                self.flavor.title()
            )));
        }
        Ok(())
    }
}

/// Adds the guards of the columns these expressions compute on.
pub(crate) fn add_guards_of<'e>(
    select: &mut Select,
    expressions: impl IntoIterator<Item = &'e Expression>,
) {
    let positions: Vec<usize> = expressions
        .into_iter()
        .flat_map(Expression::columns)
        .collect();
    let guards: Vec<String> = positions
        .into_iter()
        .filter_map(|position| {
            select
                .items
                .get(position)
                .and_then(|item| item.guard.clone())
        })
        .collect();
    select.add_guards(guards);
}
