//! Random queries over the tables of a case. Must never run anything.

use rand::Rng;
use rand::rngs::StdRng;

use super::query::{Aggregate, Expr, Join, OrderKey, Output, Query};
use super::schema::{Home, Table};
use super::value::{Class, Collation, Kind, Value, pick};

/// Makes queries over the tables of a case.
pub struct Generator<'a> {
    /// Tables of the case.
    pub all: &'a [Table],
    /// Randomness.
    pub random: &'a mut StdRng,
    tables: Vec<usize>,
    visible: usize,
}

impl<'a> Generator<'a> {
    /// A generator over these tables.
    pub fn new(all: &'a [Table], random: &'a mut StdRng) -> Self {
        Self {
            all,
            random,
            tables: Vec::new(),
            visible: 0,
        }
    }

    /// A random query.
    pub fn query(&mut self) -> Query {
        let first = self.random.random_range(0..self.all.len());
        self.tables = vec![first];
        self.visible = 1;
        let mut joins = Vec::new();
        let joined = if self.all.len() > 1 {
            pick(self.random, &[0, 0, 0, 1, 1, 1, 2])
        } else {
            0
        };
        for _ in 0..joined {
            let other = self.joinable(first);
            self.tables.push(other);
            self.visible = self.tables.len();
            let kind = pick(
                self.random,
                &[
                    "JOIN",
                    "JOIN",
                    "JOIN",
                    "LEFT JOIN",
                    "LEFT JOIN",
                    "RIGHT JOIN",
                    "FULL JOIN",
                ],
            );
            let mut on = self.join_condition(self.visible - 1);
            if self.random.random_bool(0.25) {
                on = Expr::Logic("AND", vec![on, self.boolean(1)]);
            }
            joins.push(Join {
                kind,
                table: self.visible - 1,
                on,
            });
        }
        let filter = self.chance(0.75).then(|| self.filter());
        let union_filter = self.chance(0.1).then(|| self.boolean(2));
        let output = self.output();
        let mut query = Query {
            tables: Vec::new(),
            joins,
            filter,
            output,
            order: Vec::new(),
            limit: None,
            union_filter,
        };
        self.order(&mut query);
        query.tables = std::mem::take(&mut self.tables);
        query
    }

    /// Mostly a table of the same source: those joins are pushed down.
    fn joinable(&mut self, first: usize) -> usize {
        let home = self.all[first].home;
        let near: Vec<usize> = (0..self.all.len())
            .filter(|index| self.all[*index].home == home)
            .collect();
        if self.chance(0.75) {
            pick(self.random, &near)
        } else {
            self.random.random_range(0..self.all.len())
        }
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.random.random_bool(probability)
    }

    fn join_condition(&mut self, right: usize) -> Expr {
        let left = self.random.random_range(0..right);
        for _ in 0..8 {
            let one = self.column_of(left);
            let two = self.column_of(right);
            if one.class() == two.class() && one.class() != Class::Opaque {
                return Expr::Compare("=", Box::new(one), Box::new(two));
            }
        }
        Expr::Compare(
            "=",
            Box::new(self.identifier_of(left)),
            Box::new(self.identifier_of(right)),
        )
    }

    fn identifier_of(&self, table: usize) -> Expr {
        Expr::Column {
            table,
            column: 0,
            kind: Kind::Integer,
        }
    }

    fn column_of(&mut self, table: usize) -> Expr {
        let columns = &self.all[self.tables[table]].columns;
        let column = self.random.random_range(0..columns.len());
        Expr::Column {
            table,
            column,
            kind: columns[column].kind,
        }
    }

    fn any_column(&mut self) -> Expr {
        let table = self.random.random_range(0..self.visible);
        self.column_of(table)
    }

    fn column_of_class(&mut self, class: Class) -> Option<Expr> {
        let mut candidates = Vec::new();
        for table in 0..self.visible {
            for (column, spec) in self.all[self.tables[table]].columns.iter().enumerate() {
                if spec.kind.class() == class {
                    candidates.push(Expr::Column {
                        table,
                        column,
                        kind: spec.kind,
                    });
                }
            }
        }
        (!candidates.is_empty()).then(|| pick(self.random, &candidates))
    }

