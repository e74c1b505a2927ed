//! Backslash commands: parsed here, carried out by the shell. Must never have effects.

use clap::ValueEnum;

use crate::arguments::Format;

/// What a backslash command asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directive {
    /// `\q`.
    Quit,
    /// `\?`.
    Help,
    /// `\d NAME`.
    Describe(String),
    /// `\dt [CATALOG[.SCHEMA]]`, and `\d` alone.
    Tables(Option<String>),
    /// `\dn [CATALOG]`.
    Schemas(Option<String>),
    /// `\dc`.
    Catalogs,
    /// `\timing [on|off]`; `None` changes to the other.
    Timing(Option<bool>),
    /// `\work [on|off]`.
    Work(Option<bool>),
    /// `\pushdown [on|off]`.
    Pushdown(Option<bool>),
    /// `\o FORMAT`.
    Output(Format),
    /// `\explain SQL`.
    Explain(String),
}

/// The help of all backslash commands.
pub const HELP: &str = r"  \d [NAME]               tables, or the columns of one
  \dt [CATALOG[.SCHEMA]]  tables
  \dn [CATALOG]           schemas
  \dc                     catalogs
  \explain SQL            what each source would be asked, what stays local and why
  \pushdown on|off        let sources work, or read whole tables and compute here
  \work on|off            show where the work happened after each query
  \timing on|off          show rows and time after each query
  \o FORMAT               table, csv, tsv, json, ndjson or markdown
  \?                      this help
  \q                      leave (also Ctrl-D)
A statement ends with ; and may span lines. Tab completes names. Ctrl-C cancels the query, not the shell.
";

/// Reads a line that starts with a backslash; the error tells what is wrong with it.
pub fn parse(line: &str) -> Result<Directive, String> {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (command, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = argument.trim();
    let optional = (!argument.is_empty()).then(|| argument.to_owned());
    match command {
        r"\q" | r"\quit" | r"\exit" => Ok(Directive::Quit),
        r"\?" | r"\h" | r"\help" => Ok(Directive::Help),
        r"\d" => Ok(optional.map_or(Directive::Tables(None), Directive::Describe)),
        r"\dt" => Ok(Directive::Tables(optional)),
        r"\dn" => Ok(Directive::Schemas(optional)),
        r"\dc" | r"\l" => Ok(Directive::Catalogs),
        r"\timing" => switch(argument).map(Directive::Timing),
        r"\work" => switch(argument).map(Directive::Work),
        r"\pushdown" => switch(argument).map(Directive::Pushdown),
        r"\o" => output(argument),
        r"\explain" => match optional {
            Some(sql) => Ok(Directive::Explain(sql)),
            None => Err(r"write \explain SQL".to_owned()),
        },
        other => Err(format!(r"unknown command {other}; \? lists all")),
    }
}

fn switch(argument: &str) -> Result<Option<bool>, String> {
    match argument.to_lowercase().as_str() {
        "" => Ok(None),
        "on" | "true" | "1" => Ok(Some(true)),
        "off" | "false" | "0" => Ok(Some(false)),
        other => Err(format!("write on or off, not {other}")),
    }
}

fn output(argument: &str) -> Result<Directive, String> {
    let format = Format::from_str(argument, true).map_err(|_| {
        format!(r"{argument:?} is no format; write \o table, csv, tsv, json, ndjson or markdown")
    })?;
    if matches!(format, Format::Parquet | Format::Arrow) {
        return Err(format!(
            "{argument} cannot be shown; use `owlet query --to FILE`"
        ));
    }
    Ok(Directive::Output(format))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        assert_eq!(parse(r"\d"), Ok(Directive::Tables(None)));
        assert_eq!(
            parse(r"\d shop.orders;"),
            Ok(Directive::Describe("shop.orders".to_owned()))
        );
        assert_eq!(
            parse(r"\dt  shop "),
            Ok(Directive::Tables(Some("shop".to_owned())))
        );
        assert_eq!(parse(r"\timing"), Ok(Directive::Timing(None)));
        assert_eq!(
            parse(r"\pushdown OFF"),
            Ok(Directive::Pushdown(Some(false)))
        );
        assert_eq!(parse(r"\o md"), Ok(Directive::Output(Format::Markdown)));
        for wrong in [r"\x", r"\o", r"\o parquet", r"\timing maybe", r"\explain"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
