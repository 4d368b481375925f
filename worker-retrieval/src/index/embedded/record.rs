//! What the log is made of. A frame is `length u32 | CRC-32 u32 | body`, all numbers little-endian.

use super::blocks::Blocks;
use protocol::{DocumentId, KnowledgeVersion};

/// Bytes before a frame's body.
pub const FRAME: usize = 8;
/// Bytes of a row before its document's id.
const ROW: usize = 34;

/// An entry of the log.
#[derive(Debug, PartialEq)]
pub enum Record<'a> {
    /// A passage came.
    Row(Row<'a>),
    /// Rows went with a version.
    Removed {
        /// The first version without them.
        version: KnowledgeVersion,
        /// Their numbers.
        rows: Vec<u64>,
    },
    /// All before this is a whole version.
    Sealed(Seal),
    /// What came after a version was undone.
    Undone {
        /// That version.
        base: KnowledgeVersion,
    },
}

/// The state of the log at a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seal {
    /// The last whole version.
    pub version: KnowledgeVersion,
    /// The first version that can still be searched.
    pub oldest: KnowledgeVersion,
    /// Number of the next row.
    pub next: u64,
}

/// A passage in the log.
#[derive(Debug, PartialEq)]
pub struct Row<'a> {
    /// Its number, which no other row ever had.
    pub number: u64,
    /// The first version with it.
    pub added: KnowledgeVersion,
    /// Position within the document.
    pub chunk: u32,
    /// The document's id.
    pub document: &'a str,
    /// Each a mask and the values it names; see [`vectors`].
    pub vectors: &'a [u8],
    /// What is shown as its title.
    pub title: &'a str,
    /// What is shown.
    pub text: &'a str,
}

impl Row<'_> {
    /// Where its vectors, title and text begin, counted from the frame's start.
    pub fn content(document: &DocumentId) -> usize {
        FRAME + ROW + document.as_str().len()
    }
}

/// Appends `record` to `bytes`.
pub fn write(bytes: &mut Vec<u8>, record: &Record<'_>) {
    let start = bytes.len();
    bytes.extend([0; FRAME]);
    body(bytes, record);
    let crc = crc32fast::hash(&bytes[start + FRAME..]);
    let length = u32::try_from(bytes.len() - start - FRAME).unwrap_or(u32::MAX);
    bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
    bytes[start + 4..start + FRAME].copy_from_slice(&crc.to_le_bytes());
}

fn body(bytes: &mut Vec<u8>, record: &Record<'_>) {
    match record {
        Record::Row(row) => {
            bytes.push(1);
            bytes.extend(row.number.to_le_bytes());
            bytes.extend(row.added.0.to_le_bytes());
            bytes.extend(row.chunk.to_le_bytes());
            // An id has at most 64 bytes, a passage far less than 4 GiB.
            bytes.push(row.document.len() as u8);
            for length in [row.vectors.len(), row.title.len(), row.text.len()] {
                bytes.extend((length as u32).to_le_bytes());
            }
            for part in [row.document.as_bytes(), row.vectors, row.title.as_bytes(), row.text.as_bytes()] {
                bytes.extend(part);
            }
        }
        Record::Removed { version, rows } => {
            bytes.push(2);
            bytes.extend(version.0.to_le_bytes());
            rows.iter().for_each(|row| bytes.extend(row.to_le_bytes()));
        }
        Record::Sealed(Seal { version, oldest, next }) => {
            bytes.push(3);
            [version.0, oldest.0, *next].iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        }
        Record::Undone { base } => {
            bytes.push(4);
            bytes.extend(base.0.to_le_bytes());
        }
    }
}

/// Reads a frame's body; `None`: it is damaged.
pub fn read(body: &[u8]) -> Option<Record<'_>> {
    let mut left = Left(body);
    let version = |left: &mut Left<'_>| left.u64().map(KnowledgeVersion);
    let record = match left.take(1)?[0] {
        1 => Record::Row(row(&mut left)?),
        2 => {
            let version = version(&mut left)?;
            let rows = std::mem::take(&mut left.0).as_chunks().0;
            Record::Removed { version, rows: rows.iter().map(|row| u64::from_le_bytes(*row)).collect() }
        }
        3 => {
            let (version, oldest) = (version(&mut left)?, version(&mut left)?);
            Record::Sealed(Seal { version, oldest, next: left.u64()? })
        }
        4 => Record::Undone { base: version(&mut left)? },
        _ => return None,
    };
    left.0.is_empty().then_some(record)
}

fn row<'a>(left: &mut Left<'a>) -> Option<Row<'a>> {
    let (number, added, chunk) = (left.u64()?, KnowledgeVersion(left.u64()?), left.u32()?);
    let document = usize::from(left.take(1)?[0]);
    let [vectors, title, text] = [left.u32()?, left.u32()?, left.u32()?].map(|length| length as usize);
    Some(Row {
        number,
        added,
        chunk,
        document: str::from_utf8(left.take(document)?).ok()?,
        vectors: left.take(vectors)?,
        title: str::from_utf8(left.take(title)?).ok()?,
        text: str::from_utf8(left.take(text)?).ok()?,
    })
}

/// What of some bytes was not read yet.
struct Left<'a>(&'a [u8]);

impl<'a> Left<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(length)?;
        self.0 = left;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }
}

/// Appends `vector` to `bytes`: its mask, then what of it is not zero.
pub fn write_vector(bytes: &mut Vec<u8>, blocks: Blocks, vector: &[f32]) {
    let mask = blocks.mask(vector);
    bytes.extend(mask.to_le_bytes());
    blocks.pack(mask, vector).for_each(|x| bytes.extend(x.to_le_bytes()));
}

/// The vectors in a row's bytes: mask and values of each.
pub fn vectors(bytes: &[u8], blocks: Blocks) -> impl Iterator<Item = (u64, impl Iterator<Item = f32> + Clone + '_)> {
    let mut left = Left(bytes);
    std::iter::from_fn(move || {
        let mask = left.u64()?;
        let values = left.take(blocks.len(mask) * 4)?.as_chunks().0;
        Some((mask, values.iter().map(|x| f32::from_le_bytes(*x))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_damage_is_seen() {
        let blocks = Blocks::new(256);
        let mut bytes = Vec::new();
        let mut vector = vec![0.0; 256];
        vector[200] = 0.5;
        write_vector(&mut bytes, blocks, &vector);
        let added = KnowledgeVersion(3);
        let row = Row { number: 9, added, chunk: 2, document: "d", vectors: &bytes, title: "题", text: "text" };
        let seal = Seal { version: added, oldest: KnowledgeVersion(1), next: 10 };
        let records = [
            Record::Row(row),
            Record::Removed { version: added, rows: vec![1, 2] },
            Record::Sealed(seal),
            Record::Undone { base: added },
        ];
        for record in records {
            let mut frame = Vec::new();
            write(&mut frame, &record);
            assert_eq!(read(&frame[FRAME..]).as_ref(), Some(&record));
            assert!((FRAME..frame.len() - 1).all(|end| read(&frame[FRAME..end]).as_ref() != Some(&record)));
        }
        let (mask, values) = vectors(&bytes, blocks).next().unwrap();
        assert_eq!((mask, values.collect::<Vec<_>>()), (2, vector[128..].to_vec()));
    }
}
