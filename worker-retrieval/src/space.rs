//! An embedder and the index of its vectors. Vectors of different embedders never meet: each has a space of its own.

use crate::{
    Config, Dirs, OpenError,
    embed::{self, Embedder, Options},
    index::{self, Limits, SearchIndex, Vectors},
    rank::Ranker,
    read,
};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// One embedder's space.
pub(crate) struct Space {
    pub embedder: Arc<dyn Embedder>,
    pub index: Box<dyn SearchIndex>,
    pub ranker: Ranker,
    /// How documents are cut and embedded for it; letters and digits.
    pub recipe: String,
}

impl Space {
    fn open(config: &Config, dirs: &Dirs, embedder: Arc<dyn Embedder>) -> Result<Self, OpenError> {
        let vectors = Vectors { embedder: embedder.id().into(), dimensions: embedder.dimensions() };
        let limits = Limits { open_tenants: config.open_tenants, tenant_passages: config.max_tenant_passages };
        let key = Some(config.index_key.as_str()).filter(|key| !key.is_empty());
        let index = index::connect(&config.index, key, &dirs.data, vectors, limits)?;
        let numbers = [read::VERSION as usize, config.chunk_tokens, config.chunk_overlap];
        let recipe = recipe(embedder.id(), numbers);
        let ranker = Ranker::new(embedder.id());
        Ok(Self { embedder, index, ranker, recipe })
    }
}

/// Another one whenever the same original is read, cut or embedded in another way.
fn recipe(embedder: &str, numbers: [usize; 3]) -> String {
    let hash = Sha256::digest(format!("{embedder} {numbers:?}"));
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The configured embedder's space, and those of versions that were built with others.
pub(crate) struct Spaces {
    config: Config,
    dirs: Dirs,
    current: Arc<Space>,
    /// `None`: it cannot be opened any more.
    earlier: Mutex<HashMap<String, Option<Arc<Space>>>>,
}

impl Spaces {
    pub fn open(config: &Config, dirs: &Dirs) -> Result<Self, OpenError> {
        let embedder = embed::connect(&config.embedder, &dirs.models, config.threads)?;
        let current = Arc::new(Space::open(config, dirs, embedder)?);
        Ok(Self { config: config.clone(), dirs: dirs.clone(), current, earlier: Mutex::default() })
    }

    /// The one that new versions are built in.
    pub fn current(&self) -> &Arc<Space> {
        &self.current
    }

    /// The one of the embedder called `id`, if its files are still there. Blocks while it is loaded.
    pub fn of(&self, id: &str) -> Option<Arc<Space>> {
        if id == self.current.embedder.id() {
            return Some(self.current.clone());
        }
        let mut earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        earlier.entry(id.into()).or_insert_with(|| self.reopen(id)).clone()
    }

    fn reopen(&self, id: &str) -> Option<Arc<Space>> {
        let options = Options { threads: self.config.threads, ..Options::default() };
        let opened = embed::reopen(id, &self.dirs.models, options).map_err(OpenError::from);
        let space = opened.and_then(|embedder| Space::open(&self.config, &self.dirs, embedder));
        let gone = |error: &OpenError| {
            tracing::warn!(embedder = id, %error, "an earlier version's embedder cannot be opened");
        };
        space.inspect_err(gone).ok().map(Arc::new)
    }
}
