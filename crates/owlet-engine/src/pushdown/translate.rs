//! DataFusion expressions to the contract's plain-data expressions. Knows no source: what cannot be said in the
//! plain algebra is refused with a reason; whether a source can do it exactly is the dialect's business.

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction as AggregateCall, InList, ScalarFunction};
use datafusion::logical_expr::{
    Between, BinaryExpr, Case, Expr, ExprSchemable, Like, Operator, SortExpr,
};
use owlet_connector::{
    ArithmeticOperator, CastFailure, ColumnReference, CompareOperator, Expression, Literal,
    LiteralValue, NullsOrder, SortDirection, SortKey, Truth,
};
use owlet_remote_sql::{AggregateExpression, AggregateFunction, Refusal};

type Translated<T> = std::result::Result<T, Refusal>;

/// Translates expressions over one input schema; columns become positions in it.
#[derive(Debug, Clone, Copy)]
pub struct Translator<'a> {
    schema: &'a DFSchema,
}

impl<'a> Translator<'a> {
    /// A translator for expressions over `schema`.
    pub fn new(schema: &'a DFSchema) -> Self {
        Self { schema }
    }

    /// Translates a scalar expression.
    pub fn expression(&self, expr: &Expr) -> Translated<Expression> {
        match expr {
            Expr::Alias(alias) => self.expression(&alias.expr),
            Expr::Column(column) => self.column(column),
            Expr::Literal(value, _) => Ok(Expression::Literal(literal(value)?)),
            Expr::BinaryExpr(binary) => self.binary(expr, binary),
            Expr::Not(operand) => Ok(Expression::Not(Box::new(self.expression(operand)?))),
            Expr::IsNull(operand) => Ok(Expression::IsNull(Box::new(self.expression(operand)?))),
            Expr::IsNotNull(operand) => {
                Ok(Expression::IsNotNull(Box::new(self.expression(operand)?)))
            }
            Expr::IsTrue(operand) => self.truth_test(operand, Truth::True, Negation::Plain),
            Expr::IsFalse(operand) => self.truth_test(operand, Truth::False, Negation::Plain),
            Expr::IsUnknown(operand) => self.truth_test(operand, Truth::Unknown, Negation::Plain),
            Expr::IsNotTrue(operand) => self.truth_test(operand, Truth::True, Negation::Negated),
            Expr::IsNotFalse(operand) => self.truth_test(operand, Truth::False, Negation::Negated),
            Expr::IsNotUnknown(operand) => {
                self.truth_test(operand, Truth::Unknown, Negation::Negated)
            }
            Expr::Negative(operand) => {
                Ok(Expression::Negative(Box::new(self.expression(operand)?)))
            }
            Expr::Between(between) => self.between(between),
            Expr::Like(like) => self.like(like),
            Expr::Case(case) => self.case(expr, case),
            Expr::Cast(cast) => self.cast(&cast.expr, cast.field.data_type(), CastFailure::Error),
            Expr::TryCast(cast) => self.cast(&cast.expr, cast.field.data_type(), CastFailure::Null),
            Expr::InList(list) => self.in_list(list),
            Expr::ScalarFunction(function) => self.function(expr, function),
            Expr::ScalarSubquery(_) => {
                Err(Refusal::new("a scalar subquery is computed first, locally"))
            }
            Expr::WindowFunction(_) => Err(Refusal::new("window functions stay local")),
            other => Err(Refusal::new(format!(
                "{} has no remote counterpart",
                other.variant_name()
            ))),
        }
    }

