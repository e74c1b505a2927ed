//! A plan as people read it: a tree with, for every source, the exact remote query and what stayed local and why.

use serde::Serialize;

use owlet_connector::CostEstimate;

/// The answer of `owlet explain`; serialises to its JSON form.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// Operators, the result at the root.
    pub plan: ExplainNode,
    /// One entry a scan, in order of appearance.
    pub sources: Vec<SourceExplanation>,
}

/// One operator.
#[derive(Debug, Clone, Serialize)]
pub struct ExplainNode {
    /// Operator name, e.g. `HashJoin`, `Remote query`.
    pub operator: String,
    /// Details on one line.
    pub detail: String,
    /// Index into [`Explanation::sources`] for scans.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<usize>,
    /// Inputs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<ExplainNode>,
}

/// One scan.
#[derive(Debug, Clone, Serialize)]
pub struct SourceExplanation {
    /// Catalog.
    pub catalog: String,
    /// Connector word.
    pub connector: String,
    /// Table or tables.
    pub table: String,
    /// Access path.
    pub access: String,
    /// Exactly what the source will be asked.
    pub remote: String,
    /// Parts read in parallel.
    pub splits: usize,
    /// What stayed local, each with its reason.
    pub stayed_local: Vec<String>,
    /// Cost before it runs.
    pub estimate: CostEstimate,
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.plan.operator)
    }
}
