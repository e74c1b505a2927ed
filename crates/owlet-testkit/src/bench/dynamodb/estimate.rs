//! Read capacity units that were estimated before, beside those that were consumed, over varied queries.

use futures::TryStreamExt;
use owlet_engine::{Engine, QueryOptions};
use serde_json::{Value, json};

use super::items::Numbers;
use super::{LoadedTable, endpoint};
use crate::Result;
use crate::bench::Options;
use crate::bench::report::{Measurement, Ratio, Report};
use crate::sources::{self, Catalogs};

/// Part of the table's name.
pub const PURPOSE: &str = "estimate";
/// Median of the relative errors.
const PROMISED_MEDIAN: f64 = 0.10;
/// Factor by which the sum of a path's estimates may be off.
const PROMISED_WORST: f64 = 2.0;
/// The smallest amount that a read consumes.
const LEAST_UNITS: f64 = 0.5;
/// Items of the table for so many items of the other benchmarks.
const SHARE: usize = 10;
const CUSTOMERS: u64 = 200;
const STATUSES: [&str; 5] = ["new", "paid", "packed", "shipped", "closed"];
const REGIONS: [&str; 8] = ["af", "an", "as", "eu", "na", "oc", "sa", "xx"];
const DAYS: u64 = 365;

/// A query, and which kind of access it is meant to exercise.
struct Question {
    kind: &'static str,
    sql: String,
}

/// What one query was thought to cost and did cost.
struct Outcome {
    kind: &'static str,
    sql: String,
    access: String,
    estimated: f64,
    consumed: f64,
}

impl Outcome {
    fn error(&self) -> f64 {
        (self.estimated - self.consumed).abs() / self.consumed.max(LEAST_UNITS)
    }

    fn factor(&self) -> f64 {
        factor(self.estimated, self.consumed)
    }
}

/// The greater over the smaller.
fn factor(estimated: f64, consumed: f64) -> f64 {
    let (estimated, consumed) = (estimated.max(LEAST_UNITS), consumed.max(LEAST_UNITS));
    (estimated / consumed).max(consumed / estimated)
}

pub async fn run(options: &Options) -> Result<Report> {
    let count = options.items / SHARE;
    let table = events(count).await?;
    let engine = sources::engine(&Catalogs {
        dynamodb: Some(endpoint()),
        ..Catalogs::default()
    })?;
    let questions = questions(&table.full_name(), count);
    let mut report = Report::new(
        "dynamodb-estimate",
        format!(
            "DynamoDB cost: estimated and consumed RCU of {} queries on {count} items",
            questions.len()
        ),
    );
    for (pass, title) in [(0, "first time"), (1, "asked again")] {
        let mut outcomes = Vec::with_capacity(questions.len());
        for question in &questions {
            outcomes.push(ask(&engine, question).await?);
        }
        summarize(&mut report, title, &outcomes, pass == 0);
    }
    report.notes.push(
        "Error: |estimated − consumed| ÷ consumed; factor: the greater over the smaller; both with at least 0.5 RCU, the \
         smallest amount a read consumes; an access path's factor is that of its sums. Estimates are made before the query \
         runs. The promise is about the first time; when asked again, estimates may have learned from what was counted. The \
         worst single queries read partitions of unusual size, which nobody knows before they were read once."
            .to_owned(),
    );
    Ok(report)
}

fn summarize(report: &mut Report, title: &str, outcomes: &[Outcome], is_promised: bool) {
    let mut kinds: Vec<&str> = Vec::new();
    for outcome in outcomes {
        if !kinds.contains(&outcome.kind) {
            kinds.push(outcome.kind);
        }
    }
    let mut worst_path = f64::NAN;
    for kind in kinds {
        let of_kind = |value: fn(&Outcome) -> f64| -> Vec<f64> {
            outcomes
                .iter()
                .filter(|outcome| outcome.kind == kind)
                .map(value)
                .collect()
        };
        let subject = format!("{kind}, {title}");
        let estimated: f64 = of_kind(|outcome| outcome.estimated).iter().sum();
        let consumed: f64 = of_kind(|outcome| outcome.consumed).iter().sum();
        worst_path = worst_path.max(factor(estimated, consumed));
        report.measurements.extend([
            Measurement::new(&subject, "estimated, all queries", "RCU", vec![estimated]),
            Measurement::new(&subject, "consumed, all queries", "RCU", vec![consumed]),
            Measurement::new(
                &subject,
                "relative error a query",
                "",
                of_kind(Outcome::error),
            ),
        ]);
    }
    let mut errors: Vec<f64> = outcomes.iter().map(Outcome::error).collect();
    errors.sort_by(f64::total_cmp);
    let median = errors.get(errors.len() / 2).copied().unwrap_or(f64::NAN);
    let mut by_factor: Vec<&Outcome> = outcomes.iter().collect();
    by_factor.sort_by(|left, right| right.factor().total_cmp(&left.factor()));
    let worst = by_factor
        .first()
        .map_or(f64::NAN, |outcome| outcome.factor());
    let median = Ratio::new(format!("median error, {title}"), median);
    let worst_path = Ratio::new(format!("worst access path, {title}"), worst_path);
    report.ratios.extend(if is_promised {
        [
            median.at_most(PROMISED_MEDIAN),
            worst_path.at_most(PROMISED_WORST),
        ]
    } else {
        [median, worst_path]
    });
    report
        .ratios
        .push(Ratio::new(format!("worst single query, {title}"), worst));
    for outcome in by_factor
        .iter()
        .take(5)
        .filter(|outcome| outcome.factor() > 1.0)
    {
        report.notes.push(format!(
            "Among the worst, {title}: {:.1} estimated, {:.1} consumed ({}): `{}`",
            outcome.estimated, outcome.consumed, outcome.access, outcome.sql
        ));
    }
}

