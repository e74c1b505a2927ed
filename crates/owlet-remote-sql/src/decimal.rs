//! Decimal constants as text. Must never know a dialect.

/// The exact text of `unscaled × 10^-scale`, or `None` when it has more digits than the precision allows.
pub(crate) fn decimal_text(unscaled: i128, precision: u8, scale: i8) -> Option<String> {
    let scale = usize::try_from(scale).ok()?;
    let digits = unscaled.unsigned_abs().to_string();
    let significant = if unscaled == 0 { 0 } else { digits.len() };
    if significant > usize::from(precision) {
        return None;
    }
    let sign = if unscaled < 0 { "-" } else { "" };
    if scale == 0 {
        return Some(format!("{sign}{digits}"));
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    Some(format!("{sign}{whole}.{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::decimal_text;

    #[test]
    fn places_the_point() {
        assert_eq!(decimal_text(0, 5, 2).as_deref(), Some("0.00"));
        assert_eq!(decimal_text(5, 5, 2).as_deref(), Some("0.05"));
        assert_eq!(decimal_text(-5, 5, 2).as_deref(), Some("-0.05"));
        assert_eq!(decimal_text(-12_345, 5, 2).as_deref(), Some("-123.45"));
        assert_eq!(decimal_text(123_456, 5, 2), None);
        assert_eq!(decimal_text(7, 1, 0).as_deref(), Some("7"));
    }
}
