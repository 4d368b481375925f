//! What a site asks of programs that read it (RFC 9309).

use std::time::Duration;

/// The name under which a site may address this program.
const NAME: &str = "frontdesk";
/// A longer pause is not waited.
const MAX_DELAY: f64 = 30.0;
/// More rules are not read.
const MAX_RULES: usize = 10_000;

/// The rules of one site.
#[derive(Debug, Default, PartialEq)]
pub struct Robots {
    /// Path patterns, and whether they are allowed.
    rules: Vec<(String, bool)>,
    /// The pause between two pages.
    pub delay: Option<Duration>,
}

impl Robots {
    /// A site that is not to be read, because it cannot say.
    pub fn closed() -> Self {
        Self { rules: vec![("/".into(), false)], delay: None }
    }

    /// Reads `robots.txt`: the rules for this program, else those for all.
    pub fn parse(text: &str) -> Self {
        let (mut own, mut all) = (None, Self::default());
        let (mut agents, mut in_rules) = (Vec::new(), false);
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let Some((key, value)) = line.split_once(':') else { continue };
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
            if key == "user-agent" {
                if std::mem::take(&mut in_rules) {
                    agents.clear();
                }
                agents.push(value.to_ascii_lowercase());
                continue;
            }
            in_rules = true;
            if agents.iter().any(|agent| agent == NAME) {
                own.get_or_insert_with(Self::default).add(&key, value);
            }
            if agents.iter().any(|agent| agent == "*") {
                all.add(&key, value);
            }
        }
        own.unwrap_or(all)
    }

    fn add(&mut self, key: &str, value: &str) {
        match key {
            "allow" | "disallow" if !value.is_empty() && self.rules.len() < MAX_RULES => {
                self.rules.push((value.to_owned(), key == "allow"));
            }
            "crawl-delay" => {
                let seconds = value.parse::<f64>().ok().filter(|seconds| *seconds > 0.0);
                self.delay = seconds.map(|seconds| Duration::from_secs_f64(seconds.min(MAX_DELAY)));
            }
            _ => {}
        }
    }

    /// Whether the page at `path` (with its query) may be read: the longest rule that fits decides, and allows if two do.
    pub fn allows(&self, path: &str) -> bool {
        let fitting = self.rules.iter().filter(|(pattern, _)| fits(pattern, path));
        fitting.max_by_key(|(pattern, allowed)| (pattern.len(), *allowed)).is_none_or(|(_, allowed)| *allowed)
    }
}

/// Whether `path` begins with `pattern`, in which `*` is any text, and `$` at its end the end.
fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, to_end) = pattern.strip_suffix('$').map_or((pattern, false), |pattern| (pattern, true));
    let mut parts = pattern.split('*');
    let Some(mut rest) = path.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    for (at, part) in parts.iter().enumerate() {
        if to_end && at + 1 == parts.len() {
            return rest.ends_with(part);
        }
        let Some(found) = rest.find(part) else { return false };
        rest = &rest[found + part.len()..];
    }
    !to_end || rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_fitting_rule_of_the_nearest_group_decides() {
        let robots = Robots::parse(
            "User-agent: *\nDisallow: /private\nAllow: /private/open\nDisallow: /*.pdf$\nCrawl-delay: 2\n\n\
             User-agent: other\nDisallow: /\n",
        );
        let allowed = |path| robots.allows(path);
        assert!(allowed("/") && allowed("/private/open/x") && allowed("/a.pdf?x"));
        assert!(!allowed("/private/x") && !allowed("/docs/a.pdf"));
        assert_eq!(robots.delay, Some(Duration::from_secs(2)));
        let own =
            Robots::parse("User-Agent: x\nUser-agent: Frontdesk # us\nDisallow: /no\n\nUser-agent: *\nDisallow: /\n");
        assert!(own.allows("/yes") && !own.allows("/no"));
        assert!(!Robots::closed().allows("/x") && Robots::parse("").allows("/x"));
    }
}
