//! `coalesce` over times of day of several precisions, which DataFusion's own does not take. It must never know tables.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::functions::core::coalesce::CoalesceFunc;
use datafusion_common::{Result, internal_err};
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::common_types::time_of_day;

pub(super) fn function() -> ScalarUDF {
    ScalarUDF::new_from_impl(Coalesce {
        original: CoalesceFunc::new(),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Coalesce {
    original: CoalesceFunc,
}

impl ScalarUDFImpl for Coalesce {
    fn name(&self) -> &str {
        self.original.name()
    }

    fn signature(&self) -> &Signature {
        self.original.signature()
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        match time_of_day(arguments) {
            Some(time) => Ok(vec![time; arguments.len()]),
            None => self.original.coerce_types(arguments),
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.original.return_type(arguments)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.original.return_field_from_args(arguments)
    }

    fn simplify(
        &self,
        arguments: Vec<Expr>,
        context: &SimplifyContext,
    ) -> Result<ExprSimplifyResult> {
        self.original.simplify(arguments, context)
    }

    fn conditional_arguments<'a>(
        &self,
        arguments: &'a [Expr],
    ) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.original.conditional_arguments(arguments)
    }

    fn short_circuits(&self) -> bool {
        self.original.short_circuits()
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("coalesce is computed as a CASE")
    }
}
