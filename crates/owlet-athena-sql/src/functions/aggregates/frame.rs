//! The frame of aggregates that collect values: one accumulator type, whose state is a row of lists.
//! It must never know a single function.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue, internal_err, not_impl_err};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::format_state_name;
use datafusion_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use crate::types;

/// What one group has collected.
pub(super) trait Collected: Debug + Send + Sync + 'static {
    /// Takes rows of the arguments.
    fn update(&mut self, arguments: &[ArrayRef]) -> Result<()>;

    /// Takes what another part of the group collected: its columns, one row per collected item.
    fn merge(&mut self, columns: &[ArrayRef]) -> Result<()>;

    /// What is collected so far as columns of the state types.
    fn columns(&self) -> Result<Vec<ArrayRef>>;

    /// The result.
    fn finish(&self) -> Result<ScalarValue>;

    /// Bytes held.
    fn bytes(&self) -> usize;
}

/// An aggregate function as plain data.
pub(super) struct Definition {
    pub(super) name: &'static str,
    /// Argument types after conversion, or an error.
    pub(super) coerce: fn(&[DataType]) -> Result<Vec<DataType>>,
    pub(super) return_type: fn(&[DataType]) -> Result<DataType>,
    /// Types of the columns of a group's state.
    pub(super) state_types: fn(&[DataType]) -> Result<Vec<DataType>>,
    /// Starts a group.
    pub(super) start: StartGroup,
}

/// Starts a group from the argument types and the result type.
pub(super) type StartGroup = fn(&[DataType], &DataType) -> Result<Box<dyn Collected>>;

/// The function, for registration.
pub(super) fn aggregate(definition: Definition) -> AggregateUDF {
    AggregateUDF::new_from_impl(CollectingFunction {
        definition,
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

struct CollectingFunction {
    definition: Definition,
    signature: Signature,
}

impl Debug for CollectingFunction {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("CollectingFunction")
            .field("name", &self.definition.name)
            .finish_non_exhaustive()
    }
}

impl PartialEq for CollectingFunction {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name
    }
}

impl Eq for CollectingFunction {}

impl Hash for CollectingFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.name.hash(state);
    }
}

fn types_of(fields: &[FieldRef]) -> Vec<DataType> {
    fields
        .iter()
        .map(|field| field.data_type().clone())
        .collect()
}

impl AggregateUDFImpl for CollectingFunction {
    fn name(&self) -> &str {
        self.definition.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        (self.definition.coerce)(arguments)
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        (self.definition.return_type)(arguments)
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let types = (self.definition.state_types)(&types_of(arguments.input_fields))?;
        let fields = types.into_iter().enumerate().map(|(index, data_type)| {
            let name = format_state_name(arguments.name, &format!("state{index}"));
            Arc::new(Field::new(name, types::list_type(data_type), true))
        });
        Ok(fields.collect())
    }

    fn accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if arguments.is_distinct {
            return not_impl_err!("{}(DISTINCT …)", self.definition.name);
        }
        let types = types_of(arguments.expr_fields);
        Ok(Box::new(CollectingAccumulator {
            collected: (self.definition.start)(&types, arguments.return_field.data_type())?,
            state_types: (self.definition.state_types)(&types)?,
        }))
    }
}

#[derive(Debug)]
struct CollectingAccumulator {
    collected: Box<dyn Collected>,
    state_types: Vec<DataType>,
}

impl Accumulator for CollectingAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.collected.update(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states.first().map_or(0, |state| state.len());
        for row in 0..rows {
            let columns: Vec<ArrayRef> = states
                .iter()
                .map(|state| state.as_list::<i32>().value(row))
                .collect();
            self.collected.merge(&columns)?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let columns = self.collected.columns()?;
        if columns.len() != self.state_types.len() {
            return internal_err!(
                "a state of {} columns, not {}",
                columns.len(),
                self.state_types.len()
            );
        }
        columns
            .into_iter()
            .map(|values| Ok(ScalarValue::List(Arc::new(list_of(values)?))))
            .collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.collected.finish()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.collected.bytes()
    }
}

fn list_of(values: ArrayRef) -> Result<ListArray> {
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    Ok(ListArray::try_new(
        field,
        OffsetBuffer::from_lengths([values.len()]),
        values,
        None,
    )?)
}

/// Scalars as a column; the type matters when there are none.
pub(super) fn column<'a>(
    values: impl ExactSizeIterator<Item = &'a ScalarValue>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    if values.len() == 0 {
        return Ok(new_empty_array(data_type));
    }
    ScalarValue::iter_to_array(values.cloned())
}

/// Values as one list scalar.
pub(super) fn list_scalar(values: ArrayRef) -> Result<ScalarValue> {
    Ok(ScalarValue::List(Arc::new(list_of(values)?)))
}
