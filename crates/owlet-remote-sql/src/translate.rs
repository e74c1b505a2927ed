//! Expressions to SQL text, every step through the exactness table. Must never know a dialect's spelling.

use arrow_schema::DataType;
use owlet_connector::{ArithmeticOperator, Expression, Literal, LiteralValue};

use crate::case_folding::with_ascii_folding;
use crate::class::{TypeClass, comparable, decimal_parts, sql_name, type_class};
use crate::dialect::Refusal;
use crate::double_bounds::between_decimals;
use crate::flavor::Flavor;
use crate::foreign_text::{UTF8_BYTES, without_foreign_text};
use crate::fragment::{Fragment, TextCollation};
use crate::limits::check_size;
use crate::rule::{
    Call, Connective, Construct, Detail, Verdict, compare_construct, find_rule, function_words,
    not_known, operand_labels, refuse,
};

/// Spells an expression over the columns `scope`, or refuses its first part that is not exact.
pub(crate) fn translate(
    flavor: &dyn Flavor,
    expression: &Expression,
    scope: &[Fragment],
) -> Result<Fragment, Refusal> {
    // The same predicate in a form that more sources, or their indexes, can answer.
    let rewritings = [
        between_decimals(expression),
        with_ascii_folding(expression),
        without_foreign_text(flavor, expression),
    ];
    let rewritten = rewritings
        .into_iter()
        .flatten()
        .find_map(|rewritten| translate_unchecked(flavor, &rewritten, scope).ok());
    let fragment = match rewritten {
        Some(fragment) => fragment,
        None => translate_unchecked(flavor, expression, scope)?,
    };
    check_size(&fragment.sql)?;
    Ok(fragment)
}

/// Spells a predicate.
pub(crate) fn translate_predicate(
    flavor: &dyn Flavor,
    predicate: &Expression,
    scope: &[Fragment],
) -> Result<Fragment, Refusal> {
    let fragment = translate(flavor, predicate, scope)?;
    if fragment.data_type != DataType::Boolean {
        return Err(Refusal::new(format!(
            "a predicate of type {} is not boolean",
            sql_name(&fragment.data_type)
        )));
    }
    Ok(fragment)
}

/// Applies the exactness table to one construct.
pub(crate) fn apply_rule(
    flavor: &dyn Flavor,
    construct: Construct,
    operands: &[Fragment],
    data_type: &DataType,
    detail: Detail,
) -> Result<String, Refusal> {
    let Some(rule) = find_rule(flavor.rules(), construct, operands) else {
        return Err(not_known(flavor, construct, operands));
    };
    let call = Call {
        flavor,
        operands,
        data_type,
        detail,
        filter_clause: "",
    };
    match rule.verdict {
        Verdict::Exact(spell) => spell(&call),
        Verdict::Refused => Err(call.refuse(construct, rule.note)),
    }
}

