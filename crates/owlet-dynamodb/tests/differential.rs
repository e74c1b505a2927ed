//! Random items and predicates: the filtered answer of the connector equals the whole table filtered in memory.

mod support;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use futures::TryStreamExt as _;
use owlet_connector::{
    Budget, CastFailure, CompareOperator, Connector as _, Exactness, Expression, Literal,
    LiteralValue, QueryWork, ScanContext, ScanDescription, ScanRequest, Truth,
};
use owlet_dynamodb::{DynamoDbConnector, DynamoDbOptions, OnTypeMismatch};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use support::oracle::truth;
use support::{Index, Source, TestTable, options};
use tokio_util::sync::CancellationToken;

const ITEMS: usize = 150;
const PREDICATES: usize = 400;

const TEXTS: [&str; 12] = [
    "",
    "a",
    "ab",
    "abc",
    "b",
    "A",
    "é",
    "é%",
    "100%",
    "a_b",
    "\u{1F600}",
    "zz",
];
const INTEGERS: [i64; 9] = [
    0,
    1,
    -1,
    5,
    9_007_199_254_740_993,
    9_007_199_254_740_992,
    i64::MIN,
    i64::MAX,
    42,
];
const DECIMALS: [&str; 7] = [
    "0",
    "1.5",
    "-1.5",
    "10.25",
    "99999999999999999999999999999999.25",
    "0.01",
    "5",
];
const DOUBLES: [&str; 7] = [
    "0.1",
    "1E100",
    "-1E-100",
    "3.141592653589793",
    "0.1000000000000000055",
    "2",
    "1E-130",
];

/// The value of one attribute: missing, NULL, or one of its type.
fn maybe(random: &mut StdRng, value: Value) -> Option<Value> {
    match random.random_range(0..10) {
        0 | 1 => None,
        2 => Some(json!({"NULL": true})),
        _ => Some(value),
    }
}

fn pick<T: Clone>(random: &mut StdRng, values: &[T]) -> T {
    values.choose(random).expect("there are values").clone()
}

fn item(random: &mut StdRng, number: usize) -> Value {
    let mut item = json!({
        "pk": {"S": format!("p{}", number % 12)},
        "sk": {"N": (number / 12).to_string()},
    });
    let member = pick(random, &TEXTS);
    let attributes = [
        ("t", json!({"S": pick(random, &TEXTS)})),
        ("i", json!({"N": pick(random, &INTEGERS).to_string()})),
        ("d", json!({"N": pick(random, &DECIMALS)})),
        ("f", json!({"N": pick(random, &DOUBLES)})),
        ("b", json!({"BOOL": random.random_bool(0.5)})),
        (
            "x",
            json!({"B": pick(random, &["", "AA==", "AAA=", "/w==", "YQ=="])}),
        ),
        (
            "m",
            json!({"M": {"T": {"S": member}, "n": {"N": pick(random, &INTEGERS).to_string()}}}),
        ),
        ("s", json!({"SS": [format!("a{}", pick(random, &TEXTS))]})),
        (
            "mixed",
            if random.random_bool(0.5) {
                json!({"S": "a"})
            } else {
                json!({"N": "1"})
            },
        ),
    ];
    for (name, value) in attributes {
        if let Some(value) = maybe(random, value) {
            item[name] = value;
        }
    }
    // Index keys are never NULL; some items lack them.
    if random.random_bool(0.7) {
        item["g"] = json!({"S": pick(random, &["g1", "g2", "g3"])});
    }
    if random.random_bool(0.6) {
        item["gs"] = json!({"S": pick(random, &["a", "ab", "abc", "b", "z"])});
    }
    item
}

struct Generator<'s> {
    source: &'s Source,
    random: StdRng,
}

