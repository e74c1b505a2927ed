//! SQL that begins with a comment (`-- weekly report`) looks like an option to the parser of the command line: it is told
//! apart here, before that. Must never know what a command does.

use std::ffi::OsString;

use clap::{Command, CommandFactory};

use crate::arguments::Arguments;

/// The arguments of the process, with a blank before SQL that begins with a comment. The parser then takes it for a
/// value, and no position in the SQL moves: all of its first line is the comment.
pub fn told_apart(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let root = Arguments::command();
    // The first argument is the program.
    let named = (1..arguments.len()).find_map(|index| {
        let subcommand = root.find_subcommand(&arguments[index])?;
        let is_value = takes_value(&root, &arguments[index - 1]);
        (!is_value).then_some((index, subcommand))
    });
    let Some((position, subcommand)) = named else {
        return arguments;
    };
    let takes_sql = subcommand
        .get_positionals()
        .any(|positional| positional.get_id() == "sql");
    if !takes_sql {
        return arguments;
    }
    for index in position + 1..arguments.len() {
        let previous = &arguments[index - 1];
        if previous == "--" {
            break;
        }
        let is_value = takes_value(subcommand, previous) || takes_value(&root, previous);
        if !is_value && arguments[index].to_str().is_some_and(begins_with_comment) {
            let mut shifted = OsString::from(" ");
            shifted.push(&arguments[index]);
            arguments[index] = shifted;
        }
    }
    arguments
}

/// Whether the text is a comment and not an option: no option's name holds a blank.
fn begins_with_comment(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("--") else {
        return false;
    };
    let name_end = rest.find(|character: char| {
        !(character.is_ascii_alphanumeric() || matches!(character, '-' | '_'))
    });
    let Some(end) = name_end else {
        return false;
    };
    let is_assignment = end > 0 && rest[end..].starts_with('=');
    !is_assignment && rest.contains(char::is_whitespace)
}

/// Whether the argument is an option whose value is the next argument.
fn takes_value(command: &Command, argument: &OsString) -> bool {
    let Some(text) = argument.to_str() else {
        return false;
    };
    command.get_arguments().any(|known| {
        let is_named = known
            .get_long()
            .is_some_and(|long| text.strip_prefix("--") == Some(long))
            || known
                .get_short()
                .is_some_and(|short| text.strip_prefix('-') == Some(short.to_string().as_str()));
        is_named && known.get_action().takes_values()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shifted(arguments: &[&str]) -> Vec<String> {
        let told = told_apart(arguments.iter().map(OsString::from));
        let texts = told.into_iter().map(|text| text.into_string());
        texts.collect::<Result<_, _>>().expect("valid text")
    }

    #[test]
    fn sql_that_begins_with_a_comment_becomes_a_value() {
        for sql in [
            "-- weekly report\nSELECT 1",
            "--weekly\nSELECT 1",
            "--\nSELECT 1",
            "--- a rule ---\nSELECT 1",
            "-- a = b",
            "--1 = 1, or not\nSELECT 1",
        ] {
            for command in ["query", "q", "explain", "verify"] {
                let told = shifted(&["owlet", "--config", "query", command, sql, "-p", "a=1"]);
                assert_eq!(told[4], format!(" {sql}"), "{command}");
            }
        }
    }

    #[test]
    fn options_and_their_values_stay_as_they_are() {
        for arguments in [
            &["owlet", "query", "--to-file", "x"][..],
            &["owlet", "query", "SELECT 1", "--to=my file.csv"],
            &["owlet", "query", "SELECT 1", "--parameter=a=b c"],
            &["owlet", "query", "SELECT 1", "--to", "-- a"],
            &["owlet", "query", "-f", "-- a"],
            &["owlet", "query", "--", "-- a\nSELECT 1"],
            &["owlet", "tables", "-- a"],
            &["owlet"],
        ] {
            assert_eq!(shifted(arguments), arguments);
        }
    }
}
