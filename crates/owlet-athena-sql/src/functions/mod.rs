//! Athena's functions. Each module owns one family; names that DataFusion also has are overridden.
//! They must never know tables or sources.

use datafusion_expr::ScalarUDF;

use crate::marks;

pub(crate) mod aggregates;
mod array_shapes;
pub(crate) mod arrays;
mod binary;
mod coalesce;
pub(crate) mod conversion;
pub(crate) mod datetime;
mod json;
pub(crate) mod lambdas;
mod lists;
pub(crate) mod maps;
mod math;
mod moments;
mod nullif;
mod phonetic;
mod regexp;
pub(crate) mod scalar;
mod sequence;
mod text;
pub(crate) mod type_names;
mod url;

/// All scalar functions.
pub(crate) fn scalar_functions() -> Vec<ScalarUDF> {
    let mut functions = text::functions();
    functions.extend(arrays::functions());
    functions.extend(datetime::functions());
    functions.extend(math::functions());
    functions.extend(binary::functions());
    functions.extend(url::functions());
    functions.extend(regexp::functions());
    functions.extend(maps::functions());
    functions.extend(json::functions());
    functions.extend(phonetic::functions());
    functions.push(coalesce::function());
    functions.push(nullif::function());
    functions.push(marks::function());
    functions
}
