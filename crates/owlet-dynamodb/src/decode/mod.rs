//! Response pages into Arrow: one pass over the text, no values in between.
//! Must never know how a page was asked for.

pub(crate) mod attribute;
pub(crate) mod column;
mod page;

pub(crate) use page::{DecodedColumn, ItemDecoder, PageFacts, Rejection, decode_page};
