//! JSON that is not complete yet.

/// Finds an object's end, piece by piece.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Scanner {
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Scanner {
    /// After the object's first brace.
    pub fn within() -> Self {
        Self { depth: 1, ..Self::default() }
    }

    /// Bytes of `text` that belong to the object, and whether it ends there. A `<` that is not in a string ends it too:
    /// no JSON holds one, and the mark that closes a call begins with it.
    pub fn take(&mut self, text: &str) -> (usize, bool) {
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'<' => return (at, true),
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth <= 1 => return (at + 1, true),
                b'}' | b']' => self.depth -= 1,
                _ => {}
            }
        }
        (text.len(), false)
    }
}

/// Reads JSON from its beginning.
pub(super) struct Cursor<'a>(pub &'a str);

/// Why a cursor stopped.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// The text ends here; more may come.
    More,
    /// It is something else.
    Other,
}

impl<'a> Cursor<'a> {
    /// Passes spaces and then `token`.
    pub fn token(&mut self, token: &str) -> Result<(), Miss> {
        self.0 = self.0.trim_start();
        match self.0.strip_prefix(token) {
            Some(rest) => self.0 = rest,
            None if token.starts_with(self.0) => return Err(Miss::More),
            None => return Err(Miss::Other),
        }
        Ok(())
    }

    /// Passes a string without escapes.
    pub fn plain_string(&mut self) -> Result<&'a str, Miss> {
        self.token("\"")?;
        match self.0.find(['"', '\\']) {
            None => Err(Miss::More),
            Some(end) if self.0.as_bytes()[end] == b'\\' => Err(Miss::Other),
            Some(end) => {
                let found = &self.0[..end];
                self.0 = &self.0[end + 1..];
                Ok(found)
            }
        }
    }
}
