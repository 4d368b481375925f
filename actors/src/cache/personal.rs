//! What may be about one person. Such questions and answers are not shared.
//!
//! It is better to take the public for personal than the other way round: that costs one generation.

use super::scope::normalise;
use unicode_normalization::UnicodeNormalization;

/// Digits that together may be a telephone, order, card or identity number.
const DIGITS: usize = 5;

/// Words after which people say who they are, or what nobody else may know. Latin ones are whole words.
const TELLING: &[&str] = &[
    "my name is",
    "i am called",
    "call me",
    "my address",
    "i live in",
    "i live at",
    "my birthday",
    "date of birth",
    "my password is",
    "passport number",
    "social security",
    "card number",
    "account number",
    "iban",
    "我叫",
    "我姓",
    "我的名字",
    "名字叫",
    "本人姓名",
    "我住",
    "住在",
    "我的地址",
    "收货地址是",
    "我的生日",
    "身份证",
    "护照号",
    "银行卡号",
    "卡号是",
    "密码是",
    "我的微信",
    "微信号",
    "我的手机",
    "手机号是",
    "电话是",
];

/// Words that are followed by something's number.
const NUMBERED: &[&str] = &[
    "order", "invoice", "ticket", "booking", "tracking", "number", "订单", "单号", "工单", "运单", "快递", "发票",
    "合同", "号码", "编号", "号是",
];

/// Whether `text` may be about one person.
pub fn is_personal(text: &str) -> bool {
    tells(text) || !suspects(text).is_empty()
}

/// Whether `answer`, which rests on `sources`, may be about one person. What stands in the knowledge is public.
pub fn is_answer_personal(answer: &str, sources: &[&str]) -> bool {
    let known: Vec<String> = sources.iter().map(|source| plain(source)).collect();
    suspects(answer).iter().any(|suspect| !known.iter().any(|source| source.contains(suspect.as_str())))
}

fn tells(text: &str) -> bool {
    let text = normalise(text);
    let padded = format!(" {} ", text.replace(|c: char| c.is_ascii_punctuation(), " "));
    let is_in = |phrase: &&str| match phrase.is_ascii() {
        true => padded.contains(&format!(" {phrase} ")),
        false => text.contains(*phrase),
    };
    TELLING.iter().any(is_in) || is_numbered(&text)
}

/// Pieces of `text` that may be a number, a name or an address of somebody.
fn suspects(text: &str) -> Vec<String> {
    let text = plain(text);
    let words =
        text.split(|c: char| !is_of_token(c)).map(|word| word.trim_matches(['.', '-', ':', '/', '?', '&', '=']));
    let odd = words.filter(|word| is_address(word) || is_code(word)).map(String::from);
    odd.chain(long_numbers(&text)).collect()
}

fn plain(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).collect()
}

fn is_of_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '@' | '.' | '-' | '_' | ':' | '/' | '?' | '&' | '=' | '%' | '+' | '#')
}

/// An e-mail address, a handle, or a link that says more than where a page is.
fn is_address(word: &str) -> bool {
    word.contains('@') || (word.contains("://") && word.contains(['?', '=', '&', '#']))
}

/// Letters and digits mixed as in orders' and tracking numbers; a model's name has fewer digits or is shorter.
fn is_code(word: &str) -> bool {
    let core: String = word.chars().filter(char::is_ascii_alphanumeric).collect();
    let digits = core.chars().filter(char::is_ascii_digit).count();
    let is_mixed = digits > 0 && digits < core.len();
    is_mixed && (digits >= DIGITS || (digits >= 3 && core.len() >= 8) || core.len() >= 16)
}

/// Runs of digits, also those that are written in groups or in Chinese. A comma groups thousands, which are amounts.
fn long_numbers(text: &str) -> Vec<String> {
    let (mut found, mut run, mut digits) = (Vec::new(), String::new(), 0);
    for c in text.chars().chain(['\n']) {
        let is_digit = c.is_ascii_digit() || "零〇一二三四五六七八九幺".contains(c);
        if is_digit || (!run.is_empty() && matches!(c, ' ' | '-' | '.' | '/' | '(' | ')')) {
            digits += usize::from(is_digit);
            run.push(c);
            continue;
        }
        if digits >= DIGITS {
            found.push(run.trim_end_matches(|c: char| c.is_ascii_punctuation() || c == ' ').to_string());
        }
        (run, digits) = (String::new(), 0);
    }
    found
}

/// Whether something that has numbers is followed by one.
fn is_numbered(text: &str) -> bool {
    NUMBERED.iter().any(|word| {
        let mut after = text.split(word).skip(1);
        after.any(|rest| rest.chars().take(10).filter(char::is_ascii_digit).count() >= 2)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_about_one_person_is_not_shared() {
        for text in [
            "My order 12345 has not come",
            "where is order #77-12?",
            "Where is my order? Its number is 4711.",
            "号码是4711",
            "Write to jane@example.org",
            "call 138 0013 8000",
            "call (020) 7946-0958 please",
            "Ticket AB-2291-X is open",
            "tracking 1Z999AA10123456784",
            "my name is Li",
            "see https://shop.example/o?id=7",
            "10.1.20.33 is my server",
            "我叫王芳,怎么退货",
            "订单号20260101什么时候发货",
            "订单 77 到哪了",
            "我的手机一三八零零一三八",
            "我的手机号是１３８００１３８０００",
            "身份证丢了怎么办",
            "加微信号 abc_1",
        ] {
            assert!(is_personal(text), "{text}");
        }
    }

    #[test]
    fn what_everybody_may_ask_is_shared() {
        for text in [
            "How do I reset my password?",
            "Can I return an iPhone 15 Pro within 14 days?",
            "Does the RTX4090 have a warranty?",
            "Is delivery free above 1,000 yuan, 9:00-18:00?",
            "How do I track my order?",
            "如何重置密码?",
            "我的订单什么时候发货?",
            "满 99 元包邮吗?7天无理由退货怎么算?",
            "一次能买三个吗",
            "See https://shop.example/help for help",
        ] {
            assert!(!is_personal(text), "{text}");
        }
    }

    #[test]
    fn what_stands_in_the_knowledge_is_public() {
        let hotline = "Call us at 400-820-8820 or write to help@shop.example.";
        assert!(!is_answer_personal("Call 400-820-8820 [1].", &[hotline]));
        assert!(!is_answer_personal("Write to Help@shop.example [1].", &[hotline]));
        assert!(is_answer_personal("Call 400-820-8821 [1].", &[hotline]));
        assert!(is_answer_personal("Your parcel SF10234567 is on its way [1].", &[hotline]));
        assert!(!is_answer_personal("Open Settings [1].", &[hotline]));
    }
}
