//! A tenant's knowledge that nobody wrote: the same for a seed, half Chinese and half English, with words as frequent as
//! words are (Zipf's law) and vectors that lie about those of real sentences.

use protocol::DocumentId;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use worker_retrieval::{
    embed::Embedder,
    index::{NewDocument, NewPassage},
};

/// Passages of a document.
const PASSAGES: usize = 8;
/// Share of a vector that is noise about its topic.
const NOISE: f32 = 0.8;
/// Topics of each language.
const TOPICS: usize = 64;
/// Words of each language.
const VOCABULARY: usize = 4000;
/// Rank of the most frequent word: those before it are the stop words of the language, which nobody searches.
const FIRST: f64 = 20.0;

#[rustfmt::skip]
const CHINESE: &[&str] = &[
    "账号", "密码", "订单", "退款", "发票", "配送", "会员", "积分", "优惠券", "保修", "维修", "安装", "路由器",
    "固件", "登录", "验证码", "银行卡", "手机号", "地址", "快递", "包裹", "仓库", "换货", "质检", "客服", "投诉",
    "合同", "续费", "套餐", "流量", "宽带", "机顶盒", "遥控器", "说明书", "指示灯", "电源", "适配器", "蓝牙", "耳机",
    "音箱", "屏幕", "电池", "充电", "温度", "噪音", "滤芯", "水箱", "清洁", "模式", "定时", "提醒", "通知", "隐私",
    "授权", "设备", "绑定", "解绑", "升级", "重置", "备份", "恢复", "同步", "云端", "存储", "容量", "文件", "格式",
    "打印", "扫描", "墨盒", "纸张", "错误", "代码", "故障", "检测", "网络", "信号", "连接", "断开", "超时", "服务器",
    "维护", "公告", "活动", "规则", "资格", "审核", "材料", "身份证", "营业执照", "税号", "开户行", "对账", "结算",
    "手续费", "汇率", "海关", "关税", "签收", "拒收", "破损", "赔付", "时效", "节假日", "门店", "自提",
];
#[rustfmt::skip]
const ENGLISH: &[&str] = &[
    "account", "password", "order", "refund", "invoice", "delivery", "membership", "points", "coupon", "warranty",
    "repair", "installation", "router", "firmware", "login", "verification", "card", "phone", "address", "courier",
    "parcel", "warehouse", "exchange", "inspection", "support", "complaint", "contract", "renewal", "plan", "data",
    "broadband", "receiver", "remote", "manual", "indicator", "power", "adapter", "bluetooth", "headset", "speaker",
    "screen", "battery", "charging", "temperature", "noise", "filter", "tank", "cleaning", "mode", "timer",
    "reminder", "notification", "privacy", "permission", "device", "pairing", "removal", "upgrade", "reset", "backup",
    "restore", "sync", "cloud", "storage", "capacity", "file", "format", "printing", "scanning", "cartridge", "paper",
    "error", "code", "fault", "diagnosis", "network", "signal", "connection", "disconnect", "timeout", "server",
    "maintenance", "notice", "campaign", "rule", "eligibility", "review", "document", "identity", "license", "tax",
    "bank", "statement", "settlement", "fee", "currency", "customs", "duty", "receipt", "rejection", "damage",
    "compensation", "deadline", "holiday", "store", "pickup",
];

/// A question and its meaning.
pub struct Question {
    pub text: String,
    pub vector: Vec<f32>,
}

/// Makes documents and questions.
pub struct Corpus {
    random: StdRng,
    /// Unit vectors of real sentences, by language.
    topics: [Vec<Vec<f32>>; 2],
    vocabulary: [Vec<String>; 2],
    made: usize,
}

impl Corpus {
    /// The one of `seed`, about what `embedder` makes of some sentences.
    pub fn new(seed: u64, embedder: &dyn Embedder) -> anyhow::Result<Self> {
        let mut random = StdRng::seed_from_u64(seed);
        let vocabulary =
            [vocabulary(CHINESE, || character(&mut random)), vocabulary(ENGLISH, || syllable(&mut random))];
        let mut corpus = Self { random, topics: [Vec::new(), Vec::new()], vocabulary, made: 0 };
        for language in 0..2 {
            let texts: Vec<String> = (0..TOPICS).map(|_| corpus.words(language, 12)).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            corpus.topics[language] = embedder.embed_passages(&texts)?;
        }
        Ok(corpus)
    }

    /// The next document.
    pub fn document(&mut self) -> anyhow::Result<NewDocument> {
        let language = self.made % 2;
        let title = self.words(language, 3);
        let passages = (0..PASSAGES).map(|_| {
            let length = self.random.random_range(40..120);
            let (text, vector) = (self.words(language, length), self.vector(language));
            NewPassage { title: title.clone(), text, vector, question: Vec::new() }
        });
        let passages = passages.collect();
        self.made += 1;
        Ok(NewDocument { id: DocumentId::parse(format!("doc-{}", self.made))?, passages })
    }

    /// The next question, in the languages by turns.
    pub fn question(&mut self, number: usize) -> Question {
        let length = self.random.random_range(3..9);
        let asked = ["请问%怎么办？", "What do I do about %?"][number % 2];
        Question { text: asked.replace('%', &self.words(number % 2, length)), vector: self.vector(number % 2) }
    }

    /// A text to embed.
    pub fn text(&mut self, number: usize) -> String {
        self.words(number % 2, 40)
    }

    fn words(&mut self, language: usize, count: usize) -> String {
        let (words, space) = (&self.vocabulary[language], ["", " "][language]);
        let mut text = String::new();
        for at in 0..count {
            // Zipf's law; now and then a number that hardly any other passage has.
            let rank = FIRST * ((words.len() as f64 + FIRST) / FIRST).powf(self.random.random::<f64>()) - FIRST;
            match self.random.random_range(0..24) {
                0 => text.push_str(&format!("{space}E{}", self.random.random_range(0..20_000))),
                1 if at > 0 => text.push_str(["，", ","][language]),
                _ => text.extend([space, &words[(rank as usize).min(words.len() - 1)]]),
            }
        }
        text.trim().to_owned()
    }

    /// A unit vector near a topic, with zeros where the topic has them.
    fn vector(&mut self, language: usize) -> Vec<f32> {
        let topic = &self.topics[language][self.random.random_range(0..TOPICS)];
        let spread = NOISE * (3.0 / topic.len() as f32).sqrt();
        let mut vector: Vec<f32> =
            topic.iter().map(|x| if *x == 0.0 { 0.0 } else { x + self.random.random_range(-spread..spread) }).collect();
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|x| *x /= length);
        vector
    }
}

/// The `real` words, and as many of two parts as are missing.
fn vocabulary(real: &[&str], mut part: impl FnMut() -> String) -> Vec<String> {
    let made = std::iter::repeat_with(|| format!("{}{}", part(), part()));
    real.iter().map(|word| (*word).to_owned()).chain(made).take(VOCABULARY).collect()
}

/// One of some thousand Chinese characters.
fn character(random: &mut StdRng) -> String {
    char::from_u32(random.random_range(0x4e00..0x5800)).map(String::from).unwrap_or_default()
}

fn syllable(random: &mut StdRng) -> String {
    let one_of = |random: &mut StdRng, letters: &[u8]| char::from(letters[random.random_range(0..letters.len())]);
    let (begin, middle) = (one_of(random, b"bcdfghklmnprstvw"), one_of(random, b"aeiou"));
    format!("{begin}{middle}{}", one_of(random, b"lmnrst"))
}
