//! `status.id` inside a subquery over a table with a column `status` that is no row: the planner takes the column first,
//! though the name can only mean the relation `status` of an outer query. Such names are written down while planning, and
//! an analyzer rule makes outer references of them. It must never know sources.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::optimizer::AnalyzerRule;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, DFSchema, Result, TableReference, plan_err};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{BinaryExpr, Expr, LogicalPlan, Operator, Subquery};

use crate::functions::type_names::sql_name;

/// On the field of a name that is not resolved: the type of the column that the planner found first.
const FOUND: &str = "owlet_found";

/// An outer reference of a type that is not known yet: everything can be compared with it. `column` has no fields.
pub(crate) fn placeholder(column: &Field, name: &str) -> Expr {
    let found = sql_name(column.data_type());
    let field = Field::new(name, DataType::Null, true)
        .with_metadata(HashMap::from([(FOUND.to_owned(), found)]));
    let relation = TableReference::bare(column.name().as_str());
    Expr::OuterReferenceColumn(Arc::new(field), Column::new(Some(relation), name))
}

/// A name that is not resolved, and the type of the column that was found.
fn outer_name(expr: &Expr) -> Option<(&Column, &str)> {
    match expr {
        Expr::OuterReferenceColumn(field, column) => {
            let found = field.metadata().get(FOUND)?;
            Some((column, found.as_str()))
        }
        _ => None,
    }
}

/// Resolves the names.
#[derive(Debug)]
pub(crate) struct OuterNames;

impl AnalyzerRule for OuterNames {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        match has_names(&plan)? {
            true => resolve(plan, &Scopes::default()),
            false => Ok(plan),
        }
    }

    fn name(&self) -> &'static str {
        "athena_outer_names"
    }
}

/// The rule, for the session's builder.
pub(crate) fn rule() -> Arc<dyn AnalyzerRule + Send + Sync> {
    Arc::new(OuterNames)
}

fn has_names(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            found |= expr.exists(|part| Ok(outer_name(part).is_some()))?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(found)
}

/// What the queries around a plan read.
#[derive(Debug, Clone, Default)]
struct Scopes {
    /// From the outermost query to the nearest.
    outer: Vec<Arc<DFSchema>>,
    /// What a LATERAL subquery sees.
    lateral: Option<Arc<DFSchema>>,
}

impl Scopes {
    fn around(&self, schema: Arc<DFSchema>) -> Self {
        let mut outer = self.outer.clone();
        outer.push(schema);
        Self {
            outer,
            lateral: None,
        }
    }

    fn column(&self, name: &Column) -> Option<Expr> {
        self.outer.iter().rev().find_map(|schema| {
            let (qualifier, field) = schema
                .qualified_field_with_name(name.relation.as_ref(), &name.name)
                .ok()?;
            let column = Column::from((qualifier, field));
            Some(Expr::OuterReferenceColumn(Arc::clone(field), column))
        })
    }
}

fn resolve(plan: LogicalPlan, scopes: &Scopes) -> Result<LogicalPlan> {
    let plan = match plan {
        LogicalPlan::Subquery(subquery) => {
            let scopes = match &scopes.lateral {
                Some(schema) => scopes.around(Arc::clone(schema)),
                None => scopes.clone(),
            };
            return Ok(LogicalPlan::Subquery(resolve_subquery(subquery, &scopes)?));
        }
        LogicalPlan::Join(mut join) => {
            join.left = Arc::new(resolve(join.left.as_ref().clone(), scopes)?);
            let right = Scopes {
                lateral: Some(Arc::clone(join.left.schema())),
                ..scopes.clone()
            };
            join.right = Arc::new(resolve(join.right.as_ref().clone(), &right)?);
            LogicalPlan::Join(join)
        }
        other => {
            let resolved =
                other.map_children(|child| Ok(Transformed::yes(resolve(child, scopes)?)))?;
            resolved.data
        }
    };
    let own = scopes.around(Arc::new(merge_schema(&plan.inputs())));
    let names = NamePreserver::new(&plan);
    let resolved = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let resolved = expr.transform_down(|expr| resolve_expression(expr, scopes, &own))?;
        Ok(resolved.update_data(|expr| name.restore(expr)))
    })?;
    Ok(resolved.data)
}

fn resolve_subquery(subquery: Subquery, scopes: &Scopes) -> Result<Subquery> {
    let plan = resolve(subquery.subquery.as_ref().clone(), scopes)?;
    Ok(Subquery {
        outer_ref_columns: plan.all_out_ref_exprs(),
        subquery: Arc::new(plan),
        spans: subquery.spans,
    })
}

/// Names are resolved where nothing was planned by their type: other operators and functions are.
fn resolve_expression(expr: Expr, scopes: &Scopes, own: &Scopes) -> Result<Transformed<Expr>> {
    let mut expr = expr;
    match &mut expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            resolve_operand(left, scopes);
            resolve_operand(right, scopes);
        }
        Expr::Between(between) => {
            resolve_operand(&mut between.expr, scopes);
            resolve_operand(&mut between.low, scopes);
            resolve_operand(&mut between.high, scopes);
        }
        Expr::InList(list) => {
            resolve_operand(&mut list.expr, scopes);
            for item in &mut list.list {
                resolve_operand(item, scopes);
            }
        }
        Expr::IsNull(operand) | Expr::IsNotNull(operand) => resolve_operand(operand, scopes),
        Expr::Exists(exists) => {
            exists.subquery = resolve_subquery(exists.subquery.clone(), own)?;
        }
        Expr::ScalarSubquery(subquery) => {
            *subquery = resolve_subquery(subquery.clone(), own)?;
        }
        Expr::InSubquery(set) => {
            resolve_operand(&mut set.expr, scopes);
            set.subquery = resolve_subquery(set.subquery.clone(), own)?;
        }
        Expr::SetComparison(set) => {
            resolve_operand(&mut set.expr, scopes);
            set.subquery = resolve_subquery(set.subquery.clone(), own)?;
        }
        other => {
            if let Some((name, found)) = outer_name(other) {
                return unresolved(name, found, scopes);
            }
        }
    }
    Ok(Transformed::yes(expr))
}

fn is_comparison(op: Operator) -> bool {
    op.supports_propagation()
        || matches!(
            op,
            Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom
        )
}

fn resolve_operand(operand: &mut Expr, scopes: &Scopes) {
    if let Some(column) = outer_name(operand).and_then(|(name, _)| scopes.column(name)) {
        *operand = column;
    }
}

fn unresolved(name: &Column, found: &str, scopes: &Scopes) -> Result<Transformed<Expr>> {
    match (scopes.column(name), &name.relation) {
        (Some(_), Some(relation)) => plan_err!(
            "{relation} in {relation}.{} is a column here: give the relation {relation} of the outer query another \
             name with AS, and write that",
            name.name
        ),
        _ => plan_err!("a value of type {found} has no fields"),
    }
}
