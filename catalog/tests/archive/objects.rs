//! What holds for every archive.

use bytes::Bytes;
use catalog::{Archive, ArchiveError, Key};
use protocol::{ContentHash, DocumentId, TenantId};
use sha2::{Digest, Sha256};
use std::sync::Arc;

type Shared = Arc<dyn Archive>;

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash(bytes: &[u8]) -> ContentHash {
    ContentHash::parse(hex(&Sha256::digest(bytes))).unwrap()
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn prepared(name: &str, bytes: &[u8], recipe: &str) -> Key {
    Key::prepared(&tenant(name), &hash(bytes), &DocumentId::parse("doc.1").unwrap(), recipe)
}

pub async fn put_original(archive: &Shared, name: &str, bytes: &'static [u8]) -> Key {
    let key = Key::original(&tenant(name), &hash(bytes));
    archive.put(&key, Bytes::from_static(bytes)).await.unwrap();
    key
}

pub async fn it_can_be_used(archive: &Shared) {
    archive.check().await.unwrap();
    archive.check().await.unwrap();
}

pub async fn an_object_comes_back_as_it_was(archive: &Shared) {
    let bytes = b"\0\xff\r\n\x80 bytes";
    let key = put_original(archive, "demo", bytes).await;
    assert!(archive.has(&key).await.unwrap());
    assert_eq!(archive.get(&key).await.unwrap(), Bytes::from_static(bytes));
    let empty = put_original(archive, "demo", b"").await;
    assert_eq!(archive.get(&empty).await.unwrap(), Bytes::new());
    for _ in 0..2 {
        archive.delete(&key).await.unwrap();
    }
    assert!(!archive.has(&key).await.unwrap() && archive.has(&empty).await.unwrap());
}

pub async fn what_is_not_there_is_missing(archive: &Shared) {
    let key = Key::original(&tenant("nobody"), &hash(b"nothing"));
    assert!(!archive.has(&key).await.unwrap());
    assert_eq!(archive.get(&key).await, Err(ArchiveError::Missing(key.as_str().into())));
    assert!(archive.originals(&tenant("nobody")).await.unwrap().is_empty());
    archive.forget(&tenant("nobody"), &hash(b"nothing")).await.unwrap();
}

pub async fn an_original_is_checked(archive: &Shared) {
    let key = Key::original(&tenant("checked"), &hash(b"one"));
    archive.put(&key, "another".into()).await.unwrap();
    assert_eq!(archive.get(&key).await, Err(ArchiveError::Damaged(key.as_str().into())));
    archive.put(&key, "one".into()).await.unwrap();
    assert_eq!(archive.get(&key).await.unwrap(), Bytes::from("one"));
}

pub async fn originals_are_listed_by_tenant(archive: &Shared) {
    for name in ["here", "here.too", "her"] {
        put_original(archive, name, b"shared").await;
    }
    put_original(archive, "here", b"own").await;
    archive.put(&prepared("here", b"own", "r1"), "vectors".into()).await.unwrap();
    let mut originals = archive.originals(&tenant("here")).await.unwrap();
    let mut expected = [hash(b"shared"), hash(b"own")];
    originals.sort();
    expected.sort();
    assert_eq!(originals, expected);
    assert_eq!(archive.originals(&tenant("her")).await.unwrap(), [hash(b"shared")]);
}

pub async fn what_was_prepared_goes_with_its_original(archive: &Shared) {
    let gone = put_original(archive, "forgets", b"gone").await;
    let kept = put_original(archive, "forgets", b"kept").await;
    let others = put_original(archive, "remembers", b"gone").await;
    let keys =
        [prepared("forgets", b"gone", "r1"), prepared("forgets", b"gone", "r2"), prepared("forgets", b"kept", "r1")];
    for key in &keys {
        archive.put(key, Bytes::from(key.as_str().to_owned())).await.unwrap();
    }
    archive.forget(&tenant("forgets"), &hash(b"gone")).await.unwrap();
    for key in [&gone, &keys[0], &keys[1]] {
        assert!(!archive.has(key).await.unwrap(), "{key:?}");
    }
    for key in [&kept, &others, &keys[2]] {
        assert!(archive.has(key).await.unwrap(), "{key:?}");
    }
    assert_eq!(archive.get(&keys[2]).await.unwrap(), Bytes::from(keys[2].as_str().to_owned()));
}

pub async fn writers_of_one_key_do_no_harm(archive: &Shared) {
    let bytes = Bytes::from(vec![42; 300_000]);
    let key = Key::original(&tenant("many"), &hash(&bytes));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (archive, key, bytes) = (archive.clone(), key.clone(), bytes.clone());
            tokio::spawn(async move {
                archive.put(&key, bytes.clone()).await.unwrap();
                assert_eq!(archive.get(&key).await.unwrap(), bytes);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(archive.originals(&tenant("many")).await.unwrap(), [hash(&bytes)]);
}

pub async fn a_large_object_fits(archive: &Shared) {
    let bytes = Bytes::from((0..40_000_000_u32).map(|n| (n % 251) as u8).collect::<Vec<_>>());
    let key = Key::original(&tenant("large"), &hash(&bytes));
    archive.put(&key, bytes.clone()).await.unwrap();
    assert!(archive.get(&key).await.unwrap() == bytes);
    archive.delete(&key).await.unwrap();
}
