//! Is one query's answer the same with pushdown, without, and at its source? Must never know how queries are made.

use owlet_engine::Pushdown;

use super::query::Query;
use super::render::Renderer;
use super::schema::{Home, Table};
use super::value::Target;
use super::world::World;
use crate::answer::{Answer, RowOrder};

/// What became of one query.
#[derive(Debug)]
pub enum Verdict {
    /// All answers agree; whether the source's own was among them.
    Agreed {
        /// The source was asked too.
        with_source: bool,
    },
    /// The engine refuses or fails the query in both modes, with this message.
    FailedEverywhere(String),
    /// A difference.
    Differs(Difference),
}

/// Two answers that should be equal.
#[derive(Debug)]
pub struct Difference {
    /// Statement for the engine.
    pub sql: String,
    /// Statement for the source, where it was the other side.
    pub native_sql: Option<String>,
    /// First difference in a sentence.
    pub sentence: String,
    /// Names and texts of the two answers.
    pub answers: [(&'static str, String); 2],
}

const SHOWN_ROWS: usize = 40;

/// Runs a query in all ways.
pub async fn check(world: &World<'_>, tables: &[Table], schema: &str, query: &Query) -> Verdict {
    let render = |target| {
        Renderer {
            tables,
            schema,
            target,
            query,
        }
        .statement()
    };
    let Some(sql) = render(Target::Owlet) else {
        unreachable!("every query is the engine's own SQL");
    };
    let order = if query.order.is_empty() {
        RowOrder::Any
    } else {
        RowOrder::Fixed
    };
    let on = world.ask(&sql, Pushdown::On).await;
    let off = world.ask(&sql, Pushdown::Off).await;
    if let Some(message) = order_dependent_error(query, &on, &off) {
        return Verdict::FailedEverywhere(message.to_owned());
    }
    let sentence = match (&on, &off) {
        (Ok(on), Ok(off)) => on.difference(off, order),
        (Err(message), _) | (_, Err(message)) if is_bug(message) => Some("a bug".to_owned()),
        (Err(_), Err(_)) => None,
        (Ok(_), Err(_)) => Some("an answer with pushdown, an error without".to_owned()),
        (Err(_), Ok(_)) => Some("an error with pushdown, an answer without".to_owned()),
    };
    if let Some(sentence) = sentence {
        let answers = [
            ("with pushdown", shown(&on)),
            ("without pushdown", shown(&off)),
        ];
        return Verdict::Differs(Difference {
            sql,
            native_sql: None,
            sentence,
            answers,
        });
    }
    let (Some(home), Ok(off)) = (query.home(tables), &off) else {
        return match off {
            Ok(_) => Verdict::Agreed { with_source: false },
            Err(message) => Verdict::FailedEverywhere(message),
        };
    };
    let native_sql = match home {
        Home::Postgres => render(Target::Postgres),
        Home::Sqlite => render(Target::Sqlite),
        Home::Mysql => render(Target::Mysql),
        Home::DynamoDb => None,
    };
    let Some(native_sql) = native_sql else {
        return Verdict::Agreed { with_source: false };
    };
    match world.ask_source(home, &native_sql).await {
        Ok(native) => match off.difference_to_native(&native, order) {
            None => Verdict::Agreed { with_source: true },
            Some(sentence) => {
                let native_text = crate::answer::rows_to_text(&native.rows, SHOWN_ROWS);
                let answers = [
                    ("Owlet", off.to_text(SHOWN_ROWS)),
                    ("the source", native_text),
                ];
                Verdict::Differs(Difference {
                    sql,
                    native_sql: Some(native_sql),
                    sentence,
                    answers,
                })
            }
        },
        // "Feature not supported", e.g. FULL JOIN on a condition that is no equality.
        Err(message) if message.contains("(0A000)") => Verdict::Agreed { with_source: false },
        // The source evaluated a condition that Owlet did not need to.
        Err(message) if message.contains("out of range") && !query.output_computes() => {
            Verdict::Agreed { with_source: false }
        }
        Err(message) => {
            let answers = [("Owlet", off.to_text(SHOWN_ROWS)), ("the source", message)];
            let sentence = "an answer of Owlet, an error of the source".to_owned();
            Verdict::Differs(Difference {
                sql,
                native_sql: Some(native_sql),
                sentence,
                answers,
            })
        }
    }
}

/// SQL leaves open in which order conditions are evaluated, so an overflow in a condition, or in a group that HAVING
/// drops, may or may not happen. In an output expression it must happen in both modes, or in none; where conditions
/// compute as well, nobody can tell which of them it was.
fn order_dependent_error<'a>(
    query: &Query,
    on: &'a Result<Answer, String>,
    off: &'a Result<Answer, String>,
) -> Option<&'a str> {
    let message = match (on, off) {
        (Err(message), Ok(_)) | (Ok(_), Err(message)) => message,
        _ => return None,
    };
    let of_a_value = ["out of range", "overflow"]
        .iter()
        .any(|words| message.to_lowercase().contains(words));
    let is_only_of_output =
        query.output_computes() && !query.drops_groups() && !query.conditions_compute();
    (of_a_value && !is_only_of_output).then_some(message)
}

fn is_bug(message: &str) -> bool {
    message.starts_with(super::world::BUG) || message.to_lowercase().contains("internal error")
}

fn shown(answer: &Result<Answer, String>) -> String {
    match answer {
        Ok(answer) => answer.to_text(SHOWN_ROWS),
        Err(message) => format!("error: {message}"),
    }
}
