//! Runs the server until the process is to stop, then lets streams finish.

use crate::{
    Config, Tenants,
    admission::Admission,
    observe::observe,
    ops::Ops,
    passthrough::{Target, Upstreams},
    routes,
};
use actix_web::{App, HttpServer, dev::Server, middleware::from_fn, web};
use catalog::Archive;
use runtime::Context;
use std::{io, net::TcpListener, sync::Arc, time::Duration};

/// The part's name on `/readyz`.
const PART: &str = "gateway";
/// An idle connection is closed after this time.
const IDLE: Duration = Duration::from_secs(75);
/// A client that was refused early gets this long to notice before its connection is closed.
const LINGER: Duration = Duration::from_secs(2);
/// What the system holds for a reader that is behind, in bytes; the rest stays in the turn's log, once for all readers.
const UNSENT: usize = 64 << 10;

/// What every handler shares.
pub(crate) struct Gateway {
    pub(crate) config: Config,
    pub(crate) registry: actors::Registry,
    pub(crate) tenants: Tenants,
    pub(crate) admission: Admission,
    /// Where documents' originals are put.
    pub(crate) archive: Arc<dyn Archive>,
    pub(crate) context: Context,
}

/// Serves the whole interface on `listener` until `context.stop`; then it accepts no more, and returns when the streams
/// have finished or `drain_ms` has passed.
///
/// `metrics` renders the text of `/metrics`. Fails when the listener cannot be used.
pub async fn run(
    config: Config,
    listener: TcpListener,
    registry: actors::Registry,
    tenants: Tenants,
    metrics: impl Fn() -> String + Send + Sync + 'static,
    archive: Arc<dyn Archive>,
    context: Context,
) -> io::Result<()> {
    let admission = Admission::open(&config, registry.config(), &tenants, &context).await;
    let limits = admission.clone();
    let ops = Ops { metrics: Arc::new(metrics), health: context.health.clone(), limits: Some(limits.clone()) };
    let gateway = Gateway { config, registry, tenants, admission, archive, context: context.clone() };
    let server = interface(gateway, ops, listener)?;
    context.health.ready(PART);
    let served = server.await;
    limits.close().await;
    served
}

// Not part of `run`: the builder cannot be sent between threads, and so must not live across its await.
fn interface(gateway: Gateway, ops: Ops, listener: TcpListener) -> io::Result<Server> {
    let (config, context) = (gateway.config.clone(), gateway.context.clone());
    let targets = config.upstreams.iter().map(Target::new).collect::<io::Result<Vec<_>>>()?;
    let (gateway, ops) = (web::Data::new(gateway), web::Data::new(ops));
    bound_unread(&listener, config.slow_reader());
    let app = move || {
        App::new()
            .app_data(gateway.clone())
            .app_data(ops.clone())
            // Made anew on each thread, whose connections stay there.
            .app_data(web::Data::new(Upstreams::new(&targets)))
            .configure(routes::all)
            .default_service(web::to(routes::not_found))
            .wrap(from_fn(observe))
    };
    let server = HttpServer::new(app)
        .workers(config.workers)
        .max_connections(config.max_connections.div_ceil(config.workers))
        .keep_alive(IDLE)
        .client_request_timeout(config.read_timeout())
        .client_disconnect_timeout(LINGER)
        // A client that closes its side has left: its request and its turn are dropped at once.
        .h1_allow_half_closed(false)
        .tcp_nodelay(true)
        .shutdown_timeout(config.drain_ms.saturating_sub(config.drain_notice_ms).div_ceil(1_000))
        .shutdown_signal(stop(context, Duration::from_millis(config.drain_notice_ms)))
        .listen(listener)?;
    Ok(server.run())
}

/// Serves `/livez`, `/readyz` and `/metrics` only, for roles without an interface, until `context.stop`.
///
/// Fails when the listener cannot be used.
pub async fn run_ops(
    listener: TcpListener,
    metrics: impl Fn() -> String + Send + Sync + 'static,
    context: Context,
) -> io::Result<()> {
    let ops = Ops { metrics: Arc::new(metrics), health: context.health.clone(), limits: None };
    health(ops, listener, context)?.await
}

fn health(ops: Ops, listener: TcpListener, context: Context) -> io::Result<Server> {
    let ops = web::Data::new(ops);
    let app =
        move || App::new().app_data(ops.clone()).configure(routes::ops).default_service(web::to(routes::not_found));
    let server = HttpServer::new(app)
        .workers(1)
        .h1_allow_half_closed(false)
        .shutdown_timeout(1)
        .shutdown_signal(context.stop.cancelled_owned())
        .listen(listener)?;
    Ok(server.run())
}

/// Connections inherit the options from their listener. A reader that takes nothing is cut by the system, which alone
/// knows what it took: only Linux can.
fn bound_unread(listener: &TcpListener, patience: Duration) {
    let socket = socket2::SockRef::from(listener);
    let bounded = socket.set_send_buffer_size(UNSENT);
    #[cfg(target_os = "linux")]
    let bounded = bounded.and_then(|()| socket.set_tcp_user_timeout(Some(patience)));
    #[cfg(not(target_os = "linux"))]
    let _ = patience;
    if let Err(error) = bounded {
        tracing::warn!(%error, "clients that stop reading are noticed late");
    }
}

async fn stop(context: Context, notice: Duration) {
    context.stop.cancelled().await;
    context.health.unready(PART, "stopping");
    tokio::time::sleep(notice).await;
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_connection_does_not_wait_for_ever_for_its_reader() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let patience = Config::default().slow_reader();
        bound_unread(&listener, patience);
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (connection, _) = listener.accept().unwrap();
        assert_eq!(socket2::SockRef::from(&connection).tcp_user_timeout().unwrap(), Some(patience));
    }
}
