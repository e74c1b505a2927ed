//! `?` and `:name` become DataFusion's `$1` and `$name`. It must never know values.

use std::ops::ControlFlow;

use sqlparser::ast::{Statement, Value, ValueWithSpan, VisitorMut};

use crate::errors::SqlError;
use crate::parameters::ParameterUse;
use crate::passes::walk::walk;

/// Numbers the placeholders and reports which there are.
pub(crate) fn apply(statement: &mut Statement) -> Result<ParameterUse, SqlError> {
    let mut placeholders = Placeholders::default();
    walk(statement, &mut placeholders)?;
    Ok(placeholders.found)
}

#[derive(Default)]
struct Placeholders {
    found: ParameterUse,
}

impl VisitorMut for Placeholders {
    type Break = SqlError;

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<SqlError> {
        let at = value.span.start;
        let Value::Placeholder(text) = &mut value.value else {
            return ControlFlow::Continue(());
        };
        if text == "?" {
            self.found.positional += 1;
            *text = format!("${}", self.found.positional);
            return ControlFlow::Continue(());
        }
        match text.strip_prefix(':') {
            // A name of digits would be taken for a position.
            Some(name) if name.starts_with(|first: char| first.is_alphabetic() || first == '_') => {
                let name = name.to_owned();
                *text = format!("${name}");
                self.found.named.insert(name);
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(
                SqlError::syntax(at, format!("{text} is not a parameter"))
                    .with_hint("write ? or :name"),
            ),
        }
    }
}
