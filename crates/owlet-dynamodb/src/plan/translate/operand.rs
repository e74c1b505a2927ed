//! What in an item a predicate is about. Must never know predicates.

use arrow_schema::DataType;
use owlet_connector::Expression;

use super::{Columns, Result};
use crate::plan::condition::Path;
use crate::shape::Shape;

/// A value in an item that a predicate is about.
#[derive(Debug)]
pub(super) struct Operand<'a> {
    pub(super) column: usize,
    pub(super) path: Path,
    pub(super) shape: &'a Shape,
    pub(super) required: bool,
    /// The predicate compares the value after a cast to another number type.
    pub(super) cast: Option<&'a DataType>,
}

impl<'a> Columns<'a> {
    /// Resolves an operand; `Err` says why DynamoDB cannot reach it.
    pub(super) fn operand(&self, expression: &'a Expression) -> Result<Operand<'a>> {
        match expression {
            Expression::Column(reference) => {
                let column = self
                    .columns
                    .get(reference.index)
                    .ok_or_else(|| "the column is unknown".to_owned())?;
                let Some(attribute) = &column.attribute else {
                    return Err("the whole item cannot be compared by DynamoDB".to_owned());
                };
                if self.forbidden.contains(&attribute.as_str()) {
                    return Err(format!(
                        "a Query cannot filter on its key attribute {attribute}"
                    ));
                }
                Ok(Operand {
                    column: reference.index,
                    path: vec![attribute.clone()],
                    shape: &column.shape,
                    required: self.required.contains(&attribute.as_str()),
                    cast: None,
                })
            }
            Expression::Field {
                expression, name, ..
            } => {
                let parent = self.operand(expression)?;
                let Shape::Struct(members) = parent.shape else {
                    return Err("DynamoDB filters reach into maps only".to_owned());
                };
                let Some(member) = members.iter().find(|member| member.name == *name) else {
                    return Err(format!("the map has no member {name}"));
                };
                let mut path = parent.path;
                path.push(member.source_name.clone());
                Ok(Operand {
                    path,
                    shape: &member.shape,
                    required: false,
                    ..parent
                })
            }
            Expression::Cast {
                expression,
                data_type,
                ..
            } => {
                let operand = self.operand(expression)?;
                let is_number_widening = match (operand.shape, data_type, operand.cast) {
                    (
                        Shape::BigInt | Shape::Decimal { .. } | Shape::Double,
                        DataType::Float64,
                        None,
                    ) => true,
                    (Shape::BigInt, DataType::Decimal128(_, scale), None) => *scale >= 0,
                    (Shape::Decimal { scale: own }, DataType::Decimal128(_, scale), None) => {
                        scale >= own
                    }
                    _ => false,
                };
                if !is_number_widening {
                    return Err(format!("DynamoDB has no cast to {data_type}"));
                }
                Ok(Operand {
                    cast: Some(data_type),
                    ..operand
                })
            }
            _ => Err("DynamoDB filters compare an attribute with a constant".to_owned()),
        }
    }
}
