//! Many sessions at once.

use crate::{client::Customer, distributed::Cluster, harness::ECHO};
use futures_util::future::join_all;
use protocol::topology;
use std::time::Duration;

const SESSIONS: usize = 500;
/// Nobody gives up on a machine that is slow today.
const PATIENT: &[&str] = &[
    "--set",
    "session.retrieval_deadline_ms=60000",
    "--set",
    "session.first_token_deadline_ms=0",
    "--set",
    "session.breaker_open_ms=0",
];

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_sessions_at_once_are_each_answered_once() {
    let cluster = Cluster::start(ECHO);
    let (_gpu, _retrieval) = (cluster.role("worker-gpu", &[]).await, cluster.role("worker-retrieval", &[]).await);
    let gateway = cluster.role("gateway", PATIENT).await;
    let customer = Customer::new(&gateway.url);
    let sessions = join_all((0..SESSIONS).map(|_| customer.create())).await;
    let turns = sessions.iter().enumerate().map(|(number, session)| {
        let customer = customer.clone();
        async move {
            let events = customer.stream(session, &format!("question{number} end")).await;
            let (seen, last) = events.finish(String::new()).await;
            assert_eq!(last.name, "finished", "{:?}", last.data);
            assert_eq!(last.data["text"], seen.as_str());
            let mine = format!("question{number}");
            assert_eq!(seen.split_whitespace().filter(|word| *word == mine).count(), 1, "{seen:?}");
        }
    });
    join_all(turns).await;
    for session in &sessions {
        assert_eq!(customer.history(session).await["messages"].as_array().unwrap().len(), 2);
    }
    let broker = runtime::broker::connect(cluster.rabbit.url().as_ref(), Duration::from_secs(10)).await.unwrap();
    let queues = topology::WORK_QUEUES.iter().map(|queue| queue.name).chain([topology::DEAD_LETTERS]);
    for queue in queues {
        assert_eq!(broker.depth(queue).await.unwrap(), 0, "{queue} is empty");
    }
}
