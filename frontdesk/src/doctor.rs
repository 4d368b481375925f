//! Connects to every port and says what is wrong and how to mend it.

use crate::{config::Config, print, roles};
use actors::store::SessionKey;
use protocol::{SessionId, TenantId};
use runtime::clock::System;
use std::{net::TcpListener, sync::Arc, time::Duration};

/// What a check found: how it is, or what is wrong and how to mend it.
type Finding = Result<String, String>;

/// Prints one line per check; fails when one failed.
pub async fn run(config: &Config) -> anyhow::Result<()> {
    let checks = [
        ("configuration", Ok("every key is acceptable".into())),
        ("gateway.listen", listen(config)),
        ("data_dir", data_dir(config)),
        ("broker.url", broker(config).await),
        ("session.store", store(config).await),
        ("inference.engine", blocking(config, engine).await),
        ("catalog.url", catalogue(config).await),
        ("archive.url", archive(config).await),
        ("retrieval", retrieval(config).await),
    ];
    for (key, finding) in &checks {
        match finding {
            Ok(how) => print(&format!("ok    {key}: {how}\n"))?,
            Err(why) => print(&format!("FAIL  {key}: {why}\n"))?,
        }
    }
    let failed = checks.iter().filter(|(_, finding)| finding.is_err()).count();
    anyhow::ensure!(failed == 0, "{failed} of {} checks failed", checks.len());
    Ok(())
}

fn listen(config: &Config) -> Finding {
    let address = config.gateway.listen;
    TcpListener::bind(address)
        .map(|_| format!("{address} is free"))
        .map_err(|error| format!("{address} cannot be bound ({error}); free the port or choose another with --listen"))
}

fn data_dir(config: &Config) -> Finding {
    let dir = config.data_dir.display();
    let probe = config.data_dir.join(".doctor");
    std::fs::create_dir_all(&config.data_dir)
        .and_then(|()| std::fs::write(&probe, b""))
        .and_then(|()| std::fs::remove_file(&probe))
        .map(|()| format!("{dir} is writable"))
        .map_err(|error| format!("{dir} is not writable ({error}); choose another with --data-dir"))
}

async fn broker(config: &Config) -> Finding {
    let broker = runtime::broker::connect(&config.broker.url, patience(config)).await.map_err(|e| e.to_string())?;
    broker.check().await.map_err(|error| error.to_string())?;
    Ok("answers".into())
}

async fn store(config: &Config) -> Finding {
    let store = actors::store::connect(&config.session, Arc::new(System), patience(config));
    let store = store.await.map_err(|error| error.to_string())?;
    let (tenant, session) = (TenantId::parse("doctor"), SessionId::parse("doctor"));
    if let (Ok(tenant), Ok(session)) = (tenant, session) {
        store.load(&SessionKey::new(&tenant, &session)).await.map_err(|error| error.to_string())?;
    }
    Ok("answers".into())
}

fn engine(config: &Config) -> Finding {
    let engine = worker_gpu::open(&config.inference, &config.models_dir).map_err(|error| error.to_string())?;
    Ok(format!("{} is loaded", engine.model()))
}

async fn catalogue(config: &Config) -> Finding {
    let catalog = catalog::connect(&config.catalog.url, &config.data_dir).await.map_err(|error| error.to_string())?;
    catalog.check().await.map_err(|error| error.to_string())?;
    Ok("answers".into())
}

async fn archive(config: &Config) -> Finding {
    let archive = roles::archive(config).map_err(|error| format!("{error:#}"))?;
    archive.check().await.map_err(|error| error.to_string())?;
    Ok("can be read and written".into())
}

async fn retrieval(config: &Config) -> Finding {
    let stores = roles::stores(config, None).await.map_err(|error| format!("{error:#}"))?;
    let open = move |config: &Config| {
        let opened = roles::open_retrieval(config, stores, Arc::new(System));
        let checked = opened.and_then(|retrieval| Ok(retrieval.check()?));
        checked.map(|()| "the embedder and the index are open".to_string()).map_err(|error| format!("{error:#}"))
    };
    blocking(config, open).await
}

async fn blocking(config: &Config, check: impl FnOnce(&Config) -> Finding + Send + 'static) -> Finding {
    let config = config.clone();
    tokio::task::spawn_blocking(move || check(&config)).await.unwrap_or_else(|error| Err(error.to_string()))
}

fn patience(config: &Config) -> Duration {
    Duration::from_millis(config.broker.connect_timeout_ms)
}
