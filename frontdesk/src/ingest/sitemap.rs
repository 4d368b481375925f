//! Sitemaps (sitemaps.org 0.9).

use quick_xml::{Reader, events::Event};

/// What a sitemap lists.
#[derive(Debug, Default, PartialEq)]
pub struct Sitemap {
    /// Addresses of pages.
    pub pages: Vec<String>,
    /// Addresses of other sitemaps.
    pub sitemaps: Vec<String>,
}

/// Reads a sitemap or an index of sitemaps; `None`: it is neither.
pub fn parse(text: &str) -> Option<Sitemap> {
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut found = Sitemap::default();
    let mut path: Vec<String> = Vec::new();
    let mut place = String::new();
    let mut is_sitemap = false;
    loop {
        match reader.read_event() {
            Ok(Event::Start(element)) => {
                path.push(element.name().as_ref().to_owned());
                place.clear();
                is_sitemap |= path.len() == 1 && ["urlset", "sitemapindex"].contains(&path[0].as_str());
                if !is_sitemap {
                    return None;
                }
            }
            Ok(Event::End(_)) => {
                match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                    ["urlset", "url", "loc"] => found.pages.push(place.trim().to_owned()),
                    ["sitemapindex", "sitemap", "loc"] => found.sitemaps.push(place.trim().to_owned()),
                    _ => {}
                }
                path.pop();
            }
            Ok(Event::Text(text)) => place.push_str(&text),
            Ok(Event::CData(text)) => place.push_str(&text),
            Ok(Event::GeneralRef(reference)) => {
                let named = quick_xml::escape::resolve_predefined_entity(&reference).map(str::to_owned);
                let number = reference.resolve_char_ref().ok().flatten().map(String::from);
                place.extend(number.or(named));
            }
            Ok(Event::Eof) => return is_sitemap.then_some(found),
            Err(_) => return is_sitemap.then_some(found),
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_further_sitemaps_are_listed() {
        let source = "<?xml version='1.0'?><urlset xmlns='s' xmlns:image='i'><url><loc> https://a.example/x?a=1&amp;b=2 </loc>\
                      <image:image><image:loc>https://a.example/i.png</image:loc></image:image></url></urlset>";
        let expected = Sitemap { pages: vec!["https://a.example/x?a=1&b=2".into()], sitemaps: vec![] };
        assert_eq!(parse(source), Some(expected));
        let index = "<sitemapindex><sitemap><loc>https://a.example/1.xml</loc></sitemap></sitemapindex>";
        assert_eq!(parse(index).unwrap().sitemaps, ["https://a.example/1.xml"]);
        assert_eq!(parse("<html><body><urlset></body></html>"), None);
        assert_eq!(parse("hello"), None);
    }
}
