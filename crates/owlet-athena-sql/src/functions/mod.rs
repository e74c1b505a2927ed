//! Athena's functions. Each module owns one family; names that DataFusion also has are overridden.
//! They must never know tables or sources.

use datafusion_expr::ScalarUDF;

pub(crate) mod arrays;
pub(crate) mod conversion;
mod json;
mod moments;
mod scalar;
mod text;
pub(crate) mod type_names;

/// All scalar functions.
pub(crate) fn scalar_functions() -> Vec<ScalarUDF> {
    let mut functions = text::functions();
    functions.extend(arrays::functions());
    functions
}
