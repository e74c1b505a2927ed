//! The evidence behind inferred columns, for `owlet schema infer`. Must never know requests.

use std::collections::BTreeMap;
use std::path::Path;

use arrow_schema::DataType;
use owlet_connector::ConnectorError;
use serde::Serialize;

use super::overrides::SchemaOverrides;
use crate::shape::Shape;

/// What a sample showed of one table and which columns follow.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InferenceReport {
    /// Table in its own spelling.
    pub table: String,
    /// Items sampled.
    pub items: u64,
    /// The table's item count, as DynamoDB tells it (up to six hours old).
    pub table_items: u64,
    /// Segments of the key space the items came from.
    pub segments: u32,
    /// Read capacity units the sample cost.
    pub rcu: f64,
    /// Attributes: keys first, then by name.
    pub attributes: Vec<AttributeEvidence>,
}

/// What was seen under one attribute name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttributeEvidence {
    /// Attribute in its own spelling.
    pub attribute: String,
    /// Column name in SQL.
    pub column: String,
    /// Type from the sample, in the words of the override file.
    pub inferred_type: String,
    /// Type in force, in the words of the override file: an override takes precedence.
    pub column_type: String,
    /// An override file decides the type.
    pub overridden: bool,
    /// The attribute is part of the primary key.
    pub key: bool,
    /// Share of sampled items that have the attribute, 0 to 1.
    pub present: f64,
    /// Share of those by DynamoDB type (`S`, `N`, `NULL`, …), 0 to 1.
    pub types: BTreeMap<String, f64>,
    /// Different values seen (scalar types only).
    pub distinct: u64,
    #[serde(skip)]
    pub(crate) shape: Shape,
}

impl AttributeEvidence {
    /// Type in force, as the column has it in SQL.
    pub fn data_type(&self) -> DataType {
        self.shape.data_type()
    }

    /// The evidence in a line, e.g. `in 100 % of items: N 99.2 %, S 0.8 %`.
    pub fn summary(&self) -> String {
        let mut types: Vec<(&String, &f64)> = self.types.iter().collect();
        types.sort_by(|left, right| right.1.total_cmp(left.1));
        let types: Vec<String> = types
            .into_iter()
            .map(|(name, share)| format!("{name} {}", percent(*share)))
            .collect();
        if types.is_empty() {
            return "not in the sample".to_owned();
        }
        format!(
            "in {} of items: {}",
            percent(self.present),
            types.join(", ")
        )
    }
}

impl InferenceReport {
    /// Writes the inferred types of this table into an override file: its section is replaced, the others are kept.
    pub fn write_overrides(&self, catalog: &str, path: &Path) -> Result<(), ConnectorError> {
        let failed = |message: String| ConnectorError::Configuration {
            catalog: catalog.to_owned(),
            message,
            hint: "check the schema override file".to_owned(),
        };
        let mut overrides = if path.exists() {
            SchemaOverrides::load(path).map_err(failed)?
        } else {
            SchemaOverrides::default()
        };
        overrides.replace_table(&self.table, self.columns());
        std::fs::write(path, overrides.render())
            .map_err(|error| failed(format!("{}: {error}", path.display())))
    }

    /// The override file for this table alone.
    pub fn to_overrides(&self) -> SchemaOverrides {
        let mut overrides = SchemaOverrides::default();
        overrides.replace_table(&self.table, self.columns());
        overrides
    }

    fn columns(&self) -> Vec<(String, Shape, String)> {
        self.attributes
            .iter()
            .map(|evidence| {
                (
                    evidence.attribute.clone(),
                    evidence.shape.clone(),
                    evidence.summary(),
                )
            })
            .collect()
    }
}

/// A share as people read it; a share that is not whole never reads `100 %` or `0 %`.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent <= 0.0 || percent >= 100.0 {
        return format!("{percent:.0} %");
    }
    format!("{:.1} %", percent.clamp(0.1, 99.9))
}
