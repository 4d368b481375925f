//! Questions that the knowledge did not answer, for its keepers.

use super::{Knowledge, catalogued};
use catalog::{Catalog, Question};
use metrics::counter;
use protocol::{Event, Failure, TenantId, Timestamp, UnansweredQuestion};
use runtime::metric;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Questions that wait to be kept; more are dropped, for no customer may wait for them.
const WAITING: usize = 256;
/// Questions that are looked at, and groups that are told.
const LOOKED_AT: usize = 2_000;
const TOLD: usize = 100;
/// Wordings told of a group.
const WORDINGS: usize = 5;
/// Questions whose vectors are at least this close (cosine) have one meaning.
const SAME_MEANING: f32 = 0.8;

/// A question of a tenant's customer.
pub(crate) struct Asked {
    pub tenant: TenantId,
    pub question: Question,
}

/// Keeps what is sent, at most `most` questions of each tenant, until every sender is gone.
pub(super) fn keeper(catalog: Arc<dyn Catalog>, most: usize) -> mpsc::Sender<Asked> {
    let (sender, mut receiver) = mpsc::channel::<Asked>(WAITING);
    tokio::spawn(async move {
        while let Some(Asked { tenant, question }) = receiver.recv().await {
            if let Err(error) = catalog.ask(&tenant, &question, most).await {
                tracing::warn!(%tenant, %error, "an unanswered question is not kept");
            }
        }
    });
    sender
}

impl Knowledge {
    /// The question is kept for the knowledge's keepers, if there is room.
    pub fn unanswered_question(&self, asked: Asked) {
        counter!(metric::UNANSWERED, "tenant" => asked.tenant.to_string()).increment(1);
        if self.config.unanswered_questions > 0 && self.asked.try_send(asked).is_err() {
            tracing::debug!("an unanswered question is not kept: too many wait");
        }
    }

    pub(super) async fn unanswered(&self, tenant: &TenantId) -> Result<Event, Failure> {
        let questions = self.stores.catalog.questions(tenant, LOOKED_AT).await.map_err(catalogued)?;
        let questions = super::blocking(move || Ok(grouped(questions))).await?;
        Ok(Event::Unanswered { questions })
    }

    pub(super) async fn dismiss(&self, tenant: &TenantId, until: Timestamp) -> Result<Event, Failure> {
        self.stores.catalog.dismiss(tenant, until).await.map_err(catalogued)?;
        self.unanswered(tenant).await
    }
}

struct Group {
    centre: Vec<f32>,
    embedder: String,
    members: Vec<(Vec<f32>, Question)>,
}

/// Each question joins the group whose centre is closest, if that is close enough, else founds one.
fn grouped(questions: Vec<Question>) -> Vec<UnansweredQuestion> {
    let mut groups: Vec<Group> = Vec::new();
    for question in questions {
        let Some(vector) = question.vector.unit() else { continue };
        let fits = |group: &&mut Group| group.embedder == question.embedder && group.centre.len() == vector.len();
        let closest = groups
            .iter_mut()
            .filter(fits)
            .map(|group| (cosine(&group.centre, &vector), group))
            .filter(|(closeness, _)| *closeness >= SAME_MEANING)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        match closest {
            Some((_, group)) => group.join(vector, question),
            None => groups.push(Group {
                centre: vector.clone(),
                embedder: question.embedder.clone(),
                members: vec![(vector, question)],
            }),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.members.len()));
    groups.into_iter().take(TOLD).filter_map(Group::told).collect()
}

impl Group {
    fn join(&mut self, vector: Vec<f32>, question: Question) {
        self.centre.iter_mut().zip(&vector).for_each(|(sum, x)| *sum += x);
        self.members.push((vector, question));
    }

    fn told(self) -> Option<UnansweredQuestion> {
        let Self { centre, mut members, .. } = self;
        members.sort_by(|a, b| cosine(&centre, &b.0).total_cmp(&cosine(&centre, &a.0)));
        let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
        let last = members.iter().map(|(_, question)| question.at).max()?;
        let confidence = members.iter().map(|(_, question)| question.confidence).fold(0.0, f32::max);
        let mut texts = members.into_iter().map(|(_, question)| (question.text, question.lang));
        let (question, lang) = texts.next()?;
        let mut wordings: Vec<String> = Vec::new();
        for (text, _) in texts {
            if text != question && !wordings.contains(&text) && wordings.len() < WORDINGS {
                wordings.push(text);
            }
        }
        Some(UnansweredQuestion { question, lang, count, last, confidence, wordings })
    }
}

/// Of vectors of any length.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{Lang, QuantizedVector};

    fn question(text: &str, at: u64, vector: [f32; 2], embedder: &str) -> Question {
        let (lang, embedder, confidence) = (Lang::en(), embedder.to_string(), at as f32 / 10.0);
        Question {
            text: text.into(),
            lang,
            at: Timestamp(at),
            confidence,
            vector: QuantizedVector::of(&vector),
            embedder,
        }
    }

    #[test]
    fn questions_of_one_meaning_are_told_together_and_the_commonest_first() {
        let told = grouped(vec![
            question("Do you ship to Mars?", 1, [0.0, 1.0], "e"),
            question("Any bikes?", 2, [1.0, 0.0], "e"),
            question("Do you sell bicycles?", 4, [0.97, 0.1], "e"),
            question("Any bikes?", 3, [1.0, 0.0], "e"),
            question("Of another model", 5, [1.0, 0.0], "f"),
        ]);
        let seen: Vec<_> = told.iter().map(|group| (group.question.as_str(), group.count, group.last.0)).collect();
        assert_eq!(seen[0].1, 3);
        assert_eq!((told[0].last, told[0].confidence), (Timestamp(4), 0.4));
        assert_eq!(told[0].question, "Any bikes?");
        assert_eq!(told[0].wordings, ["Do you sell bicycles?"]);
        assert_eq!(seen[1..], [("Do you ship to Mars?", 1, 1), ("Of another model", 1, 5)]);
    }
}