    /// Translates an aggregate call.
    pub fn aggregate(&self, expr: &Expr) -> Translated<AggregateExpression> {
        let call = match expr {
            Expr::Alias(alias) => return self.aggregate(&alias.expr),
            Expr::AggregateFunction(call) => call,
            other => {
                return Err(Refusal::new(format!(
                    "{} is not an aggregate",
                    other.variant_name()
                )));
            }
        };
        let AggregateCall { func, params } = call;
        if !params.order_by.is_empty() || params.null_treatment.is_some() {
            return Err(Refusal::new(format!(
                "{} with ORDER BY or a NULL treatment stays local",
                func.name()
            )));
        }
        let data_type = self.type_of(expr)?;
        let filter = params
            .filter
            .as_ref()
            .map(|filter| self.expression(filter))
            .transpose()?;
        let argument = match params.args.as_slice() {
            [] => None,
            [argument] => Some(self.expression(argument)?),
            _ => {
                return Err(Refusal::new(format!(
                    "{} with several arguments stays local",
                    func.name()
                )));
            }
        };
        let function = match (func.name(), &argument) {
            ("count", None) => AggregateFunction::CountRows,
            ("count", Some(Expression::Literal(literal)))
                if !literal.is_null() && !params.distinct =>
            {
                AggregateFunction::CountRows
            }
            ("count", Some(_)) => AggregateFunction::Count,
            ("sum", Some(_)) => AggregateFunction::Sum,
            ("min", Some(_)) => AggregateFunction::Minimum,
            ("max", Some(_)) => AggregateFunction::Maximum,
            ("avg" | "mean", Some(_)) => AggregateFunction::Average,
            ("bool_and", Some(_)) => AggregateFunction::BooleanAnd,
            ("bool_or", Some(_)) => AggregateFunction::BooleanOr,
            (name, _) => {
                return Err(Refusal::new(format!(
                    "aggregate {name} has no remote counterpart"
                )));
            }
        };
        let argument = if function == AggregateFunction::CountRows {
            None
        } else {
            argument
        };
        Ok(AggregateExpression {
            function,
            argument,
            distinct: params.distinct,
            filter,
            data_type,
        })
    }

    /// Translates one ordering key.
    pub fn sort_key(&self, sort: &SortExpr) -> Translated<SortKey> {
        Ok(SortKey {
            expression: self.expression(&sort.expr)?,
            direction: if sort.asc {
                SortDirection::Ascending
            } else {
                SortDirection::Descending
            },
            nulls: if sort.nulls_first {
                NullsOrder::First
            } else {
                NullsOrder::Last
            },
        })
    }

    fn type_of(&self, expr: &Expr) -> Translated<DataType> {
        expr.get_type(self.schema)
            .map_err(|error| Refusal::new(format!("type of {expr} is unknown: {error}")))
    }

    fn column(&self, column: &Column) -> Translated<Expression> {
        let index = self
            .schema
            .maybe_index_of_column(column)
            .ok_or_else(|| Refusal::new(format!("column {column} is not part of the input")))?;
        let field = self.schema.field(index);
        Ok(Expression::Column(ColumnReference {
            index,
            name: field.name().clone(),
            data_type: field.data_type().clone(),
            nullable: field.is_nullable(),
        }))
    }

    fn binary(&self, expr: &Expr, binary: &BinaryExpr) -> Translated<Expression> {
        if matches!(binary.op, Operator::And | Operator::Or) {
            let mut operands = Vec::new();
            for side in [&binary.left, &binary.right] {
                match (self.expression(side)?, binary.op) {
                    (Expression::And(nested), Operator::And)
                    | (Expression::Or(nested), Operator::Or) => {
                        operands.extend(nested);
                    }
                    (other, _) => operands.push(other),
                }
            }
            return Ok(match binary.op {
                Operator::And => Expression::And(operands),
                _ => Expression::Or(operands),
            });
        }
        let left = Box::new(self.expression(&binary.left)?);
        let right = Box::new(self.expression(&binary.right)?);
        if let Some(operator) = compare_operator(binary.op) {
            return Ok(Expression::Compare {
                operator,
                left,
                right,
            });
        }
        let operator = match binary.op {
            Operator::Plus => ArithmeticOperator::Add,
            Operator::Minus => ArithmeticOperator::Subtract,
            Operator::Multiply => ArithmeticOperator::Multiply,
            Operator::Divide => ArithmeticOperator::Divide,
            Operator::Modulo => ArithmeticOperator::Modulo,
            Operator::StringConcat => ArithmeticOperator::Concatenate,
            other => {
                return Err(Refusal::new(format!(
                    "operator {other} has no remote counterpart"
                )));
            }
        };
        Ok(Expression::Arithmetic {
            operator,
            left,
            right,
            data_type: self.type_of(expr)?,
        })
    }

