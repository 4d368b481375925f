//! What a customer is told when nobody can answer just now: that it is so, and that a person can be asked for.

use protocol::Lang;

/// By primary subtag.
#[rustfmt::skip]
const TEXTS: &[(&str, &str)] = &[
    ("zh", "抱歉,我现在暂时无法回答您的问题。请稍后再试,或告诉我是否需要为您转接人工客服。"),
    ("en", "Sorry, I cannot answer your question right now. Please try again in a few minutes, or tell me if you would like me to connect you with a person."),
    ("ja", "申し訳ございませんが、ただいまご質問にお答えできません。しばらくしてからもう一度お試しいただくか、担当者との会話をご希望の場合はお知らせください。"),
    ("ko", "죄송합니다. 지금은 질문에 답변해 드릴 수 없습니다. 잠시 후 다시 시도해 주시거나, 상담원 연결을 원하시면 말씀해 주세요."),
    ("fr", "Désolé, je ne peux pas répondre à votre question pour le moment. Veuillez réessayer dans quelques minutes, ou dites-moi si vous souhaitez être mis en relation avec une personne."),
    ("de", "Leider kann ich Ihre Frage im Moment nicht beantworten. Bitte versuchen Sie es in einigen Minuten noch einmal, oder sagen Sie mir, wenn ich Sie mit einem Menschen verbinden soll."),
    ("es", "Lo siento, en este momento no puedo responder a su pregunta. Inténtelo de nuevo en unos minutos o dígame si desea que le ponga en contacto con una persona."),
    ("pt", "Desculpe, não consigo responder à sua pergunta neste momento. Tente novamente dentro de alguns minutos ou diga-me se deseja falar com uma pessoa."),
    ("it", "Mi dispiace, al momento non posso rispondere alla sua domanda. Riprovi tra qualche minuto oppure mi dica se desidera parlare con una persona."),
    ("nl", "Sorry, ik kan uw vraag op dit moment niet beantwoorden. Probeer het over enkele minuten opnieuw, of laat me weten of u met een medewerker wilt spreken."),
    ("ru", "К сожалению, сейчас я не могу ответить на ваш вопрос. Попробуйте ещё раз через несколько минут или скажите, если хотите поговорить с сотрудником."),
    ("uk", "На жаль, зараз я не можу відповісти на ваше запитання. Спробуйте ще раз за кілька хвилин або скажіть, якщо хочете поговорити з працівником."),
    ("pl", "Przepraszam, w tej chwili nie mogę odpowiedzieć na to pytanie. Proszę spróbować ponownie za kilka minut albo dać mi znać, jeśli chce Pan/Pani porozmawiać z pracownikiem."),
    ("cs", "Omlouvám se, na vaši otázku teď nemohu odpovědět. Zkuste to prosím znovu za několik minut, nebo mi řekněte, zda chcete mluvit s pracovníkem."),
    ("tr", "Üzgünüm, şu anda sorunuzu yanıtlayamıyorum. Lütfen birkaç dakika sonra tekrar deneyin veya bir temsilciyle görüşmek isterseniz bana söyleyin."),
    ("sv", "Tyvärr kan jag inte svara på din fråga just nu. Försök igen om några minuter, eller säg till om du vill bli kopplad till en person."),
    ("ar", "عذرًا، لا يمكنني الإجابة عن سؤالك الآن. يُرجى المحاولة مرة أخرى بعد بضع دقائق، أو أخبرني إذا كنت ترغب في التحدث إلى أحد الموظفين."),
    ("vi", "Xin lỗi, hiện tại tôi chưa thể trả lời câu hỏi của bạn. Vui lòng thử lại sau vài phút, hoặc cho tôi biết nếu bạn muốn nói chuyện với nhân viên."),
    ("id", "Maaf, saat ini saya belum dapat menjawab pertanyaan Anda. Silakan coba lagi dalam beberapa menit, atau beri tahu saya jika Anda ingin berbicara dengan petugas."),
    ("th", "ขออภัย ขณะนี้ไม่สามารถตอบคำถามของคุณได้ โปรดลองอีกครั้งในอีกสักครู่ หรือแจ้งให้ทราบหากต้องการพูดคุยกับเจ้าหน้าที่"),
];

/// The words in `lang`, else in English.
pub fn of(lang: &Lang) -> &'static str {
    let find = |tag: &str| TEXTS.iter().find(|(known, _)| *known == tag).map(|(_, text)| *text);
    find(lang.as_str()).or_else(|| find("en")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang;

    #[test]
    fn every_text_is_in_the_language_it_is_for() {
        for (tag, text) in TEXTS {
            let lang = Lang::parse(tag).unwrap();
            assert_eq!(of(&lang), *text);
            assert_eq!(lang::detect(text, None, None), lang, "{text}");
        }
    }

    #[test]
    fn a_language_without_a_text_gets_the_english_one() {
        assert_eq!(of(&Lang::parse("xx").unwrap()), of(&Lang::en()));
    }
}
