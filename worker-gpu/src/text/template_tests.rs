use super::*;
use runtime::clock::ManualClock;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

fn render(source: &str, messages: &[ChatMessage]) -> Result<String, Failure> {
    let clock = Arc::new(ManualClock::at(1_709_211_600_000));
    let template = ChatTemplate::new(source.into(), "<s>".into(), "</s>".into(), clock).unwrap();
    let chat = Chat { messages, tools: &[], thinking: None };
    template.render(&chat, |content| content.replace('<', "‹"))
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
fn dates_are_the_clocks() {
    assert_eq!(render("{{ strftime_now('%d %b %Y %H:%M') }}", &[]).unwrap(), "29 Feb 2024 13:00");
}

#[test]
fn nothing_from_outside_writes_special_tokens() {
    let tool = Tool {
        name: "a<b".into(),
        description: "<c>".into(),
        parameters: json!({"<d>": ["<e>", {"f": "<g>"}], "n": 1}),
    };
    let call = ToolCall { id: "<h>".into(), name: "<i>".into(), arguments: r#"{"<j>": "<k>"}"#.into() };
    let broken = ToolCall { arguments: "<l>".into(), ..call.clone() };
    let asked = ChatMessage { reasoning: "<m>".into(), tool_calls: vec![call, broken], ..conversation()[2].clone() };
    let result = ChatMessage { tool_call_id: Some("<n>".into()), ..ChatMessage::new(Role::Tool, "<o>") };
    let (messages, tools) = ([asked, result], [tool]);
    let chat = Chat { messages: &messages, tools: &tools, thinking: Some(true) };
    let clock = Arc::new(ManualClock::at(0));
    let source = "{{ messages | tojson }}{{ tools | tojson(indent=1) }}{{ enable_thinking }}";
    let template = ChatTemplate::new(source.into(), String::new(), String::new(), clock).unwrap();
    let rendered = template.render(&chat, |text| text.replace('<', "‹")).unwrap();
    assert!(!rendered.contains('<'), "{rendered}");
    assert_eq!(rendered.matches('‹').count(), 15, "{rendered}");
}

/// A conversation; `tests/templates/render.py` wrote what transformers makes of it.
#[derive(Deserialize)]
struct Case {
    name: String,
    messages: Vec<ChatMessage>,
    tools: Vec<Tool>,
    thinking: Option<bool>,
}

/// The template that a model brings, if it is at hand, or one of the test's own.
fn source(name: &str, dir: &Path) -> Option<String> {
    let own = dir.join(format!("{name}.jinja"));
    if own.is_file() {
        return fs::read_to_string(own).ok();
    }
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let home = || named("HOME").map(|home| home.join(".cache/frontdesk/models"));
    let models = named("FRONTDESK_MODELS_DIR").or_else(home)?;
    if name == "qwen3" {
        let config: Json = serde_json::from_slice(&fs::read(models.join("qwen3/tokenizer_config.json")).ok()?).ok()?;
        return config["chat_template"].as_str().map(str::to_string);
    }
    let mut file = fs::File::open(models.join("qwen2.5-coder-1.5b-instruct-q4_k_m.gguf")).ok()?;
    let content = candle_core::quantized::gguf_file::Content::read(&mut file).ok()?;
    content.metadata.get("tokenizer.chat_template")?.to_string().ok().cloned()
}

#[test]
fn conversations_are_rendered_as_transformers_does() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates");
    let read = |name: &str| fs::read(dir.join(name)).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&read("cases.json")).unwrap();
    let rendered: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_slice(&read("rendered.json")).unwrap();
    let mut tried = 0;
    for (name, expected) in &rendered {
        let Some(source) = source(name, &dir) else {
            eprintln!("SKIPPED: the model {name} is not in $FRONTDESK_MODELS_DIR or ~/.cache/frontdesk/models");
            continue;
        };
        let clock = Arc::new(ManualClock::at(0));
        let template = ChatTemplate::new(source, "<s>".into(), "</s>".into(), clock).unwrap();
        for Case { name: case, messages, tools, thinking } in &cases {
            let chat = Chat { messages, tools, thinking: *thinking };
            assert_eq!(template.render(&chat, str::to_string).unwrap(), expected[case], "{name}: {case}");
            tried += 1;
        }
    }
    assert!(tried >= 10, "{tried}");
}
