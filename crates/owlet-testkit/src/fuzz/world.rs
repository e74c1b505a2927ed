//! One fuzz case for real: its tables in their sources and an engine over them. Must never know how queries are made.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use owlet_engine::{Engine, Pushdown, QueryOptions};
use owlet_mysql::ZeroDatePolicy;
use tempfile::TempDir;
use tokio_postgres::Client;

use super::schema::{Home, Table, mysql_schema};
use super::value::Target;
use crate::answer::Answer;
use crate::dynamodb::DynamoDb;
use crate::environment::PostgresDatabase;
use crate::native::{self, NativeAnswer};
use crate::sources::{self, Catalogs};
use crate::{Result, run};

/// How messages of panics begin.
pub const BUG: &str = "panicked:";

const QUERY_LIMIT: Duration = Duration::from_secs(60);

/// The servers a fuzzer works on.
pub struct Servers {
    /// Database of its own.
    pub database: PostgresDatabase,
    /// Connection for loading and native answers.
    pub client: Client,
    /// DynamoDB emulator.
    pub dynamodb: DynamoDb,
    endpoint: String,
    /// URL of the MariaDB server, for loading and native answers.
    mysql: String,
    /// URLs for the engine: of the user above, and of users whose sessions begin under other `sql_mode`s.
    mysql_logins: Vec<String>,
}

/// Users of the MariaDB server whose sessions begin under these modes.
const MYSQL_MODES: [(&str, &str); 2] = [
    ("owlet_fuzz_ansi", "ANSI_QUOTES,PIPES_AS_CONCAT"),
    ("owlet_fuzz_plain", "NO_BACKSLASH_ESCAPES"),
];

impl Servers {
    /// Creates the database with the collations of the traps.
    pub async fn open() -> Result<Self> {
        let database = PostgresDatabase::create("owlet_fuzz").await?;
        let client = database.connect().await?;
        client
            .batch_execute(
                "CREATE COLLATION public.fuzz_nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
                 SET search_path = public; SET TIME ZONE 'UTC'",
            )
            .await?;
        let endpoint = crate::environment::required("OWLET_TEST_DYNAMODB_ENDPOINT");
        let mysql = crate::environment::required("OWLET_TEST_MYSQL_URL");
        let mut mysql_logins = vec![mysql.clone()];
        mysql_logins.extend(create_mysql_logins(&mysql).await?);
        Ok(Self {
            database,
            client,
            dynamodb: DynamoDb::new(endpoint.clone()),
            endpoint,
            mysql,
            mysql_logins,
        })
    }

    /// The login of a case, the same for the case and its smaller versions.
    fn mysql_login(&self, schema: &str) -> String {
        let case = schema
            .bytes()
            .filter(u8::is_ascii_digit)
            .fold(0_usize, |case, digit| {
                (case * 10 + usize::from(digit - b'0')) % self.mysql_logins.len()
            });
        self.mysql_logins[case].clone()
    }
}

/// Users who may only read, and whose sessions begin under another `sql_mode` than the server's.
async fn create_mysql_logins(server: &str) -> Result<Vec<String>> {
    let mut conn = crate::environment::connect_mysql(server).await?;
    let mut mode = "@@sql_mode".to_owned();
    for (user, its_mode) in MYSQL_MODES {
        conn.query_drop(format!(
            "CREATE USER IF NOT EXISTS {user} IDENTIFIED BY 'owlet'"
        ))
        .await?;
        conn.query_drop(format!("GRANT SELECT, SHOW VIEW, PROCESS ON *.* TO {user}"))
            .await?;
        mode = format!("IF(USER() LIKE '{user}@%', '{its_mode}', {mode})");
    }
    // Run at the beginning of every session that is no administrator's.
    conn.exec_drop(
        "SET GLOBAL init_connect = ?",
        (format!("SET sql_mode = {mode}"),),
    )
    .await?;
    let mut logins = Vec::new();
    for (user, its_mode) in MYSQL_MODES {
        let place = server.rsplit_once('@').map(|(_, place)| place);
        let place = place.ok_or("the URL of the MariaDB server names no user")?;
        let url = format!("mysql://{user}:owlet@{place}");
        let mut conn = crate::environment::connect_mysql(&url).await?;
        let begun: Option<String> = conn.query_first("SELECT @@sql_mode").await?;
        let begun = begun.unwrap_or_default();
        if !its_mode.split(',').all(|word| begun.contains(word)) {
            return Err(format!("sessions of {user} begin under {begun}, not {its_mode}").into());
        }
        logins.push(url);
    }
    Ok(logins)
}

/// Loaded tables.
pub struct World<'a> {
    servers: &'a Servers,
    schema: String,
    tables: Vec<Table>,
    folder: TempDir,
    engine: Engine,
}

