//! Functions on bytes: encodings, checksums and digests. It must never know tables.

use arrow::array::ArrayRef;
use datafusion_common::{Result, exec_err};
use datafusion_expr::ScalarUDF;

use super::scalar::Kind::{Binary, Text};
use super::scalar::Overload::Exact;
use super::scalar::{Call, function, returns};
use crate::functions::conversion::cast;

/// All of them.
pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        function(&["to_hex"], &[Exact(&[Binary])], returns::text, |call| {
            let bytes = call.binaries(0)?;
            call.text(|row| {
                Ok(Some(
                    bytes
                        .value(row)
                        .iter()
                        .map(|byte| format!("{byte:02X}"))
                        .collect(),
                ))
            })
        }),
        function(&["from_hex"], &[Exact(&[Text])], returns::binary, |call| {
            let texts = call.texts(0)?;
            call.binary(|row| from_hex(texts.value(row)).map(Some))
        }),
        function(&["to_base64"], &[Exact(&[Binary])], returns::text, |call| {
            to_base64(call, STANDARD)
        }),
        function(
            &["to_base64url"],
            &[Exact(&[Binary])],
            returns::text,
            |call| to_base64(call, URL),
        ),
        function(
            &["from_base64"],
            &[Exact(&[Text]), Exact(&[Binary])],
            returns::binary,
            |call| from_base64(call, STANDARD),
        ),
        function(
            &["from_base64url"],
            &[Exact(&[Text]), Exact(&[Binary])],
            returns::binary,
            |call| from_base64(call, URL),
        ),
        function(&["to_utf8"], &[Exact(&[Text])], returns::binary, |call| {
            let texts = call.texts(0)?;
            call.binary(|row| Ok(Some(texts.value(row).as_bytes().to_vec())))
        }),
        function(
            &["from_utf8"],
            &[Exact(&[Binary]), Exact(&[Binary, Text])],
            returns::text,
            from_utf8,
        ),
        function(&["crc32"], &[Exact(&[Binary])], returns::bigint, |call| {
            let bytes = call.binaries(0)?;
            call.bigint(|row| Ok(Some(i64::from(crc32(bytes.value(row))))))
        }),
        function(
            &["xxhash64"],
            &[Exact(&[Binary])],
            returns::binary,
            |call| {
                let bytes = call.binaries(0)?;
                call.binary(|row| Ok(Some(xxhash64(bytes.value(row)).to_be_bytes().to_vec())))
            },
        ),
        function(&["sha1"], &[Exact(&[Binary])], returns::binary, |call| {
            let bytes = call.binaries(0)?;
            call.binary(|row| Ok(Some(sha1(bytes.value(row)).to_vec())))
        }),
        function(
            &["from_big_endian_64"],
            &[Exact(&[Binary])],
            returns::bigint,
            |call| {
                let bytes = call.binaries(0)?;
                call.bigint(|row| match <[u8; 8]>::try_from(bytes.value(row)) {
                    Ok(bytes) => Ok(Some(i64::from_be_bytes(bytes))),
                    Err(_) => exec_err!("from_big_endian_64 takes 8 bytes"),
                })
            },
        ),
        function(
            &["to_big_endian_64"],
            &[Exact(&[super::scalar::Kind::Bigint])],
            returns::binary,
            |call| {
                let numbers = call.bigints(0)?;
                call.binary(|row| Ok(Some(numbers.value(row).to_be_bytes().to_vec())))
            },
        ),
    ]
}

fn from_hex(text: &str) -> Result<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect();
    match digits.filter(|digits| digits.len() % 2 == 0) {
        Some(digits) => Ok(digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()),
        None => exec_err!("from_hex: '{text}' is not an even number of hexadecimal digits"),
    }
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn to_base64(call: &Call<'_>, alphabet: &[u8; 64]) -> Result<ArrayRef> {
    let bytes = call.binaries(0)?;
    call.text(|row| Ok(Some(encode(bytes.value(row), alphabet))))
}

fn encode(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4 {
            let sextet = usize::try_from(bits >> (18 - 6 * position) & 63).unwrap_or(0);
            text.push(if position > chunk.len() {
                '='
            } else {
                char::from(alphabet[sextet])
            });
        }
    }
    text
}

fn from_base64(call: &Call<'_>, alphabet: &[u8; 64]) -> Result<ArrayRef> {
    let texts = cast(&call.arrays[0], &arrow::datatypes::DataType::Binary)?;
    let texts = arrow::array::AsArray::as_binary::<i32>(&texts);
    call.binary(|row| match decode(texts.value(row), alphabet) {
        Some(bytes) => Ok(Some(bytes)),
        None => exec_err!("{}: this is not Base64", call.name),
    })
}

fn decode(text: &[u8], alphabet: &[u8; 64]) -> Option<Vec<u8>> {
    let end = text
        .iter()
        .rposition(|byte| *byte != b'=')
        .map_or(0, |last| last + 1);
    let mut bytes = Vec::with_capacity(end * 3 / 4);
    for chunk in text[..end].chunks(4) {
        if chunk.len() == 1 {
            return None;
        }
        let mut bits = 0_u32;
        for position in 0..4 {
            let sextet = match chunk.get(position) {
                Some(byte) => {
                    u32::try_from(alphabet.iter().position(|letter| letter == byte)?).ok()?
                }
                None => 0,
            };
            bits = bits << 6 | sextet;
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
    }
    Some(bytes)
}

/// Bytes that are not UTF-8 become U+FFFD, or the given character.
fn from_utf8(call: &Call<'_>) -> Result<ArrayRef> {
    let bytes = call.binaries(0)?;
    let replacements = if call.arrays.len() > 1 {
        Some(call.texts(1)?)
    } else {
        None
    };
    call.text(|row| {
        let text = String::from_utf8_lossy(bytes.value(row));
        Ok(Some(match replacements {
            Some(replacements) => {
                text.replace(char::REPLACEMENT_CHARACTER, replacements.value(row))
            }
            None => text.into_owned(),
        }))
    })
}

/// The checksum of zip and PNG (polynomial 0xEDB88320).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |checksum: u32| {
        if checksum & 1 == 1 {
            checksum >> 1 ^ 0xEDB8_8320
        } else {
            checksum >> 1
        }
    };
    !bytes.iter().fold(u32::MAX, |checksum, byte| {
        (0..8).fold(checksum ^ u32::from(*byte), |checksum, _| step(checksum))
    })
}

