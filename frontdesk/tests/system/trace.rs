//! One turn is one trace, through every process's spans, in an OTLP receiver.

use crate::{client::Customer, distributed::Cluster, harness::ECHO};
use opentelemetry_proto::tonic::{collector::trace::v1::ExportTraceServiceRequest, trace::v1::Span};
use prost::Message;
use std::{collections::BTreeSet, time::Duration};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

const EXPECTED: &[&str] = &["admission", "turn", "retrieval", "queue_wait", "prefill", "decode"];

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_through_three_processes_is_one_trace() {
    let receiver = MockServer::start().await;
    Mock::given(path("/v1/traces")).respond_with(ResponseTemplate::new(200)).mount(&receiver).await;
    let endpoint = format!("telemetry.otlp_endpoint={}", receiver.uri());
    let cluster = Cluster::start(&[ECHO, &["--set", &endpoint]].concat());
    let (_gpu, _retrieval) = (cluster.role("worker-gpu", &[]).await, cluster.role("worker-retrieval", &[]).await);
    let gateway = cluster.role("gateway", &[]).await;
    let customer = Customer::new(&gateway.url);
    customer.ask(&customer.create().await, "one trace please").await;
    for _ in 0..150 {
        if is_complete(&spans(&receiver).await) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let seen: Vec<_> = spans(&receiver).await.iter().map(|span| (span.name.clone(), hex(&span.trace_id))).collect();
    panic!("no trace with {EXPECTED:?} in {seen:?}");
}

/// Whether one trace has every expected span, and every one of them but the first has a parent in it.
fn is_complete(spans: &[Span]) -> bool {
    let traces: BTreeSet<_> = spans.iter().map(|span| &span.trace_id).collect();
    traces.into_iter().any(|trace| {
        let mine: Vec<_> = spans.iter().filter(|span| &span.trace_id == trace).collect();
        let ids: BTreeSet<_> = mine.iter().map(|span| &span.span_id).collect();
        let linked = mine.iter().all(|span| span.parent_span_id.is_empty() || ids.contains(&span.parent_span_id));
        linked && EXPECTED.iter().all(|name| mine.iter().any(|span| span.name == *name))
    })
}

async fn spans(receiver: &MockServer) -> Vec<Span> {
    let requests = receiver.received_requests().await.unwrap_or_default();
    let bodies = requests.iter().map(|request| ExportTraceServiceRequest::decode(request.body.as_slice()).unwrap());
    let resources = bodies.flat_map(|body| body.resource_spans);
    resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
