//! Watches the framing of an Avro file while its bytes pass by: the decoder takes a file that ends in the middle of a
//! block for a whole one, and does not compare the marks between blocks. Must never know what the values mean.

use std::io::{self, Read};

/// Every block, and the header, ends with the file's own mark of this size.
const MARK_BYTES: usize = 16;
const MAGIC: &[u8; 4] = b"Obj\x01";

/// Passes bytes through; fails where the file is cut off or its blocks do not line up.
pub struct WholeBlocks<R> {
    inner: R,
    place: Place,
    mark: [u8; MARK_BYTES],
    blocks: u64,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy)]
enum Place {
    Magic {
        seen: usize,
    },
    /// Number of entries of the header's map that follow; 0 ends it.
    EntryCount(Varint),
    /// Size of those entries, there only when their number is negative.
    EntriesSize {
        entries: u64,
        size: Varint,
    },
    TextSize {
        texts: u64,
        size: Varint,
    },
    Text {
        texts: u64,
        rest: u64,
    },
    HeaderMark {
        seen: usize,
    },
    BlockCount(Varint),
    BlockSize {
        rows: i64,
        size: Varint,
    },
    BlockData {
        rest: u64,
    },
    BlockMark {
        seen: usize,
    },
}

impl<R: Read> WholeBlocks<R> {
    /// Watches `inner`, which is at the beginning of a file.
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            place: Place::Magic { seen: 0 },
            mark: [0; MARK_BYTES],
            blocks: 0,
        }
    }

    fn watch(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some((&byte, after)) = bytes.split_first() {
            self.place = match self.place {
                Place::Text { texts, rest } if rest > 0 => {
                    let (rest, unread) = skip(bytes, rest);
                    bytes = unread;
                    self.place = Place::Text { texts, rest };
                    continue;
                }
                Place::BlockData { rest } if rest > 0 => {
                    let (rest, unread) = skip(bytes, rest);
                    bytes = unread;
                    self.place = Place::BlockData { rest };
                    continue;
                }
                place => self.step(place, byte)?,
            };
            bytes = after;
        }
        Ok(())
    }

    /// The place after `byte`, which is not inside of a text or of a block's data.
    fn step(&mut self, place: Place, byte: u8) -> io::Result<Place> {
        Ok(match place {
            Place::Magic { seen } => {
                if MAGIC.get(seen) != Some(&byte) {
                    return Err(damaged("it does not begin as an Avro file does".to_owned()));
                }
                match seen + 1 {
                    seen if seen < MAGIC.len() => Place::Magic { seen },
                    _ => Place::EntryCount(Varint::default()),
                }
            }
            Place::EntryCount(count) => match count.push(byte)? {
                Number::Partial(count) => Place::EntryCount(count),
                Number::Whole(0) => Place::HeaderMark { seen: 0 },
                Number::Whole(count) if count < 0 => Place::EntriesSize {
                    entries: count.unsigned_abs(),
                    size: Varint::default(),
                },
                Number::Whole(count) => next_text(count.unsigned_abs().saturating_mul(2)),
            },
            Place::EntriesSize { entries, size } => match size.push(byte)? {
                Number::Partial(size) => Place::EntriesSize { entries, size },
                Number::Whole(_) => next_text(entries.saturating_mul(2)),
            },
            Place::TextSize { texts, size } => match size.push(byte)? {
                Number::Partial(size) => Place::TextSize { texts, size },
                Number::Whole(size) => match not_negative(size)? {
                    0 => next_text(texts - 1),
                    rest => Place::Text { texts, rest },
                },
            },
            // The text before has ended.
            Place::Text { texts, .. } => self.step(next_text(texts - 1), byte)?,
            Place::HeaderMark { seen } => {
                self.mark[seen] = byte;
                match seen + 1 {
                    MARK_BYTES => Place::BlockCount(Varint::default()),
                    seen => Place::HeaderMark { seen },
                }
            }
            Place::BlockCount(count) => match count.push(byte)? {
                Number::Partial(count) => Place::BlockCount(count),
                Number::Whole(rows) => Place::BlockSize {
                    rows,
                    size: Varint::default(),
                },
            },
            Place::BlockSize { rows, size } => match size.push(byte)? {
                Number::Partial(size) => Place::BlockSize { rows, size },
                // The decoder would leave them out.
                Number::Whole(0) if rows != 0 => {
                    return Err(damaged(
                        "its rows take no bytes (all columns are of type null), which is not supported"
                            .to_owned(),
                    ));
                }
                Number::Whole(size) => Place::BlockData {
                    rest: not_negative(size)?,
                },
            },
            // The data before has ended.
            Place::BlockData { .. } => self.step(Place::BlockMark { seen: 0 }, byte)?,
            Place::BlockMark { seen } => {
                if self.mark[seen] != byte {
                    return Err(damaged(format!(
                        "the mark after block {} is not the one of the file's header",
                        self.blocks + 1
                    )));
                }
                match seen + 1 {
                    MARK_BYTES => {
                        self.blocks += 1;
                        Place::BlockCount(Varint::default())
                    }
                    seen => Place::BlockMark { seen },
                }
            }
        })
    }

    fn check_end(&self) -> io::Result<()> {
        match self.place {
            Place::BlockCount(count) if count.is_empty() => Ok(()),
            Place::BlockCount(_)
            | Place::BlockSize { .. }
            | Place::BlockData { .. }
            | Place::BlockMark { .. } => Err(cut_off(format!(
                "the file is cut off after {} whole blocks, in the middle of the next one",
                self.blocks
            ))),
            _ => Err(cut_off("the file is cut off within its header".to_owned())),
        }
    }
}

