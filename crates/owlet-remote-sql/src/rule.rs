//! The exactness table as data: each row allows (and spells) or refuses one construct over some types.
//! What has no row is refused. Must never know a dialect's spelling.

use std::fmt;

use arrow_schema::DataType;
use owlet_connector::{ArithmeticOperator, CastFailure, CompareOperator, Truth};

use crate::class::{TypeClass, sql_name, type_class};
use crate::dialect::Refusal;
use crate::flavor::Flavor;
use crate::fragment::Fragment;
use crate::relation::AggregateFunction;

/// What a row of an exactness table is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Construct {
    /// `=`, `<>`, `IN`, `IS [NOT] DISTINCT FROM`.
    Equality,
    /// `<`, `<=`, `>`, `>=`.
    Ordering,
    /// `LIKE` with a constant pattern.
    Like,
    /// `AND`, `OR`, `NOT`, `IS [NOT] TRUE | FALSE | UNKNOWN`.
    Logic,
    /// `IS [NOT] NULL`.
    NullTest,
    /// `CASE`.
    Case,
    /// An arithmetic operator.
    Arithmetic(ArithmeticOperator),
    /// Unary minus.
    Negative,
    /// `CAST` to a class of types.
    Cast(TypeClass),
    /// A scalar function by engine name.
    Function(&'static str),
    /// A key of `GROUP BY`, a column of `DISTINCT`, an argument of a distinct aggregate.
    Grouping,
    /// A key of a join.
    JoinKey,
    /// A key of `ORDER BY`.
    SortKey,
    /// An aggregate function.
    Aggregate(AggregateFunction),
}

/// Which operands a row is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signature {
    /// Any operands.
    Any,
    /// Every operand is of one of these classes.
    Each(&'static [TypeClass]),
    /// One class for each operand, in order.
    Exactly(&'static [TypeClass]),
}

/// A row of an exactness table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// What it is about.
    pub construct: Construct,
    /// Over which operands.
    pub signature: Signature,
    /// Allowed and how it is spelled, or refused and why.
    pub verdict: Verdict,
    /// Limits and reasons, for people.
    pub note: &'static str,
}

/// What a row says.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verdict {
    /// Exact as spelled by this function, which may still refuse some operands.
    Exact(fn(&Call<'_>) -> Result<String, Refusal>),
    /// Never; the row's note is the reason.
    Refused,
}

/// One use of a construct.
pub(crate) struct Call<'a> {
    /// The dialect.
    pub flavor: &'a dyn Flavor,
    /// Operands, left to right.
    pub operands: &'a [Fragment],
    /// Result type as planned.
    pub data_type: &'a DataType,
    /// What the construct alone does not tell.
    pub detail: Detail,
    /// ` FILTER (WHERE …)` of an aggregate, or nothing.
    pub filter_clause: &'a str,
}

/// What a construct alone does not tell.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Detail {
    /// Nothing.
    None,
    /// A comparison.
    Compare(CompareOperator),
    /// `IN`: the first operand is tested, the others are the candidates.
    InList {
        /// `NOT IN`.
        negated: bool,
    },
    /// `LIKE`: operand and pattern.
    Like {
        /// The escape character.
        escape: char,
        /// `NOT LIKE`.
        negated: bool,
    },
    /// `IS NULL`.
    NullTest {
        /// `IS NOT NULL`.
        negated: bool,
    },
    /// `IS TRUE` and so on.
    Truth {
        /// The value tested for.
        truth: Truth,
        /// `IS NOT`.
        negated: bool,
    },
    /// `AND`, `OR`, `NOT`.
    Logic(Connective),
    /// `CASE`: condition and result pairs, then the `ELSE` result if there is one.
    Case {
        /// Has an `ELSE`.
        has_otherwise: bool,
    },
    /// A cast.
    Cast(CastFailure),
    /// An aggregate.
    Aggregate {
        /// Function.
        function: AggregateFunction,
        /// Over distinct values.
        distinct: bool,
    },
}

/// Logical connectives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connective {
    /// `AND`
    And,
    /// `OR`
    Or,
    /// `NOT`
    Not,
}

impl Call<'_> {
    /// A refusal that names the operands.
    pub fn refuse(&self, construct: Construct, reason: impl fmt::Display) -> Refusal {
        refuse(construct, self.operands, reason)
    }

    /// The reason where the result would have another type at the source.
    pub fn type_reason(&self) -> String {
        format!("not with a result of type {}", sql_name(self.data_type))
    }
}

