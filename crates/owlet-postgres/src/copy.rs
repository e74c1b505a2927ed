//! The framing of `COPY … (FORMAT BINARY)`: header, tuples, trailer, over chunks cut anywhere.
//! Must never know what a field means.
//!
//! Format: PostgreSQL documentation, COPY, "Binary Format".

/// First bytes of every binary COPY stream.
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Flags that change the meaning of what follows (bits 16 to 31) and that no version sets today.
const CRITICAL_FLAGS: u32 = 0xffff_0000;

/// Receives the fields in order.
pub(crate) trait FieldSink {
    type Error;

    /// Number of fields of every tuple.
    fn width(&self) -> usize;
    /// One field; `None` is NULL.
    fn field(&mut self, column: usize, value: Option<&[u8]>) -> Result<(), Self::Error>;
    /// The tuple is complete.
    fn end_of_row(&mut self);
}

/// The bytes are not a binary COPY stream of the expected width.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed COPY data: {0}")]
pub(crate) struct Malformed(String);

impl Malformed {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Splits a stream into fields.
#[derive(Debug)]
pub(crate) struct CopyReader {
    phase: Phase,
    /// Bytes of an item that continues in the next chunk.
    carry: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Header,
    /// Bytes of the header extension still to skip.
    Extension(usize),
    RowStart,
    Field(usize),
    Finished,
}

impl CopyReader {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Header,
            carry: Vec::new(),
        }
    }

    /// The trailer has been seen: every row was.
    pub(crate) fn is_finished(&self) -> bool {
        self.phase == Phase::Finished
    }

    /// The next byte begins a row, or is the trailer's.
    pub(crate) fn is_between_rows(&self) -> bool {
        self.phase == Phase::RowStart && self.carry.is_empty()
    }

    /// Some fields of a row have been handed over and others not.
    pub(crate) fn is_inside_row(&self) -> bool {
        matches!(self.phase, Phase::Field(next) if next > 0)
    }

    /// Hands all complete fields of the stream so far to the sink.
    pub(crate) fn feed<S: FieldSink>(&mut self, chunk: &[u8], sink: &mut S) -> Result<(), S::Error>
    where
        S::Error: From<Malformed>,
    {
        if self.carry.is_empty() {
            let used = self.consume(chunk, sink)?;
            self.carry.extend_from_slice(&chunk[used..]);
            return Ok(());
        }
        let mut joined = std::mem::take(&mut self.carry);
        joined.extend_from_slice(chunk);
        let used = self.consume(&joined, sink)?;
        joined.drain(..used);
        self.carry = joined;
        Ok(())
    }

    /// Returns the number of bytes used.
    fn consume<S: FieldSink>(&mut self, bytes: &[u8], sink: &mut S) -> Result<usize, S::Error>
    where
        S::Error: From<Malformed>,
    {
        let mut at = 0;
        loop {
            match self.phase {
                Phase::Header => {
                    let Some(header) = bytes.get(at..at + 19) else {
                        return Ok(at);
                    };
                    self.phase = Phase::Extension(check_header(header)?);
                    at += 19;
                }
                Phase::Extension(length) => {
                    if bytes.len() - at < length {
                        return Ok(at);
                    }
                    at += length;
                    self.phase = Phase::RowStart;
                }
                Phase::RowStart => {
                    let Some(&[high, low]) = bytes.get(at..at + 2) else {
                        return Ok(at);
                    };
                    at += 2;
                    match i16::from_be_bytes([high, low]) {
                        -1 => self.phase = Phase::Finished,
                        count if usize::try_from(count) == Ok(sink.width()) => {
                            self.phase = Phase::Field(0)
                        }
                        count => {
                            let message =
                                format!("a row of {count} fields instead of {}", sink.width());
                            return Err(Malformed(message).into());
                        }
                    }
                }
                Phase::Field(first) => match fields(bytes, &mut at, first, sink)? {
                    next if next == sink.width() => {
                        sink.end_of_row();
                        self.phase = Phase::RowStart;
                    }
                    next => {
                        self.phase = Phase::Field(next);
                        return Ok(at);
                    }
                },
                Phase::Finished => {
                    if at < bytes.len() {
                        return Err(Malformed("bytes after the trailer".to_owned()).into());
                    }
                    return Ok(at);
                }
            }
        }
    }
}

