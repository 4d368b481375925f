use super::*;

fn shown(source: &str) -> String {
    match read(source.as_bytes()).unwrap().content {
        Content::Markdown(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_page_is_read_as_it_is_shown() {
    let source = r#"<!doctype html><html><head><title>Help – Shop</title><style>p { color: red }</style>
        <script>document.write("<p>from a script</p>")</script></head>
        <body><header><a href="/">Shop</a></header><nav><ul><li>Home</ul></nav>
        <h1>Returns &amp; <em>refunds</em></h1>
        <p>Bring it back<br>within <b>30</b>
           days. See <a href="https://example.com/way">the way</a> or <a href="/x">here</a>.
        <p hidden>secret <p style="DISPLAY : none">also secret<p aria-hidden="true">and this
        <ul><li>One<li>Two <ol><li>first<li>second</ol></ul>
        <table><caption>Costs</caption><tr><th>Where<th>Cost<tr><td>Here<td>1 | 2</table>
        <pre>keep
  this</pre><noscript>enable scripts</noscript><svg><title>icon</title></svg><footer>© Shop</footer>"#;
    let expected = "# Returns & refunds\n\nBring it back\nwithin 30 days. See [the way](https://example.com/way) or here.\n\n\
                    - One\n- Two\n   1. first\n   2. second\n\nCosts\n\n| Where | Cost |\n|---|---|\n| Here | 1 \\| 2 |\n\n\
                    ```\nkeep\n  this\n```";
    assert_eq!(shown(source), expected);
    assert_eq!(read(source.as_bytes()).unwrap().title, None, "the heading is the title");
}

#[test]
fn the_main_part_is_enough() {
    let source = format!("<title>T</title><div>around</div><main><h2>Inside</h2><p>{}</main>", "x ".repeat(200));
    let text = shown(&source);
    assert!(text.starts_with("## Inside") && !text.contains("around"), "{text}");
    assert_eq!(read(source.as_bytes()).unwrap().title.as_deref(), Some("T"));
    assert!(shown("<p>around and around we go<main></main>").contains("around"));
}

#[test]
fn the_declared_encoding_is_taken() {
    let page = "<meta charset='gb2312'><p>退货\n   政策</p>";
    let reading = read(&encoding_rs::GBK.encode(page).0).unwrap();
    assert_eq!(reading.content, Content::Markdown("退货政策".into()));
    assert!(reading.warnings.is_empty());
}

#[test]
fn deep_and_broken_pages_end() {
    let deep = format!("{}text{}<p>after", "<div><b>".repeat(100_000), "</b></div>".repeat(100_000));
    assert!(shown(&deep).contains("text"));
    assert!(shown(&"<table><tr><td><ul><li>".repeat(20_000).replace("<li>", "<li>x")).contains('x'));
    assert!(read(b"<script>everything()</script>").unwrap_err().message.contains("scripts"));
    assert_eq!(shown("</div></p><p>a</b><td>b</table>&lt;script&gt;"), "a\n\nb<script>");
}
