//! Gzip files (RFC 1952, RFC 1951) unpacked piece by piece, checksum and length checked. Must never know what is in
//! them or where they come from.

use std::fmt;

/// Bytes a file may refer back to.
const WINDOW_BYTES: usize = 32 * 1024;
/// Unpacked bytes of one piece.
const PIECE_BYTES: usize = 128 * 1024;
/// Longest code of the format, in bits.
const MOST_BITS: usize = 15;

/// Packed bytes, piece by piece; an empty piece is the end.
pub(crate) trait Packed {
    /// What can go wrong while reading.
    type Error;

    /// The next bytes.
    fn next_piece(&mut self) -> std::result::Result<bytes::Bytes, Self::Error>;
}

/// Why unpacking stopped.
#[derive(Debug)]
pub(crate) enum UnpackError<E> {
    /// Reading failed.
    Read(E),
    /// The file is damaged.
    Damaged(&'static str),
}

impl<E: fmt::Display> fmt::Display for UnpackError<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(formatter),
            Self::Damaged(message) => write!(formatter, "the gzip data is damaged: {message}"),
        }
    }
}

type Result<T, E> = std::result::Result<T, UnpackError<E>>;

/// Unpacks a gzip file of one or several members.
pub(crate) struct Unpacker<P: Packed> {
    bits: Bits<P>,
    state: State,
    /// The last unpacked bytes, those not handed out yet at the end.
    output: Vec<u8>,
    checksum: crc32fast::Hasher,
    length: u32,
}

enum State {
    MemberStart,
    BlockStart,
    Stored { left: usize, is_last: bool },
    Compressed { codes: Box<Codes>, is_last: bool },
    End,
}

struct Codes {
    literals: Code,
    distances: Code,
}

impl<P: Packed> Unpacker<P> {
    pub(crate) fn new(packed: P) -> Self {
        Self {
            bits: Bits {
                packed,
                piece: bytes::Bytes::new(),
                position: 0,
                buffer: 0,
                count: 0,
                has_ended: false,
            },
            state: State::MemberStart,
            output: Vec::with_capacity(WINDOW_BYTES + PIECE_BYTES + 300),
            checksum: crc32fast::Hasher::new(),
            length: 0,
        }
    }

    /// The next unpacked bytes; none at the end of a complete file.
    pub(crate) fn next_piece(&mut self) -> Result<&[u8], P::Error> {
        let kept = self.output.len().min(WINDOW_BYTES);
        self.output.drain(..self.output.len() - kept);
        let start = self.output.len();
        let mut checked = start;
        while self.output.len() - start < PIECE_BYTES {
            match std::mem::replace(&mut self.state, State::End) {
                State::End => break,
                State::MemberStart => {
                    self.state = if self.member_header()? {
                        State::BlockStart
                    } else {
                        State::End
                    };
                }
                State::BlockStart => self.state = self.block_header()?,
                State::Stored { left, is_last } => {
                    let wanted = left.min(PIECE_BYTES);
                    for _ in 0..wanted {
                        let byte = self.bits.take(8)? as u8;
                        self.output.push(byte);
                    }
                    self.state = match left - wanted {
                        0 => self.after_block(is_last, &mut checked)?,
                        left => State::Stored { left, is_last },
                    };
                }
                State::Compressed { codes, is_last } => {
                    let is_done = self.symbols(&codes, start + PIECE_BYTES)?;
                    self.state = if is_done {
                        self.after_block(is_last, &mut checked)?
                    } else {
                        State::Compressed { codes, is_last }
                    };
                }
            }
        }
        self.check(&mut checked);
        Ok(&self.output[start..])
    }

    /// Adds what was unpacked since the last call to the member's checksum.
    fn check(&mut self, checked: &mut usize) {
        let new = &self.output[*checked..];
        self.checksum.update(new);
        self.length = self.length.wrapping_add(new.len() as u32);
        *checked = self.output.len();
    }

