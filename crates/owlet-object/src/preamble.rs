//! The first bytes of a text file: byte order marks. Must never know the text's format.

use std::borrow::Cow;

/// Holds the first three bytes of a file back until they can be told from a byte order mark.
#[derive(Debug)]
pub struct Preamble {
    held: Option<Vec<u8>>,
}

/// Where in a file decoding begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the beginning.
    Beginning,
    /// At a later line.
    Inside,
}

/// The file is not UTF-8 text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotUtf8;

impl std::fmt::Display for NotUtf8 {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(
            "the file is written in UTF-16; convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)",
        )
    }
}

impl Preamble {
    /// At the beginning of a file.
    pub fn at_start() -> Self {
        Self {
            held: Some(Vec::with_capacity(3)),
        }
    }

    /// In the middle of a file.
    pub fn passed() -> Self {
        Self { held: None }
    }

    /// What of the file may be decoded now that `chunk` has come.
    pub fn push<'a>(&mut self, chunk: &'a [u8]) -> Result<Cow<'a, [u8]>, NotUtf8> {
        let Some(mut held) = self.held.take() else {
            return Ok(Cow::Borrowed(chunk));
        };
        held.extend_from_slice(chunk);
        if held.len() < 3 {
            self.held = Some(held);
            return Ok(Cow::Borrowed(&[]));
        }
        without_mark(held).map(Cow::Owned)
    }

    /// What is left when the file ends.
    pub fn finish(&mut self) -> Result<Vec<u8>, NotUtf8> {
        self.held.take().map(without_mark).unwrap_or(Ok(Vec::new()))
    }
}

fn without_mark(mut head: Vec<u8>) -> Result<Vec<u8>, NotUtf8> {
    if head.starts_with(&[0xFF, 0xFE]) || head.starts_with(&[0xFE, 0xFF]) {
        return Err(NotUtf8);
    }
    if head.starts_with(&[0xEF, 0xBB, 0xBF]) {
        head.drain(..3);
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_removed_in_any_pieces() {
        for step in 1..6 {
            let mut preamble = Preamble::at_start();
            let mut seen = Vec::new();
            for piece in b"\xEF\xBB\xBFid\n".chunks(step) {
                seen.extend_from_slice(&preamble.push(piece).unwrap());
            }
            seen.extend(preamble.finish().unwrap());
            assert_eq!(seen, b"id\n");
        }
        assert_eq!(
            Preamble::at_start().push(b"\xFF\xFEa\0").unwrap_err(),
            NotUtf8
        );
        let mut short = Preamble::at_start();
        assert!(short.push(b"a").unwrap().is_empty());
        assert_eq!(short.finish().unwrap(), b"a");
    }
}