fn translate_unchecked(
    flavor: &dyn Flavor,
    expression: &Expression,
    scope: &[Fragment],
) -> Result<Fragment, Refusal> {
    let operand = |expression: &Expression| translate(flavor, expression, scope);
    match expression {
        Expression::Column(column) => scope.get(column.index).cloned().ok_or_else(|| {
            Refusal::new(format!("column {} is not among the input's", column.name))
        }),
        Expression::Literal(literal) => Ok(Fragment {
            nullable: literal.is_null(),
            literal: Some(literal.clone()),
            digits: literal_digits(literal),
            simple: literal_is_short(&literal.value),
            ..Fragment::computed(
                flavor.constant(literal)?,
                literal.data_type.clone(),
                "a constant".to_owned(),
            )
        }),
        Expression::And(operands) => connective(flavor, Connective::And, operands, scope),
        Expression::Or(operands) => connective(flavor, Connective::Or, operands, scope),
        Expression::Not(inner) => connective(
            flavor,
            Connective::Not,
            std::slice::from_ref(&**inner),
            scope,
        ),
        Expression::Compare {
            operator,
            left,
            right,
        } => {
            let operands = vec![operand(left)?, operand(right)?];
            require_comparable(compare_construct(*operator), &operands)?;
            boolean(
                flavor,
                compare_construct(*operator),
                operands,
                Detail::Compare(*operator),
            )
        }
        Expression::IsNull(inner) => boolean(
            flavor,
            Construct::NullTest,
            vec![operand(inner)?],
            Detail::NullTest { negated: false },
        ),
        Expression::IsNotNull(inner) => boolean(
            flavor,
            Construct::NullTest,
            vec![operand(inner)?],
            Detail::NullTest { negated: true },
        ),
        Expression::Is {
            expression,
            truth,
            negated,
        } => {
            let detail = Detail::Truth {
                truth: *truth,
                negated: *negated,
            };
            boolean(flavor, Construct::Logic, vec![operand(expression)?], detail)
        }
        Expression::InList {
            expression,
            list,
            negated,
        } => {
            if list.is_empty() {
                return Err(Refusal::new("an empty IN list"));
            }
            let mut operands = vec![operand(expression)?];
            for candidate in list {
                operands.push(operand(candidate)?);
            }
            require_comparable(Construct::Equality, &operands)?;
            boolean(
                flavor,
                Construct::Equality,
                operands,
                Detail::InList { negated: *negated },
            )
        }
        Expression::Like {
            expression,
            pattern,
            escape,
            negated,
            case_insensitive,
        } => {
            let operands = vec![operand(expression)?, operand(pattern)?];
            if *case_insensitive {
                return Err(refuse(
                    Construct::Like,
                    &operands,
                    "ILIKE folds case by the source's locale",
                ));
            }
            let detail = Detail::Like {
                escape: escape.unwrap_or('\\'),
                negated: *negated,
            };
            boolean(flavor, Construct::Like, operands, detail)
        }
        Expression::Arithmetic {
            operator,
            left,
            right,
            data_type,
        } => {
            let operands = vec![operand(left)?, operand(right)?];
            let construct = Construct::Arithmetic(*operator);
            let mut result = value(flavor, construct, &operands, data_type, Detail::None)?;
            if *operator == ArithmeticOperator::Concatenate {
                result.collation = combined_collation(&operands);
            }
            Ok(result)
        }
        Expression::Negative(inner) => {
            let operands = vec![operand(inner)?];
            let data_type = operands[0].data_type.clone();
            value(
                flavor,
                Construct::Negative,
                &operands,
                &data_type,
                Detail::None,
            )
        }
        Expression::Cast {
            expression,
            data_type,
            on_failure,
        } => {
            let inner = operand(expression)?;
            let target = type_class(data_type);
            let same_text = target == TypeClass::Text && inner.class() == TypeClass::Text;
            if same_text || inner.data_type == *data_type {
                return Ok(Fragment {
                    data_type: data_type.clone(),
                    ..inner
                });
            }
            let small_whole =
                inner.class() == TypeClass::SmallInteger && *data_type == DataType::Float64;
            let detail = Detail::Cast(*on_failure);
            let widens = decimal_parts(data_type).is_some() && inner.class() == TypeClass::Decimal;
            let digits = inner.decimal_digits().filter(|_| widens);
            let cast = value(flavor, Construct::Cast(target), &[inner], data_type, detail)?;
            Ok(Fragment {
                small_whole,
                digits,
                ..cast
            })
        }
        Expression::Case {
            branches,
            otherwise,
            data_type,
        } => {
            let mut operands = Vec::with_capacity(branches.len() * 2 + 1);
            for (condition, result) in branches {
                operands.push(operand(condition)?);
                operands.push(operand(result)?);
            }
            if let Some(otherwise) = otherwise {
                operands.push(operand(otherwise)?);
            }
            let has_otherwise = otherwise.is_some();
            let results: Vec<Fragment> = operands
                .iter()
                .enumerate()
                .filter(|(position, _)| {
                    position % 2 == 1 || (has_otherwise && *position == operands.len() - 1)
                })
                .map(|(_, result)| result.clone())
                .collect();
            require_type(Construct::Case, &results, data_type)?;
            let detail = Detail::Case { has_otherwise };
            let mut result = value(flavor, Construct::Case, &operands, data_type, detail)?;
            result.collation = combined_collation(&results);
            Ok(result)
        }
        Expression::Function {
            name,
            arguments,
            data_type,
        } => {
            let mut operands = Vec::with_capacity(arguments.len());
            for argument in arguments {
                operands.push(operand(argument)?);
            }
            let construct = flavor.rules().iter().map(|rule| rule.construct).find(
                |construct| matches!(construct, Construct::Function(known) if *known == name.as_str()),
            );
            let Some(construct) = construct else {
                return Err(Refusal::new(format!(
                    "{} of {}: not known to be exact in {}",
                    function_words(name),
                    operand_labels(&operands),
                    flavor.title()
                )));
            };
            let mut result = value(flavor, construct, &operands, data_type, Detail::None)?;
            if result.class() == TypeClass::Text {
                result.collation = combined_collation(&operands);
            }
            Ok(result)
        }
        Expression::Field { name, .. } => Err(Refusal::new(format!(
            "field {name} of a structured value is taken out locally"
        ))),
    }
}

fn connective(
    flavor: &dyn Flavor,
    connective: Connective,
    expressions: &[Expression],
    scope: &[Fragment],
) -> Result<Fragment, Refusal> {
    let mut operands = Vec::with_capacity(expressions.len());
    for expression in expressions {
        operands.push(translate_predicate(flavor, expression, scope)?);
    }
    if operands.is_empty() {
        return Err(Refusal::new("a logical operator without operands"));
    }
    boolean(
        flavor,
        Construct::Logic,
        operands,
        Detail::Logic(connective),
    )
}

