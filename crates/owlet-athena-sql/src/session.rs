//! The settings and extensions that make a DataFusion session speak Athena's SQL.
//! It must never know catalogs or sources.

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionConfig;

use crate::arithmetic::CHECKED_CONSTANTS;
use crate::comparisons::MOMENT_COMPARISONS;
use crate::expressions::AthenaExpressions;
use crate::intervals::CANONICAL_INTERVALS;
use crate::types::AthenaTypePlanner;
use crate::zeros::CONSTANT_ZEROS;
use crate::{
    casts, common_types, correlation, functions, guards, marks, outer_names, repetition,
    set_operations, subqueries, unnest,
};

/// Nested expressions deeper than this are refused by the parser.
pub(crate) const RECURSION_LIMIT: usize = 200;

/// Applies Athena's ground rules: NULLs last, decimal literals are DOUBLE, session zone UTC.
pub fn session_config(config: SessionConfig) -> SessionConfig {
    let mut config = config;
    let options = config.options_mut();
    options.sql_parser.default_null_ordering = "nulls_last".to_owned();
    options.sql_parser.parse_float_as_decimal = false;
    options.sql_parser.enable_ident_normalization = true;
    options.sql_parser.collect_spans = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.execution.time_zone = Some("UTC".to_owned());
    options.catalog.information_schema = false;
    config
}

/// Registers functions, planners and rules. Call it after `with_default_features`: it overrides names.
pub fn extend_state(mut builder: SessionStateBuilder) -> SessionStateBuilder {
    let functions = functions::scalar_functions().into_iter().map(Arc::new);
    builder
        .scalar_functions()
        .get_or_insert_default()
        .extend(functions);
    let lambdas = functions::lambdas::functions().into_iter().map(Arc::new);
    builder
        .higher_order_functions()
        .get_or_insert_default()
        .extend(lambdas);
    let aggregates = functions::aggregates::functions().into_iter().map(Arc::new);
    builder
        .aggregate_functions()
        .get_or_insert_default()
        .extend(aggregates);
    builder
        .expr_planners()
        .get_or_insert_default()
        .insert(0, Arc::new(AthenaExpressions));
    builder
        .relation_planners()
        .get_or_insert_default()
        .splice(0..0, [unnest::planner(), repetition::planner()]);
    let rules = &mut builder.analyzer().get_or_insert_default().rules;
    rules.insert(0, common_types::rule());
    rules.insert(0, marks::rule());
    rules.insert(0, outer_names::rule());
    let rules = &mut builder.optimizer().get_or_insert_default().rules;
    rules.insert(0, Arc::new(CHECKED_CONSTANTS));
    rules.insert(0, Arc::new(CONSTANT_ZEROS));
    rules.insert(0, Arc::new(CANONICAL_INTERVALS));
    // Once constants are folded, and before casts that occur twice are computed apart.
    let after_folding = rules
        .iter()
        .position(|rule| rule.name() == "simplify_expressions")
        .map_or(rules.len(), |position| position + 1);
    rules.insert(after_folding, Arc::new(MOMENT_COMPARISONS));
    let before_filters = rules
        .iter()
        .position(|rule| rule.name() == "push_down_filter")
        .unwrap_or(rules.len());
    rules.insert(before_filters, Arc::new(correlation::EarlyConditions));
    builder
        .with_type_planner(Arc::new(AthenaTypePlanner))
        .with_analyzer_rule(casts::rule())
        .with_analyzer_rule(set_operations::rule())
        .with_analyzer_rule(subqueries::rule())
        .with_analyzer_rule(correlation::rule())
        .with_analyzer_rule(guards::rule())
}
