use super::*;
use protocol::ErrorCode;
use std::io::{Cursor, Write};
use zip::{ZipWriter, write::SimpleFileOptions};

fn package(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in parts {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn document(body: &str) -> String {
    format!("<?xml version=\"1.0\"?><w:document xmlns:w=\"w\"><w:body>{body}</w:body></w:document>")
}

fn paragraph(properties: &str, text: &str) -> String {
    format!("<w:p><w:pPr>{properties}</w:pPr><w:r><w:t xml:space=\"preserve\">{text}</w:t></w:r></w:p>")
}

fn shown(parts: &[(&str, &str)]) -> String {
    match read(&package(parts), &Limits::default()).unwrap().content {
        Content::Markdown(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn styles_lists_and_tables_become_markdown() {
    let styles = r#"<w:styles xmlns:w="w"><w:style w:styleId="a3"><w:name w:val="Title"/></w:style>
        <w:style w:styleId="1"><w:name w:val="heading 1"/></w:style>
        <w:style w:styleId="Own"><w:name w:val="Own"/><w:basedOn w:val="1"/></w:style></w:styles>"#;
    let numbering = r#"<w:numbering xmlns:w="w"><w:abstractNum w:abstractNumId="7"><w:lvl w:ilvl="0"><w:numFmt w:val="decimal"/>
        </w:lvl><w:lvl w:ilvl="1"><w:numFmt w:val="bullet"/></w:lvl></w:abstractNum>
        <w:num w:numId="2"><w:abstractNumId w:val="7"/></w:num></w:numbering>"#;
    let item = |depth: u8, text: &str| {
        paragraph(&format!("<w:numPr><w:ilvl w:val=\"{depth}\"/><w:numId w:val=\"2\"/></w:numPr>"), text)
    };
    let cell = |merge: &str, text: &str| format!("<w:tc><w:tcPr>{merge}</w:tcPr>{}</w:tc>", paragraph("", text));
    let rows = [
        format!("<w:tr>{}{}</w:tr>", cell("", "地区"), cell("", "Fee")),
        format!("<w:tr>{}{}</w:tr>", cell("<w:vMerge w:val=\"restart\"/>", "East"), cell("", "12")),
        format!("<w:tr>{}{}</w:tr>", cell("<w:vMerge/>", ""), cell("", "15")),
    ];
    let body = [
        paragraph("<w:pStyle w:val=\"a3\"/>", "Handbook"),
        paragraph("<w:pStyle w:val=\"Own\"/>", "Fish &amp; chips &#x4e2d;"),
        "<w:p><w:r><w:t>one </w:t><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r><w:del><w:r><w:delText>old</w:delText></w:r></w:del>\
         <w:r><w:t>two</w:t><w:br/><w:t>three</w:t></w:r></w:p>"
            .into(),
        item(0, "first"),
        item(1, "inner"),
        item(0, "second"),
        format!("<w:tbl>{}</w:tbl>", rows.concat()),
    ];
    let parts = [
        ("word/document.xml", &*document(&body.concat())),
        ("word/styles.xml", styles),
        ("word/numbering.xml", numbering),
    ];
    let expected = "# Handbook\n\n## Fish & chips 中\n\none two\nthree\n\n1. first\n   - inner\n2. second\n\n\
                    | 地区 | Fee |\n|---|---|\n| East | 12 |\n| East | 15 |";
    assert_eq!(shown(&parts), expected);
}

#[test]
fn bombs_and_wrecks_are_refused() {
    let refused = |bytes: &[u8]| read(bytes, &Limits::default()).unwrap_err();
    let spaces = " ".repeat(4 << 20);
    let bomb = package(&[("word/document.xml", &document(&spaces))]);
    assert!(bomb.len() < 20_000);
    assert_eq!(refused(&bomb).code, ErrorCode::PayloadTooLarge);
    let deep = package(&[("word/document.xml", &"<a>".repeat(2000))]);
    assert!(refused(&deep).message.contains("nested"));
    let entities = "<!DOCTYPE w [<!ENTITY a \"boom\">]><w:document><w:p><w:t>x&a;y</w:t></w:p></w:document>";
    assert_eq!(shown(&[("word/document.xml", entities)]), "xy");
    assert!(refused(&package(&[("word/document.xml", "<a><b></a>")])).message.contains("damaged"));
    assert!(refused(&package(&[("xl/workbook.xml", "<a/>")])).message.contains("no Word document"));
    assert!(refused(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1").message.contains("password"));
    let whole = package(&[("word/document.xml", &document(&paragraph("", "text")))]);
    assert!(refused(&whole[..whole.len() / 2]).message.contains("damaged"));
}
