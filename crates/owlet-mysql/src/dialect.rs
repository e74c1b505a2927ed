//! The MySQL dialect under a policy that changes values while they are read. Must never do I/O.

use std::sync::Arc;

use owlet_connector::{Expression, Literal};
use owlet_remote_sql::mysql::MysqlDialect;
use owlet_remote_sql::{Dialect, OutputColumn, Refusal, Relation, RemoteQuery};

use crate::options::ZeroDatePolicy;
use crate::types::has_unrepresentable_values;

/// The dialect for a server.
pub(crate) fn dialect(exact: MysqlDialect, policy: ZeroDatePolicy) -> Arc<dyn Dialect> {
    match policy {
        ZeroDatePolicy::Error => Arc::new(exact),
        ZeroDatePolicy::Null => Arc::new(SubstitutingDialect { exact }),
    }
}

/// With `zero_dates = "null"`, the server still sees the zero date: whatever it computes from a date or time may
/// differ from what the engine would. Such columns are only passed through.
#[derive(Debug)]
struct SubstitutingDialect {
    exact: MysqlDialect,
}

impl SubstitutingDialect {
    fn check(&self, expression: &Expression) -> Result<(), Refusal> {
        if has_unrepresentable_values(&expression.data_type()) {
            let name = match expression {
                Expression::Column(column) => column.name.clone(),
                _ => "a date or time".to_owned(),
            };
            return Err(Refusal::new(format!(
                "computing with {name}: the catalog's option zero_dates changes values only after they are read"
            )));
        }
        expression
            .children()
            .into_iter()
            .try_for_each(|child| self.check(child))
    }

    /// The operators of this relation compute with no such column; passing one through is fine.
    fn check_relation(&self, relation: &Relation) -> Result<(), Refusal> {
        self.check_topmost(relation)?;
        relation
            .inputs()
            .into_iter()
            .try_for_each(|input| self.check_relation(input))
    }

    fn check_topmost(&self, relation: &Relation) -> Result<(), Refusal> {
        let compares_whole_rows = matches!(relation, Relation::Distinct { .. });
        if compares_whole_rows
            && relation
                .columns()
                .iter()
                .any(|column| has_unrepresentable_values(&column.data_type))
        {
            return Err(Refusal::new(
                "DISTINCT over a date or time: the catalog's option zero_dates changes values only after they are read",
            ));
        }
        relation
            .expressions()
            .into_iter()
            .filter(|expression| {
                !(matches!(relation, Relation::Project { .. })
                    && matches!(expression, Expression::Column(_)))
            })
            .try_for_each(|expression| self.check(expression))
    }
}

impl Dialect for SubstitutingDialect {
    fn name(&self) -> &'static str {
        self.exact.name()
    }

    fn render(&self, relation: &Relation) -> Result<RemoteQuery, Refusal> {
        self.check_relation(relation)?;
        self.exact.render(relation)
    }

    fn check_expression(
        &self,
        expression: &Expression,
        input: &[OutputColumn],
    ) -> Result<(), Refusal> {
        if !matches!(expression, Expression::Column(_)) {
            self.check(expression)?;
        }
        self.exact.check_expression(expression, input)
    }

    fn check_operator(&self, relation: &Relation) -> Result<(), Refusal> {
        self.check_topmost(relation)?;
        self.exact.check_operator(relation)
    }

    fn prefilter(&self, predicate: &Expression, input: &[OutputColumn]) -> Option<Expression> {
        let prefilter = self.exact.prefilter(predicate, input)?;
        self.check(&prefilter).is_ok().then_some(prefilter)
    }

    fn quote_identifier(&self, identifier: &str) -> String {
        self.exact.quote_identifier(identifier)
    }

    fn literal(&self, literal: &Literal) -> Result<String, Refusal> {
        self.exact.literal(literal)
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::{DataType, TimeUnit};
    use owlet_connector::{ColumnMetadata, ColumnReference, CompareOperator, LiteralValue};
    use owlet_remote_sql::RemoteTable;
    use owlet_remote_sql::mysql::Product;

    use super::*;

    fn table() -> Relation {
        let timestamp = DataType::Timestamp(TimeUnit::Microsecond, None);
        Relation::Table(RemoteTable {
            schema: "shop".to_owned(),
            name: "t".to_owned(),
            columns: vec![
                ColumnMetadata::new("at", timestamp, "datetime"),
                ColumnMetadata::new("n", DataType::Int32, "int(11)"),
            ],
            restriction: None,
        })
    }

    fn equals(index: usize, data_type: DataType) -> Expression {
        Expression::Compare {
            operator: CompareOperator::Equal,
            left: Box::new(Expression::Column(ColumnReference {
                index,
                name: "x".to_owned(),
                data_type: data_type.clone(),
                nullable: true,
            })),
            right: Box::new(Expression::Literal(Literal {
                value: LiteralValue::Integer(0),
                data_type,
            })),
        }
    }

    #[test]
    fn only_the_error_policy_lets_the_server_compute_with_times() {
        let at = equals(0, DataType::Timestamp(TimeUnit::Microsecond, None));
        let number = equals(1, DataType::Int32);
        let filter = |predicate: &Expression| Relation::Filter {
            input: Box::new(table()),
            predicate: predicate.clone(),
        };
        let exact = || MysqlDialect::new(Product::MariaDb, (10, 11, 0));
        {
            let dialect = dialect(exact(), ZeroDatePolicy::Null);
            assert!(dialect.render(&table()).is_ok());
            assert!(dialect.check_operator(&filter(&at)).is_err());
            assert!(dialect.check_operator(&filter(&number)).is_ok());
            assert!(dialect.prefilter(&at, &table().columns()).is_none());
            assert!(
                dialect
                    .check_operator(&Relation::Distinct {
                        input: Box::new(table())
                    })
                    .is_err()
            );
        }
        assert!(
            dialect(exact(), ZeroDatePolicy::Error)
                .check_operator(&filter(&at))
                .is_ok()
        );
    }
}
