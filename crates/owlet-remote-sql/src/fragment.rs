//! A piece of SQL text with everything the exactness rules ask about it. Must never know a dialect's spelling.

use arrow_schema::DataType;
use owlet_connector::{Collation, Literal};

use crate::class::{TypeClass, decimal_parts, type_class};

/// SQL text of one value, self-contained: it can stand anywhere an operand can.
#[derive(Debug, Clone)]
pub(crate) struct Fragment {
    /// The text.
    pub sql: String,
    /// Arrow type of the value.
    pub data_type: DataType,
    /// May be NULL.
    pub nullable: bool,
    /// Name for refusals, e.g. `users.name`.
    pub label: String,
    /// The constant, if it is one.
    pub literal: Option<Literal>,
    /// How the source would compare it, if it is text.
    pub collation: TextCollation,
    /// The column in the source's own type, where the canonical form converts it.
    pub native: Option<Native>,
    /// The stored value, where a result can be read from it more cheaply than from the canonical form.
    pub stored: Option<String>,
    /// A condition that is true, or fails the query when the stored value does not fit its declared type.
    /// It must be part of the `WHERE` of the select whose rows are computed on.
    pub guard: Option<String>,
    /// A guard of its stored value stands here or in a select further in.
    pub guarded: bool,
    /// A column or a short constant: it may be repeated without growing the text.
    pub simple: bool,
    /// A whole number of at most 32 bits, even if its type is a float: millions of them add up without rounding.
    pub small_whole: bool,
    /// For a decimal: its value may have more digits after the point than its type. Reading such a value is an
    /// error, so it must not be rounded before.
    pub unbounded_scale: bool,
    /// For a decimal: the precision and scale its value really needs, where that is less than its type's.
    pub digits: Option<(u8, i8)>,
    /// For text and bytes: it may be longer than what the source compares when it sorts.
    pub unbounded_length: bool,
}

/// The source's own form of a column whose canonical form is a conversion to text.
#[derive(Debug, Clone)]
pub(crate) struct Native {
    /// The text.
    pub sql: String,
    /// How it compares.
    pub kind: NativeKind,
}

/// Native types whose comparisons are equivalent to comparisons of the canonical text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NativeKind {
    /// Order and equality of the canonical text are those of the sixteen bytes.
    Uuid,
    /// Equality ignores trailing blanks, which the canonical text does not have.
    BlankPadded,
    /// ISO text of a timestamp in one of several spellings, all of which begin with the date.
    IsoTimestamp,
    /// Text under a collation that may hold different texts equal, but never equal ones different.
    Collated,
    /// A number without sign: comparisons are by value, whatever the other side.
    Unsigned,
}

/// What a source would compare a text by when told nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TextCollation {
    /// The database's default, or not text.
    Neutral,
    /// A column's collation.
    Column(Collation),
    /// Derived from different collations: the source must be told.
    Mixed,
}

impl Fragment {
    /// A computed value.
    pub fn computed(sql: String, data_type: DataType, label: String) -> Self {
        Self {
            sql,
            data_type,
            nullable: true,
            label,
            literal: None,
            collation: TextCollation::Neutral,
            native: None,
            stored: None,
            guard: None,
            guarded: false,
            simple: false,
            small_whole: false,
            unbounded_scale: false,
            digits: None,
            unbounded_length: false,
        }
    }

    /// The class of its type.
    pub fn class(&self) -> TypeClass {
        type_class(&self.data_type)
    }

    /// For a decimal: the precision and scale its value needs at most.
    pub fn decimal_digits(&self) -> Option<(u8, i8)> {
        self.digits.or_else(|| decimal_parts(&self.data_type))
    }

    /// True for a constant NULL.
    pub fn is_null_literal(&self) -> bool {
        self.literal.as_ref().is_some_and(Literal::is_null)
    }
}

impl TextCollation {
    /// The collation of a value made from values of these two.
    pub fn combined(self, other: &Self) -> Self {
        match (&self, other) {
            (_, Self::Neutral) => self,
            (Self::Neutral, _) => other.clone(),
            _ if self == *other => self,
            _ => Self::Mixed,
        }
    }

    /// The source orders it by UTF-8 bytes when told nothing.
    pub fn orders_bytes(&self) -> bool {
        matches!(self, Self::Column(collation) if collation.binary_ordering && collation.binary_equality)
    }
}
