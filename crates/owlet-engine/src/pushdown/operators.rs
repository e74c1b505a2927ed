//! One function per logical operator: extend the candidate below, or end it with a reason.

use std::sync::Arc;

use datafusion::common::{DFSchemaRef, JoinType, NullEquality, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Aggregate, Expr, Filter, Join, Limit, LogicalPlan, Projection, Sort, SubqueryAlias, TableScan,
    Union,
};
use owlet_connector::{Connector, Expression};
use owlet_remote_sql::{JoinKind, Refusal, Relation, RemoteTable, SetOperator, SqlConnector};

use crate::catalogs::SourceTable;
use crate::pushdown::candidate::Candidate;
use crate::pushdown::estimate::estimate;
use crate::pushdown::hints::Hints;
use crate::pushdown::shared::Owners;
use crate::pushdown::translate::{Translator, is_text};
use crate::pushdown::{PushdownPlanner, Rewritten, connector_error};
use crate::query::Pushdown;

impl PushdownPlanner {
    pub(super) async fn sql_table(
        &self,
        scan: &TableScan,
        connector: &Arc<dyn SqlConnector>,
    ) -> Result<Rewritten> {
        let Some(table) = SourceTable::of(scan) else {
            return Ok(Rewritten::Local(LogicalPlan::TableScan(scan.clone())));
        };
        let relation = Relation::Table(RemoteTable {
            schema: table.metadata.schema.clone(),
            name: table.metadata.name.clone(),
            columns: table.projected_columns(scan)?,
            restriction: None,
        });
        let owner = Arc::clone(connector) as Arc<dyn Connector>;
        let (catalog, connector) = match self.shared.asker(&table.catalog) {
            Some(asker) => (&asker.catalog, &asker.connector),
            None => (&table.catalog, connector),
        };
        // The optimizer may have noted filters and a limit on the scan; the operators above still apply them.
        let plan = LogicalPlan::TableScan(scan.clone());
        let candidate = Candidate {
            catalog: catalog.clone(),
            owners: Owners::one(&table.catalog, owner),
            connector: Arc::clone(connector),
            dialect: connector.dialect().await.map_err(connector_error)?,
            relation,
            estimate: estimate(&plan),
            plan,
            inputs: Vec::new(),
            notes: Vec::new(),
        };
        match self.pushdown {
            Pushdown::On => Ok(Rewritten::Remote(Box::new(candidate))),
            Pushdown::Off => Ok(Rewritten::Local(
                self.materialise(candidate, &Hints::default()).await?,
            )),
        }
    }

