use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Chinese characters and Latin words count one each.
fn words(text: &str) -> usize {
    let han = text.chars().filter(|c| !c.is_ascii() && c.is_alphanumeric()).count();
    han + text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).count()
}

fn limits(max_tokens: usize, overlap_tokens: usize) -> Limits<'static> {
    Limits { max_tokens, overlap_tokens, count: &words }
}

fn texts(chunked: &Chunked) -> Vec<&str> {
    chunked.chunks.iter().map(|chunk| chunk.text.as_str()).collect()
}

#[test]
fn sentences_stay_whole_and_the_last_one_is_repeated() {
    let source = "One two three. Four five six. Seven eight nine. Ten.";
    let chunked = text("a.txt", source, limits(6, 3));
    let expected = ["One two three. Four five six.", "Four five six. Seven eight nine.", "Seven eight nine. Ten."];
    assert_eq!(texts(&chunked), expected);
    assert_eq!(chunked.title, "a.txt");
}

#[test]
fn headings_become_the_titles_path_and_sections_do_not_mix() {
    let source = "intro\n\n# Returns\n\nBring it back.\n\n## Money `fast`\n\nWe pay.\n\n### Empty\n\n## Costs\n\nNone.\n\n# Other\n";
    let chunked = markdown("r.md", source, limits(50, 10));
    let found: Vec<_> = chunked.chunks.iter().map(|chunk| (chunk.title.as_str(), chunk.text.as_str())).collect();
    let expected = [
        ("Returns", "intro"),
        ("Returns", "Bring it back."),
        ("Returns › Money fast", "We pay."),
        ("Returns › Money fast › Empty", "Empty"),
        ("Returns › Costs", "None."),
        ("Other", "Other"),
    ];
    assert_eq!(found, expected);
    assert_eq!(chunked.title, "Returns");
}

#[test]
fn a_heading_whose_sections_follow_is_no_passage_of_its_own() {
    let chunked = markdown("r.md", "# A\n## B\ntext\n", limits(50, 0));
    assert_eq!(chunked.chunks, [Chunk { title: "A › B".into(), text: "text".into() }]);
}

#[test]
fn tables_lists_and_code_stay_whole_when_they_fit() {
    let table = "| a | b |\n|---|---|\n| one | two |\n| three | four |";
    let code = "```sh\nrun one. two\n\nrun three\n```";
    let source = format!("Before it. There is text.\n\n{table}\n\n{code}\n");
    assert_eq!(texts(&markdown("t.md", &source, limits(7, 0))), ["Before it. There is text.", table, code]);
    let cut = markdown("t.md", &source, limits(3, 0));
    assert!(texts(&cut).contains(&"| three | four |\n\n```sh") || texts(&cut).contains(&"| three | four |"), "{cut:?}");
}

#[test]
fn what_has_no_place_to_be_cut_is_cut_anyway() {
    let chunked = text("a.txt", &"字".repeat(100), limits(32, 8));
    assert!(chunked.chunks.iter().all(|chunk| words(&chunk.text) <= 32) && chunked.chunks.len() >= 4);
    let word = text("a.txt", &"x".repeat(10_000), limits(32, 8));
    assert!(word.chunks.iter().all(|chunk| chunk.text.len() <= 32 * 12));
}

#[test]
fn link_definitions_are_kept() {
    let chunked = markdown("a.md", "See [it].\n\n[it]: https://example.com/way\n\nMore.\n", limits(50, 0));
    assert!(chunked.chunks[0].text.contains("example.com/way"));
}

fn prose() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z]{1,12}",
        "[重置密码账号登录]{1,9}",
        Just(" ".to_owned()),
        Just("\n".to_owned()),
        Just("\n\n".to_owned()),
        Just("\n\n# ".to_owned()),
        Just("\n- ".to_owned()),
        Just("\n```\n".to_owned()),
        Just("| a | b |\n|---|---|\n".to_owned()),
        "[.!?。！？；…，,:()”\"*_#>|`-]{1,3}",
        "\\PC{0,4}",
    ];
    prop::collection::vec(piece, 0..120).prop_map(|pieces| pieces.concat())
}

fn visible(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

proptest! {
    #[test]
    fn plain_text_is_covered_bounded_and_in_order(source in prose(), max in 8usize..64, overlap in 0usize..8) {
        let chunked = text("a", &source, limits(max, overlap));
        prop_assert_eq!(&chunked, &text("a", &source, limits(max, overlap)));
        let whole = visible(&source);
        // Where the covered part may end; several places, for a text may repeat itself.
        let mut ends = BTreeSet::from([0]);
        for chunk in &chunked.chunks {
            prop_assert!(words(&chunk.text) <= max, "{} > {max}", words(&chunk.text));
            let piece = visible(&chunk.text);
            prop_assert!(!piece.is_empty());
            let starts: Vec<usize> = (0..whole.len()).filter(|&at| whole.get(at..).is_some_and(|rest| rest.starts_with(&piece))).collect();
            let adjoins = |start: &usize| ends.range(*start..*start + piece.len()).next().is_some();
            ends = starts.iter().filter(|start| adjoins(start)).map(|start| start + piece.len()).collect();
        }
        prop_assert!(ends.contains(&whole.len()), "{chunked:?}");
    }

    #[test]
    fn markdown_loses_no_letter(source in prose(), max in 8usize..64) {
        let chunked = markdown("a", &source, limits(max, 0));
        let mut kept = chunked.chunks.iter().map(|chunk| format!("{} {} ", chunk.title, chunk.text)).collect::<String>();
        kept.retain(|c| !c.is_whitespace());
        for word in source.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty() && word.len() < 8) {
            prop_assert!(kept.contains(word), "{word:?} of {source:?} is not in {kept:?}");
        }
        for chunk in &chunked.chunks {
            prop_assert!(words(&chunk.text) <= max.max(words(&chunk.title)), "{chunk:?}");
        }
    }
}
