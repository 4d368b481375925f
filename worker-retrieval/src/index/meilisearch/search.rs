//! A search: words, vectors and the tenant's marker in one request.

use super::{
    filter::TenantFilter,
    http::Http,
    keywords::keywords,
    rows::{EMBEDDER, Hit, Marker},
    space::Space,
};
use crate::index::{Found, IndexError, Query};
use meilisearch_sdk::{
    client::Client,
    indexes::Index,
    search::{HybridSearch, MatchingStrategies, SearchQuery, SearchResults, Selectors},
};
use protocol::{KnowledgeVersion, Passage, TenantId};

/// What is shown of a row.
const SHOWN: Selectors<&[&str]> = Selectors::Some(&["document", "chunk", "title", "text", "holds", "oldest"]);

/// Looks for `query` in what `version` of the tenant holds.
pub async fn search(
    space: &Space,
    http: &Http,
    tenant: &TenantId,
    version: KnowledgeVersion,
    query: Query<'_>,
) -> Result<Found, IndexError> {
    let index = index(space, http, tenant)?;
    let filter = TenantFilter::from(tenant);
    let (seen, marked, words) = (filter.seen_by(version), filter.marker(), keywords(query.text));
    let limit = query.candidates.max(1);
    let mut queries = index.client.multi_search();
    if !words.is_empty() {
        queries.with_search_query(by_words(&index, seen.as_str(), &words, limit));
    }
    queries.with_search_query(by_vector(&index, seen.as_str(), query.vector, limit));
    // It goes last: what it says of the version was true of the rows before it.
    let mut marker = SearchQuery::new(&index);
    marker.with_filter(marked.as_str()).with_limit(1).with_attributes_to_retrieve(SHOWN);
    queries.with_search_query(marker);
    let mut results = queries.execute::<Hit>().await.map_err(|error| space.failed(error))?.results;
    let marker = results.pop().and_then(marker_of).unwrap_or_default();
    if !marker.has(version) {
        return Err(IndexError::Behind { asked: version, held: KnowledgeVersion(marker.holds) });
    }
    // Cosine c is told as (1 + c) / 2.
    let by_vector = passages(results.pop(), |score| 2.0 * score - 1.0);
    Ok(Found { by_text: passages(results.pop(), |score| score), by_vector })
}

/// The index through the tenant's own key.
fn index(space: &Space, http: &Http, tenant: &TenantId) -> Result<Index<Http>, IndexError> {
    let token = space.token(tenant)?;
    let client = Client::new_with_client(space.index.client.get_host(), token.clone(), http.with_key(token));
    Ok(client.index(&space.index.uid))
}

fn by_words<'a>(index: &'a Index<Http>, filter: &'a str, words: &'a str, limit: usize) -> SearchQuery<'a, Http> {
    let mut search = SearchQuery::new(index);
    search.with_query(words).with_filter(filter).with_limit(limit).with_show_ranking_score(true);
    // When no row has all words, those that most rows have need not match.
    search.with_matching_strategy(MatchingStrategies::FREQUENCY).with_attributes_to_retrieve(SHOWN);
    search
}

fn by_vector<'a>(index: &'a Index<Http>, filter: &'a str, vector: &'a [f32], limit: usize) -> SearchQuery<'a, Http> {
    let mut search = SearchQuery::new(index);
    search.with_vector(vector).with_filter(filter).with_limit(limit).with_show_ranking_score(true);
    search.with_attributes_to_retrieve(SHOWN);
    search.hybrid = Some(HybridSearch { embedder: EMBEDDER, semantic_ratio: 1.0 });
    search
}

fn marker_of(results: SearchResults<Hit>) -> Option<Marker> {
    match results.hits.into_iter().next()?.result {
        Hit::Marker(marker) => Some(marker),
        Hit::Passage { .. } => None,
    }
}

fn passages(results: Option<SearchResults<Hit>>, score: impl Fn(f32) -> f32) -> Vec<Passage> {
    let hits = results.map(|results| results.hits).unwrap_or_default().into_iter();
    hits.filter_map(|hit| hit.result.passage(score(hit.ranking_score.unwrap_or_default() as f32))).collect()
}
