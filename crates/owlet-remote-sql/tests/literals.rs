//! Constants cannot break out of their quotes: a tokenizer of each source's lexical rules reads back exactly the
//! text that went in, and nothing else is left.

use owlet_connector::Literal;
use owlet_remote_sql::Dialect;
use owlet_remote_sql::postgres::PostgresDialect;
use owlet_remote_sql::sqlite::SqliteDialect;
use proptest::prelude::*;

/// Reads one string constant at the beginning of `sql` by the rules of the SQL standard, which PostgreSQL (with
/// `standard_conforming_strings`) and SQLite follow: two quotes are a quote, one ends the constant, every other
/// character stands for itself. Returns the value and what follows.
fn read_string(sql: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = sql.strip_prefix('\'')?;
    loop {
        let quote = rest.find('\'')?;
        value.push_str(&rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.strip_prefix('\'') {
            Some(after) => {
                value.push('\'');
                rest = after;
            }
            None => return Some((value, rest)),
        }
    }
}

/// Texts rich in the characters that end, escape or comment.
fn nasty_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("'".to_owned()),
        Just("''".to_owned()),
        Just("\\".to_owned()),
        Just("\\'".to_owned()),
        Just("--".to_owned()),
        Just("/*".to_owned()),
        Just("*/".to_owned()),
        Just(";".to_owned()),
        Just("$$".to_owned()),
        Just("E'".to_owned()),
        Just("\n".to_owned()),
        Just("\"".to_owned()),
        Just("\u{2019}".to_owned()),
        Just("::text".to_owned()),
        any::<char>().prop_map(String::from),
        "[a-z]{1,4}",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn text_constants_read_back(text in nasty_text()) {
        let postgres = PostgresDialect::new().literal(&Literal::text(text.as_str()));
        let sqlite = SqliteDialect::new().literal(&Literal::text(text.as_str()));
        if text.contains('\0') {
            prop_assert!(postgres.is_err() && sqlite.is_err());
        } else {
            let postgres = postgres.expect("spelled");
            prop_assert_eq!(read_string(&postgres), Some((text.clone(), "::text")));
            let sqlite = sqlite.expect("spelled");
            prop_assert_eq!(read_string(&sqlite), Some((text.clone(), "")));
        }
    }

    #[test]
    fn identifiers_read_back(name in nasty_text()) {
        for quoted in [
            PostgresDialect::new().quote_identifier(&name),
            SqliteDialect::new().quote_identifier(&name),
        ] {
            let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).expect("in quotes");
            prop_assert_eq!(inner.replace("\"\"", "\""), name.clone());
            prop_assert!(!inner.replace("\"\"", "").contains('"'));
        }
    }

    #[test]
    fn doubles_read_back_in_postgres_text(bits in any::<u64>()) {
        let double = f64::from_bits(bits);
        let spelled = PostgresDialect::new().literal(&Literal::float64(double)).expect("spelled");
        let (text, rest) = read_string(&spelled).expect("a string");
        prop_assert_eq!(rest, "::float8");
        if double.is_nan() {
            prop_assert_eq!(text, "NaN");
        } else {
            let back: f64 = text.replace("Infinity", "inf").parse().expect("a number");
            prop_assert_eq!(back.to_bits(), bits);
        }
    }
}
