//! The model's own chat template: from messages to the text that the model was trained on.

use minijinja::{Environment, Error, ErrorKind, Value, context, syntax::SyntaxConfig};
use minijinja_contrib::pycompat;
use protocol::{ChatMessage, Failure, Role};
use runtime::Clock;
use std::sync::Arc;

/// A compiled chat template.
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Compiles `source`; `bos` and `eos` are the texts of the special tokens that it may use.
    pub fn new(source: String, bos: String, eos: String, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_unknown_method_callback(pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", move |format: String| strftime(&format, clock.now().0 / 1000));
        environment.add_template_owned("chat", source)?;
        Ok(Self { environment, bos, eos })
    }

    /// The prompt up to where the assistant speaks; `protect` is applied to every message's content.
    pub fn render(&self, messages: &[ChatMessage], protect: impl Fn(&str) -> String) -> Result<String, Failure> {
        let message = |message: &ChatMessage| {
            Value::from_pairs([("role", name(message.role).to_string()), ("content", protect(&message.content))])
        };
        let messages: Vec<Value> = messages.iter().map(message).collect();
        let (bos_token, eos_token) = (&self.bos, &self.eos);
        let rendered = self
            .environment
            .get_template("chat")
            .and_then(|chat| chat.render(context! { messages, bos_token, eos_token, add_generation_prompt => true }));
        rendered.map_err(|error| {
            let why = error.detail().unwrap_or("it does not fit the model's chat template").to_string();
            Failure::invalid("messages", format!("the model refuses this conversation: {why}"))
        })
    }
}

fn name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

fn raise_exception(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// `seconds` after the epoch in UTC, by the specifiers that chat templates use.
fn strftime(format: &str, seconds: u64) -> String {
    let (year, month, day) = civil(seconds / 86_400);
    let (month_name, day_name) = (MONTHS[month - 1], DAYS[(seconds / 86_400 % 7) as usize]);
    let mut text = String::new();
    let mut chars = format.chars();
    while let Some(char) = chars.next() {
        match (char, if char == '%' { chars.next() } else { None }) {
            ('%', Some('Y')) => text += &year.to_string(),
            ('%', Some('m')) => text += &format!("{month:02}"),
            ('%', Some('d')) => text += &format!("{day:02}"),
            ('%', Some('H')) => text += &format!("{:02}", seconds / 3600 % 24),
            ('%', Some('M')) => text += &format!("{:02}", seconds / 60 % 60),
            ('%', Some('S')) => text += &format!("{:02}", seconds % 60),
            ('%', Some('B')) => text += month_name,
            ('%', Some('b')) => text += &month_name[..3],
            ('%', Some('A')) => text += day_name,
            ('%', Some('a')) => text += &day_name[..3],
            (char, next) => text.extend([Some(char), next].into_iter().flatten()),
        }
    }
    text
}

/// Year, month and day of a day after the epoch, in the Gregorian calendar.
fn civil(mut days: u64) -> (u64, usize, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::clock::ManualClock;

    fn render(source: &str, messages: &[ChatMessage]) -> Result<String, Failure> {
        let clock = Arc::new(ManualClock::at(1_709_211_600_000));
        let template = ChatTemplate::new(source.into(), "<s>".into(), "</s>".into(), clock).unwrap();
        template.render(messages, |content| content.replace('<', "‹"))
    }

    fn conversation() -> Vec<ChatMessage> {
        vec![
            ChatMessage::new(Role::System, "Be brief."),
            ChatMessage::new(Role::User, "Hi <there>"),
            ChatMessage::new(Role::Assistant, "Hello"),
            ChatMessage::new(Role::User, "Bye"),
        ]
    }

    #[test]
    fn whitespace_python_methods_and_tokens_follow_the_training_code() {
        let source = "{{ bos_token }}\n{% for m in messages %}\n  {% if m.content.startswith('B') %}\n[{{ m['role'].upper() }}] \
                      {{ m.content.strip() }}\n  {% endif %}\n{% endfor %}\n{% if add_generation_prompt %}go{% endif %}";
        assert_eq!(render(source, &conversation()).unwrap(), "<s>\n[SYSTEM] Be brief.\n[USER] Bye\ngo");
    }

    #[test]
    fn contents_are_protected_and_the_template_is_not() {
        let source = "{% for m in messages %}<{{ m.content }}>{% endfor %}";
        assert_eq!(render(source, &conversation()[1..2]).unwrap(), "<Hi ‹there>>");
    }

    #[test]
    fn a_refusal_says_why() {
        let failure = render("{{ raise_exception('roles must alternate') }}", &conversation()).unwrap_err();
        assert_eq!(failure.param.as_deref(), Some("messages"));
        assert!(failure.message.ends_with("roles must alternate"), "{failure}");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(
            render("{{ strftime_now('%d %b %Y %H:%M %a 100%%') }}", &[]).unwrap(),
            "29 Feb 2024 13:00 Thu 100%%"
        );
        assert_eq!(strftime("%Y-%m-%d %A %B", 951_782_399), "2000-02-28 Monday February");
        assert_eq!(strftime("%Y-%m-%d", 0), "1970-01-01");
        assert_eq!(strftime("%Y-%m-%d", 4_102_444_800), "2100-01-01");
    }
}
