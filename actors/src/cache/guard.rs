//! Which questions mean different things although their vectors are close.
//!
//! Embeddings hardly see a negation, a number, a name or the direction of an action. Two questions *agree* when they have
//! the same of each. That is stricter than their meaning: who does not agree is answered by the model.

use super::scope::is_ideograph;
use std::collections::BTreeSet;
use unicode_normalization::UnicodeNormalization;

/// Words that turn a statement round.
const NOT: &[&str] = &["not", "no", "never", "without", "cannot", "cant", "neither", "nor", "none", "unable", "except"];
/// Their Chinese counterparts.
const NOT_ZH: &[char] = &['不', '没', '无', '未', '非', '别', '勿', '莫', '除'];

/// What is asked for, by kind: its words in English and in Chinese.
const ASKED: &[(&[&str], &[&str])] = &[
    (
        &["when", "long", "soon", "often", "hours", "days"],
        &["什么时候", "何时", "多久", "几天", "几点", "多长时间", "啥时候"],
    ),
    (&["where"], &["哪里", "哪儿", "何处", "在哪", "去哪", "什么地方"]),
    (&["why", "reason"], &["为什么", "为何", "为啥", "原因"]),
    (&["who", "whom", "whose"], &["谁"]),
    (&["much", "many", "cost", "price", "fee"], &["多少", "几个", "价格", "费用", "多贵"]),
];

/// Words one of which cannot stand for its neighbours: opposites, and parts of a day, a plan or a process.
const CONTRASTS: &[&str] = &[
    "off open close enable disable activate deactivate start stop begin end add remove install uninstall increase decrease \
     raise lower upgrade downgrade before after first last buy sell send receive login logout out down left right \
     minimum maximum min max import export upload download online offline monthly yearly annual weekly daily domestic \
     international accept refuse approve reject lock unlock free paid old new more less earlier later",
    "开启 关闭 打开 启用 停用 禁用 激活 注销 注册 登录 退出 增加 减少 提高 降低 升级 降级 之前 之后 以前 以后 购买 出售 发送 接收 \
     上传 下载 导入 导出 添加 删除 安装 卸载 绑定 解绑 最高 最低 最多 最少 线上 线下 国内 国外 国际 海外 每月 每年 个人 企业 公司 \
     退款 退货 换货 取消 恢复 收货 发货 充值 提现 开户 销户 男 女 大 小 旧 以上 以下",
];

/// English words for numbers.
const NUMBERS: &[&str] = &[
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "second", "third", "half", "twice", "double", "dozen", "hundred", "thousand",
];

/// Whether an answer to `one` may be given to `other`, as far as single words tell. It is symmetric.
pub fn agree(one: &str, other: &str) -> bool {
    let (one, other) = (Marks::of(one), Marks::of(other));
    one.numbers == other.numbers
        && one.negations == other.negations
        && one.asked == other.asked
        && one.contrasts == other.contrasts
        && (one.names.is_subset(&other.words) && other.names.is_subset(&one.words))
        && (!(one.is_ideographic && other.is_ideographic) || one.latin == other.latin)
}

/// What must be the same.
struct Marks {
    numbers: Vec<String>,
    negations: usize,
    asked: BTreeSet<usize>,
    contrasts: BTreeSet<String>,
    /// Words that are names as they are written.
    names: BTreeSet<String>,
    words: BTreeSet<String>,
    /// Latin words of a text that is not written in Latin letters: brands, models, units.
    latin: BTreeSet<String>,
    is_ideographic: bool,
}

impl Marks {
    fn of(text: &str) -> Self {
        let text: String = text.nfkc().filter(|c| !matches!(c, '\'' | '’')).collect();
        let spelled: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() || is_ideograph(c)).collect();
        let spelled: Vec<&str> = spelled.into_iter().filter(|word| !word.is_empty()).collect();
        let words: Vec<String> = spelled.iter().map(|word| word.to_lowercase()).collect();
        let plain = without_either_or(&text.to_lowercase());
        let is_ideographic = text.chars().any(is_ideograph);
        let words: BTreeSet<String> = words.iter().cloned().collect();
        Self {
            numbers: numbers(&text.to_lowercase()),
            negations: negations(&spelled, &plain),
            asked: (0..ASKED.len()).filter(|kind| asks(ASKED[*kind], &words, &plain)).collect(),
            contrasts: contrasts(&words, &plain),
            names: spelled.iter().enumerate().filter(|(at, word)| is_name(*at, word)).map(lower).collect(),
            latin: if is_ideographic { words.clone() } else { BTreeSet::new() },
            words,
            is_ideographic,
        }
    }
}

fn lower((_, word): (usize, &&str)) -> String {
    word.to_lowercase()
}