impl Generator<'_> {
    fn operator(&mut self) -> CompareOperator {
        use CompareOperator::*;
        pick(
            &mut self.random,
            &[
                Equal,
                Equal,
                NotEqual,
                Less,
                LessOrEqual,
                Greater,
                GreaterOrEqual,
                DistinctFrom,
                NotDistinctFrom,
            ],
        )
    }

    fn literal(&mut self, column: &str) -> Literal {
        if self.random.random_bool(0.06) {
            let data_type = self.source.metadata.columns[self.source.position(column)]
                .data_type
                .clone();
            return Literal::null(data_type);
        }
        let random = &mut self.random;
        match column {
            "pk" => Literal::text(format!("p{}", random.random_range(0..14))),
            "sk" => Literal::int64(random.random_range(-1..14)),
            "g" => Literal::text(pick(random, &["g1", "g2", "g4", ""])),
            "gs" => Literal::text(pick(random, &["a", "ab", "b", "", "q"])),
            "t" | "m.t" => Literal::text(pick(random, &TEXTS)),
            "i" | "m.n" => Literal::int64(pick(random, &INTEGERS)),
            "d" => {
                let value = pick(
                    random,
                    &[
                        0_i128,
                        150,
                        -150,
                        1025,
                        9_999_999_999_999_999_999_999_999_999_999_925,
                        1,
                    ],
                );
                Literal {
                    value: LiteralValue::Integer(value),
                    data_type: DataType::Decimal128(38, 2),
                }
            }
            "f" | "d as double" | "i as double" => Literal::float64(pick(
                random,
                &[
                    0.1,
                    1e100,
                    0.0,
                    -0.0,
                    2.0,
                    f64::MAX,
                    1.5,
                    9_007_199_254_740_992.0,
                ],
            )),
            "b" => Literal::boolean(random.random_bool(0.5)),
            "x" => {
                let bytes = pick(random, &[vec![], vec![0], vec![0, 0], vec![255], vec![97]]);
                Literal {
                    value: LiteralValue::Binary(bytes),
                    data_type: DataType::Binary,
                }
            }
            other => panic!("no constants for {other}"),
        }
    }

    fn operand(&self, column: &str) -> Expression {
        let cast = |name: &str| Expression::Cast {
            expression: Box::new(self.source.column(name)),
            data_type: DataType::Float64,
            on_failure: CastFailure::Error,
        };
        let field = |name: &str, data_type: DataType| Expression::Field {
            expression: Box::new(self.source.column("m")),
            name: name.to_owned(),
            data_type,
        };
        match column {
            "m.t" => field("t", DataType::Utf8),
            "m.n" => field("n", DataType::Int64),
            "d as double" => cast("d"),
            "i as double" => cast("i"),
            other => self.source.column(other),
        }
    }

    fn leaf(&mut self) -> Expression {
        let comparable = [
            "pk",
            "pk",
            "sk",
            "g",
            "gs",
            "t",
            "t",
            "i",
            "d",
            "f",
            "b",
            "x",
            "m.t",
            "m.n",
            "d as double",
            "i as double",
        ];
        let column = pick(&mut self.random, &comparable);
        let real = match column {
            "d as double" => "d",
            "i as double" => "i",
            "m.t" => "t",
            "m.n" => "i",
            other => other,
        };
        match self.random.random_range(0..10) {
            0 => Expression::IsNull(Box::new(self.nullable())),
            1 => Expression::IsNotNull(Box::new(self.nullable())),
            2 | 3 => {
                let count = self.random.random_range(1..5);
                let list = (0..count)
                    .map(|_| Expression::Literal(self.list_literal(column, real)))
                    .collect();
                Expression::InList {
                    expression: Box::new(self.operand(column)),
                    list,
                    negated: self.random.random_bool(0.3),
                }
            }
            4 | 5 => {
                let column = pick(&mut self.random, &["t", "gs", "m.t", "pk"]);
                let patterns = [
                    "a%", "%b%", "%", "abc", "_b%", "é%", r"100\%", "a_", "p1%", "", "%a", "a%c",
                ];
                Expression::Like {
                    expression: Box::new(self.operand(column)),
                    pattern: Box::new(Expression::Literal(Literal::text(pick(
                        &mut self.random,
                        &patterns,
                    )))),
                    escape: None,
                    negated: self.random.random_bool(0.3),
                    case_insensitive: false,
                }
            }
            6 if column == "b" => self.source.column("b"),
            _ => {
                let literal = self.list_literal(column, real);
                Expression::Compare {
                    operator: self.operator(),
                    left: Box::new(self.operand(column)),
                    right: Box::new(Expression::Literal(literal)),
                }
            }
        }
    }

    /// A NULL constant has the type of what it is compared with.
    fn list_literal(&mut self, column: &str, real: &str) -> Literal {
        let wanted = if column.ends_with("as double") || column.contains('.') {
            column
        } else {
            real
        };
        if wanted.contains(' ') || wanted.contains('.') {
            let mut literal = self.literal_of(wanted);
            if literal.is_null() {
                literal.data_type = self.operand(column).data_type();
            }
            return literal;
        }
        self.literal(real)
    }

    fn literal_of(&mut self, column: &str) -> Literal {
        // Composite names have no column for the NULL case.
        if self.random.random_bool(0.06) {
            return Literal::null(DataType::Null);
        }
        loop {
            let literal = match column {
                "m.t" => self.literal("t"),
                "m.n" => self.literal("i"),
                _ => self.literal("f"),
            };
            if !literal.is_null() {
                return literal;
            }
        }
    }

    fn nullable(&mut self) -> Expression {
        let columns = [
            "pk", "sk", "g", "gs", "t", "i", "d", "f", "b", "x", "m", "s", "mixed", "m.t", "m.n",
        ];
        let column = pick(&mut self.random, &columns);
        self.operand(column)
    }

    fn predicate(&mut self, depth: usize) -> Expression {
        if depth == 0 {
            return self.leaf();
        }
        match self.random.random_range(0..10) {
            0 | 1 => Expression::And((0..2).map(|_| self.predicate(depth - 1)).collect()),
            2..=4 => Expression::Or((0..2).map(|_| self.predicate(depth - 1)).collect()),
            5 => Expression::Not(Box::new(self.predicate(depth - 1))),
            6 => Expression::Is {
                expression: Box::new(self.predicate(depth - 1)),
                truth: pick(
                    &mut self.random,
                    &[Truth::True, Truth::False, Truth::Unknown],
                ),
                negated: self.random.random_bool(0.5),
            },
            _ => self.leaf(),
        }
    }
}