    pub(super) async fn filter(
        &self,
        filter: Filter,
        input: Rewritten,
        hints: &Hints,
    ) -> Result<Rewritten> {
        let mut candidate = match input {
            Rewritten::Remote(candidate) => *candidate,
            Rewritten::Local(plan) => {
                let rebuilt = self
                    .rebuild(LogicalPlan::Filter(filter), vec![plan])
                    .await?;
                return Ok(Rewritten::Local(rebuilt));
            }
        };
        let columns = candidate.relation.columns();
        let translator_schema = Arc::clone(candidate.schema());
        let translator = Translator::new(&translator_schema);
        let mut exact = Vec::new();
        let mut exact_local = Vec::new();
        let mut prefilters = Vec::new();
        let mut residual = Vec::new();
        for conjunct in split_conjunction_owned(filter.predicate.clone()) {
            let checked = translator.expression(&conjunct).and_then(|predicate| {
                match candidate.dialect.check_expression(&predicate, &columns) {
                    Ok(()) => Ok(predicate),
                    Err(refusal) => {
                        prefilters.extend(candidate.dialect.prefilter(&predicate, &columns));
                        Err(refusal)
                    }
                }
            });
            match checked {
                Ok(predicate) => {
                    exact.push(predicate);
                    exact_local.push(conjunct);
                }
                Err(refusal) => {
                    candidate
                        .notes
                        .push(format!("filter {conjunct}: {refusal}"));
                    residual.push(conjunct);
                }
            }
        }
        let all_exact = residual.is_empty();
        let pushed: Vec<Expression> = exact.into_iter().chain(prefilters).collect();
        if !pushed.is_empty() {
            let relation = Relation::Filter {
                input: Box::new(candidate.relation.clone()),
                predicate: Expression::And(pushed),
            };
            match candidate.dialect.check_operator(&relation) {
                Ok(()) => match conjunction(exact_local) {
                    Some(predicate) => {
                        let input = Arc::new(candidate.plan.clone());
                        let plan = LogicalPlan::Filter(Filter::try_new(predicate, input)?);
                        candidate = extend(candidate, relation, plan);
                    }
                    // Only prefilters: the local plan is still the input's.
                    None => candidate.relation = relation,
                },
                Err(refusal) => {
                    candidate
                        .notes
                        .push(format!("filter {}: {refusal}", filter.predicate));
                    residual = vec![filter.predicate.clone()];
                }
            }
        }
        if all_exact && residual.is_empty() {
            return Ok(Rewritten::Remote(Box::new(candidate)));
        }
        let input = self.materialise(candidate, hints).await?;
        let predicate =
            conjunction(residual).unwrap_or_else(|| datafusion::logical_expr::lit(true));
        let local = LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input.clone()))?);
        Ok(Rewritten::Local(self.rebuild(local, vec![input]).await?))
    }

    pub(super) async fn projection(
        &self,
        projection: Projection,
        input: Rewritten,
        hints: &Hints,
    ) -> Result<Rewritten> {
        let plan = LogicalPlan::Projection(projection.clone());
        let candidate = match input {
            Rewritten::Remote(candidate) => *candidate,
            Rewritten::Local(input) => {
                return Ok(Rewritten::Local(self.rebuild(plan, vec![input]).await?));
            }
        };
        let expressions = translate_all(&candidate, &projection.expr).and_then(|expressions| {
            let relation = Relation::Project {
                input: Box::new(candidate.relation.clone()),
                expressions,
            };
            candidate
                .dialect
                .check_operator(&relation)
                .map(|()| relation)
        });
        self.extend_or_end(candidate, expressions, plan, "projection", hints)
            .await
    }

    pub(super) async fn subquery_alias(
        &self,
        alias: SubqueryAlias,
        input: Rewritten,
        _hints: &Hints,
    ) -> Result<Rewritten> {
        let plan = LogicalPlan::SubqueryAlias(alias);
        match input {
            Rewritten::Remote(candidate) => {
                let relation = candidate.relation.clone();
                Ok(Rewritten::Remote(Box::new(extend(
                    *candidate, relation, plan,
                ))))
            }
            Rewritten::Local(input) => Ok(Rewritten::Local(self.rebuild(plan, vec![input]).await?)),
        }
    }

    pub(super) async fn aggregate(
        &self,
        aggregate: Aggregate,
        input: Rewritten,
        hints: &Hints,
    ) -> Result<Rewritten> {
        let plan = LogicalPlan::Aggregate(aggregate.clone());
        let candidate = match input {
            Rewritten::Remote(candidate) => *candidate,
            Rewritten::Local(input) => {
                return Ok(Rewritten::Local(self.rebuild(plan, vec![input]).await?));
            }
        };
        let translator_schema = Arc::clone(candidate.schema());
        let translator = Translator::new(&translator_schema);
        let relation = aggregate
            .group_expr
            .iter()
            .map(|key| match key {
                Expr::GroupingSet(_) => Err(Refusal::new("grouping sets stay local")),
                key => translator.expression(key),
            })
            .collect::<Result<Vec<_>, _>>()
            .and_then(|keys| {
                let aggregates = aggregate
                    .aggr_expr
                    .iter()
                    .map(|call| translator.aggregate(call))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(Relation::Aggregate {
                    input: Box::new(candidate.relation.clone()),
                    keys,
                    aggregates,
                })
            })
            .and_then(|relation| {
                candidate
                    .dialect
                    .check_operator(&relation)
                    .map(|()| relation)
            });
        self.extend_or_end(candidate, relation, plan, "aggregation", hints)
            .await
    }

    pub(super) async fn join(
        &self,
        join: Join,
        left: Rewritten,
        right: Rewritten,
        left_hints: &Hints,
        right_hints: &Hints,
    ) -> Result<Rewritten> {
        let plan = LogicalPlan::Join(join.clone());
        let (mut left, mut right) = match (left, right) {
            (Rewritten::Remote(left), Rewritten::Remote(right)) if left.same_source(&right) => {
                (*left, *right)
            }
            (left, right) => {
                let left = self.local(left, left_hints).await?;
                let right = self.local(right, right_hints).await?;
                return Ok(Rewritten::Local(
                    self.rebuild(plan, vec![left, right]).await?,
                ));
            }
        };
        let checked = join_relation(&join, &left, &right)
            .and_then(|relation| left.dialect.check_operator(&relation).map(|()| relation));
        match checked {
            Ok(relation) => match Candidate::over(vec![left, right], relation, plan.clone()) {
                Some(candidate) if types_agree(&candidate) => {
                    Ok(Rewritten::Remote(Box::new(candidate)))
                }
                _ => Err(datafusion::common::DataFusionError::Internal(format!(
                    "the remote form of {} has other column types",
                    plan.display()
                ))),
            },
            Err(refusal) => {
                let note = format!("{} join stays local: {refusal}", join.join_type);
                left.notes.push(note.clone());
                right.notes.push(note);
                let left = self.materialise(left, left_hints).await?;
                let right = self.materialise(right, right_hints).await?;
                Ok(Rewritten::Local(
                    self.rebuild(plan, vec![left, right]).await?,
                ))
            }
        }
    }

    pub(super) async fn sort(
        &self,
        sort: Sort,
        input: Rewritten,
        hints: &Hints,
    ) -> Result<Rewritten> {
        let plan = LogicalPlan::Sort(sort.clone());
        let mut candidate = match input {
            Rewritten::Remote(candidate) => *candidate,
            Rewritten::Local(input) => {
                return Ok(Rewritten::Local(self.rebuild(plan, vec![input]).await?));
            }
        };
        if let Some(fetch) = sort.fetch {
            let translator_schema = Arc::clone(candidate.schema());
            let translator = Translator::new(&translator_schema);
            let relation = sort
                .expr
                .iter()
                .map(|key| translator.sort_key(key))
                .collect::<Result<Vec<_>, _>>()
                .map(|keys| Relation::Sort {
                    input: Box::new(candidate.relation.clone()),
                    keys,
                })
                .and_then(|sorted| {
                    let relation = Relation::Limit {
                        input: Box::new(sorted.clone()),
                        skip: 0,
                        fetch: Some(fetch as u64),
                    };
                    candidate.dialect.check_operator(&sorted)?;
                    candidate
                        .dialect
                        .check_operator(&relation)
                        .map(|()| relation)
                });
            match relation {
                Ok(relation) => candidate = extend(candidate, relation, plan.clone()),
                Err(refusal) => {
                    let keys: Vec<String> = sort.expr.iter().map(|key| key.to_string()).collect();
                    candidate.notes.push(format!(
                        "ordering by {} not pushed: {refusal}",
                        keys.join(", ")
                    ));
                }
            }
        } else if !sort.expr.is_empty() {
            candidate
                .notes
                .push("the final ordering without a limit is done locally".to_owned());
        }
        // The rows of a top-N arrive few; ordering them here as well keeps the order a property of the local plan.
        let input = self.materialise(candidate, hints).await?;
        Ok(Rewritten::Local(self.rebuild(plan, vec![input]).await?))
    }

    pub(super) async fn limit(
        &self,
        limit: Limit,
        input: Rewritten,
        wanted: Option<u64>,
        hints: &Hints,
    ) -> Result<Rewritten> {
        let plan = LogicalPlan::Limit(limit);
        let mut candidate = match input {
            Rewritten::Remote(candidate) => *candidate,
            Rewritten::Local(input) => {
                return Ok(Rewritten::Local(self.rebuild(plan, vec![input]).await?));
            }
        };
        if let Some(fetch) = wanted {
            let relation = Relation::Limit {
                input: Box::new(candidate.relation.clone()),
                skip: 0,
                fetch: Some(fetch),
            };
            match candidate.dialect.check_operator(&relation) {
                Ok(()) => candidate = extend(candidate, relation, plan.clone()),
                Err(refusal) => candidate
                    .notes
                    .push(format!("limit {fetch} not pushed: {refusal}")),
            }
        }
        let input = self.materialise(candidate, hints).await?;
        Ok(Rewritten::Local(self.rebuild(plan, vec![input]).await?))
    }

    pub(super) async fn union(&self, union: Union, inputs: Vec<Rewritten>) -> Result<Rewritten> {
        let plan = LogicalPlan::Union(union);
        let all_remote = inputs
            .iter()
            .all(|input| matches!(input, Rewritten::Remote(_)));
        if !all_remote {
            let mut local = Vec::with_capacity(inputs.len());
            for input in inputs {
                local.push(self.local(input, &Hints::default()).await?);
            }
            return Ok(Rewritten::Local(self.rebuild(plan, local).await?));
        }
        let mut candidates: Vec<Candidate> = inputs
            .into_iter()
            .filter_map(|input| match input {
                Rewritten::Remote(candidate) => Some(*candidate),
                Rewritten::Local(_) => None,
            })
            .collect();
        let one_source = candidates
            .windows(2)
            .all(|pair| pair[0].same_source(&pair[1]));
        if one_source && let Some(first) = candidates.first() {
            let relation = Relation::SetOperation {
                operator: SetOperator::UnionAll,
                inputs: candidates
                    .iter()
                    .map(|candidate| candidate.relation.clone())
                    .collect(),
            };
            match first.dialect.check_operator(&relation) {
                Ok(()) => {
                    let united = Candidate::over(candidates.clone(), relation, plan.clone());
                    if let Some(united) = united.filter(types_agree) {
                        return Ok(Rewritten::Remote(Box::new(united)));
                    }
                }
                Err(refusal) => {
                    for candidate in &mut candidates {
                        candidate
                            .notes
                            .push(format!("UNION stays local: {refusal}"));
                    }
                }
            }
        }
        let mut local = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            local.push(self.materialise(candidate, &Hints::default()).await?);
        }
        Ok(Rewritten::Local(self.rebuild(plan, local).await?))
    }

    async fn extend_or_end(
        &self,
        mut candidate: Candidate,
        relation: Result<Relation, Refusal>,
        plan: LogicalPlan,
        operator: &str,
        hints: &Hints,
    ) -> Result<Rewritten> {
        let refusal = match relation {
            Ok(relation) => {
                let extended = extend(candidate.clone(), relation, plan.clone());
                if types_agree(&extended) {
                    return Ok(Rewritten::Remote(Box::new(extended)));
                }
                Refusal::new("the remote form would have other column types")
            }
            Err(refusal) => refusal,
        };
        candidate
            .notes
            .push(format!("{operator} stays local: {refusal}"));
        let input = self.materialise(candidate, hints).await?;
        Ok(Rewritten::Local(self.rebuild(plan, vec![input]).await?))
    }
}

