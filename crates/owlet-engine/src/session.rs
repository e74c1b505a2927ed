//! DataFusion's session for Owlet: memory pool, spill files, dialect settings, functions. Built once, on first use.
//! Must never know catalogs.

use std::sync::Arc;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::TrackConsumersPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;

use crate::duplicate_names;
use crate::engine::EngineConfig;
use crate::error::{EngineError, Result};
use crate::memory;
use crate::query_pool::QueryPool;
use crate::spill::SpillFolder;

/// Values a join may hand to a scan as a set; more than DataFusion's default, since one key look-up is cheaper
/// than a scan by orders of magnitude.
const JOIN_SET_MAXIMUM_VALUES: usize = 10_000;
/// Bytes such a set may take.
const JOIN_SET_MAXIMUM_BYTES: usize = 4 * 1024 * 1024;
/// Consumers named in an out-of-memory message.
const NAMED_CONSUMERS: usize = 5;

/// What all queries of an engine share.
#[derive(Debug)]
pub struct Session {
    /// A session without catalogs. Clone it for a query and never build another one from it: a builder made from an
    /// existing session registers its functions in random order, and DataFusion's own that have a second name come to
    /// stand for those of Athena again.
    pub state: Arc<SessionState>,
    /// Bytes that queries may use.
    pub memory_limit: u64,
    _spill: Option<SpillFolder>,
}

impl Session {
    /// Builds it.
    pub fn build(config: &EngineConfig) -> Result<Self> {
        let memory_limit = config.memory_limit.unwrap_or_else(memory::default_limit);
        let spill = spill_folder(config)?;
        let state = build_state(config, memory_limit, spill.as_ref())?;
        Ok(Self {
            state: Arc::new(state),
            memory_limit,
            _spill: spill,
        })
    }
}

/// The configured folder must work. Where none is configured and the system's cannot be used, a query that spills will
/// fail, and no other.
fn spill_folder(config: &EngineConfig) -> Result<Option<SpillFolder>> {
    let Some(directory) = &config.spill_dir else {
        return Ok(SpillFolder::create(&std::env::temp_dir()).ok());
    };
    let created = std::fs::create_dir_all(directory).and_then(|()| SpillFolder::create(directory));
    created
        .map(Some)
        .map_err(|error| EngineError::Configuration {
            message: format!("spill_dir {} cannot be used: {error}", directory.display()),
            hint: "name a folder that Owlet may write to".to_owned(),
        })
}

fn build_state(
    config: &EngineConfig,
    memory_limit: u64,
    spill: Option<&SpillFolder>,
) -> Result<SessionState> {
    let mut session = owlet_athena_sql::session_config(SessionConfig::new());
    if let Some(partitions) = config.target_partitions {
        session = session.with_target_partitions(partitions.max(1));
    }
    let options = session.options_mut();
    memory::fit(&mut options.execution, memory_limit);
    options
        .optimizer
        .hash_join_inlist_pushdown_max_distinct_values = JOIN_SET_MAXIMUM_VALUES;
    options.optimizer.hash_join_inlist_pushdown_max_size = JOIN_SET_MAXIMUM_BYTES;
    // The logical plan proves that `CASE WHEN a = b THEN a ELSE 0 END` is never NULL and the physical one does not:
    // both are right, and an aggregate's input may hold fewer NULLs than its operators are prepared for.
    options.execution.skip_physical_aggregate_schema_check = true;
    let pool = QueryPool::new(usize::try_from(memory_limit).unwrap_or(usize::MAX));
    let named = std::num::NonZeroUsize::new(NAMED_CONSUMERS).unwrap_or(std::num::NonZeroUsize::MIN);
    let mut disk = DiskManagerBuilder::default()
        .with_max_spill_merge_fan_in(memory::merged_runs(&session.options().execution));
    if let Some(spill) = spill {
        disk = disk.with_mode(DiskManagerMode::Directories(vec![spill.path()]));
    }
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, named)))
        .with_disk_manager_builder(disk)
        .build_arc()
        .map_err(|error| EngineError::Configuration {
            message: format!("the engine's runtime cannot be built: {error}"),
            hint: "check [engine] memory_limit and spill_dir".to_owned(),
        })?;
    let builder = SessionStateBuilder::new()
        .with_config(session)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_physical_optimizer_rules(duplicate_names::without_early_filter_pushdown(
            &PhysicalOptimizer::default().rules,
        ));
    Ok(owlet_athena_sql::extend_state(builder).build())
}
