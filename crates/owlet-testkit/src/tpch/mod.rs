//! TPC-H: the tables, their deterministic rows at any scale, and the 22 queries. Must never know the engine.

pub mod layout;
pub mod load;

use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};

/// One of the eight tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Name.
    pub name: &'static str,
    /// Columns in order.
    pub columns: &'static [(&'static str, ColumnType)],
    /// Names of the primary key's columns.
    pub primary_key: &'static [&'static str],
}

/// Types the specification uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// 64-bit key.
    Identifier,
    /// 32-bit number.
    Integer,
    /// `decimal(15,2)`.
    Decimal,
    /// Day.
    Date,
    /// Text of any length.
    Text,
}

use ColumnType::{Date, Decimal, Identifier, Integer, Text};

/// `region`
pub const REGION: Table = Table {
    name: "region",
    columns: &[
        ("r_regionkey", Identifier),
        ("r_name", Text),
        ("r_comment", Text),
    ],
    primary_key: &["r_regionkey"],
};
/// `nation`
pub const NATION: Table = Table {
    name: "nation",
    columns: &[
        ("n_nationkey", Identifier),
        ("n_name", Text),
        ("n_regionkey", Identifier),
        ("n_comment", Text),
    ],
    primary_key: &["n_nationkey"],
};
/// `supplier`
pub const SUPPLIER: Table = Table {
    name: "supplier",
    columns: &[
        ("s_suppkey", Identifier),
        ("s_name", Text),
        ("s_address", Text),
        ("s_nationkey", Identifier),
        ("s_phone", Text),
        ("s_acctbal", Decimal),
        ("s_comment", Text),
    ],
    primary_key: &["s_suppkey"],
};
/// `customer`
pub const CUSTOMER: Table = Table {
    name: "customer",
    columns: &[
        ("c_custkey", Identifier),
        ("c_name", Text),
        ("c_address", Text),
        ("c_nationkey", Identifier),
        ("c_phone", Text),
        ("c_acctbal", Decimal),
        ("c_mktsegment", Text),
        ("c_comment", Text),
    ],
    primary_key: &["c_custkey"],
};
/// `part`
pub const PART: Table = Table {
    name: "part",
    columns: &[
        ("p_partkey", Identifier),
        ("p_name", Text),
        ("p_mfgr", Text),
        ("p_brand", Text),
        ("p_type", Text),
        ("p_size", Integer),
        ("p_container", Text),
        ("p_retailprice", Decimal),
        ("p_comment", Text),
    ],
    primary_key: &["p_partkey"],
};
/// `partsupp`
pub const PARTSUPP: Table = Table {
    name: "partsupp",
    columns: &[
        ("ps_partkey", Identifier),
        ("ps_suppkey", Identifier),
        ("ps_availqty", Integer),
        ("ps_supplycost", Decimal),
        ("ps_comment", Text),
    ],
    primary_key: &["ps_partkey", "ps_suppkey"],
};
/// `orders`
pub const ORDERS: Table = Table {
    name: "orders",
    columns: &[
        ("o_orderkey", Identifier),
        ("o_custkey", Identifier),
        ("o_orderstatus", Text),
        ("o_totalprice", Decimal),
        ("o_orderdate", Date),
        ("o_orderpriority", Text),
        ("o_clerk", Text),
        ("o_shippriority", Integer),
        ("o_comment", Text),
    ],
    primary_key: &["o_orderkey"],
};
/// `lineitem`
pub const LINEITEM: Table = Table {
    name: "lineitem",
    columns: &[
        ("l_orderkey", Identifier),
        ("l_partkey", Identifier),
        ("l_suppkey", Identifier),
        ("l_linenumber", Integer),
        ("l_quantity", Decimal),
        ("l_extendedprice", Decimal),
        ("l_discount", Decimal),
        ("l_tax", Decimal),
        ("l_returnflag", Text),
        ("l_linestatus", Text),
        ("l_shipdate", Date),
        ("l_commitdate", Date),
        ("l_receiptdate", Date),
        ("l_shipinstruct", Text),
        ("l_shipmode", Text),
        ("l_comment", Text),
    ],
    primary_key: &["l_orderkey", "l_linenumber"],
};

/// All tables, small ones first.
pub const TABLES: [Table; 8] = [
    REGION, NATION, SUPPLIER, CUSTOMER, PART, PARTSUPP, ORDERS, LINEITEM,
];

