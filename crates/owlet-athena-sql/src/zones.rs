//! Time zones in texts. It must never know columns.

use arrow::array::timezone::Tz;
use datafusion_common::{Result, plan_err};

/// The time zone at the end of a timestamp's text (`… America/New_York`, `…+01:00`, `…Z`), if there is one.
pub(crate) fn zone_of(text: &str) -> Option<&str> {
    let text = text.trim();
    // The date holds two hyphens; a zone can only follow it.
    let day = text
        .char_indices()
        .filter(|(_, character)| *character == '-')
        .nth(1)?
        .0
        + 1;
    let after_date = text[day..]
        .trim_start_matches(|character: char| character.is_ascii_digit())
        .trim_start();
    let time = match after_date.strip_prefix('T') {
        Some(time) if time.starts_with(|character: char| character.is_ascii_digit()) => time,
        _ => after_date,
    };
    let is_time =
        |character: char| character.is_ascii_digit() || character == ':' || character == '.';
    let zone = time.trim_start_matches(is_time).trim();
    (!zone.is_empty()).then_some(zone)
}

/// The zone as Arrow spells it (`Z` is `UTC`), or an error when there is no such zone.
pub(crate) fn canonical(zone: &str) -> Result<String> {
    let zone = match zone.trim() {
        "Z" | "z" | "GMT" | "Zulu" => "UTC",
        other => other,
    };
    match zone.parse::<Tz>() {
        Ok(_) => Ok(zone.to_owned()),
        Err(_) => plan_err!("there is no time zone '{zone}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_found_after_the_time() {
        for (text, zone) in [
            ("2020-01-01", None),
            ("2020-01-01 00:00:00", None),
            ("2020-01-01T00:00:00.123", None),
            ("2020-01-01 00:00:00 UTC", Some("UTC")),
            (
                "2020-01-01 00:00 America/New_York",
                Some("America/New_York"),
            ),
            ("2020-01-01 00:00:00.000 -08:00", Some("-08:00")),
            ("2020-01-01T00:00:00+01:00", Some("+01:00")),
            ("2020-01-01T00:00:00Z", Some("Z")),
            ("2020-01-01 UTC", Some("UTC")),
            ("2020-01-01 00:00 Turkey", Some("Turkey")),
        ] {
            assert_eq!(zone_of(text), zone, "{text}");
        }
    }
}
