//! A plan as people read it: a tree with, for every source, the exact remote query and what stayed local and why.

use std::fmt;
use std::sync::Arc;

use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};
use owlet_connector::CostEstimate;
use serde::Serialize;

use crate::pushdown::shared::Asking;
use crate::scan::exec::ScanExec;

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
    /// Operator name, e.g. `HashJoin`, `Scan`.
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
    /// The catalog that asks.
    pub catalog: String,
    /// Catalogs whose tables are read, where that is not `catalog` alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables_of: Vec<String>,
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
    /// What stayed local, each with its reason, and what the connector says about its choice.
    pub stayed_local: Vec<String>,
    /// Cost before it runs.
    pub estimate: CostEstimate,
}

impl Explanation {
    /// Explains a physical plan.
    pub fn of(plan: &Arc<dyn ExecutionPlan>) -> Self {
        let mut sources = Vec::new();
        let plan = node(plan, &mut sources);
        Self { plan, sources }
    }

    /// An explanation of an answer that needs no plan.
    pub fn trivial(operator: &str) -> Self {
        let plan = ExplainNode {
            operator: operator.to_owned(),
            detail: String::new(),
            source: None,
            children: Vec::new(),
        };
        Self {
            plan,
            sources: Vec::new(),
        }
    }

    /// The operators as a Graphviz digraph.
    pub fn to_graphviz(&self) -> String {
        fn add(node: &ExplainNode, next: &mut usize, text: &mut String) -> usize {
            let id = *next;
            *next += 1;
            let label = format!("{} {}", node.operator, node.detail)
                .replace('\\', "\\\\")
                .replace('"', "\\\"");
            text.push_str(&format!("  n{id} [label=\"{label}\"];\n"));
            for child in &node.children {
                let child = add(child, next, text);
                text.push_str(&format!("  n{child} -> n{id};\n"));
            }
            id
        }
        let mut text = "digraph plan {\n".to_owned();
        add(&self.plan, &mut 0, &mut text);
        text.push_str("}\n");
        text
    }

    /// Estimated read capacity units of all sources together.
    pub fn estimated_rcu(&self) -> Option<f64> {
        self.sources
            .iter()
            .filter_map(|source| source.estimate.rcu)
            .reduce(|total, rcu| total + rcu)
    }
}

fn node(plan: &Arc<dyn ExecutionPlan>, sources: &mut Vec<SourceExplanation>) -> ExplainNode {
    if let Some(exec) = plan.downcast_ref::<ScanExec>() {
        let scan = exec.scan();
        let planned = &scan.plan;
        let index = sources.len();
        let tables_of = scan.owners.unlike(&scan.catalog);
        let asking = Asking {
            asker: &scan.catalog,
            tables_of: &tables_of,
        };
        let detail = format!("{asking} {} ({})", planned.table, planned.access);
        sources.push(SourceExplanation {
            catalog: scan.catalog.clone(),
            tables_of,
            connector: scan.connector.kind().to_owned(),
            table: planned.table.clone(),
            access: planned.access.clone(),
            remote: planned.remote.clone(),
            splits: planned.splits.len(),
            stayed_local: scan
                .stayed_local
                .iter()
                .chain(&planned.notes)
                .cloned()
                .collect(),
            estimate: planned.estimate.clone(),
        });
        return ExplainNode {
            operator: "Scan".to_owned(),
            detail,
            source: Some(index),
            children: Vec::new(),
        };
    }
    if let (Some(_), [input]) = (
        plan.downcast_ref::<CooperativeExec>(),
        plan.children().as_slice(),
    ) {
        return node(input, sources);
    }
    let text = Displayed(plan.as_ref()).to_string();
    let operator = plan.name().trim_end_matches("Exec").to_owned();
    let detail = text
        .split_once(':')
        .map(|(_, detail)| detail.trim().to_owned())
        .unwrap_or_default();
    let children = plan
        .children()
        .into_iter()
        .map(|child| node(child, sources))
        .collect();
    ExplainNode {
        operator,
        detail: without_separators(&detail),
        source: None,
        children,
    }
}

struct Displayed<'a>(&'a dyn ExecutionPlan);

impl fmt::Display for Displayed<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_as(DisplayFormatType::Default, formatter)
    }
}

/// Internal names of duplicate columns carry a control character that people should not see.
fn without_separators(text: &str) -> String {
    // Also as the debug form of a text spells it.
    text.replace('\u{1f}', "#").replace(r"\u{1f}", "#")
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_node(formatter, &self.plan, "", "")?;
        for (index, source) in self.sources.iter().enumerate() {
            writeln!(formatter)?;
            writeln!(
                formatter,
                "[{}] {} ({}) {}: {}{}",
                index + 1,
                Asking {
                    asker: &source.catalog,
                    tables_of: &source.tables_of,
                },
                source.connector,
                source.table,
                source.access,
                estimate_text(source)
            )?;
            for line in source.remote.lines() {
                writeln!(formatter, "    {line}")?;
            }
            for note in &source.stayed_local {
                writeln!(formatter, "    - {}", without_separators(note))?;
            }
        }
        Ok(())
    }
}

fn estimate_text(source: &SourceExplanation) -> String {
    let mut parts = Vec::new();
    if source.splits > 1 {
        parts.push(format!("{} splits", source.splits));
    }
    if let Some(rows) = source.estimate.rows_returned {
        parts.push(format!("about {rows:.0} rows"));
    }
    if let Some(bytes) = source.estimate.bytes {
        parts.push(format!("about {}", bytes_text(bytes)));
    }
    if let Some(rcu) = source.estimate.rcu {
        parts.push(format!("about {rcu:.1} RCU"));
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!(", {}", parts.join(", "))
    }
}

fn bytes_text(bytes: f64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{value:.0} B")
    } else {
        format!("{value:.1} {}", units[unit])
    }
}

fn write_node(
    formatter: &mut fmt::Formatter<'_>,
    node: &ExplainNode,
    first: &str,
    rest: &str,
) -> fmt::Result {
    let source = node
        .source
        .map(|index| format!(" [{}]", index + 1))
        .unwrap_or_default();
    let separator = if node.detail.is_empty() { "" } else { ": " };
    writeln!(
        formatter,
        "{first}{}{source}{separator}{}",
        node.operator, node.detail
    )?;
    for (position, child) in node.children.iter().enumerate() {
        let last = position + 1 == node.children.len();
        let (branch, indent) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        write_node(
            formatter,
            child,
            &format!("{rest}{branch}"),
            &format!("{rest}{indent}"),
        )?;
    }
    Ok(())
}