/// A refusal that says what is done to which operands, and why that is not exact.
pub(crate) fn refuse(
    construct: Construct,
    operands: &[Fragment],
    reason: impl fmt::Display,
) -> Refusal {
    Refusal::new(format!(
        "{} {}: {reason}",
        construct.activity(),
        operand_labels(operands)
    ))
}

/// A refusal of what has no row.
pub(crate) fn not_known(
    flavor: &dyn Flavor,
    construct: Construct,
    operands: &[Fragment],
) -> Refusal {
    let types: Vec<String> = operands
        .iter()
        .map(|operand| sql_name(&operand.data_type))
        .collect();
    let reason = format!(
        "not known to be exact in {} for ({})",
        flavor.title(),
        types.join(", ")
    );
    refuse(construct, operands, reason)
}

/// The operands for a refusal, without constants.
pub(crate) fn operand_labels(operands: &[Fragment]) -> String {
    let mut labels: Vec<&str> = operands
        .iter()
        .filter(|operand| operand.literal.is_none())
        .map(|operand| operand.label.as_str())
        .collect();
    labels.dedup();
    match labels.as_slice() {
        [] => "constants".to_owned(),
        [one] => (*one).to_owned(),
        [first, second] => format!("{first} and {second}"),
        [first, .., last] => format!("{first} … {last}"),
    }
}

/// A function in words of SQL: some are the engine's own forms of operators and casts.
pub(crate) fn function_words(name: &str) -> String {
    match name {
        "owlet_cast" => "cast".to_owned(),
        "owlet_try_cast" => "TRY_CAST".to_owned(),
        "owlet_try" => "TRY".to_owned(),
        "owlet_checked_add" => "`+`".to_owned(),
        "owlet_checked_subtract" => "`-`".to_owned(),
        "owlet_checked_multiply" => "`*`".to_owned(),
        "owlet_checked_negate" => "unary `-`".to_owned(),
        "owlet_decimal_divide" => "decimal `/`".to_owned(),
        "owlet_date_difference" => "difference".to_owned(),
        "owlet_interval_multiple" => "interval `*`".to_owned(),
        "owlet_interval_quotient" => "interval `/`".to_owned(),
        "owlet_like_pattern" => "LIKE".to_owned(),
        "owlet_subscript" => "subscript".to_owned(),
        "owlet_unsigned_zero" => "sign of zero".to_owned(),
        "owlet_zoned_timestamp" => "time zone".to_owned(),
        "owlet_read_decimal" => "cast to decimal".to_owned(),
        crate::case_folding::ASCII_LOWER => "lower()".to_owned(),
        crate::case_folding::ASCII_UPPER => "upper()".to_owned(),
        crate::foreign_text::UTF8_BYTES => "comparison".to_owned(),
        other => format!("{}()", other.strip_prefix("owlet_").unwrap_or(other)),
    }
}

/// Finds the row for a construct over these operands.
pub(crate) fn find_rule<'a>(
    rules: &'a [Rule],
    construct: Construct,
    operands: &[Fragment],
) -> Option<&'a Rule> {
    rules
        .iter()
        .find(|rule| rule.construct == construct && rule.signature.matches(operands))
}

impl Signature {
    fn matches(&self, operands: &[Fragment]) -> bool {
        let mut classes = operands
            .iter()
            .map(|operand| type_class(&operand.data_type));
        match self {
            Self::Any => true,
            Self::Each(allowed) => classes.all(|class| allowed.contains(&class)),
            Self::Exactly(expected) => classes.eq(expected.iter().copied()),
        }
    }

    fn describe(&self) -> String {
        let join = |classes: &[TypeClass], separator: &str| {
            classes
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(separator)
        };
        match self {
            Self::Any => "any".to_owned(),
            Self::Each(classes) => join(classes, " | "),
            Self::Exactly(classes) => format!("({})", join(classes, ", ")),
        }
    }
}

