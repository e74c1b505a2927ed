//! Athena's functions. Each module owns one family; names that DataFusion also has are overridden.
//! They must never know tables or sources.

use datafusion_expr::ScalarUDF;

pub(crate) mod aggregates;
pub(crate) mod arrays;
pub(crate) mod conversion;
mod datetime;
mod json;
mod math;
mod moments;
mod scalar;
mod text;
pub(crate) mod type_names;

/// All scalar functions.
pub(crate) fn scalar_functions() -> Vec<ScalarUDF> {
    let mut functions = text::functions();
    functions.extend(arrays::functions());
    functions.extend(datetime::functions());
    functions.extend(math::functions());
    functions
}
