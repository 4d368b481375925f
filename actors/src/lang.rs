//! The language of a message: first by its script, then, for longer Latin or Cyrillic text, by its letters.

use protocol::Lang;
use whatlang::Script;

/// Shorter Latin texts do not tell their language reliably.
const TELLING_LETTERS: usize = 24;

/// The language to answer `text` in; `last` is that of the session's last turn, `default` the tenant's.
///
/// Kana means Japanese, Hangul Korean and Han Chinese unless other letters prevail (a Han character weighs as three). A
/// Latin text that is too short to tell has the session's last language if that is written in Latin letters, else the tenant's
/// default if that is, else English. A text without letters has the last language, else the default, else English.
pub fn detect(text: &str, last: Option<&Lang>, default: Option<&Lang>) -> Lang {
    if let Some(lang) = east_asian(text) {
        return lang;
    }
    let Some(info) = whatlang::detect(text) else {
        return last.or(default).cloned().unwrap_or_else(Lang::en);
    };
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    if info.script() == Script::Latin && (letters < TELLING_LETTERS || !info.is_reliable()) {
        let latin = [last, default].into_iter().flatten().find(|lang| is_latin(lang));
        return latin.cloned().unwrap_or_else(Lang::en);
    }
    Lang::parse(code(info.lang())).unwrap_or_else(|_| Lang::en())
}

fn east_asian(text: &str) -> Option<Lang> {
    let (mut han, mut kana, mut hangul, mut other) = (0, 0, 0, 0);
    for c in text.chars() {
        match c {
            '\u{3040}'..='\u{30ff}' => kana += 1,
            '\u{ac00}'..='\u{d7af}' | '\u{1100}'..='\u{11ff}' => hangul += 1,
            '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}' => han += 1,
            c if c.is_alphabetic() => other += 1,
            _ => {}
        }
    }
    let tag = match () {
        () if 3 * (han + kana + hangul) <= other => return None,
        () if hangul > han + kana => "ko",
        () if kana > 0 => "ja",
        () => "zh",
    };
    Lang::parse(tag).ok().filter(|_| han + kana + hangul > 0)
}

/// Whether the language is usually written in Latin letters, as far as is known here.
fn is_latin(lang: &Lang) -> bool {
    const OTHERS: &[&str] = &[
        "zh", "ja", "ko", "ru", "uk", "be", "bg", "mk", "sr", "el", "he", "yi", "ar", "fa", "ur", "hi", "mr", "ne",
        "bn", "pa", "gu", "or", "ta", "te", "kn", "ml", "si", "th", "km", "my", "ka", "hy", "am",
    ];
    !OTHERS.contains(&lang.as_str())
}

/// The two-letter code of ISO 639-1 where one exists.
fn code(lang: whatlang::Lang) -> &'static str {
    CODES.iter().find(|(long, _)| *long == lang.code()).map_or(lang.code(), |(_, short)| short)
}

#[rustfmt::skip]
const CODES: &[(&str, &str)] = &[
    ("epo", "eo"), ("eng", "en"), ("rus", "ru"), ("cmn", "zh"), ("spa", "es"), ("por", "pt"), ("ita", "it"), ("ben", "bn"),
    ("fra", "fr"), ("deu", "de"), ("ukr", "uk"), ("kat", "ka"), ("ara", "ar"), ("hin", "hi"), ("jpn", "ja"), ("heb", "he"),
    ("yid", "yi"), ("pol", "pl"), ("amh", "am"), ("jav", "jv"), ("kor", "ko"), ("nob", "nb"), ("dan", "da"), ("swe", "sv"),
    ("fin", "fi"), ("tur", "tr"), ("nld", "nl"), ("hun", "hu"), ("ces", "cs"), ("ell", "el"), ("bul", "bg"), ("bel", "be"),
    ("mar", "mr"), ("kan", "kn"), ("ron", "ro"), ("slv", "sl"), ("hrv", "hr"), ("srp", "sr"), ("mkd", "mk"), ("lit", "lt"),
    ("lav", "lv"), ("est", "et"), ("tam", "ta"), ("vie", "vi"), ("urd", "ur"), ("tha", "th"), ("guj", "gu"), ("uzb", "uz"),
    ("pan", "pa"), ("aze", "az"), ("ind", "id"), ("tel", "te"), ("pes", "fa"), ("mal", "ml"), ("ori", "or"), ("mya", "my"),
    ("nep", "ne"), ("sin", "si"), ("khm", "km"), ("tuk", "tk"), ("aka", "ak"), ("zul", "zu"), ("sna", "sn"), ("afr", "af"),
    ("lat", "la"), ("slk", "sk"), ("cat", "ca"), ("tgl", "tl"), ("hye", "hy"), ("cym", "cy"),
];

