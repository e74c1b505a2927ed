//! Unwraps a JSON array of objects into objects a line, in place and in any pieces. Must never know types.

/// Replaces the outer brackets by spaces and the commas between elements by line ends. Files that are not an array
/// pass through unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayUnwrapper {
    state: State,
    depth: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but white space so far.
    Start,
    /// Not an array.
    Lines,
    /// In the array, outside of strings.
    Inside,
    /// In a string.
    Text,
    /// After a backslash in a string.
    Escape,
    /// After the closing bracket.
    After,
}

/// The text is not one JSON array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// It ends before the array does.
    Unfinished,
    /// Something follows the array.
    Trailing,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Unfinished => "the JSON array is cut off before its closing bracket",
            Self::Trailing => "text follows the closing bracket of the JSON array",
        })
    }
}

impl ArrayUnwrapper {
    /// At the beginning of a file.
    pub fn new() -> Self {
        Self {
            state: State::Start,
            depth: 0,
        }
    }

    /// Unwraps the next piece in place.
    pub fn push(&mut self, piece: &mut [u8]) -> Result<(), Broken> {
        if self.state == State::Lines {
            return Ok(());
        }
        for byte in piece.iter_mut() {
            match self.state {
                State::Lines => return Ok(()),
                State::Start => match byte {
                    b' ' | b'\t' | b'\n' | b'\r' => {}
                    b'[' => {
                        *byte = b' ';
                        self.state = State::Inside;
                    }
                    _ => self.state = State::Lines,
                },
                State::Inside => match byte {
                    b'"' => self.state = State::Text,
                    b'{' | b'[' => self.depth += 1,
                    b'}' => self.depth = self.depth.saturating_sub(1),
                    b']' if self.depth == 0 => {
                        *byte = b' ';
                        self.state = State::After;
                    }
                    b']' => self.depth -= 1,
                    b',' if self.depth == 0 => *byte = b'\n',
                    _ => {}
                },
                State::Text => match byte {
                    b'\\' => self.state = State::Escape,
                    b'"' => self.state = State::Inside,
                    _ => {}
                },
                State::Escape => self.state = State::Text,
                State::After => {
                    if !byte.is_ascii_whitespace() {
                        return Err(Broken::Trailing);
                    }
                }
            }
        }
        Ok(())
    }

    /// The file ends.
    pub fn finish(&self) -> Result<(), Broken> {
        match self.state {
            State::Inside | State::Text | State::Escape => Err(Broken::Unfinished),
            State::Start | State::Lines | State::After => Ok(()),
        }
    }

    /// The file is an array.
    pub fn is_array(&self) -> bool {
        !matches!(self.state, State::Start | State::Lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unwrap(text: &str) -> Result<String, Broken> {
        let mut results = [1, 2, 5, usize::MAX].map(|step| {
            let mut unwrapper = ArrayUnwrapper::new();
            let mut bytes = text.as_bytes().to_vec();
            for piece in bytes.chunks_mut(step) {
                unwrapper.push(piece)?;
            }
            unwrapper.finish()?;
            Ok(String::from_utf8(bytes).unwrap())
        });
        assert!(results.iter().all(|result| *result == results[0]));
        std::mem::replace(&mut results[0], Ok(String::new()))
    }

    #[test]
    fn arrays_become_lines() {
        assert_eq!(
            unwrap("[{\"a\":[1,2]},{\"b\":\"],\\\"\"}]").unwrap(),
            " {\"a\":[1,2]}\n{\"b\":\"],\\\"\"} "
        );
        assert_eq!(
            unwrap("{\"a\":[1,2]}\n{\"a\":[]}").unwrap(),
            "{\"a\":[1,2]}\n{\"a\":[]}"
        );
        assert_eq!(unwrap(" [ ] \n").unwrap(), "     \n");
        assert_eq!(unwrap("[{\"a\":1}"), Err(Broken::Unfinished));
        assert_eq!(unwrap("[{\"a\":1}] {}"), Err(Broken::Trailing));
    }
}
