//! What commands that ask sources need: the configuration and an engine over it.
//! Building one opens nothing.

use owlet_connector::Budget;
use owlet_engine::{
    Engine, EngineError, OrderKeys, Parameters, Pushdown, QueryOptions, suggestions,
};

use crate::arguments::{LimitArguments, PlanningArguments};
use crate::config::{self, Config, ConfigSource};
use crate::errors::{CliError, Result};
use crate::workers::Workers;

/// Configuration, engine and threads.
#[derive(Debug)]
pub struct Session {
    /// What is configured.
    pub config: Config,
    /// The engine over it.
    pub engine: Engine,
    /// The threads it works on.
    pub workers: Workers,
}

impl Session {
    /// Reads the configuration and builds the engine.
    pub fn open(source: &ConfigSource) -> Result<Self> {
        let config = config::load(source)?;
        let engine = config::runtime::engine(&config)?;
        Ok(Self {
            config,
            engine,
            workers: Workers::start()?,
        })
    }

    /// Asks the engine something on the workers' threads.
    pub async fn ask<T, F>(&self, question: impl FnOnce(Engine) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, EngineError>> + Send + 'static,
    {
        let answer = self.workers.run(question(self.engine.clone())).await?;
        answer.map_err(CliError::from)
    }

    /// Options of one query.
    pub fn query_options(
        &self,
        planning: &PlanningArguments,
        limits: &LimitArguments,
    ) -> Result<QueryOptions> {
        let engine = &self.config.engine;
        if let Some(name) = &planning.catalog
            && self.engine.source(name).is_none()
        {
            return Err(unknown_catalog(&self.engine, name));
        }
        Ok(QueryOptions {
            pushdown: if planning.no_pushdown {
                Pushdown::Off
            } else {
                Pushdown::On
            },
            parameters: parameters(&planning.parameters)?,
            budget: Budget {
                max_rcu: limits.max_rcu,
                max_bytes: None,
                max_rows: None,
            },
            timeout: limits.timeout.map(|period| period.0),
            order_keys: OrderKeys::AsSelected,
            moment: None,
            default_catalog: planning
                .catalog
                .clone()
                .or_else(|| engine.default_catalog.clone()),
            default_schema: planning
                .schema
                .clone()
                .or_else(|| engine.default_schema.clone()),
        })
    }
}

/// The usage error of a catalog that is not configured.
pub fn unknown_catalog(engine: &Engine, name: &str) -> CliError {
    let known: Vec<String> = engine
        .catalogs()
        .into_iter()
        .map(|catalog| catalog.name)
        .collect();
    CliError::usage(
        format!("catalog {name} does not exist"),
        suggestions::of_catalogs(name, &known),
    )
}

/// Names that are numbers are positions of `?`; the others are names.
fn parameters(given: &[(String, String)]) -> Result<Parameters> {
    let mut parameters = Parameters::default();
    let mut positional: Vec<(usize, String)> = Vec::new();
    for (name, value) in given {
        let twice = match name.parse::<usize>() {
            Ok(position) => {
                positional.push((position, value.clone()));
                positional
                    .iter()
                    .filter(|(other, _)| *other == position)
                    .count()
                    > 1
            }
            Err(_) => parameters
                .named
                .insert(name.clone(), value.clone())
                .is_some(),
        };
        if twice {
            return Err(CliError::usage(
                format!("parameter {name} is given twice"),
                "",
            ));
        }
    }
    positional.sort_by_key(|(position, _)| *position);
    for (index, (position, value)) in positional.into_iter().enumerate() {
        if position != index + 1 {
            let message = format!(
                "parameter {position} is given but parameter {} is not",
                index + 1
            );
            return Err(CliError::usage(
                message,
                "`-p 1=…` is the first `?`, `-p 2=…` the second",
            ));
        }
        parameters.positional.push(value);
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Result<Parameters> {
        parameters(
            &pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn numbers_are_positions() {
        let parameters = given(&[("2", "b"), ("day", "x"), ("1", "a")]).expect("valid");
        assert_eq!(parameters.positional, ["a", "b"]);
        assert_eq!(parameters.named.get("day").map(String::as_str), Some("x"));
    }

    #[test]
    fn gaps_and_repetitions_are_usage_errors() {
        for wrong in [
            &[("2", "b")][..],
            &[("1", "a"), ("1", "b")],
            &[("day", "a"), ("day", "b")],
            &[("0", "a")],
        ] {
            assert!(
                matches!(given(wrong), Err(CliError::Usage { .. })),
                "{wrong:?}"
            );
        }
    }
}
