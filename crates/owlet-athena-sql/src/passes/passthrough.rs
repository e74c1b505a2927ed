//! `TABLE(catalog.system.query(query => '…'))`: a text in the source's own language in the place of a table.
//! It must never read that text.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName,
    ObjectNamePart, Spanned, Statement, TableAlias, TableFactor, Value, ValueWithSpan, VisitorMut,
};

use crate::errors::SqlError;
use crate::passes::build;
use crate::passes::walk::walk;

/// Schema of table references that stand for such texts: `catalog.PASSTHROUGH_SCHEMA."text"`. No source has a schema
/// of this name: it is no identifier in any of their languages.
pub const PASSTHROUGH_SCHEMA: &str = "$query";
/// Schema and name of the function (Trino's connectors have it under this name).
const FUNCTION: [&str; 2] = ["system", "query"];
/// What the relation is called when the statement gives it no alias.
const DEFAULT_ALIAS: &str = "query";

/// Turns calls of the function into table references.
pub(crate) fn apply(statement: &mut Statement) -> Result<(), SqlError> {
    walk(statement, &mut Calls)
}

struct Calls;

impl VisitorMut for Calls {
    type Break = SqlError;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        let TableFactor::TableFunction { expr, alias } = factor else {
            return ControlFlow::Continue(());
        };
        match table(expr, alias) {
            Ok(table) => {
                *factor = table;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn table(call: &Expr, alias: &Option<TableAlias>) -> Result<TableFactor, SqlError> {
    let at = call.span().start;
    let usage = "write TABLE(catalog.system.query(query => 'a text in the source''s language'))";
    let Expr::Function(function) = call else {
        return Err(SqlError::syntax(at, "TABLE(…) needs a function call").with_hint(usage));
    };
    let Some(catalog) = catalog(&function.name) else {
        let message = format!("there is no table function {}", function.name);
        return Err(SqlError::unsupported(at, message).with_hint(usage));
    };
    let Some(text) = text(function) else {
        let message = "system.query takes one argument, a literal text named query";
        return Err(SqlError::unsupported(at, message).with_hint(usage));
    };
    let part = |name: &str| Ident {
        span: call.span(),
        ..Ident::with_quote('"', name)
    };
    let mut name: Vec<Ident> = catalog.into_iter().collect();
    name.extend([part(PASSTHROUGH_SCHEMA), part(text)]);
    let default_alias = || build::table_alias(part(DEFAULT_ALIAS));
    Ok(TableFactor::Table {
        name: ObjectName::from(name),
        alias: Some(alias.clone().unwrap_or_else(default_alias)),
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    })
}

/// The catalog named before `system.query`, if any; `None` when this is another function.
fn catalog(function: &ObjectName) -> Option<Option<Ident>> {
    let parts: Option<Vec<&Ident>> = function
        .0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(identifier) => Some(identifier),
            ObjectNamePart::Function(_) => None,
        })
        .collect();
    let is_function = |schema: &Ident, name: &Ident| {
        schema.value.eq_ignore_ascii_case(FUNCTION[0])
            && name.value.eq_ignore_ascii_case(FUNCTION[1])
    };
    match parts?.as_slice() {
        [catalog, schema, name] if is_function(schema, name) => Some(Some((*catalog).clone())),
        [schema, name] if is_function(schema, name) => Some(None),
        _ => None,
    }
}

fn text(function: &Function) -> Option<&str> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let argument = match list.args.as_slice() {
        [FunctionArg::Named { name, arg, .. }] if name.value.eq_ignore_ascii_case("query") => arg,
        [FunctionArg::Unnamed(arg)] => arg,
        _ => return None,
    };
    match argument {
        FunctionArgExpr::Expr(Expr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(text) | Value::UnicodeStringLiteral(text),
            ..
        })) => Some(text),
        _ => None,
    }
}
