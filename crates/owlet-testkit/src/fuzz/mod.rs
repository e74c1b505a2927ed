//! The differential fuzzer: random tables with traps, random queries; the answer with pushdown, the answer
//! without, and the source's own answer must be the same. Deterministic by seed.

pub mod check;
pub mod generate;
pub mod query;
pub mod render;
pub mod schema;
pub mod shrink;
pub mod value;
pub mod world;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use owlet_engine::Pushdown;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::Result;
use check::{Difference, Verdict, check};
use generate::Generator;
use query::Query;
use schema::{Home, Table};
use world::{Servers, World};

const QUERIES_PER_CASE: usize = 40;
const SHRINK_STEPS: usize = 150;
const ROW_SHRINK_STEPS: usize = 40;

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long new cases are begun.
    pub duration: Duration,
    /// Seed of the whole run.
    pub seed: u64,
    /// Only this case of the run, to reproduce.
    pub only_case: Option<u64>,
    /// Only cases whose tables are all in these sources.
    pub homes: Vec<Home>,
    /// Go on after a difference, and report this many.
    pub differences: usize,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Summary {
    /// Cases (sets of tables).
    pub cases: u64,
    /// Queries.
    pub queries: u64,
    /// Of these, compared with the source's own answer too.
    pub with_source: u64,
    /// Queries that fail in both modes, by the beginning of their message.
    pub failed: BTreeMap<String, u64>,
    /// Reports of differences.
    pub differences: Vec<String>,
}

/// Runs until the time is over or enough differences are found.
pub async fn fuzz(options: &Options) -> Result<Summary> {
    let servers = Servers::open().await?;
    let mut summary = Summary::default();
    let started = Instant::now();
    let first = options.only_case.unwrap_or(0);
    for case in first.. {
        let is_enough = summary.differences.len() >= options.differences;
        if is_enough
            || started.elapsed() > options.duration
            || (options.only_case.is_some() && case > first)
        {
            break;
        }
        fuzz_case(&servers, options, case, &mut summary).await?;
        summary.cases += 1;
    }
    servers.database.drop_database().await?;
    Ok(summary)
}

async fn fuzz_case(
    servers: &Servers,
    options: &Options,
    case: u64,
    summary: &mut Summary,
) -> Result<()> {
    let mut random = StdRng::seed_from_u64(options.seed ^ case.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let tables = random_tables(case, &mut random);
    let schema = format!("case{case}");
    if !tables
        .iter()
        .all(|table| options.homes.contains(&table.home))
    {
        return Ok(());
    }
    let world = World::load(servers, &schema, &tables).await?;
    for _ in 0..QUERIES_PER_CASE {
        let query = Generator::new(&tables, &mut random).query();
        summary.queries += 1;
        match check(&world, &tables, &schema, &query).await {
            Verdict::Agreed { with_source } => summary.with_source += u64::from(with_source),
            Verdict::FailedEverywhere(message) => {
                let beginning: String = message.chars().take(110).collect();
                *summary.failed.entry(beginning).or_default() += 1;
            }
            Verdict::Differs(difference) => {
                let report =
                    report(servers, options, case, &world, &tables, query, difference).await?;
                eprintln!("{report}");
                summary.differences.push(report);
                if summary.differences.len() >= options.differences {
                    break;
                }
            }
        }
    }
    world.drop_tables().await
}

/// Tables of one case: mostly two or more of one source, so that joins are pushed down.
pub fn random_tables(case: u64, random: &mut StdRng) -> Vec<Table> {
    let mut homes = match random.random_range(0..14) {
        0..=4 => vec![Home::Postgres, Home::Postgres],
        5..=6 => vec![Home::Sqlite, Home::Sqlite],
        7 => vec![Home::Postgres, Home::Sqlite],
        8 => vec![Home::Postgres, Home::DynamoDb],
        9..=11 => vec![Home::Mysql, Home::Mysql],
        12 => vec![Home::Mysql, Home::Postgres],
        _ => vec![Home::Postgres, Home::Sqlite, Home::Postgres],
    };
    if random.random_bool(0.3) {
        homes.push(homes[0]);
    }
    homes
        .into_iter()
        .enumerate()
        .map(|(index, home)| Table::random(format!("fuzz_{case}_{index}"), home, random))
        .collect()
}

/// Shrinks the query, then the rows, and writes everything down that another person needs.
async fn report(
    servers: &Servers,
    options: &Options,
    case: u64,
    world: &World<'_>,
    tables: &[Table],
    mut query: Query,
    mut difference: Difference,
) -> Result<String> {
    let schema = format!("case{case}");
    let mut steps = 0;
    'shrinking: loop {
        for variant in shrink::smaller(&query) {
            steps += 1;
            if steps > SHRINK_STEPS {
                break 'shrinking;
            }
            if let Verdict::Differs(smaller) = check(world, tables, &schema, &variant).await {
                (query, difference) = (variant, smaller);
                continue 'shrinking;
            }
        }
        break;
    }
    let small_schema = format!("case{case}_small");
    let mut small_tables: Vec<Table> = tables.to_vec();
    for (index, table) in small_tables.iter_mut().enumerate() {
        table.name = format!("{}_small", table.name);
        if !query.tables.contains(&index) {
            table.rows.clear();
        }
    }
    let mut small = World::load(servers, &small_schema, &small_tables).await?;
    let mut shown = world;
    if let Verdict::Differs(smaller) = check(&small, &small_tables, &small_schema, &query).await {
        difference = smaller;
        let mut steps = 0;
        let mut size = small_tables
            .iter()
            .map(|table| table.rows.len())
            .max()
            .unwrap_or(0)
            .div_ceil(2);
        while size > 0 && steps < ROW_SHRINK_STEPS {
            let mut progress = false;
            for index in 0..small_tables.len() {
                let mut start = 0;
                while start < small_tables[index].rows.len() && steps < ROW_SHRINK_STEPS {
                    steps += 1;
                    let mut candidate = small_tables.clone();
                    let end = (start + size).min(candidate[index].rows.len());
                    candidate[index].rows.drain(start..end);
                    let next = World::load(servers, &small_schema, &candidate).await?;
                    match check(&next, &candidate, &small_schema, &query).await {
                        Verdict::Differs(smaller) => {
                            (difference, small_tables, progress) = (smaller, candidate, true);
                        }
                        _ => start += size,
                    }
                }
            }
            if !progress || size > 1 {
                size /= 2;
            }
        }
        // The last candidate may have been one without the difference.
        small = World::load(servers, &small_schema, &small_tables).await?;
        shown = &small;
    }
    let plans = [
        (
            "plan with pushdown",
            shown.explain(&difference.sql, Pushdown::On).await,
        ),
        (
            "plan without pushdown",
            shown.explain(&difference.sql, Pushdown::Off).await,
        ),
    ];
    let mut text = format!(
        "\n════ DIFFERENCE ════ seed {} case {case}\nreproduce: cargo xtask fuzz-pushdown --seed {} --case {case}\n\n{}\n",
        options.seed,
        options.seed,
        shown.script()
    );
    text.push_str(&format!("-- Owlet\n{};\n", difference.sql));
    if let Some(native) = &difference.native_sql {
        text.push_str(&format!("-- the source\n{native};\n"));
    }
    text.push_str(&format!("\n{}\n\n", difference.sentence));
    for (name, answer) in &difference.answers {
        text.push_str(&format!("{name}:\n{answer}\n"));
    }
    for (name, plan) in &plans {
        text.push_str(&format!("{name}:\n{plan}\n"));
    }
    text.push_str("════\n");
    small.drop_tables().await?;
    Ok(text)
}
