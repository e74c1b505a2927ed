//! Rows one below the other, for results with more columns than a terminal can show side by side.

use std::io::{self, Write};

/// A column narrower than this cannot be read when its content is wider.
const READABLE_WIDTH: usize = 10;
/// What a border and its padding take for each column, and once more at the end.
const BORDER_WIDTH: usize = 3;

/// One row with its number, counted from 1.
pub struct Record<'a> {
    /// Place in the result.
    pub number: u64,
    /// One text a column.
    pub cells: &'a [String],
}

/// Whether columns of these natural widths would be squeezed to unreadable ones in a table of this width.
pub fn are_better(natural_widths: impl Iterator<Item = usize>, width: usize) -> bool {
    let needed: usize = natural_widths
        .map(|natural| natural.min(READABLE_WIDTH) + BORDER_WIDTH)
        .sum();
    needed + 1 > width
}

/// Writes `name │ value` lines under a numbered rule. Long values are left to the terminal to wrap: they stay whole
/// when copied.
pub fn write(
    names: &[&str],
    records: &[Record<'_>],
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let name_width = names
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0);
    let mut previous = 0;
    for record in records {
        if record.number > previous + 1 {
            writeln!(out, "…")?;
        }
        previous = record.number;
        let title = format!("── row {} ", record.number);
        let rule = "─".repeat(width.saturating_sub(title.chars().count()));
        writeln!(out, "{title}{rule}")?;
        for (name, cell) in names.iter().zip(record.cells) {
            let padding = " ".repeat(name_width - name.chars().count());
            writeln!(out, "{name}{padding} │ {cell}")?;
        }
    }
    Ok(())
}
