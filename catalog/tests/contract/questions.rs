//! Questions that were not answered.

use crate::support::{Shared, at, tenant};
use catalog::Question;
use protocol::{Lang, QuantizedVector, TenantId};

fn question(text: &str, asked: u64) -> Question {
    Question {
        text: text.into(),
        lang: Lang::zh(),
        at: at(asked),
        confidence: 0.1 + 0.2,
        vector: QuantizedVector::of(&[0.6, -0.8]),
        embedder: "hashing:2".into(),
    }
}

async fn texts(catalog: &Shared, tenant: &TenantId, most: usize) -> Vec<String> {
    catalog.questions(tenant, most).await.unwrap().into_iter().map(|question| question.text).collect()
}

pub async fn questions_come_back_the_latest_first(catalog: &Shared) {
    let tenant = tenant("asks");
    for (text, asked) in [("二?", 20), ("one?", 10), ("three?", 30), ("also three?", 30)] {
        catalog.ask(&tenant, &question(text, asked), 100).await.unwrap();
    }
    assert_eq!(texts(catalog, &tenant, 9).await, ["also three?", "three?", "二?", "one?"]);
    assert_eq!(catalog.questions(&tenant, 3).await.unwrap()[2], question("二?", 20));
    catalog.dismiss(&tenant, at(20)).await.unwrap();
    assert_eq!(texts(catalog, &tenant, 9).await, ["also three?", "three?"]);
    assert!(texts(catalog, &crate::support::tenant("asks-nothing"), 9).await.is_empty());
}

pub async fn the_oldest_questions_go(catalog: &Shared) {
    let tenant = tenant("bounded");
    for n in 0..10 {
        catalog.ask(&tenant, &question(&n.to_string(), 100 + n % 5), 3).await.unwrap();
    }
    assert_eq!(texts(catalog, &tenant, 99).await, ["9", "4", "8"]);
}