async fn ask(engine: &Engine, question: &Question) -> Result<Outcome> {
    let plan = engine
        .plan(&question.sql, &QueryOptions::default())
        .await
        .map_err(|error| format!("{}: {error}", question.sql))?;
    let estimated = plan
        .explanation()
        .estimated_rcu()
        .ok_or_else(|| format!("{}: no estimate", question.sql))?;
    let mut stream = plan.execute()?;
    while stream.try_next().await?.is_some() {}
    let sources = stream.work_report().sources;
    Ok(Outcome {
        kind: question.kind,
        sql: question.sql.clone(),
        access: sources
            .first()
            .map(|source| source.access.clone())
            .unwrap_or_default(),
        estimated,
        consumed: sources
            .iter()
            .filter_map(|source| source.rcu_consumed)
            .sum(),
    })
}

/// Events of customers by day, with two global indexes and a local one.
async fn events(count: usize) -> Result<LoadedTable> {
    let table = LoadedTable::named(PURPOSE);
    let key = |hash: &str, range: &str| {
        json!([
            { "AttributeName": hash, "KeyType": "HASH" },
            { "AttributeName": range, "KeyType": "RANGE" },
        ])
    };
    let document = json!({
        "TableName": table.name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            { "AttributeName": "customer", "AttributeType": "S" },
            { "AttributeName": "event", "AttributeType": "N" },
            { "AttributeName": "status", "AttributeType": "S" },
            { "AttributeName": "day", "AttributeType": "S" },
            { "AttributeName": "region", "AttributeType": "S" },
            { "AttributeName": "amount", "AttributeType": "N" },
        ],
        "KeySchema": key("customer", "event"),
        "GlobalSecondaryIndexes": [
            { "IndexName": "by_status", "KeySchema": key("status", "day"), "Projection": { "ProjectionType": "ALL" } },
            { "IndexName": "by_region", "KeySchema": key("region", "day"), "Projection": { "ProjectionType": "KEYS_ONLY" } },
        ],
        "LocalSecondaryIndexes": [
            { "IndexName": "by_amount", "KeySchema": key("customer", "amount"), "Projection": { "ProjectionType": "ALL" } },
        ],
    });
    table.database.create(&table.name, &document).await?;
    table.fill(count, event).await?;
    Ok(table)
}

fn customer(number: u64) -> String {
    format!("customer-{number:05}")
}

fn day(number: u64) -> String {
    let first = chrono::NaiveDate::default();
    (first + chrono::Days::new(number % DAYS)).to_string()
}

/// Few customers have many events; items have 200 to 1,400 bytes, some 9 KB.
fn event(number: usize) -> Value {
    let mut numbers = Numbers::new(number);
    let spread = numbers.below(CUSTOMERS);
    let of_customer = spread * numbers.below(CUSTOMERS) / CUSTOMERS;
    let bytes = if numbers.below(100) == 0 {
        9_000
    } else {
        150 + numbers.below(1_200)
    };
    json!({
        "customer": { "S": customer(of_customer) },
        "event": { "N": number.to_string() },
        "status": { "S": STATUSES[numbers.below(STATUSES.len() as u64) as usize] },
        "day": { "S": day(numbers.below(DAYS)) },
        "region": { "S": REGIONS[numbers.below(REGIONS.len() as u64) as usize] },
        "amount": { "N": numbers.below(10_000).to_string() },
        "payload": { "S": "p".repeat(bytes as usize) },
    })
}

