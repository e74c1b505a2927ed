//! Where the fields of many rows are, column by column, so that each column is decoded in one go: a loop of one kind of
//! work costs a third less than a choice for every field. Must never know what a field means.
//!
//! Servers send each row of a COPY as a message of its own. Rows of any other shape are left to
//! [`crate::copy::CopyReader`].

/// Bytes of a message's type and length.
const MESSAGE_HEADER: usize = 5;
/// And of the number of its row's fields.
const HEADER: usize = MESSAGE_HEADER + 2;
/// Bytes of a field's length.
const PREFIX: usize = 4;
/// Rows of a block. Columns must not begin multiples of 4 KB apart: they would fight for the same lines of the cache.
const BLOCK_ROWS: usize = 504;

/// Where a field is among the bytes; its length is -1 for NULL.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    start: u32,
    length: i32,
}

/// Some rows that were found.
#[derive(Debug)]
pub(crate) struct RowBlock {
    columns: Vec<[Place; BLOCK_ROWS]>,
    rows: usize,
    length: usize,
}

impl RowBlock {
    /// For rows of so many fields.
    pub(crate) fn new(width: usize) -> Self {
        Self {
            columns: vec![[Place::default(); BLOCK_ROWS]; width],
            rows: 0,
            length: 0,
        }
    }

    /// Finds at most `room` rows at the beginning of these messages, each of which must be a whole row. There are fewer,
    /// or none, before anything else.
    pub(crate) fn find(&mut self, messages: &[u8], room: usize) {
        (self.rows, self.length) = (0, 0);
        if u32::try_from(messages.len()).is_err() {
            return;
        }
        while self.rows < room.min(BLOCK_ROWS) {
            let Some(end) = self.find_row(messages, self.length) else {
                return;
            };
            self.rows += 1;
            self.length = end;
        }
    }

    /// Returns where the row ends.
    #[inline]
    fn find_row(&mut self, messages: &[u8], start: usize) -> Option<usize> {
        let [_, length @ .., high, low] = *messages.get(start..)?.first_chunk::<HEADER>()?;
        let end = start + 1 + u32::from_be_bytes(length) as usize;
        let width = usize::from(u16::from_be_bytes([high, low]));
        if width != self.columns.len() || end > messages.len() {
            return None;
        }
        let mut at = start + HEADER;
        for column in &mut self.columns {
            let length = i32::from_be_bytes(*messages.get(at..)?.first_chunk::<PREFIX>()?);
            if length < -1 {
                return None;
            }
            at += PREFIX;
            column[self.rows] = Place {
                start: at as u32,
                length,
            };
            at += length.max(0) as usize;
        }
        (at == end).then_some(end)
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of the rows' messages.
    pub(crate) fn message_bytes(&self) -> usize {
        self.length
    }

    /// Bytes of what was copied, without the messages around it.
    pub(crate) fn copied_bytes(&self) -> usize {
        self.length - self.rows * MESSAGE_HEADER
    }

    /// Bytes of the rows' values.
    pub(crate) fn value_bytes(&self) -> usize {
        self.length - self.rows * (HEADER + PREFIX * self.columns.len())
    }

    /// The fields of a column; `messages` are those in which the rows were found.
    pub(crate) fn column<'a>(&'a self, messages: &'a [u8], column: usize) -> Fields<'a> {
        Fields {
            bytes: messages,
            places: &self.columns[column][..self.rows],
        }
    }
}

/// Fields of one column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    places: &'a [Place],
}

impl<'a> Fields<'a> {
    /// Number of fields.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The fields in order; `None` is NULL.
    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = Option<&'a [u8]>> {
        let bytes = self.bytes;
        self.places.iter().map(move |place| {
            let length = usize::try_from(place.length).ok()?;
            Some(&bytes[place.start as usize..][..length])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fields: &[Option<&[u8]>]) -> Vec<u8> {
        let mut body = (fields.len() as u16).to_be_bytes().to_vec();
        for field in fields {
            match field {
                Some(value) => {
                    body.extend((value.len() as i32).to_be_bytes());
                    body.extend_from_slice(value);
                }
                None => body.extend((-1_i32).to_be_bytes()),
            }
        }
        let mut message = vec![b'd'];
        message.extend((body.len() as u32 + 4).to_be_bytes());
        message.extend(body);
        message
    }

    fn found<'a>(block: &'a mut RowBlock, messages: &'a [u8], room: usize) -> Vec<Vec<String>> {
        block.find(messages, room);
        (0..block.columns.len())
            .map(|column| {
                let fields = block.column(messages, column);
                let text = |field: Option<&[u8]>| match field {
                    Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    None => "NULL".to_owned(),
                };
                fields.iter().map(text).collect()
            })
            .collect()
    }

    #[test]
    fn whole_rows_are_found_column_by_column() {
        let rows = [
            row(&[Some(b"a"), None]),
            row(&[Some(b""), Some(b"bc")]),
            row(&[None, None]),
        ];
        let messages = rows.concat();
        let mut block = RowBlock::new(2);
        assert_eq!(
            found(&mut block, &messages, 10),
            [["a", "", "NULL"], ["NULL", "bc", "NULL"]]
        );
        assert_eq!((block.rows(), block.value_bytes()), (3, 3));
        assert_eq!(block.message_bytes(), messages.len());
        assert_eq!(block.copied_bytes(), messages.len() - 15);
        assert_eq!(found(&mut block, &messages, 1), [["a"], ["NULL"]]);
        assert_eq!(block.message_bytes(), rows[0].len());
    }

    #[test]
    fn what_is_no_whole_row_is_left() {
        let good = row(&[Some(b"a"), None]);
        let mut negative = row(&[Some(b"a"), None]);
        negative[7] = 0x80;
        let mut beyond = row(&[Some(b"a"), None]);
        beyond[10] = 200;
        let mut short = row(&[Some(b"abc"), None]);
        short[10] = 2;
        let trailer = [b"d\0\0\0\x06\xff\xff".to_vec(), good.clone()].concat();
        let two_rows_in_one = {
            let mut body = good[5..].repeat(2);
            let mut message = vec![b'd'];
            message.extend((body.len() as u32 + 4).to_be_bytes());
            message.append(&mut body);
            message
        };
        for rest in [
            negative,
            beyond,
            short,
            trailer,
            two_rows_in_one,
            row(&[Some(b"a")]),
            b"d\0\0\0\0\0\x02".to_vec(),
        ] {
            let messages = [good.clone(), rest].concat();
            let mut block = RowBlock::new(2);
            block.find(&messages, 10);
            assert_eq!(
                (block.rows(), block.message_bytes()),
                (1, good.len()),
                "{messages:?}"
            );
        }
        for length in 0..good.len() {
            let mut block = RowBlock::new(2);
            block.find(&good[..length], 10);
            assert_eq!(block.rows(), 0);
        }
    }

    #[test]
    fn many_rows_fill_block_after_block() {
        let messages = row(&[Some(b"abc")]).repeat(BLOCK_ROWS + 1);
        let mut block = RowBlock::new(1);
        block.find(&messages, usize::MAX);
        assert_eq!(block.rows(), BLOCK_ROWS);
        let rest = &messages[block.message_bytes()..];
        block.find(rest, usize::MAX);
        assert_eq!(block.rows(), 1);
    }

    #[test]
    fn rows_without_fields_count() {
        let messages = row(&[]).repeat(3);
        let mut block = RowBlock::new(0);
        block.find(&messages, 10);
        assert_eq!((block.rows(), block.value_bytes()), (3, 0));
    }
}
