//! Gives every column of a plan a name of its own, so that physical rules which find columns by name find the right
//! one (see `duplicate_names`). Only names change: columns keep their places, types and values. Must never know a
//! source.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, internal_err};
use datafusion::logical_expr::expr::Alias;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};

use crate::scan::node::RemoteScan;

/// The plan with unique column names, as far as its operators allow; `None` when it cannot be renamed safely.
pub fn apply(plan: &LogicalPlan) -> Option<LogicalPlan> {
    // A plan that cannot be renamed is still right under its old names, only slower.
    Renamer::default().plan(plan).ok()
}

#[derive(Default)]
struct Renamer {
    taken: HashSet<String>,
}

impl Renamer {
    fn plan(&mut self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        let renamed = match plan {
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::SubqueryAlias(_) => self.operator(plan)?,
            LogicalPlan::Extension(extension) => {
                match extension.node.as_any().downcast_ref::<RemoteScan>() {
                    Some(scan) => scan
                        .with_schema(Arc::new(self.schema(plan.schema())?))
                        .into_plan(),
                    None => self.boundary(plan)?,
                }
            }
            _ => self.boundary(plan)?,
        };
        same_columns(plan.schema(), renamed.schema())?;
        Ok(renamed)
    }

    fn operator(&mut self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        let old_inputs = plan.inputs();
        let mut new_inputs = Vec::with_capacity(old_inputs.len());
        for input in &old_inputs {
            new_inputs.push(self.plan(input)?);
        }
        let mut names = HashMap::new();
        for (old, new) in old_inputs.iter().zip(&new_inputs) {
            for position in 0..old.schema().fields().len() {
                let before = Column::from(old.schema().qualified_field(position));
                let after = Column::from(new.schema().qualified_field(position));
                if names.insert(before, after).is_some() {
                    return internal_err!("two columns of one qualified name");
                }
            }
        }
        let mut expressions = Vec::new();
        for expression in plan.expressions() {
            expressions.push(self.expression(expression, &names)?);
        }
        plan.with_new_exprs(expressions, new_inputs)
    }

    fn expression(&mut self, expression: Expr, names: &HashMap<Column, Column>) -> Result<Expr> {
        let renamed = expression.transform(|node| match node {
            Expr::Column(column) => match names.get(&column) {
                Some(renamed) => Ok(Transformed::yes(Expr::Column(renamed.clone()))),
                None => internal_err!("column {column} is not among the input's"),
            },
            Expr::ScalarSubquery(_)
            | Expr::InSubquery(_)
            | Expr::Exists(_)
            | Expr::SetComparison(_)
            | Expr::OuterReferenceColumn(_, _) => internal_err!("a subquery is not renamed"),
            other => Ok(Transformed::no(other)),
        })?;
        Ok(match renamed.data {
            Expr::Alias(alias) => Expr::Alias(Alias {
                name: self.unique(&alias.name),
                ..alias
            }),
            other => other,
        })
    }

    /// Leaves a subtree alone and renames what comes out of it.
    fn boundary(&mut self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        let renamed = self.schema(plan.schema())?;
        let columns = (0..renamed.fields().len())
            .map(|position| {
                let before = Column::from(plan.schema().qualified_field(position));
                let (relation, field) = renamed.qualified_field(position);
                if before.name == *field.name() {
                    return Expr::Column(before);
                }
                Expr::Column(before).alias_qualified(relation.cloned(), field.name())
            })
            .collect();
        let projection = Projection::try_new(columns, Arc::new(plan.clone()))?;
        Ok(LogicalPlan::Projection(projection))
    }

    fn schema(&mut self, schema: &DFSchema) -> Result<DFSchema> {
        let fields = schema
            .iter()
            .map(|(relation, field)| {
                let name = self.unique(field.name());
                let renamed = field.as_ref().clone().with_name(name);
                (relation.cloned(), Arc::new(renamed))
            })
            .collect();
        DFSchema::new_with_metadata(fields, schema.metadata().clone())
    }

    fn unique(&mut self, name: &str) -> String {
        let mut candidate = name.to_owned();
        let mut number = 1;
        while !self.taken.insert(candidate.clone()) {
            number += 1;
            candidate = format!("{name}:{number}");
        }
        candidate
    }
}

fn same_columns(before: &DFSchema, after: &DFSchema) -> Result<()> {
    let same = before.fields().len() == after.fields().len()
        && before
            .fields()
            .iter()
            .zip(after.fields())
            .all(|(before, after)| {
                before.data_type() == after.data_type()
                    && before.is_nullable() == after.is_nullable()
            });
    if !same {
        return internal_err!("renaming changed the columns of an operator");
    }
    Ok(())
}