    fn truth_test(
        &self,
        operand: &Expr,
        truth: Truth,
        negation: Negation,
    ) -> Translated<Expression> {
        Ok(Expression::Is {
            expression: Box::new(self.expression(operand)?),
            truth,
            negated: negation == Negation::Negated,
        })
    }

    fn between(&self, between: &Between) -> Translated<Expression> {
        let operand = self.expression(&between.expr)?;
        let low = Expression::Compare {
            operator: CompareOperator::GreaterOrEqual,
            left: Box::new(operand.clone()),
            right: Box::new(self.expression(&between.low)?),
        };
        let high = Expression::Compare {
            operator: CompareOperator::LessOrEqual,
            left: Box::new(operand),
            right: Box::new(self.expression(&between.high)?),
        };
        let inside = Expression::And(vec![low, high]);
        Ok(if between.negated {
            Expression::Not(Box::new(inside))
        } else {
            inside
        })
    }

    fn like(&self, like: &Like) -> Translated<Expression> {
        Ok(Expression::Like {
            expression: Box::new(self.expression(&like.expr)?),
            pattern: Box::new(self.expression(&like.pattern)?),
            escape: like.escape_char,
            negated: like.negated,
            case_insensitive: like.case_insensitive,
        })
    }

    fn case(&self, expr: &Expr, case: &Case) -> Translated<Expression> {
        let operand = case
            .expr
            .as_ref()
            .map(|operand| self.expression(operand))
            .transpose()?;
        let mut branches = Vec::with_capacity(case.when_then_expr.len());
        for (when, then) in &case.when_then_expr {
            let condition = self.expression(when)?;
            let condition = match &operand {
                None => condition,
                Some(operand) => Expression::Compare {
                    operator: CompareOperator::Equal,
                    left: Box::new(operand.clone()),
                    right: Box::new(condition),
                },
            };
            branches.push((condition, self.expression(then)?));
        }
        let otherwise = case
            .else_expr
            .as_ref()
            .map(|otherwise| self.expression(otherwise))
            .transpose()?
            .map(Box::new);
        Ok(Expression::Case {
            branches,
            otherwise,
            data_type: self.type_of(expr)?,
        })
    }

    fn cast(
        &self,
        operand: &Expr,
        target: &DataType,
        on_failure: CastFailure,
    ) -> Translated<Expression> {
        let expression = self.expression(operand)?;
        if is_text(&expression.data_type()) && is_text(target) {
            return Ok(expression);
        }
        Ok(Expression::Cast {
            expression: Box::new(expression),
            data_type: target.clone(),
            on_failure,
        })
    }

    fn in_list(&self, list: &InList) -> Translated<Expression> {
        Ok(Expression::InList {
            expression: Box::new(self.expression(&list.expr)?),
            list: list
                .list
                .iter()
                .map(|item| self.expression(item))
                .collect::<Translated<_>>()?,
            negated: list.negated,
        })
    }

    fn function(&self, expr: &Expr, function: &ScalarFunction) -> Translated<Expression> {
        let name = function.func.name().to_lowercase();
        if function.func.signature().volatility != datafusion::logical_expr::Volatility::Immutable {
            return Err(Refusal::new(format!("function {name} is not immutable")));
        }
        if name == "get_field"
            && let Some(field) = self.field(expr, function)?
        {
            return Ok(field);
        }
        Ok(Expression::Function {
            name,
            arguments: function
                .args
                .iter()
                .map(|argument| self.expression(argument))
                .collect::<Translated<_>>()?,
            data_type: self.type_of(expr)?,
        })
    }

