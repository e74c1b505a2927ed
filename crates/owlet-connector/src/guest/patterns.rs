//! Which schemas and tables of a source are visible. Must never do I/O.

/// `include` and `exclude` patterns. A pattern is `SCHEMA.TABLE`, or `SCHEMA` for all of its tables; `*` stands for
/// any characters, `?` for one; case does not matter. Without `include` everything is visible; `exclude` wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TablePatterns {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    schema: String,
    table: String,
}

impl TablePatterns {
    /// Reads the patterns.
    ///
    /// # Errors
    /// What is wrong with which pattern.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, String> {
        let read = |patterns: &[String]| -> Result<Vec<Pattern>, String> {
            patterns.iter().map(|text| Pattern::new(text)).collect()
        };
        Ok(Self {
            include: read(include)?,
            exclude: read(exclude)?,
        })
    }

    /// Nothing is hidden.
    pub fn admit_everything(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// The table is visible.
    pub fn admits(&self, schema: &str, table: &str) -> bool {
        let (schema, table) = (schema.to_lowercase(), table.to_lowercase());
        let matches = |pattern: &Pattern| {
            is_match(&pattern.schema, &schema) && is_match(&pattern.table, &table)
        };
        (self.include.is_empty() || self.include.iter().any(matches))
            && !self.exclude.iter().any(matches)
    }

    /// The schema may have visible tables.
    pub fn admits_schema(&self, schema: &str) -> bool {
        let schema = schema.to_lowercase();
        let in_schema = |pattern: &Pattern| is_match(&pattern.schema, &schema);
        (self.include.is_empty() || self.include.iter().any(in_schema))
            && !self
                .exclude
                .iter()
                .any(|pattern| pattern.table == "*" && in_schema(pattern))
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Self, String> {
        let (schema, table) = text.split_once('.').unwrap_or((text, "*"));
        if schema.is_empty() || table.is_empty() {
            return Err(format!(
                "pattern {text:?} names no schema or no table: write \"schema\", \"schema.table\" or \"*.tmp_*\""
            ));
        }
        Ok(Self {
            schema: schema.to_lowercase(),
            table: table.to_lowercase(),
        })
    }
}

/// The text as a whole matches; both are lower case.
fn is_match(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut at_pattern, mut at_text) = (0, 0);
    // Where the last `*` stands, and how much of the text it has swallowed.
    let mut star: Option<(usize, usize)> = None;
    while at_text < text.len() {
        match pattern.get(at_pattern) {
            Some('*') => {
                star = Some((at_pattern, at_text));
                at_pattern += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == text[at_text] => {
                at_pattern += 1;
                at_text += 1;
            }
            _ => match star {
                Some((position, swallowed)) => {
                    star = Some((position, swallowed + 1));
                    at_pattern = position + 1;
                    at_text = swallowed + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at_pattern..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(include: &[&str], exclude: &[&str]) -> TablePatterns {
        let owned = |list: &[&str]| {
            list.iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        TablePatterns::new(&owned(include), &owned(exclude)).expect("valid")
    }

    #[test]
    fn without_patterns_everything_is_visible() {
        let all = patterns(&[], &[]);
        assert!(all.admit_everything() && all.admits("public", "orders") && all.admits_schema("x"));
    }

    #[test]
    fn include_and_exclude() {
        let some = patterns(&["sales", "public.ord*"], &["*.tmp_?", "sales.secret*"]);
        for (schema, table, visible) in [
            ("sales", "orders", true),
            ("SALES", "Orders", true),
            ("sales", "secrets", false),
            ("sales", "tmp_1", false),
            ("sales", "tmp_12", true),
            ("public", "orders", true),
            ("public", "customers", false),
            ("hr", "people", false),
        ] {
            assert_eq!(some.admits(schema, table), visible, "{schema}.{table}");
        }
        assert!(some.admits_schema("sales") && some.admits_schema("public"));
        assert!(!some.admits_schema("hr"));
        assert!(!patterns(&[], &["audit"]).admits_schema("audit"));
        assert!(patterns(&[], &["audit.x"]).admits_schema("audit"));
    }

    #[test]
    fn stars_backtrack() {
        for (pattern, text, expected) in [
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("*", "", true),
            ("?", "", false),
            ("**é?", "xéy", true),
        ] {
            assert_eq!(is_match(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn empty_parts_are_refused() {
        for wrong in ["", ".x", "x."] {
            let error = TablePatterns::new(&[wrong.to_owned()], &[]).expect_err("refused");
            assert!(error.contains("pattern"), "{error}");
        }
    }
}