/// The fifty queries.
fn questions(table: &str, count: usize) -> Vec<Question> {
    let mut questions = Vec::new();
    let mut numbers = Numbers::new(50);
    let mut add = |kind: &'static str, select: &str, condition: String| {
        questions.push(Question {
            kind,
            sql: format!("SELECT {select} FROM {table} {condition}"),
        });
    };
    let of = |number: usize| {
        let item = event(number);
        item["customer"]["S"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    for _ in 0..6 {
        let number = numbers.below(count as u64) as usize;
        add(
            "GetItem",
            "*",
            format!("WHERE customer = '{}' AND event = {number}", of(number)),
        );
    }
    for keys in [2, 20, 150] {
        let wanted: Vec<String> = (0..keys)
            .map(|_| {
                let number = numbers.below(count as u64) as usize;
                format!("(customer = '{}' AND event = {number})", of(number))
            })
            .collect();
        add("keys by OR", "*", format!("WHERE {}", wanted.join(" OR ")));
    }
    for number in [0, 1, 5, 20, 60, 100, 140, 180] {
        add(
            "partition",
            "*",
            format!("WHERE customer = '{}'", customer(number)),
        );
    }
    for (number, part) in [(0, 4), (2, 2), (8, 10), (30, 3), (90, 2)] {
        add(
            "sort key range",
            "*",
            format!(
                "WHERE customer = '{}' AND event < {}",
                customer(number),
                count / part
            ),
        );
    }
    add(
        "several partitions",
        "event, amount",
        format!(
            "WHERE customer IN ('{}', '{}', '{}')",
            customer(3),
            customer(33),
            customer(93)
        ),
    );
    add(
        "several partitions",
        "*",
        format!(
            "WHERE customer = '{}' OR customer = '{}'",
            customer(10),
            customer(70)
        ),
    );
    for status in ["new", "closed"] {
        add("index", "*", format!("WHERE status = '{status}'"));
    }
    add(
        "index",
        "*",
        format!("WHERE status = 'paid' AND day = '{}'", day(40)),
    );
    add(
        "index",
        "*",
        format!(
            "WHERE status = 'paid' AND day BETWEEN '{}' AND '{}'",
            day(40),
            day(100)
        ),
    );
    add(
        "index",
        "*",
        "WHERE status = 'packed' AND day LIKE '1970-03-%'".to_owned(),
    );
    add(
        "index",
        "*",
        format!("WHERE status = 'shipped' AND day >= '{}'", day(300)),
    );
    add(
        "index",
        "amount",
        format!("WHERE status IN ('new', 'paid') AND day > '{}'", day(350)),
    );
    add(
        "keys-only index",
        "customer, event",
        "WHERE region = 'eu'".to_owned(),
    );
    add(
        "keys-only index",
        "customer, day",
        format!("WHERE region = 'na' AND day < '{}'", day(60)),
    );
    add(
        "keys-only index",
        "count(*)",
        "WHERE region = 'as'".to_owned(),
    );
    for (number, amount) in [(1, 9_000), (6, 5_000)] {
        add(
            "local index",
            "*",
            format!(
                "WHERE customer = '{}' AND amount >= {amount}",
                customer(number)
            ),
        );
    }
    add("scan", "*", String::new());
    add("scan", "count(*)", String::new());
    add("scan", "customer, amount", String::new());
    add("scan with filter", "*", "WHERE amount > 9900".to_owned());
    add(
        "scan with filter",
        "event",
        "WHERE payload LIKE 'ppp%' AND amount = 77".to_owned(),
    );
    add(
        "scan with filter",
        "sum(amount)",
        "WHERE event > 100".to_owned(),
    );
    add("limit", "*", "LIMIT 10".to_owned());
    add("limit", "*", "LIMIT 1000".to_owned());
    add(
        "limit",
        "*",
        format!("WHERE customer = '{}' LIMIT 5", customer(0)),
    );
    add(
        "limit",
        "*",
        format!(
            "WHERE customer = '{}' ORDER BY event DESC LIMIT 10",
            customer(4)
        ),
    );
    add(
        "limit",
        "*",
        "WHERE status = 'closed' ORDER BY day LIMIT 20".to_owned(),
    );
    add(
        "count of a partition",
        "count(*)",
        format!("WHERE customer = '{}'", customer(0)),
    );
    add(
        "count of a partition",
        "count(*)",
        format!("WHERE customer = '{}'", customer(50)),
    );
    add(
        "count of a partition",
        "count(*)",
        format!("WHERE status = 'new' AND day < '{}'", day(180)),
    );
    questions
}