impl<'a> World<'a> {
    /// Loads tables into a PostgreSQL schema of this name, an SQLite file and DynamoDB.
    pub async fn load(servers: &'a Servers, schema: &str, tables: &[Table]) -> Result<Self> {
        let folder = TempDir::new()?;
        let client = &servers.client;
        client
            .batch_execute(&format!(
                "DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}"
            ))
            .await?;
        let lite = folder.path().join("fuzz.sqlite");
        let connection = rusqlite::Connection::open(&lite)?;
        if tables.iter().any(|table| table.home == Home::Mysql) {
            let mut conn = crate::environment::connect_mysql(&servers.mysql).await?;
            let database = mysql_schema(schema);
            conn.query_drop(format!("DROP DATABASE IF EXISTS {database}"))
                .await?;
            conn.query_drop(format!("CREATE DATABASE {database} CHARACTER SET utf8mb4"))
                .await?;
        }
        for table in tables {
            match table.home {
                Home::Postgres => {
                    for statement in table.sql(Target::Postgres, schema) {
                        let outcome = client.batch_execute(&statement).await;
                        outcome.map_err(|error| {
                            format!("{}\n{statement}", native::describe(&error))
                        })?;
                    }
                }
                Home::Sqlite => {
                    for statement in table.sql(Target::Sqlite, schema) {
                        connection
                            .execute_batch(&statement)
                            .map_err(|error| format!("{error}\n{statement}"))?;
                    }
                }
                Home::Mysql => {
                    let mut conn = crate::environment::connect_mysql(&servers.mysql).await?;
                    // Both quoting modes: what is stored, and what is asked, is the same under each.
                    let mode = match table.rows.len() % 2 {
                        0 => "ANSI_QUOTES,PIPES_AS_CONCAT",
                        _ => "NO_BACKSLASH_ESCAPES",
                    };
                    conn.query_drop(format!("SET sql_mode = '{mode}'")).await?;
                    for statement in table.sql(Target::Mysql, schema) {
                        conn.query_drop(&statement)
                            .await
                            .map_err(|error| format!("{error}\n{statement}"))?;
                    }
                }
                Home::DynamoDb => {
                    servers
                        .dynamodb
                        .create_table(&table.name, &[("id", "N", "HASH")])
                        .await?;
                    servers
                        .dynamodb
                        .put_all(&table.name, &table.items())
                        .await?;
                }
            }
        }
        drop(connection);
        let engine = sources::engine_with_twins(&Catalogs {
            postgres: Some(servers.database.url()),
            mysql: Some(servers.mysql_login(schema)),
            mysql_zero_dates: match tables.iter().any(Table::has_zero_dates) {
                true => ZeroDatePolicy::Null,
                false => ZeroDatePolicy::Error,
            },
            sqlite: Some(lite),
            dynamodb: Some(servers.endpoint.clone()),
            object: None,
        })?;
        Ok(Self {
            servers,
            schema: schema.to_owned(),
            tables: tables.to_vec(),
            folder,
            engine,
        })
    }

    /// The engine's answer, or its error.
    pub async fn ask(&self, sql: &str, pushdown: Pushdown) -> Result<Answer, String> {
        let options = QueryOptions {
            pushdown,
            timeout: Some(QUERY_LIMIT),
            ..QueryOptions::default()
        };
        let (engine, sql) = (self.engine.clone(), sql.to_owned());
        // In a task of its own: a panic is a finding with a query, not the end of the fuzzer.
        let task = tokio::spawn(async move {
            let answer =
                tokio::time::timeout(QUERY_LIMIT * 2, run::answer(&engine, &sql, &options)).await;
            answer
                .map_err(|_| "does not end".to_owned())?
                .map_err(|error| error.to_string())
        });
        task.await
            .unwrap_or_else(|error| Err(format!("{BUG} {error}")))
    }

    /// The plan, for reports.
    pub async fn explain(&self, sql: &str, pushdown: Pushdown) -> String {
        let options = QueryOptions {
            pushdown,
            ..QueryOptions::default()
        };
        match self.engine.plan(sql, &options).await {
            Ok(plan) => plan.explanation().to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// The source's own answer.
    pub async fn ask_source(&self, home: Home, sql: &str) -> Result<NativeAnswer, String> {
        let answer = match home {
            Home::Postgres => native::postgres(&self.servers.client, sql).await,
            Home::Sqlite => native::sqlite(&self.folder.path().join("fuzz.sqlite"), sql),
            Home::DynamoDb => Err("DynamoDB has no SQL".into()),
            Home::Mysql => native::mysql(&self.servers.mysql, sql).await,
        };
        answer.map_err(|error| error.to_string())
    }

    /// Statements that make the same tables by hand.
    pub fn script(&self) -> String {
        let mut script = String::new();
        for table in &self.tables {
            match table.home {
                Home::Postgres => {
                    script.push_str("-- PostgreSQL\n");
                    script.push_str(&table.sql(Target::Postgres, &self.schema).join(";\n"));
                    script.push_str(";\n");
                }
                Home::Sqlite => {
                    script.push_str("-- SQLite\n");
                    script.push_str(&table.sql(Target::Sqlite, &self.schema).join(";\n"));
                    script.push_str(";\n");
                }
                Home::Mysql => {
                    script.push_str("-- MariaDB\n");
                    script.push_str(&table.sql(Target::Mysql, &self.schema).join(";\n"));
                    script.push_str(";\n");
                }
                Home::DynamoDb => {
                    script.push_str(&format!(
                        "-- DynamoDB table {} with hash key id (N), items:\n",
                        table.name
                    ));
                    for item in table.items() {
                        script.push_str(&format!("{item}\n"));
                    }
                }
            }
        }
        script
    }

    /// Removes the tables.
    pub async fn drop_tables(self) -> Result<()> {
        self.servers
            .client
            .batch_execute(&format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema))
            .await?;
        if self.tables.iter().any(|table| table.home == Home::Mysql) {
            let mut conn = crate::environment::connect_mysql(&self.servers.mysql).await?;
            conn.query_drop(format!(
                "DROP DATABASE IF EXISTS {}",
                mysql_schema(&self.schema)
            ))
            .await?;
        }
        for table in self
            .tables
            .iter()
            .filter(|table| table.home == Home::DynamoDb)
        {
            self.servers.dynamodb.drop_table(&table.name).await?;
        }
        Ok(())
    }
}
