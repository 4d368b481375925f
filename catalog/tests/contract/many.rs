//! Many documents, and many at once.

use crate::support::{LEASE, Shared, at, document, entry, hash, publish, shown, tenant, v};
use catalog::{CatalogError, Change, Work};
use std::time::{Duration, Instant};

pub async fn builders_and_readers_at_once(catalog: &Shared) {
    builders_and_readers_on(&[catalog.clone(), catalog.clone(), catalog.clone()], "busy").await;
}

/// Versions of one tenant, each with one document more and one less, while others read. Nobody sees half of one.
pub async fn builders_and_readers_on(catalogs: &[Shared], name: &str) {
    let (tenant, catalog) = (tenant(name), &catalogs[0]);
    publish(catalog, &tenant, &[("d0", "0"), ("d1", "0"), ("d2", "0")], &[]).await;
    let readers = catalogs[..3].iter().map(|catalog| {
        let (catalog, tenant) = (catalog.clone(), tenant.clone());
        tokio::spawn(async move {
            let mut last = v(0);
            while last < v(13) {
                let served = catalog.served(&tenant).await.unwrap();
                assert!(served >= last, "{served:?} after {last:?}");
                assert_eq!(shown(&catalog, &tenant, served).await.len(), 3);
                last = served;
            }
        })
    });
    let builders = catalogs[..3].iter().map(|catalog| {
        let (catalog, tenant) = (catalog.clone(), tenant.clone());
        tokio::spawn(async move {
            let mut published = 0;
            while published < 4 {
                let build = match catalog.begin_build(&tenant, at(0), LEASE).await {
                    Ok(build) => build,
                    Err(CatalogError::Conflict) => {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        continue;
                    }
                    Err(error) => panic!("{error}"),
                };
                let (put, gone) = (format!("d{}", build.version.0 + 1), format!("d{}", build.version.0 - 2));
                let work = crate::support::work(&build, &[(&put, "x")], &[&gone]);
                catalog.publish(&tenant, &build, work, at(1)).await.unwrap();
                published += 1;
            }
        })
    });
    for task in readers.chain(builders).collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(catalog.versions(&tenant).await.unwrap().len(), 13);
}

pub async fn ten_thousand_documents(catalog: &Shared) {
    const COUNT: usize = 10_000;
    let tenant = tenant("large");
    let build = catalog.begin_build(&tenant, at(0), LEASE).await.unwrap();
    let names: Vec<String> = (0..COUNT).map(|n| format!("d{n:05}")).collect();
    let put: Vec<_> = names.iter().map(|name| document(name, name, build.version)).collect();
    let faq = names.iter().step_by(10).map(|name| {
        let mut entry = entry(name, 0, name);
        entry.vectors = vec![vec![0.04; 512]; 3];
        entry
    });
    let change = Change { put, removed: Vec::new() };
    let work = Work { change, faq: faq.collect(), embedder: "e".into(), ingest: None };
    let begin = Instant::now();
    catalog.publish(&tenant, &build, work.clone(), at(1)).await.unwrap();
    eprintln!("    published {COUNT} documents and 1000 curated answers in {:?}", begin.elapsed());
    let begin = Instant::now();
    assert!(catalog.documents(&tenant, build.version).await.unwrap() == work.change.put);
    assert!(catalog.faq(&tenant, build.version).await.unwrap() == work.faq);
    let hashes: Vec<_> = names.iter().map(|name| hash(name)).collect();
    assert_eq!(catalog.needed(&tenant, &hashes).await.unwrap().len(), COUNT);
    eprintln!("    read them in {:?}", begin.elapsed());
    let begin = Instant::now();
    let replaced: Vec<_> = names.iter().map(|name| (name.as_str(), "new")).collect();
    let next = publish(catalog, &tenant, &replaced, &[]).await;
    catalog.prune(&tenant, next).await.unwrap();
    assert_eq!(catalog.documents(&tenant, next).await.unwrap().len(), COUNT);
    assert!(catalog.faq(&tenant, next).await.unwrap().is_empty());
    eprintln!("    replaced and pruned them in {:?}", begin.elapsed());
}

pub async fn it_answers(catalog: &Shared) {
    catalog.check().await.unwrap();
}

/// What a server's end looks like.
pub async fn it_comes_back(catalog: &Shared, kill: impl FnOnce()) {
    let tenant = tenant("outage");
    let version = publish(catalog, &tenant, &[("a", "1")], &[]).await;
    kill();
    let begin = Instant::now();
    let errors = [catalog.served(&tenant).await.err(), catalog.begin_build(&tenant, at(1), LEASE).await.err()];
    for error in errors {
        assert!(matches!(error, Some(CatalogError::Unavailable(_))), "{error:?}");
    }
    eprintln!("    two calls without a server took {:?}; version {} stays", begin.elapsed(), version.0);
}

/// More than there is room for; returns what was said.
pub async fn too_many_documents(catalog: &Shared) -> String {
    let tenant = tenant("full");
    let one = publish(catalog, &tenant, &[("a", "1")], &[]).await;
    let build = catalog.begin_build(&tenant, at(1), LEASE).await.unwrap();
    let names: Vec<String> = (0..9000).map(|n| format!("d{n}")).collect();
    let put: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
    let told = catalog.publish(&tenant, &build, crate::support::work(&build, &put, &[]), at(2)).await.unwrap_err();
    assert!(matches!(told, CatalogError::Unavailable(_)), "{told}");
    assert_eq!(shown(catalog, &tenant, catalog.served(&tenant).await.unwrap()).await, ["a 1"]);
    let fits = crate::support::work(&build, &[("b", "2")], &[]);
    catalog.publish(&tenant, &build, fits, at(3)).await.unwrap();
    assert_eq!((shown(catalog, &tenant, one).await.len(), shown(catalog, &tenant, build.version).await.len()), (1, 2));
    told.to_string()
}