    fn filter(&mut self) -> Expr {
        if self.chance(0.15) {
            let subquery = self.subquery();
            return match self.random.random_range(0..6) {
                0 => Expr::Logic("OR", vec![subquery, self.boolean(1)]),
                1 => Expr::Not(Box::new(Expr::Logic(
                    "AND",
                    vec![subquery, self.boolean(1)],
                ))),
                2 => Expr::Is(
                    Box::new(subquery),
                    pick(self.random, &["IS UNKNOWN", "IS NOT TRUE", "IS NOT FALSE"]),
                ),
                _ => subquery,
            };
        }
        if self.chance(0.4) {
            let operands = (0..self.random.random_range(2..4))
                .map(|_| self.boolean(1))
                .collect();
            return Expr::Logic("AND", operands);
        }
        self.boolean(2)
    }

    /// A further table with one of its columns, and a column to compare that with.
    fn correlated(&mut self) -> (usize, Expr, Expr) {
        let outer_table = self.random.random_range(0..self.visible);
        let inner = self.joinable(self.tables[0]);
        self.tables.push(inner);
        let table = self.tables.len() - 1;
        loop {
            let one = self.column_of(outer_table);
            let two = self.column_of(table);
            if one.class() == two.class() && one.class() != Class::Opaque {
                return (table, one, two);
            }
        }
    }

    fn scalar_subquery(&mut self) -> Expr {
        let (table, one, two) = self.correlated();
        let operator = pick(
            self.random,
            &["=", "=", "<", ">=", "<>", "IS NOT DISTINCT FROM"],
        );
        let value = self.chance(0.6).then(|| Box::new(self.column_of(table)));
        let filter = self.chance(0.3).then(|| {
            let column = self.column_of(table);
            Box::new(self.comparison_with(column))
        });
        Expr::Subquery {
            table,
            value,
            on: Box::new(Expr::Compare(operator, Box::new(one), Box::new(two))),
            filter,
            descending: self.chance(0.5),
        }
    }

    fn subquery(&mut self) -> Expr {
        if self.chance(0.4) {
            let operand = self.scalar_subquery();
            return self.comparison_with(operand);
        }
        let (table, one, two) = self.correlated();
        let negated = self.chance(0.5);
        if self.chance(0.5) {
            return Expr::InQuery {
                operand: Box::new(one),
                table,
                column: Box::new(two),
                negated,
            };
        }
        let filter = self.chance(0.4).then(|| {
            let column = self.column_of(table);
            Box::new(self.comparison_with(column))
        });
        Expr::Exists {
            table,
            on: (Box::new(one), Box::new(two)),
            filter,
            negated,
        }
    }

    /// A random predicate.
    pub fn boolean(&mut self, depth: usize) -> Expr {
        if depth > 0 && self.chance(0.35) {
            return match self.random.random_range(0..4) {
                0 => Expr::Logic(
                    "AND",
                    vec![self.boolean(depth - 1), self.boolean(depth - 1)],
                ),
                1 => Expr::Logic("OR", vec![self.boolean(depth - 1), self.boolean(depth - 1)]),
                2 => Expr::Not(Box::new(self.boolean(depth - 1))),
                _ => {
                    let operand = self.boolean(depth - 1);
                    let test = pick(
                        self.random,
                        &[
                            "IS TRUE",
                            "IS NOT TRUE",
                            "IS FALSE",
                            "IS NOT FALSE",
                            "IS UNKNOWN",
                        ],
                    );
                    Expr::Is(Box::new(operand), test)
                }
            };
        }
        let column = self.any_column();
        if column.class() == Class::Opaque || self.chance(0.12) {
            let test = pick(self.random, &["IS NULL", "IS NOT NULL"]);
            return Expr::Is(Box::new(column), test);
        }
        if column.class() == Class::Boolean && self.chance(0.5) {
            return column;
        }
        let operand = if self.chance(0.25) {
            self.scalar(column.class(), 1)
        } else {
            column
        };
        self.comparison_with(operand)
    }

