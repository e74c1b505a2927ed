//! What counts as the same answer.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray};
use arrow::datatypes::{Field, Schema};
use owlet_engine::RowOrder;

use super::*;

const NAMES: [&str; 2] = ["with pushdown", "without"];

fn answer(rows: &[(Option<&str>, f64)]) -> Answer {
    let text: StringArray = rows.iter().map(|(text, _)| *text).collect();
    let floats = Float64Array::from_iter_values(rows.iter().map(|(_, float)| *float));
    let schema = Arc::new(Schema::new(vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("total", DataType::Float64, true),
    ]));
    let columns: Vec<ArrayRef> = vec![Arc::new(text), Arc::new(floats)];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).expect("a batch");
    let mut answer = Answer::new(schema, &std::env::temp_dir()).expect("an answer");
    answer.add(&batch).expect("added");
    answer.finish().expect("finished");
    answer
}

/// Without an order, or ordered by both columns.
fn verdict(left: &[(Option<&str>, f64)], right: &[(Option<&str>, f64)], ordered: bool) -> Verdict {
    let order = RowOrder {
        ordered,
        keys: if ordered { vec![0, 1] } else { Vec::new() },
        shows_all_keys: ordered,
        offset: 0,
        limit: None,
    };
    verdict_of(left, right, &order)
}

fn verdict_of(
    left: &[(Option<&str>, f64)],
    right: &[(Option<&str>, f64)],
    order: &RowOrder,
) -> Verdict {
    compare(&answer(left), &answer(right), NAMES, order).expect("compared")
}

/// `ORDER BY total LIMIT …`.
fn by_total(limit: Option<usize>) -> RowOrder {
    RowOrder {
        ordered: true,
        keys: vec![1],
        shows_all_keys: true,
        offset: 0,
        limit,
    }
}

#[test]
fn ties_come_in_any_order() {
    let left = [(Some("a"), 1.0), (Some("b"), 2.0), (Some("c"), 2.0)];
    let right = [(Some("a"), 1.0), (Some("c"), 2.0), (Some("b"), 2.0)];
    assert_eq!(verdict_of(&left, &right, &by_total(None)), Verdict::Equal);
    let wrong = [(Some("c"), 2.0), (Some("a"), 1.0), (Some("b"), 2.0)];
    assert!(matches!(
        verdict_of(&left, &wrong, &by_total(None)),
        Verdict::Different(Difference::Order(_))
    ));
}

#[test]
fn of_rows_tied_at_a_limit_any_are_right() {
    let left = [(Some("a"), 1.0), (Some("b"), 2.0), (Some("c"), 2.0)];
    let right = [(Some("a"), 1.0), (Some("d"), 2.0), (Some("b"), 2.0)];
    assert_eq!(
        verdict_of(&left, &right, &by_total(Some(3))),
        Verdict::EqualUpToTies(2)
    );
    // Without the limit, or with one that was not reached, all tied rows are there.
    for limit in [None, Some(4)] {
        assert!(matches!(
            verdict_of(&left, &right, &by_total(limit)),
            Verdict::Different(Difference::Rows(_))
        ));
    }
    // The first row is not tied with the last.
    let wrong = [(Some("x"), 1.0), (Some("d"), 2.0), (Some("b"), 2.0)];
    assert_eq!(
        verdict_of(&left, &wrong, &by_total(Some(3))),
        Verdict::Different(Difference::Rows(
            "with pushdown: 3 rows\nwithout: 3 rows\ncolumns: name, total\n\
             only with pushdown: a | 1.0\nonly without: x | 1.0"
                .to_owned()
        ))
    );
    // Neither is another key, nor a row less.
    let wrong = [(Some("a"), 1.0), (Some("b"), 2.0), (Some("c"), 3.0)];
    assert!(matches!(
        verdict_of(&left, &wrong, &by_total(Some(3))),
        Verdict::Different(Difference::Rows(_))
    ));
    assert!(matches!(
        verdict_of(&left, &left[..2], &by_total(Some(3))),
        Verdict::Different(Difference::Rows(_))
    ));
    // OFFSET cuts at the beginning.
    let order = RowOrder {
        offset: 1,
        ..by_total(None)
    };
    let right = [(Some("x"), 1.0), (Some("c"), 2.0), (Some("b"), 2.0)];
    assert_eq!(verdict_of(&left, &right, &order), Verdict::EqualUpToTies(1));
}

#[test]
fn without_the_keys_nothing_is_decided() {
    let left = [(Some("a"), 1.0), (Some("b"), 2.0)];
    let right = [(Some("a"), 1.0), (Some("c"), 3.0)];
    let hidden = RowOrder {
        keys: Vec::new(),
        shows_all_keys: false,
        ..by_total(Some(2))
    };
    assert!(matches!(
        verdict_of(&left, &right, &hidden),
        Verdict::Undecided(Undecided::HiddenKeys, Difference::Rows(_))
    ));
    let unordered = RowOrder {
        ordered: false,
        ..hidden
    };
    assert!(matches!(
        verdict_of(&left, &right, &unordered),
        Verdict::Undecided(Undecided::NoOrder, Difference::Rows(_))
    ));
}

#[test]
fn the_order_counts_only_where_the_statement_fixes_it() {
    let left = [(Some("a"), 1.0), (Some("b"), 2.0), (Some("a"), 1.0)];
    let right = [(Some("b"), 2.0), (Some("a"), 1.0), (Some("a"), 1.0)];
    assert_eq!(verdict(&left, &right, false), Verdict::Equal);
    assert_eq!(verdict(&left, &left, true), Verdict::Equal);
    assert_eq!(
        verdict(&left, &right, true),
        Verdict::Different(Difference::Order(
            "row 1 with pushdown: a | 1.0\nrow 1 without: b | 2.0".to_owned()
        ))
    );
}

#[test]
fn how_often_a_row_occurs_counts() {
    let left = [(Some("a"), 1.0), (Some("a"), 1.0), (None, 1.0)];
    let right = [(Some("a"), 1.0), (None, 1.0), (None, 1.0)];
    assert_eq!(
        verdict(&left, &right, false),
        Verdict::Different(Difference::Rows(
            "with pushdown: 3 rows\nwithout: 3 rows\ncolumns: name, total\n\
             only with pushdown: a | 1.0\nonly without: NULL | 1.0"
                .to_owned()
        ))
    );
}

#[test]
fn null_and_empty_text_differ() {
    assert!(matches!(
        verdict(&[(None, 1.0)], &[(Some(""), 1.0)], false),
        Verdict::Different(_)
    ));
}

#[test]
fn the_last_digits_of_floats_are_told_apart_from_differences() {
    let left = [(Some("a"), 0.1 + 0.2), (Some("b"), 5.0)];
    let right = [(Some("b"), 5.0), (Some("a"), 0.3)];
    assert_eq!(verdict(&left, &right, false), Verdict::EqualUpToRounding(1));
    let right = [(Some("b"), 5.0), (Some("a"), 0.300_001)];
    assert!(matches!(
        verdict(&left, &right, false),
        Verdict::Different(Difference::Rows(_))
    ));
    let right = [(Some("b"), 5.0), (Some("c"), 0.3)];
    assert!(matches!(
        verdict(&left, &right, false),
        Verdict::Different(Difference::Rows(_))
    ));
}
