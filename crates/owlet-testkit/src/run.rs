//! Running a statement through the engine to its end. Must never know which sources there are.

use futures::TryStreamExt;
use owlet_engine::{Engine, QueryOptions};

use crate::Result;
use crate::answer::{Answer, RowOrder};

/// Plans, runs and collects one statement.
pub async fn answer(engine: &Engine, sql: &str, options: &QueryOptions) -> Result<Answer> {
    Ok(ordered_answer(engine, sql, options).await?.0)
}

/// The same, with whether the statement fixes the order of its rows.
pub async fn ordered_answer(
    engine: &Engine,
    sql: &str,
    options: &QueryOptions,
) -> Result<(Answer, RowOrder)> {
    let plan = engine.plan(sql, options).await?;
    let order = if plan.is_ordered() {
        RowOrder::Fixed
    } else {
        RowOrder::Any
    };
    let stream = plan.execute()?;
    let schema = stream.schema();
    let batches: Vec<_> = stream.try_collect().await?;
    Ok((Answer::new(schema, &batches)?, order))
}