/// A word with a digit, with a capital inside, or with one where no sentence begins.
fn is_name(at: usize, word: &str) -> bool {
    let mut letters = word.chars();
    let is_capital = letters.next().is_some_and(char::is_uppercase) && word != "I";
    let has_digit = word.chars().any(|c| c.is_ascii_digit());
    has_digit || letters.any(char::is_uppercase) || (is_capital && at > 0)
}

/// Numbers in order, in digits, in English or in Chinese.
fn numbers(text: &str) -> Vec<String> {
    let is_chinese = |c: char| "零〇一二三四五六七八九十百千万亿两半双".contains(c);
    let is_number = |c: char| c.is_ascii_digit() || is_chinese(c);
    // A little, once and together are no numbers.
    let text = ["一下", "一些", "一点", "一般", "一起", "一直", "统一", "万一"]
        .iter()
        .fold(text.to_string(), |t, w| t.replace(w, " "));
    let written = text.split(|c: char| !is_number(c)).filter(|run| !run.is_empty()).map(String::from);
    let words =
        text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| NUMBERS.contains(word)).map(String::from);
    written.chain(words).collect()
}

/// `能不能` and `有没有` deny nothing.
fn without_either_or(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let is_denied = |at: usize| at > 0 && NOT_ZH.contains(&chars[at]) && chars.get(at + 1) == chars.get(at - 1);
    (0..chars.len()).filter(|at| !is_denied(*at)).map(|at| chars[at]).collect()
}

fn negations(words: &[&str], plain: &str) -> usize {
    let is_not = |word: &&&str| {
        let word = word.to_lowercase();
        NOT.contains(&word.as_str()) || (word.ends_with("nt") && CONTRACTED.contains(&word.as_str()))
    };
    words.iter().filter(is_not).count() + plain.chars().filter(|c| NOT_ZH.contains(c)).count()
}

/// Without their apostrophes.
const CONTRACTED: &[&str] = &[
    "dont", "doesnt", "didnt", "isnt", "arent", "wasnt", "werent", "wont", "wouldnt", "couldnt", "shouldnt", "havent",
    "hasnt", "hadnt", "mustnt",
];

fn asks((english, chinese): (&[&str], &[&str]), words: &BTreeSet<String>, text: &str) -> bool {
    english.iter().any(|word| words.contains(*word)) || chinese.iter().any(|word| text.contains(word))
}

fn contrasts(words: &BTreeSet<String>, text: &str) -> BTreeSet<String> {
    let [english, chinese] = CONTRASTS else { return BTreeSet::new() };
    let english = english.split_whitespace().filter(|word| words.contains(*word));
    let chinese = chinese.split_whitespace().filter(|word| text.contains(word));
    english.chain(chinese).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_else_does_not_agree() {
        for (one, other) in [
            ("Can I return it within 7 days?", "Can I return it within 14 days?"),
            ("Can I cancel my order?", "Can't I cancel my order?"),
            ("Is shipping possible with a receipt?", "Is shipping possible without a receipt?"),
            ("How do I enable two-factor login?", "How do I disable two-factor login?"),
            ("When does it arrive?", "Where does it arrive?"),
            ("How long is delivery?", "How much is delivery?"),
            ("Is there a case for the iPhone 15?", "Is there a case for the iPhone 16?"),
            ("Do you ship to Germany?", "Do you ship to France?"),
            ("What does the VIP plan cost?", "What does the basic plan cost?"),
            ("Two items?", "Three items?"),
            ("七天内可以退货吗", "十天内可以退货吗"),
            ("可以退货吗", "不可以退货吗"),
            ("怎么开启免密支付", "怎么关闭免密支付"),
            ("什么时候发货", "为什么发货"),
            ("iPhone怎么保修", "iPad怎么保修"),
            ("怎么退款", "怎么退货"),
        ] {
            assert!(!agree(one, other) && !agree(other, one), "{one} / {other}");
        }
    }

    #[test]
    fn other_words_for_the_same_agree() {
        for (one, other) in [
            ("How do I reset my password?", "how can i reset my password"),
            ("How to change the delivery address", "What is the way to change the delivery address?"),
            ("Does the RTX4090 have a warranty?", "is there a warranty for the rtx4090"),
            ("能不能开发票?", "可以开发票吗?"),
            ("有没有保修", "保修有吗"),
            ("怎么修改一下地址", "怎么修改地址"),
            ("如何重置密码?", "密码怎么重置"),
            ("iPhone 怎么保修", "请问iphone的保修怎么办理"),
        ] {
            assert!(agree(one, other) && agree(other, one), "{one} / {other}");
        }
    }
}
