//! The archive's contract: one suite, a directory and a bucket.
#![expect(clippy::unwrap_used, reason = "tests")]

mod objects;

use catalog::{Archive, ArchiveError, Bucket, connect_archive, connect_archive_with};
use protocol::TenantId;
use runtime::testing::S3;
use sha2::{Digest, Sha256};
use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Runs every case in turn on `archive` and says how long each took.
async fn contract(archive: &Arc<dyn Archive>) {
    macro_rules! run {
        ($($case:ident)*) => {$({
            let begin = tokio::time::Instant::now();
            objects::$case(archive).await;
            eprintln!("  {:<60} {:>6} ms", stringify!($case), begin.elapsed().as_millis());
        })*};
    }
    run! {
        it_can_be_used
        an_object_comes_back_as_it_was
        what_is_not_there_is_missing
        an_original_is_checked
        originals_are_listed_by_tenant
        what_was_prepared_goes_with_its_original
        writers_of_one_key_do_no_harm
        a_large_object_fits
    }
}

fn bucket(server: &S3) -> Bucket {
    Bucket {
        endpoint: Some(server.endpoint()),
        region: Some("eu-central-1".into()),
        access_key: Some(S3::ACCESS_KEY.into()),
        secret_key: Some(S3::SECRET_KEY.into()),
    }
}

async fn refused(archive: Result<Arc<dyn Archive>, ArchiveError>) -> String {
    match archive {
        Ok(archive) => archive.check().await.unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn directory() {
    let home = TempDir::new().unwrap();
    contract(&connect_archive("file:", home.path()).unwrap()).await;
    assert!(home.path().join("archive/demo").is_dir());
    let named = format!("file:{}", home.path().join("a b/文档").display());
    contract(&connect_archive(&named, Path::new("")).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3() {
    let started = Instant::now();
    let mut server = S3::start();
    eprintln!("  it started in {:?}", started.elapsed());
    let there = bucket(&server);
    let open = |url| connect_archive_with(url, Path::new(""), &there);
    contract(&open("s3://frontdesk/some/prefix").unwrap()).await;
    contract(&open("s3://frontdesk").unwrap()).await;
    let text = refused(open("s3://nobodys")).await;
    assert!(text.contains("archive.url") && text.contains("NoSuchBucket"), "{text}");
    let stranger = Bucket { secret_key: Some("wrong".into()), ..there.clone() };
    let text = refused(connect_archive_with("s3://frontdesk", Path::new(""), &stranger)).await;
    assert!(text.contains("SignatureDoesNotMatch"), "{text}");
    eprintln!("  it is killed after {:?}", started.elapsed());
    server.kill();
    let archive = open("s3://frontdesk").unwrap();
    let begin = Instant::now();
    let down = archive.check().await.unwrap_err();
    eprintln!("  a call without a server took {:?}: {down}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(15));
    assert!(matches!(down, ArchiveError::Unavailable(_)), "{down}");
    server.start_again();
    eprintln!("  it came back after {:?}", begin.elapsed());
    archive.check().await.unwrap();
}

#[tokio::test]
async fn what_is_no_archive_is_refused() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("archive"), "a file").unwrap();
    for url in ["", "file:", "s3:", "s3://", "ftp://x/y", "/tmp"] {
        let text = refused(connect_archive(url, home.path())).await;
        assert!(text.contains("archive.url"), "{url:?}: {text}");
    }
}

#[tokio::test]
async fn a_damaged_original_is_told() {
    let home = TempDir::new().unwrap();
    let archive = connect_archive("file:", home.path()).unwrap();
    let key = objects::put_original(&archive, "damaged", b"whole").await;
    fs::write(home.path().join("archive").join(key.as_str()), "half").unwrap();
    let error = archive.get(&key).await.unwrap_err();
    assert_eq!(error, ArchiveError::Damaged(key.as_str().into()));
}

/// A file system of its own with 1 MiB; needs the right to mount one.
#[tokio::test]
async fn a_full_disk_is_told_and_leaves_nothing() {
    let home = TempDir::new().unwrap();
    let mount = |command: &str, rest: &[&str]| {
        std::process::Command::new(command).args(rest).arg(home.path()).status().is_ok_and(|status| status.success())
    };
    if !mount("mount", &["-t", "tmpfs", "-o", "size=1m", "none"]) {
        eprintln!("not run: this account may not mount a file system");
        return;
    }
    let archive = connect_archive("file:", home.path()).unwrap();
    let small = objects::put_original(&archive, "full", b"fits").await;
    let large = vec![7; 2 << 20];
    let hash = protocol::ContentHash::parse(objects::hex(&Sha256::digest(&large))).unwrap();
    let key = catalog::Key::original(&TenantId::parse("full").unwrap(), &hash);
    let told = archive.put(&key, large.into()).await;
    let (there, kept) = (archive.has(&key).await, archive.get(&small).await);
    objects::put_original(&archive, "full", b"fits too").await;
    drop(archive);
    assert!(mount("umount", &["--lazy"]));
    assert!(told.unwrap_err().to_string().contains("no room"));
    assert_eq!((there, kept), (Ok(false), Ok("fits".into())));
}
