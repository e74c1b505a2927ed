//! Athena's aggregate functions. They must never know tables.

use datafusion_expr::AggregateUDF;

mod collected;
mod digest;
mod extremes;
mod frame;
mod interval_totals;
mod percentiles;
mod ranked;
mod shapes;
mod single;
mod totals;

pub(crate) use single::first_two_values;

/// All of them.
pub(crate) fn functions() -> Vec<AggregateUDF> {
    let mut functions = totals::functions();
    functions.extend(extremes::functions());
    functions.extend(ranked::functions());
    functions.extend(collected::functions());
    functions.extend(percentiles::functions());
    functions.extend(shapes::functions());
    functions
}
