//! Joins to SQL text. Sides are merged into one `FROM` while that is trivially right.
//! Must never know a dialect's spelling.

use arrow_schema::DataType;
use owlet_connector::Expression;

use crate::class::{comparable, sql_name};
use crate::dialect::Refusal;
use crate::fragment::Fragment;
use crate::relation::JoinKind;
use crate::render::Renderer;
use crate::rule::{Construct, Detail, refuse};
use crate::select::Select;
use crate::translate::{apply_rule, translate, translate_predicate};

/// Renders one join.
pub(crate) fn render_join(
    renderer: &Renderer<'_>,
    sides: (Select, Select),
    kind: JoinKind,
    on: &[(Expression, Expression)],
    filter: Option<&Expression>,
) -> Result<Select, Refusal> {
    if on.is_empty() {
        return Err(Refusal::new(
            "a join without equal keys would be a cross join at the source",
        ));
    }
    if let Some(reason) = renderer.flavor.join_refusal(kind, filter.is_some()) {
        return Err(Refusal::new(format!("{} join: {reason}", kind_name(kind))));
    }
    let (left, right) = sides;
    let left_columns = left.items.len();
    let (left_used, right_used) = used_columns(on, filter, left_columns);
    let left = prepare(renderer, left, &left_used, left_merge(kind));
    let right = prepare(renderer, right, &right_used, right_merge(kind));

    let mut conditions = Vec::with_capacity(on.len() + 1);
    let mut key_pairs = Vec::with_capacity(on.len());
    for (left_key, right_key) in on {
        let keys = [
            translate(renderer.flavor, left_key, &left.items)?,
            translate(renderer.flavor, right_key, &right.items)?,
        ];
        if !comparable(&keys[0].data_type, &keys[1].data_type) {
            let reason = format!(
                "{} and {} are different types",
                sql_name(&keys[0].data_type),
                sql_name(&keys[1].data_type)
            );
            return Err(refuse(Construct::JoinKey, &keys, reason));
        }
        let equality = apply_rule(
            renderer.flavor,
            Construct::JoinKey,
            &keys,
            &DataType::Boolean,
            Detail::None,
        )?;
        conditions.push(equality);
        key_pairs.push(keys);
    }
    let scope: Vec<Fragment> = left.items.iter().chain(&right.items).cloned().collect();
    if let Some(filter) = filter {
        conditions.push(translate_predicate(renderer.flavor, filter, &scope)?.sql);
    }
    let condition = conditions.join(" AND ");

    let guards_of = |items: &[Fragment], used: &[usize]| -> Vec<String> {
        used.iter()
            .filter_map(|position| items.get(*position).and_then(|item| item.guard.clone()))
            .collect()
    };
    let left_guards = guards_of(&left.items, &left_used);
    let right_guards = guards_of(&right.items, &right_used);
    match kind {
        JoinKind::LeftSemi | JoinKind::LeftAnti => {
            let negated = kind == JoinKind::LeftAnti;
            let mut inner = right;
            inner.add_guards(right_guards);
            let membership = match filter {
                None => renderer.flavor.membership(&key_pairs, &inner, negated),
                Some(_) => None,
            };
            let test = membership.unwrap_or_else(|| {
                inner.conditions.push(condition);
                let not = if negated { "NOT " } else { "" };
                format!("{not}EXISTS (SELECT 1 FROM {})", inner.source_sql())
            });
            let mut select = left;
            select.conditions.push(test);
            select.add_guards(left_guards);
            Ok(select)
        }
        JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => {
            let right_from = if right.joined {
                format!("({})", right.from)
            } else {
                right.from.clone()
            };
            let from = format!(
                "{} {} {right_from} ON {condition}",
                left.from,
                join_keyword(kind)
            );
            let mut items = scope;
            let outer_left = matches!(kind, JoinKind::Right | JoinKind::Full);
            let outer_right = matches!(kind, JoinKind::Left | JoinKind::Full);
            for (position, item) in items.iter_mut().enumerate() {
                item.nullable |= if position < left_columns {
                    outer_left
                } else {
                    outer_right
                };
            }
            let mut select = Select::new(from, items);
            select.joined = true;
            select.conditions = left
                .conditions
                .into_iter()
                .chain(right.conditions)
                .collect();
            select.add_guards(left_guards.into_iter().chain(right_guards));
            Ok(select)
        }
    }
}

/// When a side's own `FROM` may become part of the join's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Merge {
    /// With its conditions: they hold for every joined row alike.
    WithConditions,
    /// Only without conditions, and with nothing but columns: the join may replace its rows by NULLs.
    OnlyColumns,
}

fn left_merge(kind: JoinKind) -> Merge {
    match kind {
        JoinKind::Inner | JoinKind::Left | JoinKind::LeftSemi | JoinKind::LeftAnti => {
            Merge::WithConditions
        }
        JoinKind::Right | JoinKind::Full => Merge::OnlyColumns,
    }
}

fn right_merge(kind: JoinKind) -> Merge {
    match kind {
        JoinKind::Inner | JoinKind::Right | JoinKind::LeftSemi | JoinKind::LeftAnti => {
            Merge::WithConditions
        }
        JoinKind::Left | JoinKind::Full => Merge::OnlyColumns,
    }
}

fn prepare(renderer: &Renderer<'_>, mut select: Select, used: &[usize], merge: Merge) -> Select {
    let row_wise = select.is_row_wise() && !select.is_limited() && !select.isolated;
    let only_columns = select
        .items
        .iter()
        .all(|item| item.simple && item.literal.is_none());
    let used_simple = used
        .iter()
        .all(|position| select.items.get(*position).is_none_or(|item| item.simple));
    let fits = match merge {
        Merge::WithConditions => used_simple,
        Merge::OnlyColumns => only_columns && select.conditions.is_empty(),
    };
    if !row_wise || !fits {
        select = renderer.derived(select);
    }
    // The order of a join's input does not survive the join.
    select.order.clear();
    select
}

/// Positions of the columns that keys and filter use, on each side.
fn used_columns(
    on: &[(Expression, Expression)],
    filter: Option<&Expression>,
    left_columns: usize,
) -> (Vec<usize>, Vec<usize>) {
    let mut left: Vec<usize> = on.iter().flat_map(|(key, _)| key.columns()).collect();
    let mut right: Vec<usize> = on.iter().flat_map(|(_, key)| key.columns()).collect();
    for position in filter.map(Expression::columns).unwrap_or_default() {
        if position < left_columns {
            left.push(position);
        } else {
            right.push(position - left_columns);
        }
    }
    (left, right)
}

fn join_keyword(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner | JoinKind::LeftSemi | JoinKind::LeftAnti => "JOIN",
        JoinKind::Left => "LEFT JOIN",
        JoinKind::Right => "RIGHT JOIN",
        JoinKind::Full => "FULL JOIN",
    }
}

fn kind_name(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "inner",
        JoinKind::Left => "left",
        JoinKind::Right => "right",
        JoinKind::Full => "full",
        JoinKind::LeftSemi => "semi",
        JoinKind::LeftAnti => "anti",
    }
}
