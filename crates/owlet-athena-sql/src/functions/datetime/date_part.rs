//! Fields of dates as DataFusion takes them out, without its silent NULL for dates beyond its calendar.
//! It must never know Athena's names of fields.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef};
use arrow::compute::DatePart;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::functions::datetime::date_part::DatePartFunc;
use datafusion_common::{Result, exec_err};
use datafusion_expr::preimage::PreimageResult;
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// `date_part`, by the name that sources know.
pub(super) static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Arc::new(ScalarUDF::new_from_impl(CheckedDatePart {
        builtin: DatePartFunc::new(),
    }))
});

/// A field of every value.
pub(super) fn of_array(array: &ArrayRef, part: DatePart) -> Result<ArrayRef> {
    let numbers = arrow::compute::date_part(array, part)?;
    check_nulls(array.logical_null_count(), numbers.logical_null_count())?;
    Ok(numbers)
}

/// The calendar has no fields for days beyond the year 262142, which PostgreSQL has; they come out as NULL.
fn check_nulls(given: usize, got: usize) -> Result<()> {
    match got > given {
        true => exec_err!("date or timestamp out of range: only years up to 262142 have fields"),
        false => Ok(()),
    }
}

fn nulls(value: &ColumnarValue) -> usize {
    match value {
        ColumnarValue::Array(array) => array.logical_null_count(),
        ColumnarValue::Scalar(scalar) => usize::from(scalar.is_null()),
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedDatePart {
    builtin: DatePartFunc,
}

impl ScalarUDFImpl for CheckedDatePart {
    fn name(&self) -> &str {
        self.builtin.name()
    }

    fn aliases(&self) -> &[String] {
        self.builtin.aliases()
    }

    fn signature(&self) -> &Signature {
        self.builtin.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.builtin.return_type(arguments)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.builtin.return_field_from_args(arguments)
    }

    fn preimage(
        &self,
        arguments: &[Expr],
        literal: &Expr,
        context: &SimplifyContext,
    ) -> Result<PreimageResult> {
        self.builtin.preimage(arguments, literal, context)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let given = arguments.args.get(1).map_or(0, nulls);
        let numbers = self.builtin.invoke_with_args(arguments)?;
        check_nulls(given, nulls(&numbers))?;
        Ok(numbers)
    }
}
