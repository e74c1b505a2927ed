//! The values behind a scalar subquery: at most two are kept, for two are already too many. Not for statements; the
//! analyzer puts it in. It must never know plans.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue, plan_err};
use datafusion_expr::AggregateUDF;

use super::frame::{self, Collected, Definition, aggregate};
use crate::types;

/// More would only take memory.
const KEPT: usize = 2;

/// Collects the first values of a group, NULLs too, as a list of at most two.
pub(crate) fn first_two_values() -> Arc<AggregateUDF> {
    Arc::new(aggregate(Definition {
        name: "first_two_values",
        coerce: |arguments| match arguments {
            [_] => Ok(arguments.to_vec()),
            _ => plan_err!("first_two_values takes one argument"),
        },
        return_type: |arguments| Ok(types::list_type(arguments[0].clone())),
        state_types: |arguments| Ok(arguments.to_vec()),
        start: |arguments, _| {
            Ok(Box::new(FirstValues {
                data_type: arguments[0].clone(),
                values: Vec::new(),
            }))
        },
    }))
}

#[derive(Debug)]
struct FirstValues {
    data_type: DataType,
    values: Vec<ScalarValue>,
}

impl Collected for FirstValues {
    fn update(&mut self, arguments: &[ArrayRef]) -> Result<()> {
        self.merge(arguments)
    }

    fn merge(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let missing = KEPT - self.values.len();
        for row in 0..columns[0].len().min(missing) {
            self.values
                .push(ScalarValue::try_from_array(&columns[0], row)?);
        }
        Ok(())
    }

    fn columns(&self) -> Result<Vec<ArrayRef>> {
        Ok(vec![frame::column(self.values.iter(), &self.data_type)?])
    }

    fn finish(&self) -> Result<ScalarValue> {
        frame::list_scalar(frame::column(self.values.iter(), &self.data_type)?)
    }

    fn bytes(&self) -> usize {
        self.values.iter().map(ScalarValue::size).sum()
    }
}