/// Hands over the fields from `column` on; returns the first column that is not complete yet.
fn fields<S: FieldSink>(
    bytes: &[u8],
    at: &mut usize,
    mut column: usize,
    sink: &mut S,
) -> Result<usize, S::Error>
where
    S::Error: From<Malformed>,
{
    let width = sink.width();
    let mut rest = &bytes[*at..];
    while column < width {
        let Some((prefix, after)) = rest.split_first_chunk::<4>() else {
            break;
        };
        match i32::from_be_bytes(*prefix) {
            -1 => {
                sink.field(column, None)?;
                rest = after;
            }
            length if length >= 0 => {
                let Some((value, after)) = after.split_at_checked(length as usize) else {
                    break;
                };
                sink.field(column, Some(value))?;
                rest = after;
            }
            length => return Err(Malformed(format!("a field of length {length}")).into()),
        }
        column += 1;
    }
    *at = bytes.len() - rest.len();
    Ok(column)
}

/// Returns the length of the header extension.
fn check_header(header: &[u8]) -> Result<usize, Malformed> {
    let (signature, rest) = header.split_at(SIGNATURE.len());
    if signature != SIGNATURE {
        return Err(Malformed("wrong signature".to_owned()));
    }
    let number = |range: std::ops::Range<usize>| {
        rest.get(range)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u32::from_be_bytes)
    };
    let flags = number(0..4);
    if flags & CRITICAL_FLAGS != 0 {
        return Err(Malformed(format!("unknown critical flags {flags:#x}")));
    }
    Ok(number(4..8) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Collect {
        fields: Vec<Option<Vec<u8>>>,
        rows: usize,
    }

    impl FieldSink for Collect {
        type Error = Malformed;

        fn width(&self) -> usize {
            2
        }

        fn field(&mut self, _column: usize, value: Option<&[u8]>) -> Result<(), Malformed> {
            self.fields.push(value.map(<[u8]>::to_vec));
            Ok(())
        }

        fn end_of_row(&mut self) {
            self.rows += 1;
        }
    }

    fn stream() -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 3, 9, 9, 9]);
        bytes.extend([0, 2, 0, 0, 0, 1, b'a', 0xff, 0xff, 0xff, 0xff]);
        bytes.extend([0, 2, 0, 0, 0, 0, 0, 0, 0, 2, b'b', b'c']);
        bytes.extend([0xff, 0xff]);
        bytes
    }

    #[test]
    fn any_cut_gives_the_same_fields() {
        let bytes = stream();
        let expected = vec![
            Some(b"a".to_vec()),
            None,
            Some(Vec::new()),
            Some(b"bc".to_vec()),
        ];
        for size in 1..=bytes.len() {
            let mut reader = CopyReader::new();
            let mut sink = Collect::default();
            for chunk in bytes.chunks(size) {
                assert!(!reader.is_finished());
                reader.feed(chunk, &mut sink).expect("well-formed");
            }
            assert!(reader.is_finished());
            assert_eq!(
                (sink.rows, &sink.fields),
                (2, &expected),
                "chunks of {size}"
            );
        }
    }

    #[test]
    fn a_cut_stream_is_not_finished() {
        let bytes = stream();
        for length in 0..bytes.len() {
            let mut reader = CopyReader::new();
            reader
                .feed(&bytes[..length], &mut Collect::default())
                .expect("a prefix is well-formed");
            assert!(!reader.is_finished(), "{length} bytes");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let mut wrong_width = stream();
        wrong_width[23] = 3;
        let mut negative_length = stream();
        negative_length[24] = 0x80;
        let mut after_trailer = stream();
        after_trailer.push(0);
        let mut flags = stream();
        flags[11] = 1;
        for bytes in [
            wrong_width,
            negative_length,
            after_trailer,
            flags,
            b"PGCOPY\n\xff\r\nX00000000".to_vec(),
        ] {
            assert!(
                CopyReader::new()
                    .feed(&bytes, &mut Collect::default())
                    .is_err()
            );
        }
    }
}
