//! The chat page.

use crate::stage::Stage;

#[tokio::test]
async fn the_page_and_its_files_are_served_with_a_strict_policy() {
    let stage = Stage::start().await;
    for (path, kind) in
        [("/", "text/html"), ("/assets/app.js", "text/javascript"), ("/assets/icon.svg", "image/svg+xml")]
    {
        let response = stage.client.get(stage.url(path)).send().await.unwrap();
        let headers = response.headers();
        assert_eq!(response.status(), 200, "{path}");
        assert!(headers["content-type"].to_str().unwrap().starts_with(kind), "{path}");
        assert_eq!(headers["cache-control"], "no-cache");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    }
}

#[tokio::test]
async fn a_known_file_is_not_sent_again() {
    let stage = Stage::start().await;
    let get = |tag: Option<String>| {
        let request = stage.client.get(stage.url("/assets/app.js"));
        tag.into_iter().fold(request, |request, tag| request.header("if-none-match", tag)).send()
    };
    let first = get(None).await.unwrap();
    let tag = first.headers()["etag"].to_str().unwrap().to_string();
    assert!(!first.text().await.unwrap().is_empty());
    for known in [tag.clone(), format!("\"other\", W/{tag}")] {
        let second = get(Some(known)).await.unwrap();
        assert_eq!((second.status().as_u16(), second.headers()["etag"].to_str().unwrap()), (304, tag.as_str()));
        assert!(second.text().await.unwrap().is_empty());
    }
    assert_eq!(get(Some("\"other\"".into())).await.unwrap().status(), 200);
}
