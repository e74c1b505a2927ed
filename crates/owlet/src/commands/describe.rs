//! `owlet describe`: the columns of a table, as SQL sees them and as the source calls them.

use owlet_connector::{RowCount, TableMetadata};
use owlet_engine::TableName;
use owlet_engine::type_names::type_name;

use super::{Context, Rows};
use crate::arguments::DescribeArguments;
use crate::errors::{ExitStatus, Result};
use crate::printer::Printer;
use crate::session::Session;
use crate::units;

/// Runs the command.
pub async fn run(arguments: DescribeArguments, context: &Context) -> Result<ExitStatus> {
    let session = context.session()?;
    describe(&session, arguments, context.printer).await
}

/// Describes a table of an open session.
pub async fn describe(
    session: &Session,
    arguments: DescribeArguments,
    printer: Printer,
) -> Result<ExitStatus> {
    let DescribeArguments { name, list } = arguments;
    let (name, table) = session
        .ask(|engine| async move { engine.describe(&name).await })
        .await?;
    columns(&table).print(list.output, printer)?;
    printer.note_for_people(&summary(&name, &table));
    Ok(ExitStatus::Success)
}

/// One row a column.
fn columns(table: &TableMetadata) -> Rows {
    let mut rows = Rows::new(&[
        "column",
        "type",
        "source_name",
        "source_type",
        "nullable",
        "key",
        "note",
    ]);
    for (position, column) in table.columns.iter().enumerate() {
        let key = table
            .primary_key
            .iter()
            .position(|key| *key == position)
            .map(|place| (place + 1).to_string());
        let notes: Vec<String> = [
            column
                .unreadable
                .as_ref()
                .map(|reason| format!("cannot be read: {reason}")),
            column.hidden.then(|| "not part of SELECT *".to_owned()),
            column.comment.clone(),
        ]
        .into_iter()
        .flatten()
        .collect();
        rows.push(vec![
            Some(column.name.clone()),
            Some(type_name(&column.data_type)),
            Some(column.source_name.clone()),
            Some(column.native_type.clone()),
            Some(if column.nullable { "yes" } else { "no" }.to_owned()),
            key,
            (!notes.is_empty()).then(|| notes.join("; ")),
        ]);
    }
    rows
}

/// Name, kind and size on one line.
fn summary(name: &TableName, table: &TableMetadata) -> String {
    let mut text = format!("{}.{}.{}", name.catalog, name.schema, name.table);
    match table.rows {
        RowCount::Unknown => {}
        RowCount::Estimated(rows) => {
            text.push_str(&format!(", about {}", units::counted(rows, "row")))
        }
        RowCount::Exact(rows) => text.push_str(&format!(", {}", units::counted(rows, "row"))),
    }
    if let Some(bytes) = table.bytes {
        text.push_str(&format!(", {}", units::bytes(bytes)));
    }
    if let Some(comment) = &table.comment {
        text.push_str(&format!(": {comment}"));
    }
    text
}
