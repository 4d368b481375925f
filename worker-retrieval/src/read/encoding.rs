//! Bytes to text.

use super::unreadable;
use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8};
use protocol::Failure;

/// The detector has seen enough after this many bytes.
const DETECT_BYTES: usize = 1 << 20;

/// What other files begin with, what they are, and what to do.
const MAGIC: &[(&[u8], &str)] = &[
    (b"%PDF-", "the document is a PDF, not text; send it as application/pdf (.pdf)"),
    (b"PK\x03\x04", "the document is a ZIP or Office file, not text; send a Word document as .docx"),
    (b"\xd0\xcf\x11\xe0", "the document is an old Office file (.doc, .xls), not text; save it as .docx, PDF or text"),
    (b"\x1f\x8b", "the document is compressed with gzip; unpack it first"),
    (b"{\\rtf", "the document is RTF; save it as .docx, PDF or text"),
    (b"\x89PNG", "the document is an image; send the text in it"),
    (b"\xff\xd8\xff", "the document is an image; send the text in it"),
];

/// The text of `bytes`, and a warning where its encoding had to be guessed.
///
/// A byte order mark decides, else UTF-8 where that fits, else `declared`, else the likeliest of the encodings of the web.
/// Fails for what is no text.
pub fn decode(bytes: &[u8], declared: Option<&'static Encoding>) -> Result<(String, Option<String>), Failure> {
    if let Some((_, what)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(unreadable(*what));
    }
    let (text, warning) = match Encoding::for_bom(bytes) {
        Some((encoding, length)) => lossy(encoding, &bytes[length..], false),
        None if bytes.contains(&0) => return Err(unreadable(NUL)),
        None => match std::str::from_utf8(bytes) {
            Ok(text) => (text.to_owned(), None),
            Err(_) if is_nearly_utf8(bytes) => lossy(UTF_8, bytes, false),
            Err(_) => match declared.filter(|encoding| !encoding.decode_without_bom_handling(bytes).1) {
                Some(encoding) => lossy(encoding, bytes, false),
                None => lossy(detect(bytes), bytes, true),
            },
        },
    };
    check(&text)?;
    Ok((text, warning))
}

const NUL: &str = "the document holds NUL bytes, so it is no text; save it as UTF-8 text first";

fn detect(bytes: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(&bytes[..bytes.len().min(DETECT_BYTES)], bytes.len() <= DETECT_BYTES);
    detector.guess(None, Utf8Detection::Deny)
}

fn lossy(encoding: &'static Encoding, bytes: &[u8], guessed: bool) -> (String, Option<String>) {
    let (text, broken) = encoding.decode_without_bom_handling(bytes);
    let lost = if broken { text.matches('\u{fffd}').count() } else { 0 };
    let warning = match (guessed, lost) {
        (false, 0) => None,
        (true, 0) => Some(format!("the text is not UTF-8; it was read as {}", encoding.name())),
        (_, lost) => Some(format!("the text was read as {}; {lost} characters of it are broken", encoding.name())),
    };
    (text.into_owned(), warning)
}

/// Whether `bytes` are UTF-8 but for a few.
fn is_nearly_utf8(bytes: &[u8]) -> bool {
    let (mut whole, mut broken) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        whole += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        broken += usize::from(!chunk.invalid().is_empty());
    }
    whole >= broken * 10
}

/// Fails for a text that no person has written.
fn check(text: &str) -> Result<(), Failure> {
    let (mut letters, mut controls, mut lost) = (0usize, 0usize, 0usize);
    for c in text.chars() {
        match c {
            '\0' => return Err(unreadable(NUL)),
            '\t' | '\n' | '\r' | '\x0c' => {}
            '\u{fffd}' => lost += 1,
            c if c.is_control() => controls += 1,
            _ => letters += 1,
        }
    }
    let most = (letters / 100).max(2);
    if controls > most {
        return Err(unreadable("the document is binary data and no text; send text, Markdown, HTML, PDF or .docx"));
    }
    if lost > most {
        return Err(unreadable("the text's encoding could not be told; save it as UTF-8"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZH: &str = "自收到商品之日起七天内，您可以无理由退货。商品应当完好，配件齐全，不影响二次销售。";

    fn read(bytes: &[u8]) -> (String, Option<String>) {
        decode(bytes, None).unwrap()
    }

    #[test]
    fn marks_and_utf8_need_no_guess() {
        let utf16: Vec<u8> = "\u{feff}退货".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(read(&utf16), ("退货".into(), None));
        assert_eq!(read("\u{feff}Größe".as_bytes()), ("Größe".into(), None));
        let (text, warning) = read(&[ZH.as_bytes(), b"\xff"].concat());
        assert!(text.starts_with(ZH) && warning.unwrap().contains("UTF-8; 1 "));
    }

    #[test]
    fn the_encodings_of_older_files_are_found() {
        let zh_tw = "收到商品後七天內，您可以無理由退貨。商品應當完好，配件齊全，不影響二次銷售。";
        let ja = "商品の到着後七日以内であれば、理由を問わず返品することができます。";
        let de = "Für Rücksendungen gilt: Die Größe muss überprüft werden, bevor Sie schließlich zurücksenden.";
        for (text, encoding) in [
            (ZH, encoding_rs::GBK),
            (zh_tw, encoding_rs::BIG5),
            (ja, encoding_rs::SHIFT_JIS),
            (de, encoding_rs::WINDOWS_1252),
        ] {
            let (read, warning) = read(&encoding.encode(text).0);
            assert_eq!(read, text);
            assert!(warning.unwrap().contains(encoding.name()));
        }
    }

    #[test]
    fn what_is_no_text_is_refused_with_advice() {
        let refused = |bytes: &[u8]| decode(bytes, None).unwrap_err().message;
        assert!(refused(b"a\0b").contains("NUL"));
        assert!(refused(b"%PDF-1.7\n").contains("application/pdf"));
        assert!(refused(b"PK\x03\x04rest").contains(".docx"));
        let junk: Vec<u8> = (1..4000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 | 1).collect();
        assert!(refused(&junk).contains("binary"), "{}", refused(&junk));
    }
}
