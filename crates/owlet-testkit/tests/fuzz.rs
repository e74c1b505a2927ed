//! The fuzzer's own soundness: what it calls a source's own answer must be one.

use owlet_testkit::fuzz::generate::Generator;
use owlet_testkit::fuzz::random_tables;
use owlet_testkit::fuzz::render::Renderer;
use owlet_testkit::fuzz::schema::Home;
use owlet_testkit::fuzz::value::Target;
use owlet_testkit::fuzz::world::{Servers, World};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// A portable rendering that its source refuses would silently compare nothing.
#[tokio::test]
async fn portable_queries_are_valid_at_their_source() {
    let servers = Servers::open().await.unwrap();
    let mut asked = 0;
    let mut problems = Vec::new();
    for case in 0..12 {
        let mut random = StdRng::seed_from_u64(7 + case);
        let tables = random_tables(case, &mut random);
        let schema = format!("sound{case}");
        let world = World::load(&servers, &schema, &tables).await.unwrap();
        for _ in 0..60 {
            let query = Generator::new(&tables, &mut random).query();
            let target = match query.home(&tables) {
                Some(Home::Postgres) => Target::Postgres,
                Some(Home::Sqlite) => Target::Sqlite,
                Some(Home::Mysql) => Target::Mysql,
                _ => continue,
            };
            let home = query.home(&tables).unwrap();
            let Some(sql) = (Renderer {
                tables: &tables,
                schema: &schema,
                target,
                query: &query,
            })
            .statement() else {
                continue;
            };
            asked += 1;
            if let Err(message) = world.ask_source(home, &sql).await {
                let is_value_error = ["22003", "0A000", "integer overflow", "out of range"]
                    .iter()
                    .any(|code| message.contains(code));
                if !is_value_error {
                    problems.push(format!("{message}\n  {sql}"));
                }
            }
        }
        world.drop_tables().await.unwrap();
    }
    servers.database.drop_database().await.unwrap();
    assert!(
        problems.is_empty(),
        "{} of {asked}:\n{}",
        problems.len(),
        problems[..problems.len().min(20)].join("\n")
    );
    assert!(asked > 150, "only {asked} queries were portable");
}
