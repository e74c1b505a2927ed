//! `owlet help`: the help of a command, or of a topic that belongs to none.

use std::fmt::Write as _;

use clap::CommandFactory;

use super::Context;
use crate::arguments::Arguments;
use crate::errors::{CliError, ERROR_MAPPINGS, ExitStatus, Result};

/// A help topic's name and the function that writes its text.
type Topic = (&'static str, fn() -> String);

const TOPICS: [Topic; 4] = [
    ("exit-codes", exit_codes),
    ("formats", formats),
    ("config", config),
    ("environment", environment),
];

/// Runs the command.
pub fn run(topic: &[String], context: &Context) -> Result<ExitStatus> {
    if let [word] = topic
        && let Some((_, text)) = TOPICS.iter().find(|(name, _)| name == word)
    {
        context.printer.result(&text())?;
        return Ok(ExitStatus::Success);
    }
    let mut command = Arguments::command();
    command.build();
    for word in topic {
        let Some(found) = command.find_subcommand(word) else {
            let topics = TOPICS.map(|(name, _)| name).join(", ");
            return Err(CliError::usage(
                format!("there is no help on `{}`", topic.join(" ")),
                format!("topics: {topics}; commands: see `owlet --help`"),
            ));
        };
        command = found.clone();
    }
    context
        .printer
        .result(&command.render_long_help().to_string())?;
    Ok(ExitStatus::Success)
}

fn exit_codes() -> String {
    let mut text = "Exit codes\n\n    0  done\n".to_owned();
    let mut codes: Vec<(u8, Vec<&str>)> = Vec::new();
    for row in ERROR_MAPPINGS {
        let code = row.exit.code();
        match codes.iter_mut().find(|(known, _)| *known == code) {
            Some((_, meanings)) => meanings.push(row.meaning),
            None => codes.push((code, vec![row.meaning])),
        }
    }
    codes.sort_by_key(|(code, _)| *code);
    for (code, meanings) in codes {
        let _ = writeln!(text, "  {code:>3}  {}", meanings.join("; or "));
    }
    text
}

fn formats() -> String {
    "\
Output formats (-o, or the suffix of --to)

  table     for people: the first and last rows of a long result (--max-rows)
  csv       RFC 4180 quoting, line feeds, a header; NULL is an empty field, the empty text is \"\"
  tsv       no quotes; NULL is \\N; tab, line feed, carriage return and backslash are \\t, \\n, \\r, \\\\
  json      one array of objects
  ndjson    one object a line
  parquet   ZSTD; types without a Parquet encoding (intervals, unions) are text
  arrow     IPC stream; with --to an IPC file (Feather)
  markdown  a table for documents

Without -o a terminal gets a table, a pipe gets CSV, and --to FILE goes by its suffix: .csv .tsv .json .ndjson
.jsonl .parquet .arrow .feather .md .txt. A file appears only when the query has succeeded.

Values are exact in every text format: decimals keep their scale, integers all their digits, floats the fewest
digits that read back the same, timestamps every fraction they have (0, 3, 6 or 9 digits), with the offset when
they have a zone. Binary is hexadecimal. Arrays, maps and rows are JSON. In JSON, decimals, dates, times, NaN and
infinities are strings. A second column of the same name gets _2 in JSON, Parquet and Arrow.

Read back by Owlet, text formats keep values but not types, which are inferred again. CSV keeps NULL and empty
text apart. TSV keeps all texts and NULLs in a catalog of files with null = \"\\\\N\" in its csv options; without
that an empty text becomes NULL, and a text that begins with a double quote is taken for a quoted field.
"
    .to_owned()
}

fn config() -> String {
    "\
Configuration

The file is --config FILE, else OWLET_CONFIG, else the nearest owlet.toml from the current folder upwards. Without
one, files can still be queried by path: owlet query \"SELECT * FROM 'data/*.parquet'\".

  [engine]                      memory_limit = \"512MB\", spill_dir, target_partitions,
                                default_catalog, default_schema
  [catalog.NAME]                connector = \"postgres\", \"mysql\", \"sqlite\", \"dynamodb\" or \"object\"

Text values may hold ${NAME}, ${NAME:-default} and ${file:path}; $${ is a plain ${. They are replaced once, after
the file is parsed. Relative paths are relative to the file. Unknown keys are errors.

`owlet init` writes a commented file, `owlet config schema` prints the JSON Schema with every key, `owlet config
show` the file in force, `owlet doctor` whether the sources answer.
"
    .to_owned()
}

fn environment() -> String {
    "\
Environment

  OWLET_CONFIG   configuration file, as --config
  OWLET_LOG      log filter, for example info or owlet_postgres=debug; logs go to the standard error
  PGPASSWORD     password of PostgreSQL catalogs that configure none
  AWS_*          the AWS chain of DynamoDB and S3 catalogs that configure no keys
  NO_COLOR       has no effect: output has no colours
"
    .to_owned()
}
