use super::*;

fn read_as(format: DocumentFormat, bytes: &[u8]) -> Result<Reading, Failure> {
    read(format, bytes, &Limits::default(), &Sandbox::InProcess)
}

#[test]
fn a_guessed_encoding_is_told_and_curated_questions_are_cut_as_they_are() {
    let (source, _, _) =
        encoding_rs::GBK.encode("question,answer,variants\n如何退货？,七天之内寄回即可。,怎么退|退货流程\n");
    let reading = read_as(DocumentFormat::FaqCsv, &source).unwrap();
    assert!(reading.warnings[0].contains("GBK"), "{reading:?}");
    let limits = chunk::Limits { max_tokens: 9, overlap_tokens: 0, count: &str::len };
    let chunks = reading.cut("faq.csv", limits).chunks;
    assert_eq!((chunks[0].title.as_str(), chunks[0].text.as_str()), ("如何退货？", "七天之内寄回即可。"));
    let Content::Faq(entries) = reading.content else { panic!() };
    assert_eq!(entries[0].variants, ["怎么退", "退货流程"]);
}

#[test]
fn what_is_no_document_is_refused() {
    for format in [DocumentFormat::Markdown, DocumentFormat::Text, DocumentFormat::Html, DocumentFormat::FaqJsonl] {
        for bytes in [&b""[..], b" \n ", b"a\0b"] {
            let failure = read_as(format, bytes).unwrap_err();
            assert_eq!(failure.code, ErrorCode::UnreadableDocument, "{format:?} {bytes:?}");
        }
    }
    let limits = Limits { bytes: 3, ..Limits::default() };
    let failure = read(DocumentFormat::Text, b"four", &limits, &Sandbox::InProcess).unwrap_err();
    assert_eq!(failure.code, ErrorCode::PayloadTooLarge);
    assert!(read_as(DocumentFormat::FaqCsv, b"a,b\n1,2\n").unwrap_err().message.contains("question,answer"));
}

#[test]
fn a_program_that_says_nothing_is_a_damaged_document_and_a_slow_one_is_ended() {
    let ends = Sandbox::Process("/bin/false".into());
    let failure = read(DocumentFormat::Pdf, b"%PDF-", &Limits::default(), &ends).unwrap_err();
    assert!(failure.message.contains("damaged"), "{failure}");
    let missing = Sandbox::Process("/no/such/program".into());
    let failure = read(DocumentFormat::Pdf, b"%PDF-", &Limits::default(), &missing).unwrap_err();
    assert_eq!(failure.code, ErrorCode::Unavailable);
}
