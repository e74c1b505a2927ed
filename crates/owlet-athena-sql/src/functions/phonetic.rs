//! `normalize` and `soundex`: texts that are written differently and are alike. It must never know tables.

use arrow::array::ArrayRef;
use datafusion_common::{Result, exec_err};
use datafusion_expr::ScalarUDF;
use unicode_normalization::UnicodeNormalization;

use super::scalar::Kind::Text;
use super::scalar::Overload::Exact;
use super::scalar::{Call, function, returns};

pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        function(&["soundex"], &[Exact(&[Text])], returns::text, |call| {
            let texts = call.texts(0)?;
            call.text(|row| soundex(texts.value(row)).map(Some))
        }),
        function(
            &["normalize"],
            &[Exact(&[Text]), Exact(&[Text, Text])],
            returns::text,
            normalize,
        ),
    ]
}

fn normalize(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    let forms = match call.arrays.len() {
        1 => None,
        _ => Some(call.texts(1)?),
    };
    call.text(|row| {
        let text = texts.value(row);
        let form = forms.map_or("NFC", |forms| forms.value(row));
        Ok(Some(match form.to_uppercase().as_str() {
            "NFC" => text.nfc().collect(),
            "NFD" => text.nfd().collect(),
            "NFKC" => text.nfkc().collect(),
            "NFKD" => text.nfkd().collect(),
            _ => return exec_err!("normalize has the forms NFC, NFD, NFKC and NFKD, not {form}"),
        }))
    })
}

/// The digit of each letter from A to Z.
const DIGITS: &[u8; 26] = b"01230120022455012623010202";
const LENGTH: usize = 4;

/// American Soundex: the first letter and three digits; other characters than letters do not count, nor do H and W,
/// which do not part letters of one digit as vowels do.
fn soundex(text: &str) -> Result<String> {
    let letters = text.chars().filter(|character| character.is_alphabetic());
    let mut code = String::with_capacity(LENGTH);
    let mut last = b'0';
    for letter in letters.flat_map(char::to_uppercase) {
        if code.len() == LENGTH {
            break;
        }
        if matches!(letter, 'H' | 'W') && !code.is_empty() {
            continue;
        }
        if !letter.is_ascii_uppercase() {
            return exec_err!("soundex knows the letters from A to Z, not {letter}");
        }
        let digit = DIGITS[usize::from(letter as u8 - b'A')];
        if code.is_empty() {
            code.push(letter);
        } else if digit != b'0' && digit != last {
            code.push(char::from(digit));
        }
        last = digit;
    }
    if !code.is_empty() {
        code = format!("{code:0<LENGTH$}");
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_sound_alike_have_one_code() {
        for (name, code) in [
            ("Robert", "R163"),
            ("Rupert", "R163"),
            ("Ashcraft", "A261"),
            ("Tymczak", "T522"),
            ("Pfister", "P236"),
            ("Honeyman", "H555"),
            ("jim", "J500"),
            ("O'Hara", "O600"),
            ("123", ""),
        ] {
            assert_eq!(soundex(name).expect(name), code, "{name}");
        }
        assert!(soundex("é").is_err());
    }
}
