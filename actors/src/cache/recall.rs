//! A turn's two looks into the cache.

use super::{
    Cache, CacheError, Draft, Entry, Key, Question,
    draft::{LEAD, Lead},
    flight::{Position, Word},
    lock,
};
use protocol::{DocumentId, KnowledgeVersion, QuantizedVector};
use runtime::metric;
use std::{sync::Arc, time::Duration};

/// How often a node looks whether another one has the answer.
const POLL: Duration = Duration::from_millis(100);
/// Items of a list that are read at once.
const TAIL: usize = 256;
/// Questions of the same meaning whose answers are looked at.
const NEAR: usize = 3;

/// What retrieval found about a question.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    /// In this version of the knowledge.
    pub version: KnowledgeVersion,
    /// The question's vector.
    pub vector: Option<QuantizedVector>,
    /// Where the passages are from.
    pub documents: Vec<DocumentId>,
}

/// What came of a look.
pub(crate) enum Recalled {
    /// It was answered before, or just now.
    Answer(Arc<Entry>),
    /// The model is to answer, and the cache is to have it.
    Draft(Box<Draft>),
    /// The model is to answer.
    Nothing,
}

/// How a question was found.
enum Seen {
    Exact(Entry),
    Semantic(Entry),
    /// What was found rests on other documents.
    Refused,
    Nothing,
}

impl Cache {
    /// The answer to the very same question, if the node knows which version is served.
    pub async fn exact(&self, question: &Question) -> Option<Arc<Entry>> {
        let served = || lock(&self.versions).served(&question.tenant, self.clock.now());
        let version = served()?;
        let entry = self.find(&question.at(version)).await.ok().flatten()?;
        // The news may have come meanwhile.
        (served() == Some(version)).then(|| {
            count("exact");
            Arc::new(entry)
        })
    }

    /// An answer to the question, at once or once another turn has it, or the right to find it. Dropping the future leaves
    /// the line.
    pub async fn join(&self, question: &Question, found: &Found) -> Recalled {
        let Some(key) = self.current(question, found.version) else { return Recalled::Nothing };
        let (position, waits) = self.flights.enter(&key);
        if let Some(told) = waits {
            match told.await {
                Ok(Word::Front) => {}
                Ok(Word::Answer(entry)) => return waited(entry),
                Ok(Word::Alone) | Err(_) => {
                    count("miss");
                    return self.draft(key, question, found, None, None);
                }
            }
        }
        self.front(key, question, found, position).await
    }

    /// The question's key, if `version` is the one that is served.
    fn current(&self, question: &Question, version: KnowledgeVersion) -> Option<Key> {
        let now = self.clock.now();
        let mut versions = lock(&self.versions);
        let is_served = versions.seen(&question.tenant, version, now);
        (is_served && version.0 > 0).then(|| question.at(version))
    }

    async fn front(&self, key: Key, question: &Question, found: &Found, position: Position) -> Recalled {
        let seen = self.look(&key, question, found).await;
        let how = match seen {
            Ok(Seen::Exact(entry)) => return answered(entry, position, "exact"),
            Ok(Seen::Semantic(entry)) => return answered(entry, position, "semantic"),
            Ok(Seen::Refused) => "refused",
            Ok(Seen::Nothing) => "miss",
            Err(_) => "unavailable",
        };
        match self.lead(&key).await {
            Ok(Err(entry)) => answered(entry, position, "waited"),
            Ok(Ok(lead)) => {
                count(how);
                self.draft(key, question, found, Some(position), Some(lead))
            }
            Err(_) => {
                count("unavailable");
                self.draft(key, question, found, Some(position), None)
            }
        }
    }

    /// Waits for the lead before the other nodes, or for the answer of the one that has it.
    async fn lead(&self, key: &Key) -> Result<Result<Lead, Entry>, CacheError> {
        let by = self.random.uuid().simple().to_string();
        let lead = Lead::new(self.store.clone(), key.clone(), by.clone());
        while !self.store.ask(self.store.store.lead(key, &by, LEAD)).await? {
            (self.store.pause)(POLL).await;
            if let Some(entry) = self.find(key).await? {
                return Ok(Err(entry));
            }
        }
        lead.held();
        // Another one may have had it just before.
        Ok(self.find(key).await?.map_or(Ok(lead), Err))
    }

    async fn look(&self, key: &Key, question: &Question, found: &Found) -> Result<Seen, CacheError> {
        if let Some(entry) = self.find(key).await? {
            return Ok(Seen::Exact(entry));
        }
        let Some(vector) = found.vector.as_ref().and_then(QuantizedVector::unit) else { return Ok(Seen::Nothing) };
        self.read(&question.tenant).await?;
        let near = lock(&self.mirror).nearest(&key.scope, &question.text, &vector, self.similarity, NEAR);
        let mut seen = Seen::Nothing;
        for key in near {
            match self.find(&key).await? {
                Some(entry) if entry.rests_on(&found.documents) => return Ok(Seen::Semantic(entry)),
                Some(_) => seen = Seen::Refused,
                None => {}
            }
        }
        Ok(seen)
    }

    /// Reads what is new in the tenant's list.
    async fn read(&self, tenant: &protocol::TenantId) -> Result<(), CacheError> {
        let from = lock(&self.mirror).last(tenant);
        let tail = self.store.ask(self.store.store.tail(tenant, from.as_ref(), TAIL)).await?;
        if tail.is_empty() {
            return Ok(());
        }
        let mut mirror = lock(&self.mirror);
        mirror.extend(tenant, from.as_ref(), tail);
        metrics::gauge!(metric::CACHE_ENTRIES).set(mirror.len() as f64);
        Ok(())
    }

    /// A kept answer, if it is the one that would be given now.
    async fn find(&self, key: &Key) -> Result<Option<Entry>, CacheError> {
        let entry = self.store.ask(self.store.store.find(key)).await?;
        let now = self.clock.now();
        Ok(entry.filter(|entry| lock(&self.models).is_current(&entry.model, entry.at, now)))
    }

    fn draft(
        &self,
        key: Key,
        question: &Question,
        found: &Found,
        position: Option<Position>,
        lead: Option<Lead>,
    ) -> Recalled {
        Recalled::Draft(Box::new(Draft {
            clock: self.clock.clone(),
            store: self.store.clone(),
            key,
            question: question.text.clone(),
            vector: found.vector.clone(),
            position,
            lead,
            model: String::new(),
        }))
    }
}

fn answered(entry: Entry, position: Position, how: &'static str) -> Recalled {
    let entry = Arc::new(entry);
    position.answered(&entry);
    count(how);
    Recalled::Answer(entry)
}

fn waited(entry: Arc<Entry>) -> Recalled {
    count("waited");
    Recalled::Answer(entry)
}

fn count(result: &'static str) {
    metrics::counter!(metric::CACHE_LOOKUPS, "result" => result).increment(1);
}
