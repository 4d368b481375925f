//! A build's work as rows, many at once.

use super::{Fault, rows};
use crate::{Build, CatalogError, Change, Document, FaqEntry, Work};
use protocol::{DocumentId, TenantId, Timestamp};
use sqlx::{Any, AnyConnection, QueryBuilder};
use std::collections::BTreeSet;

/// Rows of one statement, at most.
const AT_ONCE: usize = 200;

/// Bytes of one statement, about: servers refuse packets of 16 MiB and more, and some of less.
const BYTES: usize = 1 << 20;

/// Takes what the work replaces and removes out of the build's version, and brings what it puts.
pub(super) async fn change(tx: &mut AnyConnection, tenant: &TenantId, build: &Build, work: &Work) -> Result<(), Fault> {
    let put: BTreeSet<&DocumentId> = work.change.put.iter().map(|document| &document.id).collect();
    if put.len() < work.change.put.len() || work.faq.iter().any(|entry| !put.contains(&entry.document)) {
        let text = "a build puts one document twice, or a curated answer of a document that it does not put";
        return Err(CatalogError::Unusable(text.into()).into());
    }
    let gone: Vec<&DocumentId> = put.into_iter().chain(&work.change.removed).collect();
    for ids in gone.chunks(AT_ONCE) {
        remove(tx, tenant, build, ids).await?;
    }
    for documents in work.change.put.chunks(AT_ONCE) {
        bring(tx, tenant, build, documents).await?;
    }
    for entries in batches(&work.faq) {
        curate(tx, tenant, build, entries).await?;
    }
    Ok(())
}

/// How many documents go and are not replaced.
pub(super) fn dropped(change: &Change) -> usize {
    let put: BTreeSet<&DocumentId> = change.put.iter().map(|document| &document.id).collect();
    change.removed.iter().filter(|id| !put.contains(id)).count()
}

async fn remove(tx: &mut AnyConnection, tenant: &TenantId, build: &Build, ids: &[&DocumentId]) -> Result<(), Fault> {
    let mut query = QueryBuilder::<Any>::new("UPDATE documents SET removed = ");
    query.push_bind(rows::int(build.version.0)).push(" WHERE removed = ").push_bind(i64::MAX);
    query.push(" AND tenant = ").push_bind(tenant.as_str().to_owned()).push(" AND document IN (");
    let mut list = query.separated(", ");
    for id in ids {
        list.push_bind(id.as_str().to_owned());
    }
    query.push(")").build().execute(&mut *tx).await?;
    Ok(())
}

async fn bring(tx: &mut AnyConnection, tenant: &TenantId, build: &Build, put: &[Document]) -> Result<(), Fault> {
    let formats = put.iter().map(|document| rows::word(&document.format)).collect::<Result<Vec<_>, _>>()?;
    let mut query = QueryBuilder::<Any>::new(
        "INSERT INTO documents
            (tenant, document, added, removed, name, title, format, original, bytes, passages, recipe) ",
    );
    query.push_values(put.iter().zip(formats), |mut row, (document, format)| {
        row.push_bind(tenant.as_str().to_owned()).push_bind(document.id.as_str().to_owned());
        row.push_bind(rows::int(build.version.0)).push_bind(i64::MAX);
        row.push_bind(document.name.clone()).push_bind(document.title.clone()).push_bind(format);
        row.push_bind(document.original.hash.as_str().to_owned()).push_bind(rows::int(document.original.bytes));
        row.push_bind(i64::from(document.passages)).push_bind(document.recipe.clone());
    });
    query.build().execute(&mut *tx).await?;
    Ok(())
}

async fn curate(tx: &mut AnyConnection, tenant: &TenantId, build: &Build, entries: &[FaqEntry]) -> Result<(), Fault> {
    let parts = entries.iter().map(|entry| Ok((rows::json(&entry.variants)?, rows::blob(&entry.vectors)?)));
    let parts = parts.collect::<Result<Vec<_>, Fault>>()?;
    let mut query = QueryBuilder::<Any>::new(
        "INSERT INTO faq (tenant, document, added, position, question, variants, answer, dimensions, vectors) ",
    );
    query.push_values(entries.iter().zip(parts), |mut row, (entry, (variants, (dimensions, vectors)))| {
        row.push_bind(tenant.as_str().to_owned()).push_bind(entry.document.as_str().to_owned());
        row.push_bind(rows::int(build.version.0)).push_bind(i64::from(entry.position));
        row.push_bind(entry.question.clone()).push_bind(variants).push_bind(entry.answer.clone());
        row.push_bind(dimensions).push_bind(vectors);
    });
    query.build().execute(&mut *tx).await?;
    Ok(())
}

/// Cuts entries into batches of at most [`AT_ONCE`] entries and about [`BYTES`].
fn batches(entries: &[FaqEntry]) -> impl Iterator<Item = &[FaqEntry]> {
    let mut rest = entries;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(AT_ONCE).take_while(|entry| {
            let before = bytes;
            bytes += size(entry);
            before == 0 || bytes <= BYTES
        });
        let (batch, after) = rest.split_at(fits.count());
        rest = after;
        (!batch.is_empty()).then_some(batch)
    })
}

fn size(entry: &FaqEntry) -> usize {
    let texts = [&entry.question, &entry.answer].into_iter().chain(&entry.variants).map(String::len).sum::<usize>();
    1 + texts + entry.vectors.iter().map(|vector| 4 * vector.len()).sum::<usize>()
}

/// The version's own row, once its documents are there.
pub(super) async fn version(
    tx: &mut AnyConnection,
    tenant: &TenantId,
    build: &Build,
    work: &Work,
    now: Timestamp,
) -> Result<(), Fault> {
    let number = rows::int(build.version.0);
    let insert = "INSERT INTO versions (tenant, version, base, published, embedder, documents, passages)
        SELECT ?, ?, ?, ?, ?, COUNT(*), COALESCE(SUM(passages), 0) FROM documents
        WHERE tenant = ? AND added <= ? AND removed > ?";
    let insert = sqlx::query(insert).bind(tenant.as_str().to_owned()).bind(number).bind(rows::int(build.base.0));
    let insert = insert.bind(rows::int(now.0)).bind(work.embedder.clone()).bind(tenant.as_str().to_owned());
    insert.bind(number).bind(number).execute(&mut *tx).await?;
    Ok(())
}
