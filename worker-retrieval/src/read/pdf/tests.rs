use super::*;

/// A PDF with a page for each content stream, in Helvetica.
fn pdf(pages: &[String]) -> Vec<u8> {
    let mut objects = vec!["<</Type/Catalog/Pages 2 0 R>>".to_owned()];
    let kids: Vec<String> = (0..pages.len()).map(|at| format!("{} 0 R", 4 + at * 2)).collect();
    objects.push(format!("<</Type/Pages/Kids[{}]/Count {}>>", kids.join(" "), pages.len()));
    objects.push("<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>".into());
    for (at, content) in pages.iter().enumerate() {
        objects.push(format!(
            "<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents {} 0 R/Resources<</Font<</F 3 0 R>>>>>>",
            5 + at * 2
        ));
        objects.push(format!("<</Length {}>>\nstream\n{content}\nendstream", content.len()));
    }
    let mut file = "%PDF-1.4\n".to_owned();
    let mut places = Vec::new();
    for (number, object) in (1..).zip(&objects) {
        places.push(file.len());
        file.push_str(&format!("{number} 0 obj\n{object}\nendobj\n"));
    }
    let (start, size) = (file.len(), objects.len() + 1);
    file.push_str(&format!("xref\n0 {size}\n0000000000 65535 f \n"));
    places.iter().for_each(|place| file.push_str(&format!("{place:010} 00000 n \n")));
    file.push_str(&format!("trailer\n<</Root 1 0 R/Size {size}>>\nstartxref\n{start}\n%%EOF\n"));
    file.into_bytes()
}

/// A line at (x, y) from the bottom left.
fn at(x: u32, y: u32, size: u32, text: &str) -> String {
    format!("BT /F {size} Tf {x} {y} Td ({text}) Tj ET\n")
}

fn shown(bytes: &[u8]) -> String {
    match read(bytes, &Limits::default()).unwrap().content {
        Content::Markdown(text) => text,
        other => panic!("{other:?}"),
    }
}

fn refused(bytes: &[u8], limits: &Limits) -> String {
    read(bytes, limits).unwrap_err().message
}

#[test]
fn headings_paragraphs_and_tables_come_from_where_the_text_stands() {
    let first = [
        at(50, 780, 9, "Shop rules"),
        at(50, 700, 20, "Returns"),
        at(50, 670, 11, "You may bring back what you bought within thirty days, if it is not"),
        at(50, 656, 11, "used. We look at the ware and return your money by the same pay-"),
        at(50, 642, 11, "ment that you made. Ask us."),
        at(50, 615, 11, "Another paragraph."),
        at(50, 590, 11, "Country"),
        at(200, 590, 11, "Cost"),
        at(50, 575, 11, "France"),
        at(200, 575, 11, "12"),
        at(300, 30, 9, "1"),
    ];
    let others = (2..4).map(|page| {
        format!(
            "{}{}{}",
            at(50, 780, 9, "Shop rules"),
            at(50, 700, 11, "More."),
            at(300, 30, 9, &format!("Page {page}"))
        )
    });
    let pages: Vec<String> = std::iter::once(first.concat()).chain(others).collect();
    let expected = "# Returns\n\nYou may bring back what you bought within thirty days, if it is not used. We look at the \
                    ware and return your money by the same payment that you made. Ask us.\n\nAnother paragraph.\n\n\
                    | Country | Cost |\n|---|---|\n| France | 12 |\n\nMore.\n\nMore.";
    assert_eq!(shown(&pdf(&pages)), expected);
}

#[test]
fn lines_that_were_broken_on_purpose_stay_apart_and_columns_stay_whole() {
    let page = [
        at(50, 700, 11, "A line as wide as the page, with enough words in it to show how wide that really is."),
        at(50, 660, 11, "Monday: closed"),
        at(50, 646, 11, "Tuesday: open"),
        at(50, 600, 11, "The left column has shorter lines than"),
        at(50, 586, 11, "the page, but they are one sentence."),
        at(300, 600, 11, "The right one too."),
    ];
    let text = shown(&pdf(&[page.concat()]));
    let ends = "\n\nMonday: closed\n\nTuesday: open\n\nThe left column has shorter lines than the page, but they are one \
                sentence.\n\nThe right one too.";
    assert!(text.ends_with(ends), "{text}");
}

#[test]
fn chinese_is_read_in_everyday_characters() {
    assert_eq!(shown(include_bytes!("samples/chinese.pdf")), "# 退货\n\n七日内可以退货，七日外不可以退货。");
}

#[test]
fn what_cannot_be_read_says_what_to_do() {
    let limits = Limits::default();
    assert!(refused(include_bytes!("samples/locked.pdf"), &limits).contains("password"));
    assert!(refused(b"hello", &limits).contains("no PDF"));
    assert!(refused(b"%PDF-1.7\nnothing at all", &limits).contains("damaged"));
    assert!(refused(&pdf(&[String::new()]), &limits).contains("no text"));
    let image = "q 100 0 0 100 0 0 cm BI /W 1 /H 1 /CS /G /BPC 8 ID \x7f EI Q";
    assert!(refused(&pdf(&[image.into()]), &limits).contains("OCR"));
    let pages = vec![at(50, 700, 11, "x"); 3];
    assert!(refused(&pdf(&pages), &Limits { pages: 2, ..Limits::default() }).contains("3 pages, at most 2"));
    assert!(refused(&pdf(&pages), &Limits { unpacked: 2, ..Limits::default() }).contains("longer"));
}

#[test]
fn damaged_files_never_harm() {
    let whole = pdf(&[at(50, 700, 11, "Something that can be read.")]);
    for cut in (0..whole.len()).step_by(7) {
        let _ = read(&whole[..cut], &Limits::default());
        let mut changed = whole.clone();
        changed[cut] ^= 0x15;
        let _ = read(&changed, &Limits::default());
    }
    let table = whole.windows(5).rposition(|window| window == b"xref\n").unwrap();
    assert!(shown(&whole[..table]).contains("Something"), "a lost table of contents is no loss");
}
