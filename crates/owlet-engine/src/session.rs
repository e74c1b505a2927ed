//! DataFusion's session for Owlet: memory pool, spill files, dialect settings, functions. Built once, on first use.
//! Must never know catalogs.

use std::sync::Arc;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;

use crate::duplicate_names;
use crate::engine::EngineConfig;
use crate::error::{EngineError, Result};

/// Values a join may hand to a scan as a set; more than DataFusion's default, since one key look-up is cheaper
/// than a scan by orders of magnitude.
const JOIN_SET_MAXIMUM_VALUES: usize = 10_000;
/// Bytes such a set may take.
const JOIN_SET_MAXIMUM_BYTES: usize = 4 * 1024 * 1024;
/// Share of the machine's memory used when the configuration names none.
const DEFAULT_MEMORY_SHARE: f64 = 0.5;
/// Memory assumed when the machine does not tell.
const FALLBACK_MEMORY: u64 = 2 * 1024 * 1024 * 1024;
/// Consumers named in an out-of-memory message.
const NAMED_CONSUMERS: usize = 5;

/// A session without catalogs. Clone it for a query and never build another one from it: a builder made from an existing
/// session registers its functions in random order, and DataFusion's own that have a second name come to stand for
/// those of Athena again.
pub fn build(config: &EngineConfig) -> Result<SessionState> {
    let memory_limit = config.memory_limit.unwrap_or_else(default_memory_limit);
    let pool = FairSpillPool::new(usize::try_from(memory_limit).unwrap_or(usize::MAX));
    let named = std::num::NonZeroUsize::new(NAMED_CONSUMERS).unwrap_or(std::num::NonZeroUsize::MIN);
    let mut disk = DiskManagerBuilder::default();
    if let Some(directory) = &config.spill_dir {
        std::fs::create_dir_all(directory).map_err(|error| EngineError::Configuration {
            message: format!("spill_dir {} cannot be used: {error}", directory.display()),
            hint: "name a folder that Owlet may write to".to_owned(),
        })?;
        disk = disk.with_mode(DiskManagerMode::Directories(vec![directory.clone()]));
    }
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, named)))
        .with_disk_manager_builder(disk)
        .build_arc()
        .map_err(|error| EngineError::Configuration {
            message: format!("the engine's runtime cannot be built: {error}"),
            hint: "check [engine] memory_limit and spill_dir".to_owned(),
        })?;
    let mut session = owlet_athena_sql::session_config(SessionConfig::new());
    if let Some(partitions) = config.target_partitions {
        session = session.with_target_partitions(partitions.max(1));
    }
    let options = session.options_mut();
    options
        .optimizer
        .hash_join_inlist_pushdown_max_distinct_values = JOIN_SET_MAXIMUM_VALUES;
    options.optimizer.hash_join_inlist_pushdown_max_size = JOIN_SET_MAXIMUM_BYTES;
    // The logical plan proves that `CASE WHEN a = b THEN a ELSE 0 END` is never NULL and the physical one does not:
    // both are right, and an aggregate's input may hold fewer NULLs than its operators are prepared for.
    options.execution.skip_physical_aggregate_schema_check = true;
    let builder = SessionStateBuilder::new()
        .with_config(session)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_physical_optimizer_rules(duplicate_names::without_early_filter_pushdown(
            &PhysicalOptimizer::default().rules,
        ));
    Ok(owlet_athena_sql::extend_state(builder).build())
}

fn default_memory_limit() -> u64 {
    let total = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
            let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
            Some(kibibytes * 1024)
        });
    (total.unwrap_or(FALLBACK_MEMORY) as f64 * DEFAULT_MEMORY_SHARE) as u64
}