/// Rows as the specification's text form without the final separator: fields separated by `|`.
/// No generated text holds a `|`, a backslash or a line break.
pub fn rows(table: Table, scale_factor: f64) -> Box<dyn Iterator<Item = String> + Send> {
    fn lines<R: std::fmt::Display>(
        rows: impl Iterator<Item = R> + Send + 'static,
    ) -> Box<dyn Iterator<Item = String> + Send> {
        Box::new(rows.map(|row| {
            let mut line = row.to_string();
            line.pop();
            line
        }))
    }
    match table.name {
        "region" => lines(RegionGenerator::new(scale_factor, 1, 1).into_iter()),
        "nation" => lines(NationGenerator::new(scale_factor, 1, 1).into_iter()),
        "supplier" => lines(SupplierGenerator::new(scale_factor, 1, 1).into_iter()),
        "customer" => lines(CustomerGenerator::new(scale_factor, 1, 1).into_iter()),
        "part" => lines(PartGenerator::new(scale_factor, 1, 1).into_iter()),
        "partsupp" => lines(PartSuppGenerator::new(scale_factor, 1, 1).into_iter()),
        "orders" => lines(OrderGenerator::new(scale_factor, 1, 1).into_iter()),
        "lineitem" => lines(LineItemGenerator::new(scale_factor, 1, 1).into_iter()),
        other => panic!("{other} is not a TPC-H table"),
    }
}

/// One of the 22 queries, with the specification's validation parameters.
#[derive(Debug, Clone)]
pub struct Query {
    /// 1 to 22.
    pub number: usize,
    /// Statement without a final semicolon; table names are unqualified.
    pub sql: String,
}

/// The 22 queries for a scale factor.
pub fn queries(scale_factor: f64) -> Vec<Query> {
    let fraction = format!("{}", 0.0001 / scale_factor);
    QUERY_TEXTS
        .iter()
        .enumerate()
        .map(|(index, text)| Query {
            number: index + 1,
            sql: text.replace("{fraction}", &fraction),
        })
        .collect()
}

macro_rules! query_texts {
    ($($number:literal)*) => {
        [$(include_str!(concat!("../../queries/tpch/q", $number, ".sql"))),*]
    };
}

const QUERY_TEXTS: [&str; 22] = query_texts!(
    "01" "02" "03" "04" "05" "06" "07" "08" "09" "10" "11" "12" "13" "14" "15" "16" "17" "18" "19" "20" "21" "22"
);

impl Query {
    /// The statement with every table name replaced by `name(table)`, e.g. its full name in a catalog.
    /// Only whole words after `from`, `join` or a comma of a `from` list are table names.
    pub fn with_table_names(&self, name: impl Fn(Table) -> String) -> String {
        let mut in_from = false;
        let mut replaced = String::with_capacity(self.sql.len() + 256);
        for line in self
            .sql
            .lines()
            .filter(|line| !line.trim_start().starts_with("--"))
        {
            let mut rest = line;
            while let Some(start) = rest.find(|letter: char| letter.is_ascii_alphabetic()) {
                let (before, from) = rest.split_at(start);
                let length = from
                    .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
                    .unwrap_or(from.len());
                let (word, after) = from.split_at(length);
                replaced.push_str(before);
                // `extract(year from …)` and `substring(… from …)` name no table.
                in_from &= !before.contains(')');
                match word {
                    "from" | "join" => in_from = true,
                    "where" | "group" | "order" | "select" | "on" | "limit" => in_from = false,
                    _ => {}
                }
                match TABLES.iter().find(|table| in_from && table.name == word) {
                    Some(table) => replaced.push_str(&name(*table)),
                    None => replaced.push_str(word),
                }
                rest = after;
            }
            replaced.push_str(rest);
            replaced.push('\n');
        }
        replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tables_are_renamed() {
        let queries = queries(1.0);
        let renamed = queries[7].with_table_names(|table| format!("shop.public.{}", table.name));
        assert!(
            renamed.contains("shop.public.nation n1, shop.public.nation n2, shop.public.region"),
            "{renamed}"
        );
        assert!(renamed.contains("n2.n_name as nation\n"), "{renamed}");
        assert!(renamed.contains("case when nation = 'BRAZIL'"), "{renamed}");
        let renamed = queries[12].with_table_names(|table| format!("x.{}", table.name));
        assert!(
            renamed.contains("from x.customer left outer join x.orders"),
            "{renamed}"
        );
    }

    #[test]
    fn rows_have_as_many_fields_as_columns() {
        for table in TABLES {
            let first = rows(table, 0.001).next().unwrap();
            assert_eq!(
                first.split('|').count(),
                table.columns.len(),
                "{}: {first}",
                table.name
            );
        }
    }
}
