use super::*;

fn kind(text: &str) -> Option<Kind> {
    recognise(text).map(|courtesy| courtesy.kind)
}

#[test]
fn whole_messages_are_recognised_in_any_language() {
    for (text, expected) in [
        ("Hello!", Kind::Greeting),
        ("hi there 👋", Kind::Greeting),
        ("你好", Kind::Greeting),
        ("您好，在吗？", Kind::Greeting),
        ("こんにちは。", Kind::Greeting),
        ("¡Hola, buenos días!", Kind::Greeting),
        ("สวัสดีค่ะ", Kind::Greeting),
        ("مرحباً", Kind::Greeting),
        ("OK, thanks a lot!", Kind::Thanks),
        ("好的，谢谢您", Kind::Thanks),
        ("ok谢谢", Kind::Thanks),
        ("Спасибо большое!", Kind::Thanks),
        ("🙏", Kind::Thanks),
        ("谢谢，再见", Kind::Goodbye),
        ("Vielen Dank, tschüss!", Kind::Goodbye),
        ("ｏｋ", Kind::Ok),
        ("好的", Kind::Ok),
        ("👍", Kind::Ok),
        ("yes please", Kind::Yes),
        ("你是机器人吗？", Kind::Who),
        ("Hi, who are you?", Kind::Who),
        ("转人工", Kind::Person),
        ("你好，请帮我转人工", Kind::Person),
        ("I want to talk to a human", Kind::Person),
        ("Can I please speak to someone?", Kind::Person),
        ("agent", Kind::Person),
    ] {
        assert_eq!(kind(text), Some(expected), "{text}");
    }
}

#[test]
fn what_holds_anything_else_is_no_courtesy() {
    for text in [
        "你好，怎么退货？",
        "Hi, how do I return it?",
        "thanks, but when does it arrive",
        "好的，那运费呢",
        "ok?",
        "谢谢？",
        "please",
        "there",
        "客服",
        "hi 4711",
        "highlights",
        "okra",
        "人工费多少",
        "Is the agent fee refundable?",
        "I want to talk to a human about my refund of order 4711",
        "",
        "😡",
        "?",
    ] {
        let known = kind(text).filter(|kind| *kind != Kind::Yes);
        assert_eq!(known, None, "{text}");
    }
    assert_eq!(kind(&"hello ".repeat(40)), None);
}

#[test]
fn the_answer_is_in_the_customer_s_language_and_the_company_s_name() {
    let lang = |text: &str, likely: &str| recognise(text).unwrap().lang(Lang::parse(likely).unwrap()).to_string();
    assert_eq!((lang("bonjour", "en"), lang("ciao", "fr"), lang("ok", "de")), ("fr".into(), "fr".into(), "de".into()));
    assert_eq!((lang("hallo", "en"), lang("hola", "zh"), lang("谢谢", "ja")), ("de".into(), "es".into(), "zh".into()));
    let (zh, en) = (Lang::zh(), Lang::en());
    let said = reply(Kind::Greeting, &zh, "流明家居").unwrap();
    assert_eq!(said, "您好！我是流明家居的自动助手。请告诉我您想了解什么。");
    let said = reply(Kind::Who, &en, "").unwrap();
    assert_eq!(said, "I am an automated assistant. Please tell me what you would like to know.");
    assert_eq!(reply(Kind::Person, &en, "Acme"), None);
}

#[test]
fn every_language_has_all_kinds_and_replies_that_ask_nothing() {
    let langs: Vec<&str> = PHRASES.iter().map(|(lang, ..)| *lang).collect();
    for lang in &langs {
        for kind in [Kind::Greeting, Kind::Thanks, Kind::Goodbye, Kind::Ok, Kind::Yes, Kind::Who, Kind::Person] {
            assert!(PHRASES.iter().any(|row| (row.0, row.1) == (*lang, kind)), "{lang} {kind:?}");
        }
        let tag = Lang::parse(lang).unwrap();
        let own = |kind| reply(kind, &tag, "Acme").unwrap();
        assert!(*lang == "en" || own(Kind::Thanks) != reply(Kind::Thanks, &Lang::en(), "").unwrap(), "{lang}");
        assert!(own(Kind::Greeting).contains("Acme"));
        for kind in [Kind::Greeting, Kind::Thanks, Kind::Goodbye, Kind::Ok, Kind::Who] {
            assert!(!own(kind).contains(['?', '？', '؟']), "{lang} {kind:?}");
        }
    }
    assert!(KNOWN.iter().all(|phrase| !phrase.text.is_empty()));
}