#[rustfmt::skip]
const NAMES: &[(&str, &str)] = &[
    ("zh", "Chinese (简体中文)"), ("en", "English"), ("ja", "Japanese (日本語)"), ("ko", "Korean (한국어)"),
    ("fr", "French (français)"), ("de", "German (Deutsch)"), ("es", "Spanish (español)"), ("pt", "Portuguese (português)"),
    ("it", "Italian (italiano)"), ("nl", "Dutch (Nederlands)"), ("ru", "Russian (русский)"), ("uk", "Ukrainian (українська)"),
    ("pl", "Polish (polski)"), ("cs", "Czech (čeština)"), ("tr", "Turkish (Türkçe)"), ("ar", "Arabic (العربية)"),
    ("he", "Hebrew (עברית)"), ("fa", "Persian (فارسی)"), ("hi", "Hindi (हिन्दी)"), ("th", "Thai (ไทย)"),
    ("vi", "Vietnamese (Tiếng Việt)"), ("id", "Indonesian (Bahasa Indonesia)"), ("ms", "Malay (Bahasa Melayu)"),
    ("sv", "Swedish (svenska)"), ("da", "Danish (dansk)"), ("nb", "Norwegian (norsk)"), ("no", "Norwegian (norsk)"),
    ("fi", "Finnish (suomi)"), ("el", "Greek (ελληνικά)"), ("hu", "Hungarian (magyar)"), ("ro", "Romanian (română)"),
];

/// The language's name for a model: in English, then in itself.
pub fn name(lang: &Lang) -> String {
    let known = NAMES.iter().find(|(tag, _)| *tag == lang.as_str());
    known.map_or_else(|| format!("the language with the code \"{lang}\""), |(_, name)| (*name).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(text: &str, last: Option<&str>, default: Option<&str>) -> String {
        let lang = |tag: Option<&str>| tag.map(|tag| Lang::parse(tag).unwrap());
        detect(text, lang(last).as_ref(), lang(default).as_ref()).to_string()
    }

    #[test]
    fn the_script_decides() {
        for (text, lang) in [
            ("如何重置密码?", "zh"),
            ("iPhone 怎么退货?", "zh"),
            ("パスワードを再設定するには?", "ja"),
            ("비밀번호를 어떻게 재설정하나요?", "ko"),
            ("How do I reset my password?", "en"),
            ("What does the word 退货 mean in your terms of service?", "en"),
            ("Как мне сбросить пароль от моей учётной записи?", "ru"),
            ("Comment puis-je réinitialiser mon mot de passe s'il vous plaît ?", "fr"),
            ("Wie kann ich mein Passwort zurücksetzen, wenn ich es vergessen habe?", "de"),
        ] {
            assert_eq!(detected(text, None, Some("zh")), lang, "{text}");
        }
    }

    #[test]
    fn what_cannot_tell_follows_the_session_then_the_tenant() {
        assert_eq!(detected("ok", Some("fr"), Some("de")), "fr");
        assert_eq!(detected("ok", Some("zh"), Some("de")), "de");
        assert_eq!(detected("refund?", Some("zh"), Some("zh")), "en");
        assert_eq!(detected("12345?", Some("zh"), None), "zh");
        assert_eq!(detected("👍", None, Some("zh")), "zh");
        assert_eq!(detected("", None, None), "en");
    }

    #[test]
    fn languages_are_named_for_the_model() {
        assert_eq!(name(&Lang::zh()), "Chinese (简体中文)");
        assert_eq!(name(&Lang::parse("xx").unwrap()), "the language with the code \"xx\"");
    }
}
