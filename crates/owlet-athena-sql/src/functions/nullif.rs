//! `nullif`, for which -0.0 equals 0.0 as it does for `=`. It must never know tables.

use arrow::array::AsArray;
use arrow::compute::nullif;
use arrow::datatypes::DataType;
use datafusion::physical_expr_common::datum::apply_cmp;
use datafusion_common::{Result, plan_err};
use datafusion_expr::{
    ColumnarValue, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

pub(super) fn function() -> ScalarUDF {
    ScalarUDF::new_from_impl(NullIf {
        signature: Signature::comparable(2, Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NullIf {
    signature: Signature,
}

impl ScalarUDFImpl for NullIf {
    fn name(&self) -> &str {
        "nullif"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments.first() {
            Some(data_type) => Ok(data_type.clone()),
            None => plan_err!("nullif takes two arguments"),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let [value, other] = arguments.args.as_slice() else {
            return plan_err!("nullif takes two arguments");
        };
        let equal = apply_cmp(Operator::Eq, value, other)?.into_array(rows)?;
        let values = value.to_array(rows)?;
        Ok(ColumnarValue::Array(nullif(
            values.as_ref(),
            equal.as_boolean(),
        )?))
    }
}
