//! An inference server. The customer's words say what the answer is:
//! `stream` two events, the second once the test steps, `hang` one event and then nothing, `silent` nothing at all, `die` and
//! `tear` the connection's end after an event and within one, `html` and `torn` what is no answer, `cut` the connection's end within an
//! answer, a number an error with this status; anything else is answered at once.

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    http::StatusCode,
    rt::System,
    web::{self, Bytes, Data},
};
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use tokio::sync::Semaphore;

/// The key that the server wants.
pub const KEY: &str = "server-key";
/// A streamed event.
pub const EVENT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
const END: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";

/// One request as it came.
#[derive(Clone)]
pub struct Seen {
    pub body: Bytes,
    pub headers: Vec<(String, String)>,
    pub peer: SocketAddr,
}

#[derive(Clone, Default)]
struct State {
    seen: Arc<Mutex<Vec<Seen>>>,
    running: Arc<AtomicUsize>,
    steps: Arc<Mutex<Option<Arc<Semaphore>>>>,
}

/// A running server; it ends with the test's process.
pub struct Upstream {
    pub address: SocketAddr,
    state: State,
    steps: Arc<Semaphore>,
}

impl Upstream {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, state, steps) = (listener.local_addr().unwrap(), State::default(), Arc::new(Semaphore::new(0)));
        *state.steps.lock().unwrap() = Some(steps.clone());
        let shared = state.clone();
        thread::spawn(move || {
            System::new().block_on(async move {
                let app = move || {
                    let state = Data::new(shared.clone());
                    App::new().app_data(state).route("/v1/chat/completions", web::post().to(answer))
                };
                let server = HttpServer::new(app).workers(1).h1_allow_half_closed(false).disable_signals();
                server.listen(listener).unwrap().run().await.unwrap();
            });
        });
        Self { address, state, steps }
    }

    /// Requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// Answers that are under way.
    pub fn running(&self) -> usize {
        self.state.running.load(Ordering::SeqCst)
    }

    /// Lets a stream go on.
    pub fn step(&self) {
        self.steps.add_permits(1);
    }
}

/// Counts an answer for as long as somebody waits for it.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(state: &State) -> Self {
        state.running.fetch_add(1, Ordering::SeqCst);
        Self(state.running.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn answer(request: HttpRequest, body: Bytes, state: Data<State>) -> HttpResponse {
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_string())).collect();
    let peer = request.peer_addr().unwrap();
    state.seen.lock().unwrap().push(Seen { body: body.clone(), headers, peer });
    let running = Running::new(&state);
    let asked: Value = serde_json::from_slice(&body).unwrap();
    match asked["messages"][0]["content"].as_str().unwrap() {
        "silent" => {
            std::future::pending::<()>().await;
            drop(running);
            HttpResponse::Ok().finish()
        }
        "stream" => {
            let steps = state.steps.lock().unwrap().clone().unwrap();
            let rest = async move {
                steps.acquire().await.unwrap().forget();
                Ok(Bytes::from_static(END.as_bytes()))
            };
            events(running, first(EVENT).chain(stream::once(rest)))
        }
        "hang" => events(running, first(EVENT).chain(stream::pending())),
        "die" => events(running, first(EVENT).chain(break_off())),
        "tear" => events(running, first(&EVENT[..20]).chain(break_off())),
        "html" => HttpResponse::Ok().content_type("text/html").body("<p>hello</p>"),
        "torn" => HttpResponse::Ok().content_type("application/json").body("{\"choices\": ["),
        "cut" => {
            HttpResponse::Ok().content_type("application/json").streaming(first("{\"choices\": [").chain(break_off()))
        }
        number if number.parse::<u16>().is_ok() => {
            let status = StatusCode::from_u16(number.parse().unwrap()).unwrap();
            let object = json!({"error": {"message": "no", "type": "x", "code": "y", "param": null}});
            HttpResponse::build(status).insert_header(("retry-after", "7")).json(object)
        }
        _ => HttpResponse::Ok().json(whole()),
    }
}

/// The whole answer.
pub fn whole() -> Value {
    let choice = json!({"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"});
    let usage = json!({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7});
    json!({"id": "chatcmpl-x", "object": "chat.completion", "choices": [choice], "usage": usage})
}

type Piece = Result<Bytes, io::Error>;

fn first(text: &'static str) -> impl Stream<Item = Piece> {
    stream::once(async move { Ok(Bytes::from_static(text.as_bytes())) })
}

/// Some time later the connection ends.
fn break_off() -> impl Stream<Item = Piece> {
    stream::once(async {
        actix_web::rt::time::sleep(std::time::Duration::from_millis(50)).await;
        Err(io::ErrorKind::ConnectionReset.into())
    })
}

fn events(running: Running, pieces: impl Stream<Item = Piece> + 'static) -> HttpResponse {
    let pieces = pieces.map(move |piece| {
        let _ = &running;
        piece
    });
    HttpResponse::Ok().content_type("text/event-stream").streaming(pieces)
}
