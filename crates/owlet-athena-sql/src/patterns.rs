//! Name patterns of `SHOW … LIKE` and of Hive's `SHOW TABLES 'a*|b*'`. It must never know what is listed.

use regex::{Regex, RegexBuilder};

/// Which names a `SHOW` statement lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamePattern {
    /// `LIKE 'a%'`, with an optional escape character.
    Like {
        /// Pattern with `%` and `_`.
        pattern: String,
        /// Character that makes the next one literal.
        escape: Option<char>,
    },
    /// Hive's form: `*` is any text, `|` separates alternatives, the rest is a regular expression.
    Hive(String),
}

impl NamePattern {
    /// True if the name is to be listed. Case does not matter; an invalid regular expression matches nothing.
    pub fn matches(&self, name: &str) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(name))
    }

    fn regex(&self) -> Option<Regex> {
        let body = match self {
            Self::Like { pattern, escape } => like_to_regex(pattern, *escape),
            Self::Hive(pattern) => pattern.replace(".*", "*").replace('*', ".*"),
        };
        RegexBuilder::new(&format!("^(?:{body})$"))
            .case_insensitive(true)
            .dot_matches_new_line(true)
            .build()
            .ok()
    }
}

fn like_to_regex(pattern: &str, escape: Option<char>) -> String {
    let mut regex = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            _ if Some(character) == escape => {
                regex.extend(
                    characters
                        .next()
                        .map(|literal| regex::escape(&literal.to_string())),
                );
            }
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            literal => regex.push_str(&regex::escape(&literal.to_string())),
        }
    }
    regex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_and_hive_patterns() {
        let like = |pattern: &str, escape| NamePattern::Like {
            pattern: pattern.to_owned(),
            escape,
        };
        assert!(like("ord%", None).matches("Orders"));
        assert!(like("o\\_1", Some('\\')).matches("o_1"));
        assert!(!like("o\\_1", Some('\\')).matches("ox1"));
        assert!(!like("ord", None).matches("orders"));
        assert!(NamePattern::Hive("ord*|cust*".to_owned()).matches("customers"));
        assert!(!NamePattern::Hive("ord*".to_owned()).matches("preorders"));
    }
}
