//! Session, catalogs, pushdown planner, execution.