/// A one-input operator on top of a candidate.
fn extend(candidate: Candidate, relation: Relation, plan: LogicalPlan) -> Candidate {
    let estimate = estimate(&plan);
    Candidate {
        catalog: candidate.catalog.clone(),
        owners: candidate.owners.clone(),
        connector: Arc::clone(&candidate.connector),
        dialect: Arc::clone(&candidate.dialect),
        notes: candidate.notes.clone(),
        relation,
        plan,
        estimate,
        inputs: vec![candidate],
    }
}

/// The remote columns have the types the local plan expects (text encodings are one type).
fn types_agree(candidate: &Candidate) -> bool {
    let remote = candidate.relation.columns();
    let planned = candidate.schema().fields();
    remote.len() == planned.len()
        && remote.iter().zip(planned.iter()).all(|(remote, planned)| {
            let same = &remote.data_type == planned.data_type();
            same || (is_text(&remote.data_type) && is_text(planned.data_type()))
        })
}

fn translate_all(candidate: &Candidate, expressions: &[Expr]) -> Result<Vec<Expression>, Refusal> {
    let schema: &DFSchemaRef = candidate.schema();
    let translator = Translator::new(schema);
    expressions
        .iter()
        .map(|expression| translator.expression(expression))
        .collect()
}

fn join_relation(join: &Join, left: &Candidate, right: &Candidate) -> Result<Relation, Refusal> {
    if join.null_aware {
        return Err(Refusal::new("NOT IN with NULLs is decided locally"));
    }
    if join.null_equality != NullEquality::NullEqualsNothing {
        return Err(Refusal::new("the join treats NULLs as equal"));
    }
    if join.on.is_empty() {
        return Err(Refusal::new(
            "without an equality between the tables it would be a cross join",
        ));
    }
    let left_translator = Translator::new(left.schema());
    let right_translator = Translator::new(right.schema());
    let on = join
        .on
        .iter()
        .map(|(left_key, right_key)| {
            Ok((
                left_translator.expression(left_key)?,
                right_translator.expression(right_key)?,
            ))
        })
        .collect::<Result<Vec<_>, Refusal>>()?;
    let (kind, swapped) = match join.join_type {
        JoinType::Inner => (JoinKind::Inner, Sides::Kept),
        JoinType::Left => (JoinKind::Left, Sides::Kept),
        JoinType::Right => (JoinKind::Right, Sides::Kept),
        JoinType::Full => (JoinKind::Full, Sides::Kept),
        JoinType::LeftSemi => (JoinKind::LeftSemi, Sides::Kept),
        JoinType::LeftAnti => (JoinKind::LeftAnti, Sides::Kept),
        JoinType::RightSemi => (JoinKind::LeftSemi, Sides::Swapped),
        JoinType::RightAnti => (JoinKind::LeftAnti, Sides::Swapped),
        JoinType::LeftMark | JoinType::RightMark => {
            return Err(Refusal::new("mark joins (EXISTS as a value) stay local"));
        }
    };
    let (first, second, on) = match swapped {
        Sides::Kept => (left, right, on),
        Sides::Swapped => (
            right,
            left,
            on.into_iter().map(|(left, right)| (right, left)).collect(),
        ),
    };
    let filter = match &join.filter {
        None => None,
        Some(filter) => {
            let both = first.schema().join(second.schema()).map_err(|error| {
                Refusal::new(format!("the join's columns are ambiguous: {error}"))
            })?;
            Some(Translator::new(&both).expression(filter)?)
        }
    };
    Ok(Relation::Join {
        left: Box::new(first.relation.clone()),
        right: Box::new(second.relation.clone()),
        kind,
        on,
        filter,
    })
}

enum Sides {
    Kept,
    Swapped,
}