    /// False at the end of the file.
    fn member_header(&mut self) -> Result<bool, P::Error> {
        if self.bits.is_at_end()? {
            return Ok(false);
        }
        if self.bits.take(16)? != 0x8b1f {
            return Err(UnpackError::Damaged("it does not begin like gzip"));
        }
        if self.bits.take(8)? != 8 {
            return Err(UnpackError::Damaged("its compression is unknown"));
        }
        let flags = self.bits.take(8)?;
        // Time, extra flags, operating system.
        self.bits.take(32)?;
        self.bits.take(16)?;
        if flags & 4 != 0 {
            for _ in 0..self.bits.take(16)? {
                self.bits.take(8)?;
            }
        }
        for flag in [8, 16] {
            while flags & flag != 0 && self.bits.take(8)? != 0 {}
        }
        if flags & 2 != 0 {
            self.bits.take(16)?;
        }
        self.checksum = crc32fast::Hasher::new();
        self.length = 0;
        Ok(true)
    }

    fn after_block(&mut self, is_last: bool, checked: &mut usize) -> Result<State, P::Error> {
        if !is_last {
            return Ok(State::BlockStart);
        }
        self.check(checked);
        self.bits.align();
        if self.bits.take(32)? != self.checksum.clone().finalize() {
            return Err(UnpackError::Damaged("its checksum does not match"));
        }
        if self.bits.take(32)? != self.length {
            return Err(UnpackError::Damaged("its length does not match"));
        }
        Ok(State::MemberStart)
    }

    fn block_header(&mut self) -> Result<State, P::Error> {
        let is_last = self.bits.take(1)? == 1;
        match self.bits.take(2)? {
            0 => {
                self.bits.align();
                let length = self.bits.take(16)?;
                if self.bits.take(16)? != length ^ 0xffff {
                    return Err(UnpackError::Damaged("a stored block has two lengths"));
                }
                Ok(State::Stored {
                    left: length as usize,
                    is_last,
                })
            }
            1 => Ok(State::Compressed {
                codes: Box::new(fixed_codes()),
                is_last,
            }),
            2 => Ok(State::Compressed {
                codes: Box::new(self.dynamic_codes()?),
                is_last,
            }),
            _ => Err(UnpackError::Damaged("a block is of unknown kind")),
        }
    }

    fn dynamic_codes(&mut self) -> Result<Codes, P::Error> {
        /// The order in which lengths of length codes come (RFC 1951, 3.2.7).
        const ORDER: [usize; 19] = [
            16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
        ];
        let literals = self.bits.take(5)? as usize + 257;
        let distances = self.bits.take(5)? as usize + 1;
        let length_codes = self.bits.take(4)? as usize + 4;
        let mut lengths_of_lengths = [0_u8; 19];
        for position in ORDER.iter().take(length_codes) {
            lengths_of_lengths[*position] = self.bits.take(3)? as u8;
        }
        let lengths_code = code(&lengths_of_lengths)?;
        let mut lengths = Vec::with_capacity(literals + distances);
        while lengths.len() < literals + distances {
            let symbol = self.bits.symbol(&lengths_code)?;
            let (value, times) = match symbol {
                16 => match lengths.last() {
                    Some(last) => (*last, self.bits.take(2)? as usize + 3),
                    None => return Err(UnpackError::Damaged("a code repeats nothing")),
                },
                17 => (0, self.bits.take(3)? as usize + 3),
                18 => (0, self.bits.take(7)? as usize + 11),
                length => (length as u8, 1),
            };
            lengths.extend(std::iter::repeat_n(value, times));
        }
        if lengths.len() > literals + distances {
            return Err(UnpackError::Damaged("a code is too long"));
        }
        Ok(Codes {
            literals: code(&lengths[..literals])?,
            distances: code(&lengths[literals..])?,
        })
    }

    /// Unpacks until the block ends (true) or the output is long enough.
    fn symbols(&mut self, codes: &Codes, enough: usize) -> Result<bool, P::Error> {
        while self.output.len() < enough {
            let symbol = self.bits.symbol(&codes.literals)?;
            match symbol {
                0..=255 => self.output.push(symbol as u8),
                256 => return Ok(true),
                _ => {
                    let length = self.extended(&LENGTHS, symbol as usize - 257)?;
                    let symbol = self.bits.symbol(&codes.distances)?;
                    let distance = self.extended(&DISTANCES, symbol as usize)?;
                    let Some(from) = self.output.len().checked_sub(distance) else {
                        return Err(UnpackError::Damaged("it refers to before its start"));
                    };
                    if distance >= length {
                        self.output.extend_from_within(from..from + length);
                    } else {
                        for position in from..from + length {
                            self.output.push(self.output[position]);
                        }
                    }
                }
            }
        }
        Ok(false)
    }

