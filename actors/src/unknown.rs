//! What a customer is told whose question the knowledge does not answer, and one who asks for a person.
//!
//! No text promises to connect anybody: who can help is told with the words that the tenant has given for it, if it has.

use protocol::Lang;

/// In one language.
struct Texts {
    lang: &'static str,
    /// That it is not known.
    unknown: &'static str,
    /// That a person can help.
    person: &'static str,
    /// How to reach one; the tenant's words follow.
    contact: &'static str,
    /// That the chat cannot be handed over.
    alone: &'static str,
}

macro_rules! texts {
    ($($lang:literal: $unknown:literal, $person:literal, $contact:literal, $alone:literal;)*) => {
        &[$(Texts { lang: $lang, unknown: $unknown, person: $person, contact: $contact, alone: $alone }),*]
    };
}

#[rustfmt::skip]
const TEXTS: &[Texts] = texts![
    "zh": "抱歉，我没有这方面的信息，不想随意猜测。", "我们的人工客服可以为您解答。", "您可以通过以下方式联系人工客服：",
        "我是自动助手，目前无法在这个对话中为您转接人工客服，请直接联系我们。";
    "en": "Sorry, I have no information about this, and I do not want to guess.", "A member of our staff can help you with it.",
        "You can reach a person here:",
        "I am an automated assistant and cannot put you through to a person in this chat. Please contact us directly.";
    "ja": "申し訳ございませんが、この件に関する情報がなく、推測でお答えすることは控えさせていただきます。", "担当者が対応いたします。",
        "担当者へのご連絡はこちらです：", "私は自動応答アシスタントのため、このチャットから担当者におつなぎすることができません。直接お問い合わせください。";
    "ko": "죄송합니다. 이에 대한 정보가 없어 추측으로 답변드리지 않겠습니다.", "담당 직원이 도와드릴 수 있습니다.", "상담원에게 연락하는 방법:",
        "저는 자동 응답 도우미라서 이 채팅에서 상담원을 연결해 드릴 수 없습니다. 직접 문의해 주세요.";
    "fr": "Désolé, je n'ai pas d'information à ce sujet et je préfère ne rien supposer.", "Un membre de notre équipe peut vous aider.",
        "Vous pouvez joindre une personne ici :",
        "Je suis un assistant automatique et je ne peux pas vous mettre en relation avec une personne dans cette discussion. Veuillez nous contacter directement.";
    "de": "Leider habe ich dazu keine Informationen, und raten möchte ich nicht.", "Unser Team hilft Ihnen dabei gern weiter.",
        "Einen Menschen erreichen Sie hier:",
        "Ich bin ein automatischer Assistent und kann Sie in diesem Chat nicht mit einem Menschen verbinden. Bitte wenden Sie sich direkt an uns.";
    "es": "Lo siento, no tengo información sobre esto y prefiero no hacer suposiciones.", "Una persona de nuestro equipo puede ayudarle.",
        "Puede hablar con una persona aquí:",
        "Soy un asistente automático y no puedo ponerle en contacto con una persona en este chat. Póngase en contacto con nosotros directamente.";
    "pt": "Desculpe, não tenho informações sobre isso e prefiro não adivinhar.", "Uma pessoa da nossa equipe pode ajudar você.",
        "Você pode falar com uma pessoa aqui:",
        "Sou um assistente automático e não consigo transferir você para uma pessoa neste chat. Entre em contato conosco diretamente.";
    "it": "Mi dispiace, non ho informazioni al riguardo e preferisco non tirare a indovinare.", "Una persona del nostro team può aiutarla.",
        "Può parlare con una persona qui:",
        "Sono un assistente automatico e non posso metterla in contatto con una persona in questa chat. La preghiamo di contattarci direttamente.";
    "nl": "Het spijt me, hierover heb ik geen informatie, en ik wil er niet naar raden.", "Een van onze medewerkers kan u hierbij verder helpen.",
        "U kunt hier een medewerker bereiken:",
        "Ik ben een automatische assistent en kan u in deze chat niet doorverbinden met een medewerker. Neem rechtstreeks contact met ons op.";
    "ru": "К сожалению, у меня нет сведений об этом, а гадать я не хочу.", "Вам поможет наш сотрудник.",
        "Связаться с сотрудником можно здесь:",
        "Я автоматический помощник и не могу соединить вас с сотрудником в этом чате. Пожалуйста, свяжитесь с нами напрямую.";
    "uk": "На жаль, у мене немає відомостей про це, а вгадувати я не хочу.", "Вам допоможе наш працівник.",
        "Зв'язатися з працівником можна тут:",
        "Я автоматичний помічник і не можу з'єднати вас із працівником у цьому чаті. Будь ласка, зв'яжіться з нами безпосередньо.";
    "pl": "Przepraszam, nie mam informacji na ten temat i nie chcę zgadywać.", "Nasz pracownik może w tym pomóc.",
        "Z pracownikiem można skontaktować się tutaj:",
        "Jestem automatycznym asystentem i nie mogę połączyć z pracownikiem w tym czacie. Prosimy o bezpośredni kontakt z nami.";
    "cs": "Omlouvám se, o tom nemám žádné informace a nechci hádat.", "Náš pracovník vám s tím může pomoci.",
        "Pracovníka můžete kontaktovat zde:",
        "Jsem automatický asistent a v tomto chatu vás nemohu spojit s pracovníkem. Kontaktujte nás prosím přímo.";
    "tr": "Üzgünüm, bu konuda bilgim yok ve tahminde bulunmak istemiyorum.", "Ekibimizden biri size yardımcı olabilir.",
        "Bir temsilciye buradan ulaşabilirsiniz:",
        "Ben otomatik bir asistanım ve sizi bu sohbette bir temsilciye bağlayamıyorum. Lütfen bizimle doğrudan iletişime geçin.";
    "sv": "Tyvärr har jag ingen information om detta, och jag vill inte gissa.", "Någon i vår personal kan hjälpa dig.",
        "Du kan nå en person här:",
        "Jag är en automatisk assistent och kan inte koppla dig till en person i den här chatten. Kontakta oss direkt.";
    "ar": "عذرًا، ليست لدي معلومات عن هذا الأمر ولا أريد التخمين.", "يمكن لأحد موظفينا مساعدتك.", "يمكنك التواصل مع أحد الموظفين هنا:",
        "أنا مساعد آلي ولا أستطيع تحويلك إلى أحد الموظفين في هذه المحادثة. يُرجى التواصل معنا مباشرة.";
    "vi": "Xin lỗi, tôi không có thông tin về việc này và không muốn phỏng đoán.", "Nhân viên của chúng tôi có thể giúp bạn.",
        "Bạn có thể liên hệ nhân viên tại đây:",
        "Tôi là trợ lý tự động và không thể chuyển bạn đến nhân viên trong cuộc trò chuyện này. Vui lòng liên hệ trực tiếp với chúng tôi.";
    "id": "Maaf, saya tidak memiliki informasi tentang hal ini dan tidak ingin menebak.", "Petugas kami dapat membantu Anda.",
        "Anda dapat menghubungi petugas di sini:",
        "Saya asisten otomatis dan tidak dapat menghubungkan Anda dengan petugas di obrolan ini. Silakan hubungi kami secara langsung.";
    "th": "ขออภัย เราไม่มีข้อมูลเกี่ยวกับเรื่องนี้ และไม่อยากคาดเดา", "เจ้าหน้าที่ของเราสามารถช่วยคุณได้", "คุณสามารถติดต่อเจ้าหน้าที่ได้ที่:",
        "นี่คือผู้ช่วยอัตโนมัติ ไม่สามารถโอนสายคุณไปยังเจ้าหน้าที่ในแชทนี้ได้ โปรดติดต่อเราโดยตรง";
];