    fn comparison_with(&mut self, operand: Expr) -> Expr {
        let class = operand.class();
        if class == Class::Opaque {
            return Expr::Is(Box::new(operand), "IS NOT NULL");
        }
        if class == Class::Text && self.chance(0.3) {
            let pattern = self.pattern();
            let escape = self
                .chance(0.2)
                .then(|| pick(self.random, &['!', '\\', '%', 'a']));
            return Expr::Like {
                operand: Box::new(operand),
                pattern,
                escape,
                negated: self.chance(0.3),
            };
        }
        let negated = self.chance(0.3);
        match self.random.random_range(0..10) {
            0 => {
                let count = self.random.random_range(1..5);
                let list = (0..count).map(|_| self.constant_like(&operand)).collect();
                Expr::In {
                    operand: Box::new(operand),
                    list,
                    negated,
                }
            }
            1 => {
                let low = Box::new(self.constant_like(&operand));
                let high = Box::new(self.constant_like(&operand));
                Expr::Between {
                    operand: Box::new(operand),
                    low,
                    high,
                    negated,
                }
            }
            _ => {
                let operator = pick(
                    self.random,
                    &[
                        "=",
                        "=",
                        "=",
                        "<>",
                        "<",
                        "<=",
                        ">",
                        ">=",
                        "IS DISTINCT FROM",
                        "IS NOT DISTINCT FROM",
                    ],
                );
                let other = match self.chance(0.3) {
                    true => self.scalar(class, 1),
                    false => self.constant_like(&operand),
                };
                Expr::Compare(operator, Box::new(operand), Box::new(other))
            }
        }
    }

    fn pattern(&mut self) -> String {
        let pieces = [
            "%", "%", "_", "a", "A", "b", "é", " ", "\\%", "\\_", "\\\\", "'", "!", "ss", "日",
        ];
        let count = self.random.random_range(0..4);
        (0..count).map(|_| pick(self.random, &pieces)).collect()
    }

    /// A constant that often occurs in the column.
    fn constant_like(&mut self, operand: &Expr) -> Expr {
        if self.chance(0.04) {
            return Expr::Constant(Value::Null, constant_kind(kind_of(operand)));
        }
        if let Expr::Column {
            table,
            column,
            kind,
        } = operand
        {
            let rows = &self.all[self.tables[*table]].rows;
            if !rows.is_empty() && self.chance(0.7) {
                let row = self.random.random_range(0..rows.len());
                let value = &rows[row][*column];
                let has_constant = constant_kind(*kind) == *kind && !value.is_zero_date();
                if *value != Value::Null && has_constant {
                    return Expr::Constant(rows[row][*column].clone(), *kind);
                }
            }
        }
        let mut kind = constant_kind(kind_of(operand));
        if self.chance(0.2) && self.compares_moments_of_all_kinds() {
            kind = finer_moment(kind);
        }
        Expr::Constant(kind.value(self.random), kind)
    }

    /// SQLite compares texts: to it a date is less than its midnight.
    fn compares_moments_of_all_kinds(&self) -> bool {
        self.tables
            .iter()
            .all(|table| self.all[*table].home != Home::Sqlite)
    }

