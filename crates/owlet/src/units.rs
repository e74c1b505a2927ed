//! Sizes and times as people write and read them: `512MB`, `30s`, `1.2 GB`. Knows nothing of their use.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// A number of bytes, written `512MB` (powers of 1000) or `512MiB` (powers of 1024).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// A length of time, written `500ms`, `30s`, `5m` or `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(pub Duration);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = number_and_unit(text);
        let factor: f64 = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1.0,
            "k" | "kb" => 1e3,
            "m" | "mb" => 1e6,
            "g" | "gb" => 1e9,
            "t" | "tb" => 1e12,
            "kib" => 1024.0,
            "mib" => 1024.0 * 1024.0,
            "gib" => 1024.0 * 1024.0 * 1024.0,
            "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
            _ => {
                return Err(format!(
                    "`{text}` is no size; write for example 512MB or 2GiB"
                ));
            }
        };
        let bytes = number
            .ok_or_else(|| format!("`{text}` is no size; write for example 512MB or 2GiB"))?
            * factor;
        if bytes > 9e18 {
            return Err(format!("`{text}` is too large"));
        }
        Ok(Self(bytes.round() as u64))
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = number_and_unit(text);
        let seconds = match unit {
            "ms" => 0.001,
            "" | "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            _ => {
                return Err(format!(
                    "`{text}` is no time; write for example 500ms, 30s or 5m"
                ));
            }
        };
        let number = number
            .ok_or_else(|| format!("`{text}` is no time; write for example 500ms, 30s or 5m"))?;
        Duration::try_from_secs_f64(number * seconds)
            .map(Self)
            .map_err(|_| format!("`{text}` is too long"))
    }
}

impl fmt::Display for ByteSize {
    /// In the largest unit that needs no fraction.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 8] = [
            (1_000_000_000_000, "TB"),
            (1 << 40, "TiB"),
            (1_000_000_000, "GB"),
            (1 << 30, "GiB"),
            (1_000_000, "MB"),
            (1 << 20, "MiB"),
            (1_000, "kB"),
            (1 << 10, "KiB"),
        ];
        let whole = |(factor, _): &(u64, &str)| self.0 > 0 && self.0.is_multiple_of(*factor);
        let (factor, unit) = UNITS.into_iter().find(whole).unwrap_or((1, "B"));
        write!(formatter, "{}{unit}", self.0 / factor)
    }
}

impl fmt::Display for Period {
    /// In the largest unit that needs no fraction.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u128, &str); 4] = [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
        let ms = self.0.as_millis();
        if !self.0.as_nanos().is_multiple_of(1_000_000) {
            return write!(formatter, "{}s", self.0.as_secs_f64());
        }
        let whole = |(factor, _): &(u128, &str)| ms > 0 && ms.is_multiple_of(*factor);
        let (factor, unit) = UNITS.into_iter().find(whole).unwrap_or((1_000, "s"));
        write!(formatter, "{}{unit}", ms / factor)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The non-negative number at the start, and the rest.
fn number_and_unit(text: &str) -> (Option<f64>, &str) {
    let text = text.trim();
    let end = text
        .find(|character: char| !(character.is_ascii_digit() || character == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number.parse().ok(), unit.trim())
}

/// `1.2 GB`; powers of 1000.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12 rows`, `1 row`.
pub fn counted(number: u64, singular: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {singular}{plural}", count(number))
}

/// `0.8 ms`, `12 ms`, `1.25 s`, `2 m 05 s`.
pub fn milliseconds(ms: f64) -> String {
    if ms < 10.0 {
        return format!("{ms:.1} ms");
    }
    if ms < 999.5 {
        return format!("{ms:.0} ms");
    }
    let seconds = ms / 1000.0;
    if seconds < 100.0 {
        return format!("{seconds:.2} s");
    }
    let whole = seconds.round() as u64;
    format!("{} m {:02} s", whole / 60, whole % 60)
}

/// RCU with as many digits as they have worth.
pub fn rcu(units: f64) -> String {
    if units >= 100.0 {
        count(units.round() as u64)
    } else {
        format!("{}", (units * 10.0).round() / 10.0)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(UnitVisitor {
                expecting: "a size such as \"512MB\"",
            })
            .and_then(parse)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(UnitVisitor {
                expecting: "a time such as \"30s\"",
            })
            .and_then(parse)
    }
}

fn parse<T: FromStr<Err = String>, E: serde::de::Error>(text: String) -> Result<T, E> {
    text.parse().map_err(E::custom)
}

/// Accepts text and plain numbers.
struct UnitVisitor {
    expecting: &'static str,
}

impl Visitor<'_> for UnitVisitor {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.expecting)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": ["string", "integer"], "examples": ["512MB", "2GiB"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": ["string", "number"], "examples": ["500ms", "30s", "5m"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_written_as_they_can_be_read() {
        for text in ["512MB", "2GiB", "1537B", "0B", "1kB", "3KiB"] {
            assert_eq!(
                text.parse::<ByteSize>().map(|size| size.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in ["2h", "90m", "30s", "1500ms", "0s", "0.0005s"] {
            assert_eq!(
                text.parse::<Period>().map(|time| time.to_string()),
                Ok(text.to_owned())
            );
        }
    }

    #[test]
    fn sizes() {
        assert_eq!("512MB".parse(), Ok(ByteSize(512_000_000)));
        assert_eq!("1.5 GiB".parse(), Ok(ByteSize(1_610_612_736)));
        assert_eq!("100".parse(), Ok(ByteSize(100)));
        for wrong in ["", "MB", "-1MB", "1XB", "99999999TB"] {
            assert!(wrong.parse::<ByteSize>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn periods() {
        assert_eq!("30s".parse(), Ok(Period(Duration::from_secs(30))));
        assert_eq!("1.5m".parse(), Ok(Period(Duration::from_secs(90))));
        assert_eq!("250ms".parse(), Ok(Period(Duration::from_millis(250))));
        assert_eq!("2".parse(), Ok(Period(Duration::from_secs(2))));
        for wrong in ["", "s", "-1s", "1d", "soon"] {
            assert!(wrong.parse::<Period>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(999_960), "1.0 MB");
        assert_eq!(bytes(1_234_567_890), "1.2 GB");
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(milliseconds(0.84), "0.8 ms");
        assert_eq!(milliseconds(125.4), "125 ms");
        assert_eq!(milliseconds(125_400.0), "2 m 05 s");
        assert_eq!(rcu(0.5), "0.5");
        assert_eq!(rcu(1234.5), "1,235");
    }
}
