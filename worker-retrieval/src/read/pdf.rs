//! The text of a PDF, as Markdown: lines from where the characters stand, paragraphs from the lines, headings by size.

mod characters;
mod flow;
mod glyphs;
mod lines;
mod margins;

use super::{Content, Limits, MAX_WARNINGS, Reading, confine, too_large, unreadable};
use glyphs::Extractor;
use hayro_interpret::{
    Context, InterpreterCache, InterpreterSettings, TransformExt,
    hayro_syntax::{LoadPdfError, Pdf, page::Page},
    interpret_page,
    kurbo::Rect,
};
use lines::Line;
use protocol::Failure;

/// A PDF begins with its mark, but for a few bytes that some programs put before it.
const MARK_WITHIN: usize = 1024;
/// Of so many characters (one in …) the meaning may be unknown before the text is not worth having.
const MAX_UNKNOWN: usize = 5;

/// A page's lines, and what else is on it.
#[derive(Default)]
struct Sheet {
    lines: Vec<Line>,
    height: f64,
    has_images: bool,
    known: usize,
    unknown: usize,
}

/// Reads a PDF in this process. A hostile one may make it panic, or take any memory and time: see [`super::Sandbox`].
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Reading, Failure> {
    let mark = b"%PDF-";
    if !bytes[..bytes.len().min(MARK_WITHIN)].windows(mark.len()).any(|window| window == mark) {
        return Err(unreadable("the document is no PDF; send it with the type that it has"));
    }
    let pdf = Pdf::new(bytes.to_vec()).map_err(refused)?;
    let pages = pdf.pages().len();
    if pages == 0 {
        return Err(confine::damaged());
    }
    if pages > limits.pages {
        return Err(too_large(format!("the PDF has {pages} pages, at most {} are accepted; split it", limits.pages)));
    }
    let cache = InterpreterCache::new();
    let mut left = limits.unpacked;
    let mut sheets = Vec::with_capacity(pages);
    for page in pdf.pages().iter() {
        let sheet = sheet(&pdf, page, &cache);
        let bytes = sheet.lines.iter().map(|line| line.text.len()).sum();
        left =
            left.checked_sub(bytes).ok_or_else(|| too_large("the PDF's text is longer than is accepted; split it"))?;
        sheets.push(sheet);
    }
    let warnings = judge(&sheets)?;
    Ok(Reading { title: None, content: Content::Markdown(flow::text(margins::without(sheets))), warnings })
}

fn refused(error: LoadPdfError) -> Failure {
    match error {
        LoadPdfError::Decryption(_) => {
            unreadable("the PDF is protected by a password; save it without one (print it as a new PDF) and send that")
        }
        LoadPdfError::Invalid => confine::damaged(),
    }
}

fn sheet<'a>(pdf: &'a Pdf, page: &Page<'a>, cache: &InterpreterCache<'a>) -> Sheet {
    let (width, height) = page.render_dimensions();
    let area = Rect::new(0.0, 0.0, f64::from(width), f64::from(height));
    // Places count from the page's top left corner, as it is seen.
    let settings = InterpreterSettings::default();
    let mut context = Context::new(page.initial_transform(true).to_kurbo(), area, cache, pdf.xref(), settings);
    let mut extractor = Extractor::default();
    interpret_page(page, &mut context, &mut extractor);
    Sheet { height: f64::from(height), ..extractor.finish() }
}

/// What is to be said of the pages; fails when there is no text to have.
fn judge(sheets: &[Sheet]) -> Result<Vec<String>, Failure> {
    let known: usize = sheets.iter().map(|sheet| sheet.known).sum();
    let unknown: usize = sheets.iter().map(|sheet| sheet.unknown).sum();
    if known + unknown == 0 {
        let scanned = sheets.iter().any(|sheet| sheet.has_images);
        return Err(unreadable(if scanned {
            "the PDF holds only images (a scan?); run text recognition (OCR) on it first"
        } else {
            "the PDF has no text"
        }));
    }
    if unknown > (known + unknown) / MAX_UNKNOWN {
        let message = "the PDF's fonts do not tell which characters they show; send the document it was made from, or run \
                       text recognition (OCR) on it";
        return Err(unreadable(message));
    }
    let mut warnings = Vec::new();
    if unknown > 0 {
        warnings.push(format!("{unknown} characters were skipped: their font does not tell what they are"));
    }
    let scans: Vec<String> = (1..)
        .zip(sheets)
        .filter(|(_, sheet)| sheet.known == 0 && sheet.has_images)
        .map(|(number, _)| number.to_string())
        .collect();
    if !scans.is_empty() {
        let more = if scans.len() > MAX_WARNINGS { ", …" } else { "" };
        let shown = scans[..scans.len().min(MAX_WARNINGS)].join(", ");
        warnings.push(format!("pages {shown}{more} hold only images; what is written in them was not read"));
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests;