    /// A random expression of a class.
    pub fn scalar(&mut self, class: Class, depth: usize) -> Expr {
        let leaf = match self.column_of_class(class) {
            Some(column) if self.chance(0.85) => column,
            _ => {
                let kind = default_kind(class);
                Expr::Constant(kind.value(self.random), kind)
            }
        };
        if depth == 0 || self.chance(0.4) {
            return leaf;
        }
        let leaf_box = Box::new(leaf.clone());
        if self.chance(0.15) {
            let condition = Box::new(self.boolean(0));
            let otherwise = self
                .chance(0.7)
                .then(|| Box::new(self.scalar(class, depth - 1)));
            return Expr::Case {
                condition,
                then: leaf_box,
                otherwise,
            };
        }
        if self.chance(0.15) {
            return Expr::Call("coalesce", vec![leaf, self.scalar(class, depth - 1)], class);
        }
        if self.chance(0.1) {
            return Expr::Call("nullif", vec![leaf, self.scalar(class, depth - 1)], class);
        }
        let small = |value: i64| Box::new(Expr::Constant(Value::Integer(value), Kind::Integer));
        match class {
            Class::Integer => match self.random.random_range(0..7) {
                0 => Expr::Binary("/", leaf_box, small(pick(self.random, &[1, 2, 3, -2, 7]))),
                1 => Expr::Binary("%", leaf_box, small(pick(self.random, &[2, 3, -3, 7]))),
                2 => Expr::Binary("+", leaf_box, small(pick(self.random, &[1, -1, 10]))),
                3 => Expr::Binary("*", leaf_box, small(pick(self.random, &[2, -1, 3]))),
                4 => match self.column_of_class(Class::Text) {
                    Some(text) => Expr::Call("length", vec![text], Class::Integer),
                    None => leaf,
                },
                5 => match self.column_of_class(Class::Date) {
                    Some(date) => Expr::Call(
                        pick(self.random, &["year", "month", "day"]),
                        vec![date],
                        Class::Integer,
                    ),
                    None => leaf,
                },
                _ => Expr::Cast(leaf_box, Kind::BigInteger),
            },
            Class::Text => match self.random.random_range(0..8) {
                0 => Expr::Call("lower", vec![leaf], class),
                1 => Expr::Call("upper", vec![leaf], class),
                2 => Expr::Call("trim", vec![leaf], class),
                3 => {
                    let start = *small(self.random.random_range(1..4));
                    let length = *small(self.random.random_range(0..4));
                    Expr::Call("substr", vec![leaf, start, length], class)
                }
                4 => Expr::Binary("||", leaf_box, Box::new(self.scalar(class, depth - 1))),
                5 => Expr::Call("replace", vec![leaf, text("a"), text("xy")], class),
                6 => match self.column_of_class(Class::Integer) {
                    Some(number) => Expr::Cast(Box::new(number), Kind::Text(Collation::Binary)),
                    None => leaf,
                },
                _ => leaf,
            },
            Class::Float => match self.random.random_range(0..4) {
                0 => Expr::Call("abs", vec![leaf], class),
                1 => Expr::Call(pick(self.random, &["floor", "ceil"]), vec![leaf], class),
                2 => match self.column_of_class(Class::Integer) {
                    Some(number) => Expr::Cast(Box::new(number), Kind::Double),
                    None => leaf,
                },
                _ => leaf,
            },
            Class::Decimal => match self.random.random_range(0..3) {
                0 => Expr::Call("abs", vec![leaf], class),
                1 => Expr::Binary(
                    pick(self.random, &["+", "-"]),
                    leaf_box,
                    Box::new(self.scalar(class, 0)),
                ),
                _ => leaf,
            },
            Class::Date => match self.random.random_range(0..3) {
                0 => match self.column_of_class(Class::Timestamp) {
                    Some(timestamp) => Expr::Cast(Box::new(timestamp), Kind::Date),
                    None => leaf,
                },
                _ => leaf,
            },
            Class::Timestamp => match self.random.random_range(0..3) {
                0 => Expr::Call(
                    "date_trunc",
                    vec![
                        text(pick(self.random, &["day", "month", "hour", "year"])),
                        leaf,
                    ],
                    class,
                ),
                1 => match self.column_of_class(Class::Date) {
                    Some(date) => Expr::Cast(Box::new(date), Kind::Timestamp),
                    None => leaf,
                },
                _ => leaf,
            },
            Class::Boolean | Class::Instant | Class::Opaque => leaf,
        }
    }

    fn output(&mut self) -> Output {
        if self.chance(0.35) {
            return self.groups();
        }
        let count = self.random.random_range(1..5);
        let expressions = (0..count)
            .map(|_| {
                if self.chance(0.06) {
                    return self.scalar_subquery();
                }
                let column = self.any_column();
                if column.class() != Class::Opaque && self.chance(0.35) {
                    self.scalar(column.class(), 2)
                } else {
                    column
                }
            })
            .collect();
        Output::Rows {
            expressions,
            distinct: self.chance(0.12),
        }
    }

    fn groups(&mut self) -> Output {
        let mut keys = Vec::new();
        for _ in 0..pick(self.random, &[0, 1, 1, 1, 2]) {
            let column = self.any_column();
            let is_scalar = column.class() != Class::Opaque && self.chance(0.2);
            keys.push(if is_scalar {
                self.scalar(column.class(), 1)
            } else {
                column
            });
        }
        let aggregates = (0..self.random.random_range(1..4))
            .map(|_| self.aggregate())
            .collect();
        let having = self.chance(0.2).then(|| {
            let aggregate = Aggregate {
                function: "count",
                argument: None,
                distinct: false,
                filter: None,
            };
            (
                aggregate,
                pick(self.random, &[">", "<=", "=", "<>"]),
                self.random.random_range(0..4),
            )
        });
        Output::Groups {
            keys,
            aggregates,
            having,
        }
    }