    /// A field of a row, or of rows in it (`get_field(row, 'outer', 'inner')`); `None` for keys of maps.
    fn field(&self, expr: &Expr, function: &ScalarFunction) -> Translated<Option<Expression>> {
        let Some((structure, names)) = function.args.split_first() else {
            return Ok(None);
        };
        let mut operand = self.expression(structure)?;
        for (position, name) in names.iter().enumerate() {
            let Expr::Literal(name, _) = name else {
                return Ok(None);
            };
            let (Some(Some(name)), DataType::Struct(fields)) =
                (name.try_as_str(), operand.data_type())
            else {
                return Ok(None);
            };
            let data_type = if position + 1 == names.len() {
                self.type_of(expr)?
            } else {
                match fields.find(name) {
                    Some((_, field)) => field.data_type().clone(),
                    None => return Ok(None),
                }
            };
            operand = Expression::Field {
                expression: Box::new(operand),
                name: name.to_owned(),
                data_type,
            };
        }
        Ok(Some(operand))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Negation {
    Plain,
    Negated,
}

/// The contract's comparison for a DataFusion operator, if it is one.
pub fn compare_operator(operator: Operator) -> Option<CompareOperator> {
    Some(match operator {
        Operator::Eq => CompareOperator::Equal,
        Operator::NotEq => CompareOperator::NotEqual,
        Operator::Lt => CompareOperator::Less,
        Operator::LtEq => CompareOperator::LessOrEqual,
        Operator::Gt => CompareOperator::Greater,
        Operator::GtEq => CompareOperator::GreaterOrEqual,
        Operator::IsDistinctFrom => CompareOperator::DistinctFrom,
        Operator::IsNotDistinctFrom => CompareOperator::NotDistinctFrom,
        _ => return None,
    })
}

/// True for all Arrow text types; they hold the same values.
pub fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

/// A DataFusion constant as a plain literal. Text types are unified to `Utf8`.
pub fn literal(value: &ScalarValue) -> Translated<Literal> {
    let data_type = match value.data_type() {
        text if is_text(&text) => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        other => other,
    };
    if value.is_null() {
        return Ok(Literal::null(data_type));
    }
    let value = match value {
        ScalarValue::Boolean(Some(value)) => LiteralValue::Boolean(*value),
        ScalarValue::Int8(Some(value)) => LiteralValue::Integer((*value).into()),
        ScalarValue::Int16(Some(value)) => LiteralValue::Integer((*value).into()),
        ScalarValue::Int32(Some(value)) => LiteralValue::Integer((*value).into()),
        ScalarValue::Int64(Some(value)) => LiteralValue::Integer((*value).into()),
        ScalarValue::UInt8(Some(value)) => LiteralValue::Integer((*value).into()),
        ScalarValue::UInt16(Some(value)) => LiteralValue::Integer((*value).into()),
        ScalarValue::UInt32(Some(value)) => LiteralValue::Integer((*value).into()),
        ScalarValue::UInt64(Some(value)) => LiteralValue::Integer((*value).into()),
        ScalarValue::Float32(Some(value)) => LiteralValue::Float((*value).into()),
        ScalarValue::Float64(Some(value)) => LiteralValue::Float(*value),
        ScalarValue::Decimal128(Some(value), _, _) => LiteralValue::Integer(*value),
        ScalarValue::Utf8(Some(value))
        | ScalarValue::LargeUtf8(Some(value))
        | ScalarValue::Utf8View(Some(value)) => LiteralValue::Text(value.clone()),
        ScalarValue::Binary(Some(value))
        | ScalarValue::LargeBinary(Some(value))
        | ScalarValue::BinaryView(Some(value)) => LiteralValue::Binary(value.clone()),
        ScalarValue::Date32(Some(value)) => LiteralValue::Integer((*value).into()),
        ScalarValue::Time64Microsecond(Some(value))
        | ScalarValue::Time64Nanosecond(Some(value)) => LiteralValue::Integer((*value).into()),
        ScalarValue::TimestampSecond(Some(value), _)
        | ScalarValue::TimestampMillisecond(Some(value), _)
        | ScalarValue::TimestampMicrosecond(Some(value), _)
        | ScalarValue::TimestampNanosecond(Some(value), _) => {
            LiteralValue::Integer((*value).into())
        }
        ScalarValue::IntervalMonthDayNano(Some(value))
            if data_type == DataType::Interval(IntervalUnit::MonthDayNano) =>
        {
            LiteralValue::Interval {
                months: value.months,
                days: value.days,
                nanoseconds: value.nanoseconds,
            }
        }
        other => {
            return Err(Refusal::new(format!(
                "a constant of type {} has no remote form",
                other.data_type()
            )));
        }
    };
    Ok(Literal { value, data_type })
}
