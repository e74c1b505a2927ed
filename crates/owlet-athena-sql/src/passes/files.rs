//! `SELECT * FROM 'data/*.parquet'`: a quoted text in the place of a table is a file path.
//! It must never open a file.

use std::ops::ControlFlow;

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart, Statement, VisitorMut};

use crate::errors::SqlError;
use crate::passes::walk::walk;

/// Catalog of table references that stand for file paths: `FILE_CATALOG.FILE_SCHEMA."path"`.
pub const FILE_CATALOG: &str = "owlet_file";
/// Schema of table references that stand for file paths. The table's name is the path, spelled exactly as written.
pub const FILE_SCHEMA: &str = "path";

/// Turns paths into three-part table references.
pub(crate) fn apply(statement: &mut Statement) -> Result<(), SqlError> {
    walk(statement, &mut FilePaths)
}

struct FilePaths;

impl VisitorMut for FilePaths {
    type Break = SqlError;

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<SqlError> {
        let [ObjectNamePart::Identifier(path)] = relation.0.as_slice() else {
            return ControlFlow::Continue(());
        };
        if path.quote_style != Some('\'') {
            return ControlFlow::Continue(());
        }
        let mut path = path.clone();
        path.quote_style = Some('"');
        let part = |name: &str| Ident {
            span: path.span,
            ..Ident::with_quote('"', name)
        };
        *relation = ObjectName::from(vec![part(FILE_CATALOG), part(FILE_SCHEMA), path]);
        ControlFlow::Continue(())
    }
}
