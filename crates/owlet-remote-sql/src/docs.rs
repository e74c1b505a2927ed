//! Tables for documentation that are made from code. Must never know a file.

/// A table of a documentation page: headers and rows of plain text (Markdown inline code is allowed).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocTable {
    /// What the table shows.
    pub title: &'static str,
    /// Column headers.
    pub headers: Vec<&'static str>,
    /// Rows; each has one cell for each header.
    pub rows: Vec<Vec<String>>,
}

impl DocTable {
    /// A pushdown table of these rows.
    pub(crate) fn pushdown(rows: Vec<Vec<String>>) -> Self {
        Self {
            title: "Pushdown",
            headers: vec!["Construct", "Types", "Where", "Note"],
            rows,
        }
    }

    /// The table in Markdown, cells escaped, with a newline at the end.
    pub fn to_markdown(&self) -> String {
        let escape = |cell: &str| cell.replace('|', "\\|").replace('\n', " ");
        let mut text = format!("| {} |\n", self.headers.join(" | "));
        text.push_str(&format!("|{}\n", "---|".repeat(self.headers.len())));
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| escape(cell)).collect();
            text.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
        text
    }
}