async fn read(source: &Source, request: &ScanRequest) -> (Vec<Exactness>, RecordBatch, String) {
    let plan = source
        .connector
        .plan_scan(request)
        .await
        .unwrap_or_else(|error| panic!("{error}: {request:?}"));
    let work = QueryWork::new(Budget::default()).recorder(ScanDescription::default());
    let mut batches = Vec::new();
    for split in 0..plan.splits.len() {
        let context = ScanContext {
            batch_rows: 64,
            dynamic_filters: Vec::new(),
            work: Arc::clone(&work),
            cancellation: CancellationToken::new(),
        };
        let read: Vec<RecordBatch> = source
            .connector
            .open(&plan, split, context)
            .try_collect()
            .await
            .unwrap_or_else(|error| panic!("{error}: {plan:?}"));
        batches.extend(read);
    }
    let schema = Arc::new(plan.schema.clone());
    let batch = concat_batches(&schema, &batches).expect("batches have one schema");
    (
        plan.filters,
        batch,
        format!("{}: {}", plan.access, plan.remote),
    )
}

/// Position of the rows by key, for comparisons.
fn keys(
    batch: &RecordBatch,
    rows: impl Iterator<Item = usize>,
    key: [usize; 2],
) -> Vec<Vec<String>> {
    let texts = support::text_rows(batch);
    let mut found: Vec<Vec<String>> = rows
        .map(|row| key.map(|column| texts[row][column].clone()).to_vec())
        .collect();
    found.sort();
    found
}

