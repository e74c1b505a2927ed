//! JSON stub
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field};
use datafusion_common::{Result, not_impl_err};
pub(super) fn from_json(_array: &ArrayRef, _target: &DataType) -> Result<ArrayRef> {
    not_impl_err!("json")
}
pub(super) fn to_json(_array: &ArrayRef, _source: &Field) -> Result<ArrayRef> {
    not_impl_err!("json")
}