fn boolean(
    flavor: &dyn Flavor,
    construct: Construct,
    operands: Vec<Fragment>,
    detail: Detail,
) -> Result<Fragment, Refusal> {
    value(flavor, construct, &operands, &DataType::Boolean, detail)
}

fn value(
    flavor: &dyn Flavor,
    construct: Construct,
    operands: &[Fragment],
    data_type: &DataType,
    detail: Detail,
) -> Result<Fragment, Refusal> {
    let computes_on_text = operands
        .iter()
        .any(|operand| operand.class() == TypeClass::Text);
    if computes_on_text
        && construct_depends_on_encoding(construct)
        && let Some(reason) = flavor.text_refusal()
    {
        return Err(refuse(construct, operands, reason));
    }
    let sql = apply_rule(flavor, construct, operands, data_type, detail)?;
    let labels: Vec<&str> = operands
        .iter()
        .filter(|operand| operand.literal.is_none())
        .map(|operand| operand.label.as_str())
        .collect();
    let label = match labels.as_slice() {
        [] => "a constant expression".to_owned(),
        [one] if one.starts_with("an expression") => (*one).to_owned(),
        [first, ..] => format!(
            "an expression over {}",
            first.trim_start_matches("an expression over ")
        ),
    };
    let has_length = matches!(
        type_class(data_type),
        TypeClass::Text | TypeClass::Binary | TypeClass::Other
    );
    let grows = lengthens(construct) || operands.iter().any(|operand| operand.unbounded_length);
    Ok(Fragment {
        unbounded_scale: operands.iter().any(|operand| operand.unbounded_scale),
        unbounded_length: has_length && grows,
        // A cast that only widens is spelled as the column itself.
        guarded: operands.iter().any(|operand| operand.guarded),
        ..Fragment::computed(sql, data_type.clone(), label)
    })
}

/// The result may be longer than each operand.
fn lengthens(construct: Construct) -> bool {
    matches!(
        construct,
        Construct::Arithmetic(ArithmeticOperator::Concatenate)
            | Construct::Function("concat")
            | Construct::Function("replace")
    )
}

/// Equality, concatenation and NULL tests are the same in every encoding; ordering and characters are not.
fn construct_depends_on_encoding(construct: Construct) -> bool {
    !matches!(
        construct,
        Construct::Equality
            | Construct::NullTest
            | Construct::Logic
            | Construct::Case
            | Construct::Grouping
            | Construct::JoinKey
            | Construct::Function("coalesce")
            | Construct::Function("nullif" | UTF8_BYTES)
            | Construct::Arithmetic(ArithmeticOperator::Concatenate)
    )
}

fn require_comparable(construct: Construct, operands: &[Fragment]) -> Result<(), Refusal> {
    let Some((first, rest)) = operands.split_first() else {
        return Ok(());
    };
    for other in rest {
        if !comparable(&first.data_type, &other.data_type) {
            let reason = format!(
                "{} and {} are different types",
                sql_name(&first.data_type),
                sql_name(&other.data_type)
            );
            return Err(refuse(construct, operands, reason));
        }
    }
    Ok(())
}

/// Every result must already be of the planned type: sources resolve mixed types by rules of their own.
pub(crate) fn require_type(
    construct: Construct,
    results: &[Fragment],
    data_type: &DataType,
) -> Result<(), Refusal> {
    let planned_text = type_class(data_type) == TypeClass::Text;
    for result in results {
        let same =
            result.data_type == *data_type || (planned_text && result.class() == TypeClass::Text);
        if !same {
            let reason = format!(
                "a result of type {} where {} is wanted",
                sql_name(&result.data_type),
                sql_name(data_type)
            );
            return Err(refuse(construct, results, reason));
        }
    }
    Ok(())
}

fn combined_collation(operands: &[Fragment]) -> TextCollation {
    operands
        .iter()
        .filter(|operand| operand.class() == TypeClass::Text)
        .fold(TextCollation::Neutral, |collation, operand| {
            collation.combined(&operand.collation)
        })
}

/// The digits a decimal constant really has.
fn literal_digits(literal: &Literal) -> Option<(u8, i8)> {
    let (_, mut scale) = decimal_parts(&literal.data_type)?;
    let LiteralValue::Integer(mut unscaled) = literal.value else {
        return None;
    };
    while scale > 0 && unscaled % 10 == 0 {
        unscaled /= 10;
        scale -= 1;
    }
    let digits = u8::try_from(unscaled.unsigned_abs().to_string().len()).ok()?;
    Some((digits.max(scale as u8), scale))
}

fn literal_is_short(value: &LiteralValue) -> bool {
    match value {
        LiteralValue::Text(text) => text.len() <= 64,
        LiteralValue::Binary(bytes) => bytes.len() <= 32,
        _ => true,
    }
}