    fn aggregate(&mut self) -> Aggregate {
        let column = self.any_column();
        let functions: &[&'static str] = match column.class() {
            Class::Integer | Class::Decimal => &["count", "sum", "min", "max", "avg"],
            Class::Boolean => &["count", "bool_and", "bool_or"],
            // Sums of infinities and huge floats depend on the order of the rows.
            Class::Float | Class::Text | Class::Date | Class::Timestamp | Class::Instant => {
                &["count", "min", "max"]
            }
            Class::Opaque => &["count"],
        };
        let function = pick(self.random, functions);
        let argument = if function == "count" && self.chance(0.4) {
            None
        } else {
            Some(column)
        };
        let distinct = argument.is_some() && self.chance(0.2);
        let filter = self.chance(0.15).then(|| self.boolean(1));
        Aggregate {
            function,
            argument,
            distinct,
            filter,
        }
    }

    /// A unique ordering, so that a limit has one right answer.
    fn order(&mut self, query: &mut Query) {
        if query.union_filter.is_some() || !self.chance(0.45) {
            return;
        }
        let visible = self.visible;
        let is_distinct = matches!(query.output, Output::Rows { distinct: true, .. });
        if let Output::Rows {
            expressions,
            distinct: false,
        } = &mut query.output
        {
            expressions.extend((0..visible).map(|table| Expr::Column {
                table,
                column: 0,
                kind: Kind::Integer,
            }));
        }
        let (width, unique_from) = match &query.output {
            Output::Rows { expressions, .. } => (
                expressions.len(),
                if is_distinct {
                    0
                } else {
                    expressions.len() - visible
                },
            ),
            Output::Groups {
                keys, aggregates, ..
            } => (keys.len() + aggregates.len(), 0),
        };
        let unique_until = match &query.output {
            Output::Rows { .. } => width,
            Output::Groups { keys, .. } => keys.len(),
        };
        let mut positions = Vec::new();
        for _ in 0..self.random.random_range(0..3) {
            positions.push(self.random.random_range(0..width));
        }
        positions.extend(unique_from..unique_until);
        let mut seen = std::collections::HashSet::new();
        positions.retain(|position| seen.insert(*position));
        query.order = positions
            .into_iter()
            .map(|output| OrderKey {
                output,
                descending: self.chance(0.4),
                nulls_first: if self.chance(0.5) {
                    None
                } else {
                    Some(self.chance(0.5))
                },
            })
            .collect();
        if self.chance(0.6) {
            let skip = if self.chance(0.25) {
                self.random.random_range(0..5)
            } else {
                0
            };
            query.limit = Some((skip, self.random.random_range(0..12)));
        }
    }
}

fn text(value: &str) -> Expr {
    Expr::Constant(Value::Text(value.to_owned()), Kind::Text(Collation::Binary))
}

fn default_kind(class: Class) -> Kind {
    match class {
        Class::Boolean => Kind::Boolean,
        Class::Integer => Kind::Integer,
        Class::Float => Kind::Double,
        Class::Decimal => Kind::Decimal(10, 2),
        Class::Text => Kind::Text(Collation::Binary),
        Class::Date => Kind::Date,
        Class::Timestamp => Kind::Timestamp,
        Class::Instant => Kind::Instant,
        Class::Opaque => Kind::Bytes,
    }
}

/// The engine's constants have at most 38 digits.
fn constant_kind(kind: Kind) -> Kind {
    match kind {
        Kind::Decimal(precision, _) if precision > 38 => Kind::Decimal(30, 10),
        other => other,
    }
}

/// What dates and timestamps can be compared with beside their own kind.
fn finer_moment(kind: Kind) -> Kind {
    match kind {
        Kind::Date => Kind::Timestamp,
        Kind::Timestamp => Kind::Instant,
        other => other,
    }
}

fn kind_of(operand: &Expr) -> Kind {
    match operand {
        Expr::Column { kind, .. } | Expr::Constant(_, kind) | Expr::Cast(_, kind) => *kind,
        other => default_kind(other.class()),
    }
}
