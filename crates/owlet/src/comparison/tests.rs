//! What counts as the same answer.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray};
use arrow::datatypes::{Field, Schema};

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

fn verdict(left: &[(Option<&str>, f64)], right: &[(Option<&str>, f64)], ordered: bool) -> Verdict {
    compare(&answer(left), &answer(right), NAMES, ordered).expect("compared")
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
