//! Word documents, as Markdown: headings by their styles, lists, tables.

mod body;
mod styles;
mod xml;

use super::{Content, Limits, Reading, archive::Archive, unreadable};
use body::Body;
use protocol::Failure;

/// Reads a `.docx` file.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Reading, Failure> {
    let mut archive = Archive::open(bytes, limits)?;
    let Some(document) = archive.part("word/document.xml")? else {
        return Err(unreadable("the file holds no Word document (word/document.xml); save it as .docx"));
    };
    let styles = styles::headings(&archive.part("word/styles.xml")?.unwrap_or_default())?;
    let bullets = styles::bullets(&archive.part("word/numbering.xml")?.unwrap_or_default())?;
    let text = Body::new(&styles, &bullets).read(&document)?;
    Ok(Reading { title: None, content: Content::Markdown(text), warnings: Vec::new() })
}

#[cfg(test)]
mod tests;