/// In `lang`, else in English.
fn texts(lang: &Lang) -> &'static Texts {
    let find = |tag: &str| TEXTS.iter().find(|texts| texts.lang == tag);
    find(lang.as_str()).or_else(|| find("en")).unwrap_or(&TEXTS[0])
}

/// That the question is not answered, and how a person who may answer it is reached: `contact`, the tenant's words for it, if
/// not empty.
pub fn answer(lang: &Lang, contact: &str) -> String {
    let Texts { unknown, person, .. } = texts(lang);
    let person = reach(lang, contact).unwrap_or_else(|| (*person).to_string());
    // Full stops of Chinese and Japanese hold their blank.
    let gap = if unknown.ends_with('。') { "" } else { " " };
    format!("{unknown}{gap}{person}")
}

/// What one is told who asks for a person.
pub fn person(lang: &Lang, contact: &str) -> String {
    reach(lang, contact).unwrap_or_else(|| texts(lang).alone.to_string())
}

fn reach(lang: &Lang, contact: &str) -> Option<String> {
    let Texts { contact: here, .. } = texts(lang);
    let gap = if here.ends_with('：') { "" } else { " " };
    (!contact.is_empty()).then(|| format!("{here}{gap}{contact}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang;

    #[test]
    fn every_text_is_in_the_language_it_is_for() {
        for texts in TEXTS {
            let lang = Lang::parse(texts.lang).unwrap();
            let text = format!("{} {}", answer(&lang, ""), person(&lang, ""));
            assert_eq!(lang::detect(&text, None, None), lang, "{text}");
        }
        assert_eq!(TEXTS.len(), 20);
    }

    #[test]
    fn the_tenant_says_how_a_person_is_reached() {
        let (zh, en) = (Lang::zh(), Lang::en());
        assert_eq!(
            answer(&zh, "400-1"),
            "抱歉，我没有这方面的信息，不想随意猜测。您可以通过以下方式联系人工客服：400-1"
        );
        assert_eq!(person(&en, "help@acme.example"), "You can reach a person here: help@acme.example");
        assert_eq!(answer(&Lang::parse("xx").unwrap(), ""), answer(&en, ""));
    }
}
