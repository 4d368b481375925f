//! What is said to a courtesy.

use super::Kind;
use protocol::Lang;

/// In one language.
struct Replies {
    lang: &'static str,
    hello: &'static str,
    /// Who the assistant is; `{name}` is the company.
    of: &'static str,
    /// Who it is where no company is named.
    nobody: &'static str,
    /// That the customer may ask.
    ask: &'static str,
    welcome: &'static str,
    ok: &'static str,
    bye: &'static str,
}

macro_rules! replies {
    ($($lang:literal: $hello:literal, $of:literal, $nobody:literal, $ask:literal, $welcome:literal, $ok:literal, $bye:literal;)*) => {
        &[$(Replies { lang: $lang, hello: $hello, of: $of, nobody: $nobody, ask: $ask, welcome: $welcome, ok: $ok, bye: $bye }),*]
    };
}

/// None of them asks anything, so that what the customer says next is no reply to it.
#[rustfmt::skip]
const REPLIES: &[Replies] = replies![
    "zh": "您好！", "我是{name}的自动助手。", "我是自动助手。", "请告诉我您想了解什么。",
        "不客气！如果还有其他问题，请随时告诉我。", "好的。如果还有其他问题，请随时告诉我。", "再见，祝您生活愉快！";
    "en": "Hello!", "I am the automated assistant of {name}.", "I am an automated assistant.", "Please tell me what you would like to know.",
        "You're welcome! If you have another question, just ask.", "All right. If you have another question, just ask.", "Goodbye, and have a nice day!";
    "ja": "こんにちは！", "{name}の自動応答アシスタントです。", "自動応答アシスタントです。", "お知りになりたいことをお聞かせください。",
        "どういたしまして。ほかにご質問がありましたら、お気軽にお尋ねください。", "かしこまりました。ほかにご質問がありましたら、お気軽にお尋ねください。", "ご利用ありがとうございました。よい一日をお過ごしください。";
    "ko": "안녕하세요!", "저는 {name}의 자동 응답 도우미입니다.", "저는 자동 응답 도우미입니다.", "궁금한 점을 말씀해 주세요.",
        "천만에요! 다른 질문이 있으시면 언제든지 말씀해 주세요.", "네, 알겠습니다. 다른 질문이 있으시면 언제든지 말씀해 주세요.", "안녕히 가세요. 좋은 하루 되세요!";
    "fr": "Bonjour !", "Je suis l'assistant automatique de {name}.", "Je suis un assistant automatique.", "Dites-moi ce que vous souhaitez savoir.",
        "Je vous en prie ! Si vous avez une autre question, n'hésitez pas.", "Très bien. Si vous avez une autre question, n'hésitez pas.", "Au revoir et bonne journée !";
    "de": "Guten Tag!", "Ich bin der automatische Assistent von {name}.", "Ich bin ein automatischer Assistent.", "Sagen Sie mir bitte, was Sie wissen möchten.",
        "Gern geschehen! Wenn Sie noch eine Frage haben, fragen Sie einfach.", "In Ordnung. Wenn Sie noch eine Frage haben, fragen Sie einfach.", "Auf Wiedersehen und einen schönen Tag!";
    "es": "¡Hola!", "Soy el asistente automático de {name}.", "Soy un asistente automático.", "Dígame qué le gustaría saber.",
        "¡De nada! Si tiene otra pregunta, aquí estoy.", "De acuerdo. Si tiene otra pregunta, aquí estoy.", "¡Adiós, que tenga un buen día!";
    "pt": "Olá!", "Sou o assistente automático da {name}.", "Sou um assistente automático.", "Diga-me o que você gostaria de saber.",
        "De nada! Se tiver outra pergunta, é só dizer.", "Certo. Se tiver outra pergunta, é só dizer.", "Até logo e tenha um bom dia!";
    "it": "Buongiorno!", "Sono l'assistente automatico di {name}.", "Sono un assistente automatico.", "Mi dica che cosa desidera sapere.",
        "Prego! Se ha un'altra domanda, chieda pure.", "Va bene. Se ha un'altra domanda, chieda pure.", "Arrivederci e buona giornata!";
    "nl": "Hallo!", "Ik ben de automatische assistent van {name}.", "Ik ben een automatische assistent.", "Vertel me wat u wilt weten.",
        "Graag gedaan! Als u nog een vraag hebt, stel die gerust.", "Prima. Als u nog een vraag hebt, stel die gerust.", "Tot ziens en een fijne dag!";
    "ru": "Здравствуйте!", "Я автоматический помощник компании {name}.", "Я автоматический помощник.", "Скажите, что вы хотели бы узнать.",
        "Пожалуйста! Если появится ещё вопрос, спрашивайте.", "Хорошо. Если появится ещё вопрос, спрашивайте.", "До свидания, хорошего вам дня!";
    "uk": "Вітаю!", "Я автоматичний помічник компанії {name}.", "Я автоматичний помічник.", "Скажіть, що ви хотіли б дізнатися.",
        "Будь ласка! Якщо виникне ще запитання, питайте.", "Гаразд. Якщо виникне ще запитання, питайте.", "До побачення, гарного вам дня!";
    "pl": "Dzień dobry!", "Jestem automatycznym asystentem firmy {name}.", "Jestem automatycznym asystentem.", "Proszę powiedzieć, czego chce się Pan/Pani dowiedzieć.",
        "Nie ma za co! W razie kolejnych pytań proszę pisać.", "Dobrze. W razie kolejnych pytań proszę pisać.", "Do widzenia, miłego dnia!";
    "cs": "Dobrý den!", "Jsem automatický asistent společnosti {name}.", "Jsem automatický asistent.", "Řekněte mi prosím, co chcete vědět.",
        "Není zač! Máte-li další otázku, klidně se zeptejte.", "Dobře. Máte-li další otázku, klidně se zeptejte.", "Na shledanou a hezký den!";
    "tr": "Merhaba!", "Ben {name} otomatik asistanıyım.", "Ben otomatik bir asistanım.", "Lütfen neyi öğrenmek istediğinizi yazın.",
        "Rica ederim! Başka bir sorunuz olursa yazmanız yeterli.", "Tamam. Başka bir sorunuz olursa yazmanız yeterli.", "Hoşça kalın, iyi günler!";
    "sv": "Hej!", "Jag är den automatiska assistenten hos {name}.", "Jag är en automatisk assistent.", "Berätta vad du vill veta.",
        "Varsågod! Fråga gärna om det är något mer.", "Okej. Fråga gärna om det är något mer.", "Hej då och ha en bra dag!";
    "ar": "مرحبًا!", "أنا المساعد الآلي لدى {name}.", "أنا مساعد آلي.", "أخبرني بما تود معرفته.",
        "على الرحب والسعة! إذا كان لديك سؤال آخر فتفضل.", "حسنًا. إذا كان لديك سؤال آخر فتفضل.", "مع السلامة، أتمنى لك يومًا سعيدًا!";
    "vi": "Xin chào!", "Tôi là trợ lý tự động của {name}.", "Tôi là trợ lý tự động.", "Vui lòng cho tôi biết bạn muốn hỏi điều gì.",
        "Không có gì! Nếu còn câu hỏi khác, bạn cứ hỏi nhé.", "Vâng. Nếu còn câu hỏi khác, bạn cứ hỏi nhé.", "Tạm biệt, chúc bạn một ngày tốt lành!";
    "id": "Halo!", "Saya asisten otomatis {name}.", "Saya asisten otomatis.", "Silakan sampaikan apa yang ingin Anda ketahui.",
        "Sama-sama! Jika ada pertanyaan lain, silakan tanyakan.", "Baik. Jika ada pertanyaan lain, silakan tanyakan.", "Sampai jumpa, semoga hari Anda menyenangkan!";
    "th": "สวัสดี!", "นี่คือผู้ช่วยอัตโนมัติของ {name}", "นี่คือผู้ช่วยอัตโนมัติ", "โปรดบอกสิ่งที่คุณอยากทราบ",
        "ด้วยความยินดี! หากมีคำถามอื่น ถามได้เลย", "รับทราบ หากมีคำถามอื่น ถามได้เลย", "ลาก่อน ขอให้เป็นวันที่ดี!";
];

/// The answer in `lang`, else in English, for the company `name`; `None` for what is not answered in kind.
pub fn reply(kind: Kind, lang: &Lang, name: &str) -> Option<String> {
    let find = |tag: &str| REPLIES.iter().find(|replies| replies.lang == tag);
    let Replies { hello, of, nobody, ask, welcome, ok, bye, .. } = find(lang.as_str()).or_else(|| find("en"))?;
    let who = if name.is_empty() { (*nobody).to_string() } else { of.replace("{name}", name) };
    Some(match kind {
        Kind::Greeting => joined(&[hello, &who, ask]),
        Kind::Who => joined(&[&who, ask]),
        Kind::Thanks => (*welcome).to_string(),
        Kind::Ok => (*ok).to_string(),
        Kind::Goodbye => (*bye).to_string(),
        Kind::Filler | Kind::Yes | Kind::Person => return None,
    })
}

/// Sentences with a blank between them, where one is written.
fn joined(sentences: &[&str]) -> String {
    sentences.iter().fold(String::new(), |mut text, sentence| {
        if !text.is_empty() && !text.ends_with(['。', '！']) {
            text.push(' ');
        }
        text + sentence
    })
}
