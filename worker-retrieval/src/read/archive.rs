//! A ZIP file whose parts are unpacked within a limit.

use super::{Limits, too_large, unreadable};
use protocol::Failure;
use std::io::{Cursor, Read};
use zip::{ZipArchive, result::ZipError};

/// More parts are no Office document.
const MAX_PARTS: usize = 20_000;
/// No honest document is packed tighter than this.
const MAX_RATIO: usize = 400;
/// Unpacked in any case.
const MIN_UNPACKED: usize = 1 << 20;

/// An opened ZIP file.
pub struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    left: usize,
}

impl<'a> Archive<'a> {
    /// Opens a Word document's file.
    pub fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self, Failure> {
        if bytes.starts_with(b"\xd0\xcf\x11\xe0") {
            return Err(unreadable(
                "the document is an old .doc or is protected by a password; save it as .docx without one",
            ));
        }
        let damaged = "the document is damaged or no .docx file; open it in Word and save it anew";
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|_| unreadable(damaged))?;
        if zip.len() > MAX_PARTS {
            return Err(unreadable(format!("the document has {} parts, so it is no .docx file", zip.len())));
        }
        let left = limits.unpacked.min(bytes.len().saturating_mul(MAX_RATIO).max(MIN_UNPACKED));
        Ok(Self { zip, left })
    }

    /// The text of a part; `None`: there is no such part.
    pub fn part(&mut self, name: &str) -> Result<Option<String>, Failure> {
        let damaged = || unreadable(format!("the document's part {name} is damaged; open it in Word and save it anew"));
        let part = match self.zip.by_name(name) {
            Ok(part) => part,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(_) => return Err(damaged()),
        };
        let mut bytes = Vec::new();
        part.take(self.left as u64 + 1).read_to_end(&mut bytes).map_err(|_| damaged())?;
        self.left = self.left.checked_sub(bytes.len()).ok_or_else(|| {
            too_large("the document unpacks to more than is accepted; split it, or save it anew if it is a small one")
        })?;
        super::encoding::decode(&bytes, None).map(|(text, _)| Some(text)).map_err(|_| damaged())
    }
}
