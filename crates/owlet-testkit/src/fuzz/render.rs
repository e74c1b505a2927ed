//! Queries as text for the engine, and for a source's own answer where the text means the same there.
//! Must never run anything.

use super::query::{Aggregate, Expr, Output, Query};
use super::schema::{Table, mysql_schema};
use super::value::{Class, Collation, Kind, Target, Value, identifier, quoted};

/// Renders one query for one target.
pub struct Renderer<'a> {
    /// Tables of the case.
    pub tables: &'a [Table],
    /// PostgreSQL schema of the case.
    pub schema: &'a str,
    /// Reader.
    pub target: Target,
    /// The query.
    pub query: &'a Query,
}

impl Renderer<'_> {
    /// The statement; `None` when the target would mean something else by it.
    pub fn statement(&self) -> Option<String> {
        let query = self.query;
        let mut sql = self.arm(query.filter.as_ref())?;
        if let Some(filter) = &query.union_filter {
            sql = format!("{sql} UNION ALL {}", self.arm(Some(filter))?);
        }
        if !query.order.is_empty() && self.target == Target::Mysql {
            sql = self.ordered_in_mysql(&sql);
        } else if !query.order.is_empty() {
            let width = query.width();
            let keys: Option<Vec<String>> = query
                .order
                .iter()
                .map(|key| {
                    debug_assert!(key.output < width);
                    let nulls = match (key.nulls_first, self.target) {
                        (None, Target::Owlet) => "",
                        (None | Some(false), _) => " NULLS LAST",
                        (Some(true), _) => " NULLS FIRST",
                    };
                    let direction = if key.descending { " DESC" } else { "" };
                    let output = self.order_operand(key.output)?;
                    Some(format!("{output}{direction}{nulls}"))
                })
                .collect();
            sql = format!("{sql} ORDER BY {}", keys?.join(", "));
        }
        if let Some((skip, fetch)) = query.limit {
            sql = match (self.target, skip) {
                (_, 0) => format!("{sql} LIMIT {fetch}"),
                (Target::Owlet, skip) => format!("{sql} OFFSET {skip} LIMIT {fetch}"),
                (_, skip) => format!("{sql} LIMIT {fetch} OFFSET {skip}"),
            };
        }
        Some(sql)
    }

    /// MariaDB has no `NULLS LAST`, and orders by an expression of an aggregate only from outside.
    fn ordered_in_mysql(&self, sql: &str) -> String {
        let keys = self.query.order.iter().map(|key| {
            let output = format!("o{}", key.output);
            let place = match key.nulls_first {
                Some(true) => "DESC",
                None | Some(false) => "ASC",
            };
            let direction = if key.descending { " DESC" } else { "" };
            format!("({output} IS NULL) {place}, {output}{direction}")
        });
        let keys: Vec<String> = keys.collect();
        format!("SELECT * FROM ({sql}) ordered ORDER BY {}", keys.join(", "))
    }

    /// Sources order text by their collation, so they order by the expression with bytes' collation.
    fn order_operand(&self, output: usize) -> Option<String> {
        let is_text = |expression: &Expr| expression.class() == Class::Text;
        let expression = match &self.query.output {
            Output::Rows {
                expressions,
                distinct,
            } => {
                if self.target != Target::Owlet && *distinct && is_text(&expressions[output]) {
                    return None;
                }
                Some(&expressions[output])
            }
            Output::Groups {
                keys, aggregates, ..
            } => match keys.get(output) {
                Some(key) => Some(key),
                None => {
                    let argument = aggregates[output - keys.len()].argument.as_ref();
                    if self.target != Target::Owlet && argument.is_some_and(is_text) {
                        return None;
                    }
                    None
                }
            },
        };
        match expression {
            Some(expression) if self.target != Target::Owlet && is_text(expression) => {
                self.compared(expression)
            }
            Some(expression)
                if self.target != Target::Owlet && expression.class() == Class::Float =>
            {
                None
            }
            _ => Some((output + 1).to_string()),
        }
    }

    fn arm(&self, filter: Option<&Expr>) -> Option<String> {
        let query = self.query;
        let mut sql = "SELECT ".to_owned();
        match &query.output {
            Output::Rows {
                expressions,
                distinct,
            } => {
                let loose =
                    |expression: &Expr| matches!(expression.class(), Class::Text | Class::Float);
                // In MariaDB every text is made to compare by bytes.
                let loose = |expression: &Expr| {
                    loose(expression)
                        && !(self.target == Target::Mysql && expression.class() == Class::Text)
                };
                if self.target != Target::Owlet && *distinct && expressions.iter().any(loose) {
                    return None;
                }
                if *distinct {
                    sql.push_str("DISTINCT ");
                }
                let outputs: Option<Vec<String>> = expressions
                    .iter()
                    .map(|expression| self.render(expression))
                    .collect();
                sql.push_str(&self.list(outputs?));
            }
            Output::Groups {
                keys, aggregates, ..
            } => {
                let mut outputs: Vec<String> = keys
                    .iter()
                    .map(|key| self.group_key(key))
                    .collect::<Option<_>>()?;
                for aggregate in aggregates {
                    outputs.push(self.aggregate(aggregate)?);
                }
                sql.push_str(&self.list(outputs));
            }
        }
        sql.push_str(&format!(" FROM {}", self.table(0)));
        for join in &query.joins {
            if self.target == Target::Mysql && join.kind == "FULL JOIN" {
                return None;
            }
            sql.push_str(&format!(
                " {} {} ON {}",
                join.kind,
                self.table(join.table),
                self.render(&join.on)?
            ));
        }
        if let Some(filter) = filter {
            sql.push_str(&format!(" WHERE {}", self.render(filter)?));
        }
        if let Output::Groups { keys, having, .. } = &query.output {
            if !keys.is_empty() {
                let keys: Option<Vec<String>> =
                    keys.iter().map(|key| self.group_key(key)).collect();
                sql.push_str(&format!(" GROUP BY {}", keys?.join(", ")));
            }
            if let Some((aggregate, operator, value)) = having {
                sql.push_str(&format!(
                    " HAVING {} {operator} {value}",
                    self.aggregate(aggregate)?
                ));
            }
        }
        Some(sql)
    }

    fn group_key(&self, key: &Expr) -> Option<String> {
        if self.target != Target::Owlet && key.class() == Class::Float {
            return None;
        }
        // A bare constant would be read as a position.
        if let Expr::Constant(_, _) = key {
            return Some(format!(
                "coalesce({}, {})",
                self.render(key)?,
                self.render(key)?
            ));
        }
        self.compared(key)
    }

    fn list(&self, outputs: Vec<String>) -> String {
        if self.target != Target::Mysql {
            return outputs.join(", ");
        }
        let named = outputs
            .iter()
            .enumerate()
            .map(|(index, output)| format!("{output} AS o{index}"));
        named.collect::<Vec<_>>().join(", ")
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Option<String> {
        let condition = match &aggregate.filter {
            Some(filter) => Some(self.render(filter)?),
            None => None,
        };
        let argument = match &aggregate.argument {
            // There is no FILTER in MariaDB, but all aggregates skip NULL.
            None if self.target == Target::Mysql && condition.is_some() => "1".to_owned(),
            None => "*".to_owned(),
            Some(argument) => {
                let class = argument.class();
                if self.target == Target::Mysql
                    && aggregate.function == "sum"
                    && is_widest(argument)
                {
                    return None;
                }
                let compares = aggregate.distinct || matches!(aggregate.function, "min" | "max");
                if self.target != Target::Owlet
                    && (class == Class::Float && compares || aggregate.function == "avg")
                {
                    return None;
                }
                if compares {
                    self.compared(argument)?
                } else {
                    self.render(argument)?
                }
            }
        };
        if self.target == Target::Sqlite && aggregate.function.starts_with("bool_") {
            return None;
        }
        let distinct = if aggregate.distinct { "DISTINCT " } else { "" };
        if self.target == Target::Mysql {
            let argument = match condition {
                Some(condition) => format!("CASE WHEN {condition} THEN {argument} END"),
                None => argument,
            };
            let function = match aggregate.function {
                "bool_and" => "min",
                "bool_or" => "max",
                other => other,
            };
            return Some(format!("{function}({distinct}{argument})"));
        }
        let filter = match condition {
            Some(condition) => format!(" FILTER (WHERE {condition})"),
            None => String::new(),
        };
        Some(format!(
            "{}({distinct}{argument}){filter}",
            aggregate.function
        ))
    }

    fn table(&self, position: usize) -> String {
        let table = &self.tables[self.query.tables[position]];
        let name = match self.target {
            Target::Owlet => table.owlet_name(self.schema),
            Target::Postgres => format!("{}.{}", self.schema, table.name),
            Target::Mysql => format!("{}.{}", mysql_schema(self.schema), table.name),
            Target::Sqlite => table.name.clone(),
        };
        format!("{name} t{position}")
    }

    /// An operand of a comparison, grouping or ordering: text by bytes.
    fn compared(&self, expression: &Expr) -> Option<String> {
        let text = self.render(expression)?;
        let is_native = self.target != Target::Owlet;
        match expression.class() {
            Class::Text if self.target == Target::Postgres => {
                Some(format!("({text} COLLATE \"C\")"))
            }
            Class::Text if self.target == Target::Sqlite => {
                Some(format!("({text} COLLATE BINARY)"))
            }
            // The engine orders -0.0 before 0.0 and NaN after all; sources do not.
            Class::Float if is_native => None,
            _ => Some(text),
        }
    }

    fn render(&self, expression: &Expr) -> Option<String> {
        let native = self.target != Target::Owlet;
        let sub = |operand: &Expr| self.render(operand);
        let compared = |operand: &Expr| self.compared(operand);
        let not = |negated: bool| if negated { "NOT " } else { "" };
        Some(match expression {
            Expr::Column {
                table,
                column,
                kind,
            } => {
                if self.target == Target::Mysql {
                    return self.mysql_column(*table, *column, *kind);
                }
                if native && matches!(kind, Kind::Character(_)) {
                    return None;
                }
                self.column(*table, *column)
            }
            Expr::Constant(Value::Float(value), _)
                if self.target == Target::Mysql && !value.is_finite() =>
            {
                return None;
            }
            Expr::Constant(value, kind) => value.sql(*kind, self.target),
            Expr::Compare(operator, left, right)
                if self.target == Target::Mysql && operator.ends_with("DISTINCT FROM") =>
            {
                let not = not(*operator == "IS DISTINCT FROM");
                format!("({not}({} <=> {}))", compared(left)?, compared(right)?)
            }
            Expr::Compare(operator, left, right) => {
                let operator = match (self.target, *operator) {
                    (Target::Sqlite, "IS DISTINCT FROM") => "IS NOT",
                    (Target::Sqlite, "IS NOT DISTINCT FROM") => "IS",
                    (_, other) => other,
                };
                format!("({} {operator} {})", compared(left)?, compared(right)?)
            }
            Expr::Logic(word, operands) => {
                let operands: Option<Vec<String>> = operands.iter().map(sub).collect();
                format!("({})", operands?.join(&format!(" {word} ")))
            }
            Expr::Not(operand) => format!("(NOT {})", sub(operand)?),
            Expr::Is(operand, test) => {
                if self.target == Target::Sqlite && *test == "IS UNKNOWN" {
                    return None;
                }
                format!("({} {test})", sub(operand)?)
            }
            Expr::In {
                operand,
                list,
                negated,
            } => {
                let list: Option<Vec<String>> = list.iter().map(sub).collect();
                format!(
                    "({} {}IN ({}))",
                    compared(operand)?,
                    not(*negated),
                    list?.join(", ")
                )
            }
            Expr::Between {
                operand,
                low,
                high,
                negated,
            } => {
                format!(
                    "({} {}BETWEEN {} AND {})",
                    compared(operand)?,
                    not(*negated),
                    sub(low)?,
                    sub(high)?
                )
            }
            Expr::Like {
                operand,
                pattern,
                escape,
                negated,
            } => {
                // SQLite's LIKE ignores case; PostgreSQL refuses patterns that end with the escape character.
                if self.target == Target::Sqlite {
                    return None;
                }
                let escape = match (escape, self.target) {
                    (Some(letter), _) => format!(" ESCAPE {}", quoted(&letter.to_string())),
                    // Without a word, PostgreSQL escapes by backslash, Athena by nothing.
                    (None, Target::Postgres) => " ESCAPE ''".to_owned(),
                    // MariaDB escapes by backslash under every mode; no pattern here has a bar.
                    (None, Target::Mysql) => " ESCAPE '|'".to_owned(),
                    (None, _) => String::new(),
                };
                format!(
                    "({} {}LIKE {}{escape})",
                    compared(operand)?,
                    not(*negated),
                    quoted(pattern)
                )
            }
            Expr::Case {
                condition,
                then,
                otherwise,
            } => {
                let otherwise = match otherwise {
                    Some(otherwise) => format!(" ELSE {}", sub(otherwise)?),
                    None => String::new(),
                };
                format!(
                    "CASE WHEN {} THEN {}{otherwise} END",
                    sub(condition)?,
                    sub(then)?
                )
            }
            Expr::Binary(operator, left, right)
                if left.class() == Class::Integer && self.target == Target::Mysql =>
            {
                let operator = if *operator == "/" { "DIV" } else { operator };
                format!("({} {operator} {})", sub(left)?, sub(right)?)
            }
            // The engine's integer constants are 64 bits wide, and so is its arithmetic with them.
            Expr::Binary(operator, left, right) if left.class() == Class::Integer => {
                format!(
                    "(CAST({} AS bigint) {operator} {})",
                    sub(left)?,
                    sub(right)?
                )
            }
            Expr::Binary(_, left, right)
                if self.target == Target::Mysql && (is_widest(left) || is_widest(right)) =>
            {
                return None;
            }
            Expr::Binary(operator, left, right) => {
                format!("({} {operator} {})", sub(left)?, sub(right)?)
            }
            Expr::Call(function, arguments, _) => {
                if native && !matches!(*function, "coalesce" | "nullif") {
                    return None;
                }
                let operands: Option<Vec<String>> = match *function {
                    "nullif" => arguments.iter().map(compared).collect(),
                    _ => arguments.iter().map(sub).collect(),
                };
                format!("{function}({})", operands?.join(", "))
            }
            Expr::Cast(operand, kind) => {
                if native {
                    return None;
                }
                let kind = match kind {
                    Kind::Text(_) => Kind::Text(Collation::Binary),
                    other => *other,
                };
                format!("CAST({} AS {})", sub(operand)?, kind.sql(self.target))
            }
            Expr::Exists {
                table,
                on,
                filter,
                negated,
            } => {
                let mut condition = format!("{} = {}", compared(&on.0)?, compared(&on.1)?);
                if let Some(filter) = filter {
                    condition = format!("{condition} AND {}", sub(filter)?);
                }
                format!(
                    "{}EXISTS (SELECT 1 FROM {} WHERE {condition})",
                    not(*negated),
                    self.table(*table)
                )
            }
            Expr::Subquery {
                table,
                value,
                on,
                filter,
                descending,
            } => {
                let mut condition = sub(on)?;
                if let Some(filter) = filter {
                    condition = format!("{condition} AND {}", sub(filter)?);
                }
                let (value, limit) = match value {
                    None => ("count(*)".to_owned(), String::new()),
                    Some(value) => {
                        let id = self.column(*table, 0);
                        let direction = if *descending { " DESC" } else { "" };
                        (sub(value)?, format!(" ORDER BY {id}{direction} LIMIT 1"))
                    }
                };
                format!(
                    "(SELECT {value} FROM {} WHERE {condition}{limit})",
                    self.table(*table)
                )
            }
            Expr::InQuery {
                operand,
                table,
                column,
                negated,
            } => {
                // MariaDB finds 18446744073709551615 not in (NULL) when the NULL is a decimal of fewer digits.
                if self.target == Target::Mysql && *negated && operand.class() == Class::Decimal {
                    return None;
                }
                let inner = format!("SELECT {} FROM {}", compared(column)?, self.table(*table));
                format!("({} {}IN ({inner}))", compared(operand)?, not(*negated))
            }
        })
    }

    /// A column of MariaDB: text by its bytes, numbers with a sign.
    fn mysql_column(&self, table: usize, column: usize, kind: Kind) -> Option<String> {
        if self.tables[self.query.tables[table]].has_zero_dates()
            && matches!(kind, Kind::Date | Kind::Timestamp)
        {
            return None;
        }
        let name = self.column(table, column);
        Some(match kind {
            Kind::Text(_) | Kind::Character(_) | Kind::Enumeration => {
                format!("(CONVERT({name} USING utf8mb4) COLLATE utf8mb4_nopad_bin)")
            }
            Kind::Unsigned | Kind::Year | Kind::Bits => format!("CAST({name} AS SIGNED)"),
            // As it is, it would be shown with six digits.
            Kind::Real => format!("CAST({name} AS DOUBLE)"),
            Kind::BigUnsigned => format!("CAST({name} AS DECIMAL(20,0))"),
            _ => name,
        })
    }

    fn column(&self, table: usize, column: usize) -> String {
        let name = &self.tables[self.query.tables[table]].columns[column].name;
        match self.target {
            Target::Owlet => format!("t{table}.{}", identifier(&name.to_lowercase())),
            _ => format!("t{table}.{}", identifier(name)),
        }
    }
}

/// MariaDB has 65 digits, and cuts a result with more to the largest number it has.
fn is_widest(expression: &Expr) -> bool {
    expression.any(&|inner| {
        matches!(inner, Expr::Column { kind: Kind::Decimal(precision, _), .. } if *precision > 38)
    })
}

impl Query {
    fn width(&self) -> usize {
        match &self.output {
            Output::Rows { expressions, .. } => expressions.len(),
            Output::Groups {
                keys, aggregates, ..
            } => keys.len() + aggregates.len(),
        }
    }
}