async fn run(seed: u64, on_type_mismatch: OnTypeMismatch) {
    let mut random = StdRng::seed_from_u64(seed);
    let indexes = [
        Index::global("by_g", &[("g", "S")]),
        Index::global("by_g_gs", &[("g", "S"), ("gs", "S")]),
        Index {
            local: true,
            ..Index::global("by_pk_gs", &[("pk", "S"), ("gs", "S")])
        },
    ];
    let table = TestTable::create("random", &[("pk", "S"), ("sk", "N")], &indexes).await;
    let items: Vec<Value> = (0..ITEMS).map(|number| item(&mut random, number)).collect();
    table.put(&items).await;
    // One of the numbers rounds as a double, so inference would choose text.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let overrides = folder.path().join("schema.toml");
    let declared = format!("[tables.\"{}\".columns]\nf = \"double\"\n", table.name);
    std::fs::write(&overrides, declared).expect("the file is writable");
    let options = DynamoDbOptions {
        on_type_mismatch,
        schema_overrides: Some(overrides),
        ..options()
    };
    let source = Source::open(
        DynamoDbConnector::new("events", options).expect("valid"),
        &table,
    )
    .await;
    let columns: Vec<String> = source
        .metadata
        .columns
        .iter()
        .map(|column| column.name.clone())
        .collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let key = [source.position("pk"), source.position("sk")];
    let (_, whole, _) = read(&source, &source.request(&columns, Vec::new())).await;
    assert_eq!(whole.num_rows(), ITEMS);
    let mut generator = Generator {
        source: &source,
        random,
    };
    let mut exact = 0;
    for number in 0..PREDICATES {
        let count = generator.random.random_range(1..4);
        let filters: Vec<Expression> = (0..count).map(|_| generator.predicate(2)).collect();
        let request = source.request(&columns, filters.clone());
        let (exactness, batch, how) = read(&source, &request).await;
        let passes = |batch: &RecordBatch, row: usize, filters: &[&Expression]| {
            filters
                .iter()
                .all(|filter| truth(filter, batch, row) == Some(true))
        };
        let all: Vec<&Expression> = filters.iter().collect();
        let expected = keys(
            &whole,
            (0..ITEMS).filter(|row| passes(&whole, *row, &all)),
            key,
        );
        let found = keys(
            &batch,
            (0..batch.num_rows()).filter(|row| passes(&batch, *row, &all)),
            key,
        );
        assert_eq!(
            found, expected,
            "seed {seed}, predicate {number}, {how}\n{filters:#?}"
        );
        let claimed: Vec<&Expression> = filters
            .iter()
            .zip(&exactness)
            .filter(|(_, exactness)| **exactness == Exactness::Exact)
            .map(|(filter, _)| filter)
            .collect();
        exact += claimed.len();
        let wrong = (0..batch.num_rows()).find(|row| !passes(&batch, *row, &claimed));
        assert_eq!(
            wrong, None,
            "seed {seed}, predicate {number}: called exact, {how}\n{claimed:#?}"
        );
        // Counting must agree when everything is exact.
        if claimed.len() == filters.len() {
            let counted = read(&source, &source.request(&[], filters.clone())).await.1;
            assert_eq!(
                counted.num_rows(),
                expected.len(),
                "seed {seed}, predicate {number}, {how}\n{filters:#?}"
            );
        }
    }
    assert!(exact > PREDICATES / 2, "only {exact} filters were exact");
}

#[tokio::test]
async fn filters_answer_like_memory() {
    run(1, OnTypeMismatch::Error).await;
    run(2, OnTypeMismatch::Error).await;
}

#[tokio::test]
async fn filters_answer_like_memory_when_mismatches_are_null() {
    run(3, OnTypeMismatch::Null).await;
}
