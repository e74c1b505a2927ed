//! Runs the cases in `tests/semantics/*.txt` on a DataFusion session with Athena's settings.
//!
//! A case is SQL followed by what it must give:
//! `=> a | b` one line per row in order, `=# x | y` the display names, `=: bigint | varchar` the Arrow types,
//! `=! text` an error that contains the text. `=~` instead of `=>` compares rows without order. Lines starting
//! with `##` name the section of what follows.
//! `OWLET_SEMANTICS_CASES=file` runs another file and prints every answer.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use owlet_athena_sql::{
    StatementKind, extend_state, parse, planning_error, prepare_execution, restore_conditions,
    session_config,
};

#[derive(Debug, Default)]
struct Case {
    section: String,
    line: usize,
    sql: String,
    rows: Option<Vec<String>>,
    any_order: bool,
    names: Option<String>,
    types: Option<String>,
    error: Option<String>,
}

#[derive(Debug)]
struct Answer {
    names: Vec<String>,
    types: Vec<String>,
    rows: Vec<String>,
}

fn context() -> SessionContext {
    let config = session_config(SessionConfig::new().with_target_partitions(2));
    let builder = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features();
    SessionContext::new_with_state(extend_state(builder).build())
}

async fn answer(context: &SessionContext, sql: &str) -> Result<Answer, String> {
    let parsed = parse(sql).map_err(|error| error.to_string())?;
    let StatementKind::Query(statement) = &parsed.statement else {
        return Err("not a query".to_owned());
    };
    let state = context.state();
    let describe = |error| {
        let info = planning_error(&error, sql);
        format!("{:?} {} ({})", info.position, info.message, info.hint)
    };
    let plan = state
        .statement_to_plan(statement.as_ref().clone())
        .await
        .map_err(describe)?;
    let names = parsed.display_names(plan.schema());
    let plan = state.optimize(&plan).map_err(describe)?;
    let plan = restore_conditions(plan).map_err(describe)?;
    let plan = prepare_execution(plan).map_err(describe)?;
    let types = plan
        .schema()
        .fields()
        .iter()
        .map(|field| field.data_type().to_string())
        .collect();
    let planner = state.query_planner();
    let physical = planner
        .create_physical_plan(&plan, &state)
        .await
        .map_err(describe)?;
    let batches = collect(physical, context.task_ctx())
        .await
        .map_err(describe)?;
    Ok(Answer {
        names,
        types,
        rows: rows(&batches).map_err(|error| error.to_string())?,
    })
}

fn rows(batches: &[RecordBatch]) -> Result<Vec<String>, arrow::error::ArrowError> {
    let options = FormatOptions::default()
        .with_null("NULL")
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f %:z"));
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter();
        let columns: Vec<ArrayFormatter<'_>> = columns
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect();
            rows.push(cells.join(" | "));
        }
    }
    Ok(rows)
}

fn read_cases(path: &Path) -> Vec<Case> {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut cases = Vec::new();
    let mut section = String::new();
    let mut case = Case::default();
    let mut answered = false;
    for (index, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix("##") {
            section = name.trim().to_owned();
            continue;
        }
        let expectation = line
            .get(..2)
            .filter(|mark| ["=>", "=~", "=#", "=:", "=!", "=0"].contains(mark));
        let Some(mark) = expectation else {
            if answered || (line.trim().is_empty() && !case.sql.is_empty()) {
                cases.push(std::mem::take(&mut case));
                answered = false;
            }
            if !line.trim().is_empty() {
                if case.sql.is_empty() {
                    case.line = index + 1;
                    case.section.clone_from(&section);
                }
                writeln!(case.sql, "{line}").expect("writing to a string");
            }
            continue;
        };
        answered = true;
        let rest = line[2..].strip_prefix(' ').unwrap_or(&line[2..]).to_owned();
        match mark {
            "=>" | "=~" => {
                case.any_order = mark == "=~";
                case.rows.get_or_insert_default().push(rest);
            }
            "=0" => case.rows = Some(Vec::new()),
            "=#" => case.names = Some(rest),
            "=:" => case.types = Some(rest),
            _ => case.error = Some(rest),
        }
    }
    if !case.sql.is_empty() {
        cases.push(case);
    }
    cases
}

fn difference(case: &Case, answer: &Result<Answer, String>) -> Option<String> {
    match (answer, &case.error) {
        (Err(error), Some(expected)) => {
            (!error.contains(expected.as_str())).then(|| format!("another error: {error}"))
        }
        (Err(error), None) => Some(format!("error: {error}")),
        (Ok(answer), Some(expected)) => {
            Some(format!("no error ({expected}) but {:?}", answer.rows))
        }
        (Ok(answer), None) => {
            let mut got = answer.rows.clone();
            let mut expected = case.rows.clone();
            if case.any_order {
                got.sort();
                expected.iter_mut().for_each(|rows| rows.sort());
            }
            let join = |texts: &[String]| texts.join(" | ");
            if expected.as_ref().is_some_and(|expected| *expected != got) {
                return Some(format!("rows:\n      {}", got.join("\n      ")));
            }
            if case
                .names
                .as_ref()
                .is_some_and(|names| *names != join(&answer.names))
            {
                return Some(format!("names: {}", join(&answer.names)));
            }
            let types = join(&answer.types);
            case.types
                .as_ref()
                .is_some_and(|expected| *expected != types)
                .then(|| format!("types: {types}"))
        }
    }
}

#[tokio::test]
async fn semantics_cases() {
    let other = std::env::var_os("OWLET_SEMANTICS_CASES").map(PathBuf::from);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/semantics");
    let mut files: Vec<PathBuf> = match &other {
        Some(file) => vec![file.clone()],
        None => folder
            .read_dir()
            .expect("folder of cases")
            .map(|entry| entry.expect("entry").path())
            .collect(),
    };
    files.sort();
    let context = context();
    let mut failures = String::new();
    let (mut count, mut failed) = (0, 0);
    for file in files {
        for case in read_cases(&file) {
            count += 1;
            let answer = answer(&context, &case.sql).await;
            if other.is_some() {
                println!("{}{answer:#?}\n", case.sql);
            }
            if let Some(difference) = difference(&case, &answer) {
                failed += 1;
                let file = file.file_name().unwrap_or_default().to_string_lossy();
                writeln!(
                    failures,
                    "{file}:{} [{}]\n   {}   {difference}",
                    case.line, case.section, case.sql
                )
                .expect("writing to a string");
            }
        }
    }
    assert!(failed == 0, "{failed} of {count} cases fail:\n{failures}");
    assert!(count > 0, "no cases found");
}