    /// A base value plus extra bits.
    fn extended(&mut self, table: &[(u16, u8)], index: usize) -> Result<usize, P::Error> {
        let (base, bits) = table
            .get(index)
            .ok_or(UnpackError::Damaged("a symbol is unknown"))?;
        Ok(usize::from(*base) + self.bits.take(u32::from(*bits))? as usize)
    }
}

/// Lengths and their extra bits for the symbols from 257 on (RFC 1951, 3.2.5).
const LENGTHS: [(u16, u8); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];

/// Distances and their extra bits (same place).
const DISTANCES: [(u16, u8); 30] = [
    (1, 0),
    (2, 0),
    (3, 0),
    (4, 0),
    (5, 1),
    (7, 1),
    (9, 2),
    (13, 2),
    (17, 3),
    (25, 3),
    (33, 4),
    (49, 4),
    (65, 5),
    (97, 5),
    (129, 6),
    (193, 6),
    (257, 7),
    (385, 7),
    (513, 8),
    (769, 8),
    (1025, 9),
    (1537, 9),
    (2049, 10),
    (3073, 10),
    (4097, 11),
    (6145, 11),
    (8193, 12),
    (12289, 12),
    (16385, 13),
    (24577, 13),
];

/// A prefix code as a table over the next `bits` bits: symbol and length, length 0 where no code fits.
struct Code {
    bits: u32,
    table: Vec<(u16, u8)>,
}

fn code<E>(lengths: &[u8]) -> Result<Code, E> {
    let longest = usize::from(lengths.iter().copied().max().unwrap_or(0)).max(1);
    let mut counts = [0_u32; MOST_BITS + 1];
    for length in lengths.iter().filter(|length| **length > 0) {
        counts[usize::from(*length)] += 1;
    }
    let mut next = [0_u32; MOST_BITS + 2];
    let mut first = 0_u32;
    for length in 1..=MOST_BITS {
        next[length] = first;
        first = (first + counts[length]) << 1;
        if first > 2 << length {
            return Err(UnpackError::Damaged("a code has too many symbols"));
        }
    }
    let mut table = vec![(0_u16, 0_u8); 1 << longest];
    for (symbol, length) in lengths
        .iter()
        .enumerate()
        .filter(|(_, length)| **length > 0)
    {
        let value = next[usize::from(*length)];
        next[usize::from(*length)] += 1;
        // Codes come with their first bit lowest.
        let reversed = (value.reverse_bits() >> (32 - u32::from(*length))) as usize;
        let mut position = reversed;
        while position < table.len() {
            table[position] = (symbol as u16, *length);
            position += 1 << *length;
        }
    }
    Ok(Code {
        bits: longest as u32,
        table,
    })
}

fn fixed_codes() -> Codes {
    let mut lengths = [8_u8; 288];
    lengths[144..256].fill(9);
    lengths[256..280].fill(7);
    let build = |lengths: &[u8]| match code::<std::convert::Infallible>(lengths) {
        Ok(code) => code,
        // The lengths are the standard's own.
        Err(_) => Code {
            bits: 1,
            table: vec![(0, 0); 2],
        },
    };
    Codes {
        literals: build(&lengths),
        distances: build(&[5; 30]),
    }
}

/// Bits of the packed bytes, the lowest of a byte first.
struct Bits<P: Packed> {
    packed: P,
    piece: bytes::Bytes,
    position: usize,
    buffer: u64,
    count: u32,
    has_ended: bool,
}

impl<P: Packed> Bits<P> {
    /// Fills the buffer with whole bytes as far as there are any.
    fn fill(&mut self) -> Result<(), P::Error> {
        while self.count <= 56 {
            let Some(byte) = self.piece.get(self.position) else {
                if self.has_ended {
                    return Ok(());
                }
                self.piece = self.packed.next_piece().map_err(UnpackError::Read)?;
                self.position = 0;
                self.has_ended = self.piece.is_empty();
                continue;
            };
            self.buffer |= u64::from(*byte) << self.count;
            self.count += 8;
            self.position += 1;
        }
        Ok(())
    }

