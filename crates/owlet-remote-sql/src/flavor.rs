//! What the shared renderer asks of a dialect. Must never know a driver.

use std::fmt::Debug;

use arrow_schema::DataType;
use owlet_connector::{ColumnMetadata, Literal, NullsOrder, SortDirection};

use crate::dialect::Refusal;
use crate::fragment::Fragment;
use crate::relation::{JoinKind, RemoteTable};
use crate::rule::Rule;
use crate::select::Select;

/// Whether a sort key can be NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nullability {
    /// It never is.
    NeverNull,
    /// It may be.
    MayBeNull,
}

/// Whether a source's encoding has all characters of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holding {
    /// It has.
    Held,
    /// It lacks one, so no value there is this text.
    NeverHeld,
    /// Not known.
    Unknown,
}

/// A dialect's spelling and its exactness table.
pub(crate) trait Flavor: Debug + Send + Sync {
    /// Name for people.
    fn title(&self) -> &'static str;

    /// The exactness table.
    fn rules(&self) -> &'static [Rule];

    /// Quotes an identifier.
    fn identifier(&self, identifier: &str) -> String;

    /// Spells a constant.
    fn constant(&self, literal: &Literal) -> Result<String, Refusal>;

    /// A column of a table in canonical form. `qualifier` is the table's alias.
    fn table_column(
        &self,
        qualifier: &str,
        table: &RemoteTable,
        column: &ColumnMetadata,
    ) -> Result<Fragment, Refusal>;

    /// What limits text computations on this source as a whole, e.g. its encoding.
    fn text_refusal(&self) -> Option<String> {
        None
    }

    /// Whether this text can be a value of the source.
    fn holding(&self, _text: &str) -> Holding {
        Holding::Held
    }

    /// Whether a value of this type, passed through from this column if there is one, may be longer than what the
    /// source compares when it sorts.
    fn may_be_long(&self, _data_type: &DataType, _origin: Option<&ColumnMetadata>) -> bool {
        false
    }

    /// The terms of `ORDER BY` for one key. Where a value cannot be NULL the place of NULLs says nothing, and the
    /// default place lets the source use an index.
    fn order_terms(
        &self,
        key: &str,
        direction: SortDirection,
        nulls: NullsOrder,
        nullability: Nullability,
    ) -> Vec<String> {
        let direction = match direction {
            SortDirection::Ascending => "ASC",
            SortDirection::Descending => "DESC",
        };
        let place = match (nullability, nulls) {
            (Nullability::NeverNull, _) => "",
            (Nullability::MayBeNull, NullsOrder::First) => " NULLS FIRST",
            (Nullability::MayBeNull, NullsOrder::Last) => " NULLS LAST",
        };
        vec![format!("{key} {direction}{place}")]
    }

    /// A second key that orders values the source holds equal but the engine does not.
    fn tie_breaker(&self, _key: &Fragment) -> Option<String> {
        None
    }

    /// Why this kind of join cannot be spelled.
    fn join_refusal(&self, kind: JoinKind, has_filter: bool) -> Option<&'static str>;

    /// A semi or anti join as a condition on the left rows, where `EXISTS` would be slow or is not wanted.
    /// `None` uses `EXISTS`.
    fn membership(
        &self,
        _keys: &[[Fragment; 2]],
        _right: &Select,
        _negated: bool,
    ) -> Option<String> {
        None
    }

    /// The select list of a query whose rows have no columns.
    fn empty_select_list(&self) -> &'static str;

    /// `LIMIT` and `OFFSET`, with a leading blank.
    fn limit_clause(&self, skip: u64, fetch: Option<u64>) -> String;

    /// A comparison that is weaker than this one but exact, if it has one.
    fn weakened(
        &self,
        predicate: &owlet_connector::Expression,
    ) -> Option<owlet_connector::Expression> {
        let _ = predicate;
        None
    }

    /// How many columns a result or a derived table may have.
    fn maximum_columns(&self) -> usize;
}
