//! What an operator sees of turns: metrics and spans, and never a text.

use crate::support::{Step, System, collect, eventually, finished, message};
use actors::Config;
use protocol::TenantId;
use runtime::metric;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt, registry::LookupSpan};

type Fields = BTreeMap<&'static str, String>;

/// A span's name, parent and fields.
type Seen = (&'static str, Option<u64>, Fields);

/// Every span by its id.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<BTreeMap<u64, Seen>>>);

struct Reader<'a>(&'a mut Fields);

impl Visit for Reader<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let parent = context.span(id).and_then(|span| span.parent().map(|parent| parent.id().into_u64()));
        let mut fields = Fields::new();
        attributes.record(&mut Reader(&mut fields));
        self.0.lock().unwrap().insert(id.into_u64(), (attributes.metadata().name(), parent, fields));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        if let Some((_, _, fields)) = self.0.lock().unwrap().get_mut(&id.into_u64()) {
            values.record(&mut Reader(fields));
        }
    }
}

#[tokio::test]
async fn a_turn_is_a_span_below_its_caller_s_with_its_tokens_and_no_text_and_is_counted() {
    let spans = Spans::default();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(spans.clone())).unwrap();
    let metrics = metric::install().unwrap();
    let tenant = TenantId::parse("observed").unwrap();
    let system = System::start(Config::default(), |_, _| vec![Step::Say("Secretive "), Step::Say("answer.")]).await;
    let session = system.registry.create(&tenant).await.unwrap().id;

    let caller = tracing::info_span!("request");
    let submitted = system.registry.submit(&tenant, &session, message("Secretive question?", None));
    let stream = tracing::Instrument::instrument(submitted, caller.clone()).await.unwrap();
    let job = stream.job().to_string();
    finished(&collect(stream).await);

    let spans = spans.0.lock().unwrap().clone();
    let (id, turn) = spans.iter().find(|(_, (_, _, fields))| fields.get("job") == Some(&job)).unwrap();
    assert_eq!((turn.0, turn.1), ("turn", caller.id().map(|id| id.into_u64())));
    for (field, value) in [
        ("tenant", "observed"),
        ("outcome", "\"stop\""),
        ("origin", "\"model\""),
        ("gen_ai.operation.name", "\"chat\""),
        ("gen_ai.request.max_tokens", "512"),
        ("gen_ai.response.model", "\"fake-model\""),
        ("gen_ai.usage.input_tokens", "40"),
        ("gen_ai.usage.output_tokens", "2"),
    ] {
        assert_eq!(turn.2.get(field).map(String::as_str), Some(value), "{field}");
    }
    let below: Vec<&str> = spans.values().filter(|span| span.1 == Some(*id)).map(|span| span.0).collect();
    assert_eq!(below, ["retrieval_wait", "generation_wait"]);
    assert!(!spans.values().any(|(_, _, fields)| fields.values().any(|value| value.contains("Secretive"))));

    let counted = format!("{}{{tenant=\"observed\",outcome=\"stop\"}} 1", metric::TURNS);
    eventually("the turn is counted", || metrics.render().contains(&counted)).await;
    let shown = metrics.render();
    let answers = format!("{}{{tenant=\"observed\",origin=\"model\",cites=\"nothing\"}} 1", metric::ANSWERS);
    assert!(shown.contains(&answers), "it was given a passage: {shown}");
    for name in [metric::TURN_FIRST_TOKEN, metric::TURN_DURATION, metric::SESSIONS_ACTIVE, metric::TURNS_RUNNING] {
        assert!(shown.contains(name), "{name}");
    }
}