impl<R: Read> Read for WholeBlocks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        if length == 0 && !buffer.is_empty() {
            self.check_end()?;
        }
        self.watch(&buffer[..length])?;
        Ok(length)
    }
}

fn next_text(texts: u64) -> Place {
    match texts {
        0 => Place::EntryCount(Varint::default()),
        texts => Place::TextSize {
            texts,
            size: Varint::default(),
        },
    }
}

/// What is left of `rest` bytes, and of `bytes`, after skipping.
fn skip(bytes: &[u8], rest: u64) -> (u64, &[u8]) {
    let skipped = usize::try_from(rest).map_or(bytes.len(), |rest| rest.min(bytes.len()));
    (rest - skipped as u64, &bytes[skipped..])
}

fn not_negative(size: i64) -> io::Result<u64> {
    u64::try_from(size).map_err(|_| damaged(format!("a size in it is {size}")))
}

fn damaged(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn cut_off(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}

/// A number on its way in: seven bits a byte, the low ones first, zigzag.
#[derive(Debug, Clone, Copy, Default)]
struct Varint {
    bits: u64,
    bytes: u32,
}

enum Number {
    Partial(Varint),
    Whole(i64),
}

impl Varint {
    /// Bytes a 64-bit number takes at most.
    const MOST_BYTES: u32 = 10;

    fn is_empty(self) -> bool {
        self.bytes == 0
    }

    fn push(self, byte: u8) -> io::Result<Number> {
        if self.bytes == Self::MOST_BYTES {
            return Err(damaged("a number in it has more than 64 bits".to_owned()));
        }
        let bits = self.bits | (u64::from(byte & 0x7F) << (7 * self.bytes));
        if byte & 0x80 != 0 {
            return Ok(Number::Partial(Self {
                bits,
                bytes: self.bytes + 1,
            }));
        }
        let magnitude = (bits >> 1).cast_signed();
        Ok(Number::Whole(magnitude ^ -(bits & 1).cast_signed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with one entry, then two blocks.
    fn file() -> Vec<u8> {
        let mark = [7_u8; MARK_BYTES];
        let mut bytes = MAGIC.to_vec();
        bytes.extend([2, 2, b'k', 0, 0]);
        bytes.extend(mark);
        for (rows, data) in [(2, &[1_u8, 2, 3][..]), (0, &[])] {
            bytes.extend([rows * 2, u8::try_from(data.len() * 2).unwrap()]);
            bytes.extend(data);
            bytes.extend(mark);
        }
        bytes
    }

    fn read(bytes: &[u8], step: usize) -> io::Result<usize> {
        let mut reader = WholeBlocks::new(bytes);
        let mut buffer = vec![0; step];
        let mut total = 0;
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(total),
                length => total += length,
            }
        }
    }

    #[test]
    fn only_whole_files_pass() {
        let bytes = file();
        let header = MAGIC.len() + 5 + MARK_BYTES;
        let whole = [header, header + 2 + 3 + MARK_BYTES, bytes.len()];
        for step in [1, 3, 1000] {
            for length in 0..=bytes.len() {
                let result = read(&bytes[..length], step);
                // A file cut between two blocks cannot be told from a whole one.
                assert_eq!(result.is_ok(), whole.contains(&length), "{length}");
            }
            let mut wrong = bytes.clone();
            *wrong.last_mut().unwrap() = 8;
            assert!(
                read(&wrong, step)
                    .unwrap_err()
                    .to_string()
                    .contains("block 2")
            );
        }
    }
}