    /// The next bits, at most 32.
    fn take(&mut self, bits: u32) -> Result<u32, P::Error> {
        if self.count < bits {
            self.fill()?;
            if self.count < bits {
                return Err(UnpackError::Damaged("it ends too early"));
            }
        }
        let value = (self.buffer & ((1_u64 << bits) - 1)) as u32;
        self.buffer >>= bits;
        self.count -= bits;
        Ok(value)
    }

    fn symbol(&mut self, code: &Code) -> Result<u16, P::Error> {
        if self.count < code.bits {
            self.fill()?;
        }
        let index = (self.buffer & ((1_u64 << code.bits) - 1)) as usize;
        let (symbol, length) = code.table[index];
        let length = u32::from(length);
        if length == 0 {
            return Err(UnpackError::Damaged("a code is unknown"));
        }
        if length > self.count {
            return Err(UnpackError::Damaged("it ends too early"));
        }
        self.buffer >>= length;
        self.count -= length;
        Ok(symbol)
    }

    /// Skips to the next byte.
    fn align(&mut self) {
        let odd = self.count % 8;
        self.buffer >>= odd;
        self.count -= odd;
    }

    fn is_at_end(&mut self) -> Result<bool, P::Error> {
        self.fill()?;
        Ok(self.count == 0)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    struct Pieces(Vec<u8>, usize);

    impl Packed for Pieces {
        type Error = Infallible;

        fn next_piece(&mut self) -> std::result::Result<bytes::Bytes, Infallible> {
            let length = self.1.min(self.0.len());
            Ok(self.0.drain(..length).collect::<Vec<u8>>().into())
        }
    }

    fn unpacked(packed: &[u8], pieces: usize) -> std::result::Result<Vec<u8>, String> {
        let mut unpacker = Unpacker::new(Pieces(packed.to_vec(), pieces));
        let mut all = Vec::new();
        loop {
            let piece = unpacker.next_piece().map_err(|error| error.to_string())?;
            if piece.is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(piece);
        }
    }

    /// Packed by the program everybody uses.
    fn packed(content: &[u8], level: &str) -> Vec<u8> {
        let mut gzip = Command::new("gzip")
            .args(["-c", level])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("gzip is installed");
        let mut input = gzip.stdin.take().expect("it has an input");
        let content = content.to_vec();
        let writer = std::thread::spawn(move || input.write_all(&content));
        let output = gzip.wait_with_output().expect("it ends");
        writer.join().expect("it ends").expect("it is read");
        output.stdout
    }

    fn contents() -> Vec<Vec<u8>> {
        let mut random = StdRng::seed_from_u64(7);
        let noise: Vec<u8> = (0..200_000).map(|_| random.random()).collect();
        let words = ["alpha", "beta", "{\"S\":\"", "\"},", "0", "\n"];
        let text: String = (0..200_000)
            .map(|_| words[random.random_range(0..words.len())])
            .collect();
        vec![
            Vec::new(),
            b"a".to_vec(),
            vec![b'x'; 500_000],
            noise,
            text.into_bytes(),
        ]
    }

    #[test]
    fn what_gzip_packs_is_unpacked() {
        for content in contents() {
            for level in ["-1", "-6", "-9"] {
                let packed = packed(&content, level);
                for pieces in [1000, usize::MAX] {
                    assert!(unpacked(&packed, pieces).as_deref() == Ok(&content[..]));
                }
            }
        }
    }

    #[test]
    fn members_follow_each_other() {
        let mut both = packed(b"one\n", "-6");
        both.extend(packed(b"two\n", "-6"));
        assert_eq!(unpacked(&both, 3).as_deref(), Ok(&b"one\ntwo\n"[..]));
    }

    #[test]
    fn damage_is_noticed() {
        let content = &contents()[4][..20_000];
        let packed = packed(content, "-6");
        for length in [0, 1, 5, 12, 100, packed.len() - 9, packed.len() - 1] {
            let cut = unpacked(&packed[..length], 64);
            assert!(length == 0 || cut.is_err(), "cut to {length}");
        }
        for position in (10..packed.len()).step_by(97) {
            let mut changed = packed.clone();
            changed[position] ^= 0x10;
            assert!(unpacked(&changed, 64).is_err(), "changed at {position}");
        }
    }
}