/// SHA-1 (FIPS 180-4).
fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut message = bytes.to_vec();
    message.push(0x80);
    while message.len() % 64 != 56 {
        message.push(0);
    }
    message.extend_from_slice(&(bytes.len() as u64 * 8).to_be_bytes());
    let mut state: [u32; 5] = [
        0x6745_2301,
        0xEFCD_AB89,
        0x98BA_DCFE,
        0x1032_5476,
        0xC3D2_E1F0,
    ];
    for block in message.chunks_exact(64) {
        let mut words = [0_u32; 80];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        for index in 16..80 {
            words[index] =
                (words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16])
                    .rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (index, word) in words.iter().enumerate() {
            let (mixed, constant) = match index {
                0..=19 => (b & c | !b & d, 0x5A82_7999),
                20..=39 => (b ^ c ^ d, 0x6ED9_EBA1),
                40..=59 => (b & c | b & d | c & d, 0x8F1B_BCDC),
                _ => (b ^ c ^ d, 0xCA62_C1D6_u32),
            };
            let next = a
                .rotate_left(5)
                .wrapping_add(mixed)
                .wrapping_add(e)
                .wrapping_add(constant)
                .wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (total, value) in state.iter_mut().zip([a, b, c, d, e]) {
            *total = total.wrapping_add(value);
        }
    }
    let mut digest = [0; 20];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

/// XXH64 with seed 0.
fn xxhash64(bytes: &[u8]) -> u64 {
    const P1: u64 = 0x9E37_79B1_85EB_CA87;
    const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
    const P3: u64 = 0x1656_67B1_9E37_79F9;
    const P4: u64 = 0x85EB_CA77_C2B2_AE63;
    const P5: u64 = 0x27D4_EB2F_1656_67C5;
    let round = |lane: u64, input: u64| {
        lane.wrapping_add(input.wrapping_mul(P2))
            .rotate_left(31)
            .wrapping_mul(P1)
    };
    let word = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0_u64, |word, byte| word << 8 | u64::from(*byte))
    };
    let mut stripes = bytes.chunks_exact(32);
    let mut hash = if bytes.len() < 32 {
        P5
    } else {
        let mut lanes = [P1.wrapping_add(P2), P2, 0, 0_u64.wrapping_sub(P1)];
        for stripe in stripes.by_ref() {
            for (lane, input) in lanes.iter_mut().zip(stripe.chunks_exact(8)) {
                *lane = round(*lane, word(input));
            }
        }
        let [a, b, c, d] = lanes;
        let joined = a
            .rotate_left(1)
            .wrapping_add(b.rotate_left(7))
            .wrapping_add(c.rotate_left(12))
            .wrapping_add(d.rotate_left(18));
        lanes.iter().fold(joined, |hash, lane| {
            (hash ^ round(0, *lane)).wrapping_mul(P1).wrapping_add(P4)
        })
    };
    hash = hash.wrapping_add(bytes.len() as u64);
    let mut words = stripes.remainder().chunks_exact(8);
    for input in words.by_ref() {
        hash = (hash ^ round(0, word(input)))
            .rotate_left(27)
            .wrapping_mul(P1)
            .wrapping_add(P4);
    }
    let mut rest = words.remainder();
    if rest.len() >= 4 {
        hash = (hash ^ word(&rest[..4]).wrapping_mul(P1))
            .rotate_left(23)
            .wrapping_mul(P2)
            .wrapping_add(P3);
        rest = &rest[4..];
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte).wrapping_mul(P5))
            .rotate_left(11)
            .wrapping_mul(P1);
    }
    hash = (hash ^ hash >> 33).wrapping_mul(P2);
    hash = (hash ^ hash >> 29).wrapping_mul(P3);
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn digests_match_their_published_values() {
        assert_eq!(
            hex(&sha1(b"abc")),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        assert_eq!(hex(&sha1(b"")), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(xxhash64(b""), 0xEF46_DB37_51D8_E999);
        assert_eq!(xxhash64(b"abc"), 0x44BC_2CF5_AD77_0999);
        assert_eq!(
            xxhash64(b"Nobody inspects the spammish repetition"),
            0xFBCE_A83C_8A37_8BF1
        );
    }

    #[test]
    fn base64_goes_both_ways() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"a", "YQ=="),
            (b"ab", "YWI="),
            (b"abc", "YWJj"),
            (b"\xff\xfe", "//4="),
        ] {
            assert_eq!(encode(bytes, STANDARD), text);
            assert_eq!(decode(text.as_bytes(), STANDARD).as_deref(), Some(bytes));
        }
        assert_eq!(decode(b"Y", STANDARD), None);
        assert_eq!(decode(b"Y!==", STANDARD), None);
    }
}
