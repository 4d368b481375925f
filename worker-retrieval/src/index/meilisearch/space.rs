//! One space on the server: its index, the index's settings, and the keys that open it.

use super::{
    http::{Http, Trouble},
    rows::{EMBEDDER, SETTINGS},
    token::Tokens,
};
use crate::index::{IndexError, Vectors};
use meilisearch_sdk::{
    client::Client,
    errors::{Error, ErrorCode, ErrorType},
    indexes::Index,
    settings::{Embedder, EmbedderSource, LocalizedAttributes, PaginationSetting, Settings},
    task_info::TaskInfo,
    tasks::Task,
};
use protocol::TenantId;
use serde::Deserialize;
use serde_json::json;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// How rows lie in an index; another layout is another index, which is filled anew from the archive.
const LAYOUT: u32 = 1;
/// Grows with the settings; those of an index that has older ones are changed.
const FORMAT: u32 = 1;
/// How long a task may wait and run: the server does them one after another, for all of its users.
const TASK: Duration = Duration::from_secs(600);
/// Longest pause between two looks at a task.
const LOOK: Duration = Duration::from_millis(200);

/// An index of the server that has its settings.
pub struct Space {
    /// For errors.
    pub place: String,
    /// For changes: waits for a server that is busy or comes back.
    pub index: Index<Http>,
    /// For searches; `None`: the server asks for no keys.
    tokens: Option<Tokens>,
}

struct TaskId(u32);

impl AsRef<u32> for TaskId {
    fn as_ref(&self) -> &u32 {
        &self.0
    }
}

#[derive(Deserialize)]
struct Note {
    format: u32,
}

impl Space {
    /// Makes the index or brings its settings up to date, and finds its search key.
    pub async fn open(host: &str, http: &Http, key: Option<&str>, vectors: &Vectors) -> Result<Self, IndexError> {
        let uid = format!("frontdesk-{LAYOUT}-{}", vectors.fingerprint());
        let index = Client::new_with_client(host, key, http.clone()).index(uid);
        let mut space = Self { place: host.into(), index, tokens: None };
        space.prepare(vectors).await?;
        if key.is_some() {
            let tokens = Tokens::find(&space.index).await.map_err(|error| space.failed(error))?;
            space.tokens = Some(tokens);
        }
        Ok(space)
    }

    /// The key with which searches of `tenant` go out.
    pub fn token(&self, tenant: &TenantId) -> Result<Option<String>, IndexError> {
        let token = self.tokens.as_ref().map(|tokens| tokens.of(tenant, &self.index)).transpose();
        token.map_err(|error| self.failed(error))
    }

    async fn prepare(&self, vectors: &Vectors) -> Result<(), IndexError> {
        let found = match self.index.get_document::<Note>(SETTINGS).await {
            Ok(note) => note.format,
            Err(Error::Meilisearch(error)) if error.error_code == ErrorCode::DocumentNotFound => 0,
            Err(Error::Meilisearch(error)) if error.error_code == ErrorCode::IndexNotFound => {
                self.create().await?;
                0
            }
            Err(error) => return Err(self.failed(error)),
        };
        if found > FORMAT {
            return Err(IndexError::Newer { place: self.place.clone(), found, known: FORMAT });
        }
        if found < FORMAT {
            let task = self.index.set_settings(&settings(vectors)).await.map_err(|error| self.failed(error))?;
            self.wait(task.task_uid).await?;
            let note = json!({
                "id": SETTINGS, "format": FORMAT, "embedder": vectors.embedder, "_vectors": { EMBEDDER: null },
            });
            self.done(self.index.add_or_replace(&[note], Some("id")).await).await?;
        }
        Ok(())
    }

    async fn create(&self) -> Result<(), IndexError> {
        let task = self.index.client.create_index(&self.index.uid, Some("id")).await;
        let task = task.map_err(|error| self.failed(error))?;
        match self.outcome(task.task_uid).await? {
            // Another worker was quicker.
            Err(Error::Meilisearch(error)) if error.error_code == ErrorCode::IndexAlreadyExists => Ok(()),
            outcome => outcome.map_err(|error| self.failed(error)),
        }
    }

    /// Waits until the server has done what it accepted.
    pub async fn done(&self, accepted: Result<TaskInfo, Error>) -> Result<(), IndexError> {
        self.wait(accepted.map_err(|error| self.failed(error))?.task_uid).await
    }

    /// Waits for a task; fails as it fails.
    pub async fn wait(&self, task: u32) -> Result<(), IndexError> {
        self.outcome(task).await?.map_err(|error| self.failed(error))
    }

    async fn outcome(&self, task: u32) -> Result<Result<(), Error>, IndexError> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(2);
        while began.elapsed() < TASK {
            match self.index.client.get_task(TaskId(task)).await.map_err(|error| self.failed(error))? {
                Task::Succeeded { .. } => return Ok(Ok(())),
                Task::Failed { content } => return Ok(Err(Error::Meilisearch(content.error))),
                Task::Enqueued { .. } | Task::Processing { .. } => sleep(pause).await,
            }
            pause = (pause * 2).min(LOOK);
        }
        let reason = format!("task {task} was not done within {} s", TASK.as_secs());
        Err(IndexError::Unavailable { place: self.place.clone(), reason })
    }

    /// What an answer of the server means.
    pub fn failed(&self, error: Error) -> IndexError {
        failed(&self.place, error)
    }
}

/// What an answer of the server at `place` means.
pub fn failed(place: &str, error: Error) -> IndexError {
    let place = place.to_owned();
    let reason = error.to_string();
    match error {
        Error::Other(other) if other.is::<Trouble>() => IndexError::Unavailable { place, reason },
        Error::MeilisearchCommunication(error) if error.status_code >= 500 => IndexError::Unavailable { place, reason },
        Error::Meilisearch(error) if error.error_code == ErrorCode::NoSpaceLeftOnDevice => IndexError::Full(place),
        Error::Meilisearch(error) if error.error_type == ErrorType::Auth => IndexError::Refused { place, reason },
        // Somebody removed the index, or put an older one back.
        Error::Meilisearch(error) if error.error_type == ErrorType::Internal => {
            IndexError::Unavailable { place, reason }
        }
        _ => IndexError::Broken { place, reason },
    }
}

fn settings(vectors: &Vectors) -> Settings {
    let embedder =
        Embedder { source: EmbedderSource::UserProvided, dimensions: Some(vectors.dimensions), ..Embedder::default() };
    let locales = ["cmn", "eng"].map(str::to_owned).to_vec();
    let mut settings = Settings::new()
        .with_filterable_attributes(["tenant", "document", "added", "removed", "holds"])
        .with_searchable_attributes(["title", "text"])
        .with_pagination(PaginationSetting { max_total_hits: 1000 })
        .with_localized_attributes([LocalizedAttributes { locales, attribute_patterns: vec!["*".into()] }])
        .with_embedders(HashMap::from([(EMBEDDER, embedder)]));
    // Distances between words cost most of the indexing time; that two words stand in one attribute says nearly as much.
    settings.proximity_precision = Some("byAttribute".into());
    settings
}
