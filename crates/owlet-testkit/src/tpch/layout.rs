//! Where the eight tables live: all in one database, or split over three or four kinds of source. Loads them, builds an
//! engine over them, and names them for it.

use std::path::Path;

use owlet_engine::Engine;

use super::{
    CUSTOMER, LINEITEM, NATION, ORDERS, PART, PARTSUPP, REGION, SUPPLIER, TABLES, Table, load,
};
use crate::Result;
use crate::dynamodb::DynamoDb;
use crate::environment::MysqlDatabase;
use crate::sources::{self, Catalogs};

/// Tables of the split layout that stay in PostgreSQL.
pub const SPLIT_POSTGRES: [Table; 3] = [ORDERS, LINEITEM, CUSTOMER];
/// Tables of the four-way split that are in MariaDB; the rest is where the split layout has it.
pub const SPLIT_MYSQL: [Table; 2] = [ORDERS, CUSTOMER];
/// Tables of the split layout in DynamoDB.
pub const SPLIT_DYNAMODB: [Table; 3] = [SUPPLIER, NATION, REGION];
/// Tables of the split layout in Parquet files.
pub const SPLIT_PARQUET: [Table; 2] = [PART, PARTSUPP];

/// Where tables are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Everything in PostgreSQL.
    Postgres,
    /// PostgreSQL, DynamoDB and Parquet.
    Split,
    /// Everything in one SQLite file.
    Sqlite,
    /// Everything in MariaDB.
    Mysql,
    /// PostgreSQL, MariaDB, DynamoDB and Parquet.
    SplitFour,
}

/// Loaded tables of one scale, in all layouts at once (PostgreSQL has all of them for its own answers).
#[derive(Debug)]
pub struct Dataset {
    /// Scale factor.
    pub scale_factor: f64,
    catalogs: Catalogs,
    dynamodb: DynamoDb,
    prefix: String,
    /// The database in MariaDB.
    mysql_schema: String,
}

impl Dataset {
    /// Loads a PostgreSQL database, DynamoDB tables with this prefix, and files below `folder`.
    pub async fn load(url: &str, prefix: &str, folder: &Path, scale_factor: f64) -> Result<Self> {
        let client = crate::environment::connect(url).await?;
        load::postgres(&client, &TABLES, scale_factor).await?;
        let endpoint = crate::environment::required("OWLET_TEST_DYNAMODB_ENDPOINT");
        let dynamodb = DynamoDb::new(endpoint.clone());
        load::dynamodb(&dynamodb, prefix, &SPLIT_DYNAMODB, scale_factor).await?;
        load::parquet(folder, &SPLIT_PARQUET, scale_factor)?;
        let catalogs = Catalogs {
            postgres: Some(url.to_owned()),
            dynamodb: Some(endpoint),
            object: Some(folder.to_path_buf()),
            ..Catalogs::default()
        };
        Ok(Self {
            scale_factor,
            catalogs,
            dynamodb,
            prefix: prefix.to_owned(),
            mysql_schema: String::new(),
        })
    }

    /// Adds an SQLite file with all tables.
    pub fn add_sqlite(&mut self, path: &Path) -> Result<()> {
        load::sqlite(path, &TABLES, self.scale_factor)?;
        self.catalogs.sqlite = Some(path.to_path_buf());
        Ok(())
    }

    /// Adds a MariaDB database with all tables.
    pub async fn add_mysql(&mut self, database: &MysqlDatabase) -> Result<()> {
        let mut conn = database.connect().await?;
        load::mysql(&mut conn, &TABLES, self.scale_factor).await?;
        self.catalogs.mysql = Some(database.url());
        self.mysql_schema = database.name.clone();
        Ok(())
    }

    /// An engine over all sources.
    pub fn engine(&self) -> Result<Engine> {
        sources::engine(&self.catalogs)
    }

    /// A table's full name for the engine.
    pub fn name(&self, layout: Layout, table: Table) -> String {
        match layout {
            Layout::Sqlite => format!("lite.main.{}", table.name),
            Layout::Mysql => format!("my.{}.{}", self.mysql_schema, table.name),
            Layout::SplitFour if SPLIT_MYSQL.contains(&table) => {
                format!("my.{}.{}", self.mysql_schema, table.name)
            }
            Layout::Split | Layout::SplitFour if SPLIT_DYNAMODB.contains(&table) => {
                format!("dynamo.default.{}{}", self.prefix, table.name)
            }
            Layout::Split | Layout::SplitFour if SPLIT_PARQUET.contains(&table) => {
                format!("files.default.{}", table.name)
            }
            Layout::Postgres | Layout::Split | Layout::SplitFour => {
                format!("pg.public.{}", table.name)
            }
        }
    }

    /// Removes what is not in a folder or database of the caller.
    pub async fn clean(&self) -> Result<()> {
        for table in SPLIT_DYNAMODB {
            self.dynamodb
                .drop_table(&format!("{}{}", self.prefix, table.name))
                .await?;
        }
        Ok(())
    }
}
