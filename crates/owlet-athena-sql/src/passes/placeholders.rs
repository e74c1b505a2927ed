//! `?` and `:name` become DataFusion's `$1` and `$name`. It must never know values.

use std::ops::ControlFlow;

use sqlparser::ast::{Statement, Value, ValueWithSpan, VisitMut, VisitorMut};

use crate::parameters::ParameterUse;

/// Numbers the placeholders and reports which there are.
pub(crate) fn apply(statement: &mut Statement) -> ParameterUse {
    let mut placeholders = Placeholders::default();
    let _ = statement.visit(&mut placeholders);
    placeholders.found
}

#[derive(Default)]
struct Placeholders {
    found: ParameterUse,
}

impl VisitorMut for Placeholders {
    type Break = ();

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        let Value::Placeholder(text) = &mut value.value else {
            return ControlFlow::Continue(());
        };
        if text == "?" {
            self.found.positional += 1;
            *text = format!("${}", self.found.positional);
        } else if let Some(name) = text.strip_prefix(':') {
            self.found.named.insert(name.to_owned());
            *text = format!("${name}");
        }
        ControlFlow::Continue(())
    }
}