impl Construct {
    /// How the exactness table names it.
    pub fn label(&self) -> String {
        match self {
            Self::Equality => "`=` `<>` `IN` `IS [NOT] DISTINCT FROM`".to_owned(),
            Self::Ordering => "`<` `<=` `>` `>=`".to_owned(),
            Self::Like => "`LIKE`".to_owned(),
            Self::Logic => "`AND` `OR` `NOT` `IS TRUE`".to_owned(),
            Self::NullTest => "`IS [NOT] NULL`".to_owned(),
            Self::Case => "`CASE`".to_owned(),
            Self::Arithmetic(operator) => format!("`{}`", arithmetic_symbol(*operator)),
            Self::Negative => "unary `-`".to_owned(),
            Self::Cast(target) => format!("`CAST` to {target}"),
            Self::Function(name) => format!("`{name}()`"),
            Self::Grouping => "`GROUP BY`, `DISTINCT`".to_owned(),
            Self::JoinKey => "join key".to_owned(),
            Self::SortKey => "`ORDER BY`".to_owned(),
            Self::Aggregate(function) => format!("`{}`", aggregate_name(*function)),
        }
    }

    /// What a refusal says is done.
    fn activity(&self) -> String {
        match self {
            Self::Equality | Self::Ordering => "comparing".to_owned(),
            Self::Like => "LIKE on".to_owned(),
            Self::Logic => "logic on".to_owned(),
            Self::NullTest => "NULL test of".to_owned(),
            Self::Case => "CASE over".to_owned(),
            Self::Arithmetic(operator) => format!("`{}` on", arithmetic_symbol(*operator)),
            Self::Negative => "`-` on".to_owned(),
            Self::Cast(target) => format!("cast to {target} of"),
            Self::Function(name) => format!("{} of", function_words(name)),
            Self::Grouping => "grouping by".to_owned(),
            Self::JoinKey => "joining on".to_owned(),
            Self::SortKey => "ordering by".to_owned(),
            Self::Aggregate(function) => format!("{} of", aggregate_name(*function)),
        }
    }
}

/// The operator's symbol.
pub(crate) fn arithmetic_symbol(operator: ArithmeticOperator) -> &'static str {
    match operator {
        ArithmeticOperator::Add => "+",
        ArithmeticOperator::Subtract => "-",
        ArithmeticOperator::Multiply => "*",
        ArithmeticOperator::Divide => "/",
        ArithmeticOperator::Modulo => "%",
        ArithmeticOperator::Concatenate => "||",
    }
}

/// The operator's symbol.
pub(crate) fn compare_symbol(operator: CompareOperator) -> &'static str {
    match operator {
        CompareOperator::Equal => "=",
        CompareOperator::NotEqual => "<>",
        CompareOperator::Less => "<",
        CompareOperator::LessOrEqual => "<=",
        CompareOperator::Greater => ">",
        CompareOperator::GreaterOrEqual => ">=",
        CompareOperator::DistinctFrom => "IS DISTINCT FROM",
        CompareOperator::NotDistinctFrom => "IS NOT DISTINCT FROM",
    }
}

/// The function's SQL name.
pub(crate) fn aggregate_name(function: AggregateFunction) -> &'static str {
    match function {
        AggregateFunction::CountRows => "count(*)",
        AggregateFunction::Count => "count",
        AggregateFunction::Sum => "sum",
        AggregateFunction::Minimum => "min",
        AggregateFunction::Maximum => "max",
        AggregateFunction::Average => "avg",
        AggregateFunction::BooleanAnd => "bool_and",
        AggregateFunction::BooleanOr => "bool_or",
    }
}

/// The construct a comparison belongs to.
pub(crate) fn compare_construct(operator: CompareOperator) -> Construct {
    match operator {
        CompareOperator::Equal
        | CompareOperator::NotEqual
        | CompareOperator::DistinctFrom
        | CompareOperator::NotDistinctFrom => Construct::Equality,
        CompareOperator::Less
        | CompareOperator::LessOrEqual
        | CompareOperator::Greater
        | CompareOperator::GreaterOrEqual => Construct::Ordering,
    }
}

/// The rows for documentation: construct, types, pushed or local, note. Neighbours that say the same of different
/// constructs share a row.
pub(crate) fn documentation(rules: &[Rule]) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for rule in rules {
        let verdict = match rule.verdict {
            Verdict::Exact(_) => "pushed",
            Verdict::Refused => "local",
        };
        let row = vec![
            rule.construct.label(),
            rule.signature.describe(),
            verdict.to_owned(),
            rule.note.to_owned(),
        ];
        match rows.last_mut() {
            Some(previous) if previous[1..] == row[1..] => {
                if !previous[0].split(", ").any(|construct| construct == row[0]) {
                    previous[0] = format!("{}, {}", previous[0], row[0]);
                }
            }
            _ => rows.push(row),
        }
    }
    rows
}
