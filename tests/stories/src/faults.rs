//! What lies between an operator and the API server: it counts what is written, and if asked to makes trouble, in an order that a
//! seed decides.

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use tokio::sync::{Notify, watch};
use tower::{BoxError, Layer, Service};

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// 409 in place of an answer; nothing was written.
    Conflict,
    /// 429 in place of an answer; nothing was written or read.
    TooManyRequests,
    /// 500 in place of an answer; what was asked for was written.
    FailedAfterwards,
    /// The operator ends before its request leaves.
    CrashBefore,
    /// The operator ends before it sees the answer.
    CrashAfter,
    /// 410 in place of a watch.
    Gone,
    /// A watch that breaks off in the middle.
    Dropped,
    /// A list as it was some time ago, as an API server gives it that has fallen behind.
    StaleList,
    /// The same, and no news after it until calm.
    StaysBehind,
    /// No answer, ever.
    Hangs,
}

type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// A layer around the client of an operator. Clones share what they count.
#[derive(Clone, Debug)]
pub struct Faults {
    state: Arc<Mutex<State>>,
    crash: Arc<Notify>,
    /// Counts how often it became calm.
    calm: watch::Sender<u32>,
}

#[derive(Debug)]
struct State {
    random: u64,
    armed: bool,
    writes: Vec<String>,
    happened: BTreeMap<Fault, u32>,
    /// The first list of each kind, as it came over the wire.
    lists: BTreeMap<String, Vec<Bytes>>,
    /// The kinds whose lists stay behind, by the end of their address.
    behind: Vec<&'static str>,
    /// What never gets an answer: requests that would write below this address.
    hanging: Option<String>,
}

impl Faults {
    /// Only counts.
    pub fn none() -> Self {
        Self::with(0, false)
    }

    /// Makes trouble from the beginning, in the order that `seed` decides.
    pub fn seeded(seed: u64) -> Self {
        Self::with(seed, true)
    }

    fn with(random: u64, armed: bool) -> Self {
        let state = State {
            random,
            armed,
            writes: Vec::new(),
            happened: BTreeMap::new(),
            lists: BTreeMap::new(),
            behind: Vec::new(),
            hanging: None,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            crash: Arc::default(),
            calm: watch::Sender::new(0),
        }
    }

    /// From now on nothing goes wrong.
    pub fn calm(&self) {
        let mut state = self.state();
        state.armed = false;
        state.behind.clear();
        state.hanging = None;
        drop(state);
        self.calm.send_modify(|times| *times += 1);
    }

    /// From now on the lists of these kinds (plurals in lower case) are as they were when they were first asked for after this
    /// was called the last time, and until calm there is no news after them.
    pub fn stay_behind(&self, kinds: &[&'static str]) {
        self.state().behind = kinds.to_vec();
    }

    /// Forgets the lists that were kept: the next ones are.
    pub fn keep_lists_anew(&self) {
        self.state().lists.clear();
    }

    /// From now on until calm, writes below this address, such as `/namespaces/mois/`, never get an answer.
    pub fn hang(&self, below: &str) {
        self.state().hanging = Some(below.to_owned());
    }

    /// The requests that would change something, those of leases left out, since this was last asked.
    pub fn take_writes(&self) -> Vec<String> {
        std::mem::take(&mut self.state().writes)
    }

    /// What went wrong so far, and how often.
    pub fn happened(&self) -> BTreeMap<Fault, u32> {
        self.state().happened.clone()
    }

    /// Waits until the operator is to crash.
    pub async fn crash(&self) {
        self.crash.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Decides what goes wrong with a request.
    fn decide(&self, request: &Request<Body>) -> Option<Fault> {
        let asked = Asked::of(request);
        let mut state = self.state();
        let fault = state.forced(&asked, request.uri().path());
        let fault = fault.or_else(|| if state.armed { state.choose(&asked) } else { None });
        if let Some(fault) = fault {
            *state.happened.entry(fault).or_default() += 1;
        }
        let reaches = !matches!(
            fault,
            Some(Fault::Conflict | Fault::TooManyRequests | Fault::CrashBefore | Fault::Hangs)
        );
        if asked.write && reaches {
            state
                .writes
                .push(format!("{} {}", request.method(), request.uri().path()));
        }
        fault
    }
}

/// What kind of request it is.
struct Asked {
    write: bool,
    watch: bool,
    lease: bool,
    list: Option<String>,
}

impl Asked {
    fn of(request: &Request<Body>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let lease = request.uri().path().contains("/leases");
        let list = query.contains("sendInitialEvents=true");
        Self {
            write: request.method() != Method::GET && !lease,
            watch: query.contains("watch=true"),
            lease,
            list: list.then(|| request.uri().path().to_owned()),
        }
    }
}

impl State {
    /// Splitmix64.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// What a story asked for.
    fn forced(&self, asked: &Asked, path: &str) -> Option<Fault> {
        let hangs = self.hanging.as_ref().is_some_and(|below| path.contains(below));
        if asked.write && hangs {
            return Some(Fault::Hangs);
        }
        let list = asked.list.as_ref()?;
        let behind = self.behind.iter().any(|kind| path.ends_with(kind));
        (behind && self.lists.contains_key(list)).then_some(Fault::StaysBehind)
    }

    fn choose(&mut self, asked: &Asked) -> Option<Fault> {
        let dice = self.random() % 60;
        if asked.lease {
            return None;
        }
        if let Some(list) = &asked.list
            && dice < 20
            && self.lists.contains_key(list)
        {
            return Some(Fault::StaleList);
        }
        match dice {
            0..10 if asked.watch => Some(Fault::Gone),
            10..40 if asked.watch => Some(Fault::Dropped),
            0..4 if asked.write => Some(Fault::Conflict),
            4..8 => Some(Fault::TooManyRequests),
            8..12 if asked.write => Some(Fault::FailedAfterwards),
            12..15 if asked.write => Some(Fault::CrashBefore),
            15..18 if asked.write => Some(Fault::CrashAfter),
            _ => None,
        }
    }
}

impl<S> Layer<S> for Faults {
    type Service = Faulty<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Faulty {
            faults: self.clone(),
            inner,
        }
    }
}

/// A service with [`Faults`] before it.
#[derive(Debug)]
pub struct Faulty<S> {
    faults: Faults,
    inner: S,
}

impl<S, B> Service<Request<Body>> for Faulty<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let list = Asked::of(&request).list;
        let faults = self.faults.clone();
        let fault = faults.decide(&request);
        match fault {
            Some(Fault::Conflict) => return Box::pin(async { Ok(refusal(409, "Conflict")) }),
            Some(Fault::TooManyRequests) => return Box::pin(async { Ok(refusal(429, "TooManyRequests")) }),
            Some(Fault::Gone) => return Box::pin(async { Ok(gone()) }),
            Some(Fault::StaleList) => {
                let chunks = list.and_then(|list| faults.state().lists.get(&list).cloned());
                return Box::pin(async {
                    Ok(chunked(futures::stream::iter(
                        chunks.unwrap_or_default().into_iter().map(Ok),
                    )))
                });
            }
            Some(Fault::StaysBehind) => {
                let chunks = list.and_then(|list| faults.state().lists.get(&list).cloned());
                let mut calm = faults.calm.subscribe();
                let until_calm = futures::stream::once(async move { calm.changed().await });
                let until_calm = until_calm.filter_map(|_| futures::future::ready(None));
                let old = futures::stream::iter(chunks.unwrap_or_default().into_iter().map(Ok));
                return Box::pin(async { Ok(chunked(old.chain(until_calm))) });
            }
            Some(Fault::Hangs) => return Box::pin(futures::future::pending()),
            Some(Fault::CrashBefore) => {
                faults.crash.notify_one();
                return Box::pin(futures::future::pending());
            }
            Some(Fault::CrashAfter | Fault::FailedAfterwards | Fault::Dropped) | None => {}
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let (parts, body) = answer.await?.into_parts();
            let chunks = body.into_data_stream().map(|chunk| chunk.map_err(Into::into));
            let body = match fault {
                Some(Fault::FailedAfterwards) => return Ok(refusal(500, "InternalError")),
                Some(Fault::CrashAfter) => {
                    faults.crash.notify_one();
                    return futures::future::pending().await;
                }
                Some(Fault::Dropped) => {
                    let after = usize::try_from(faults.state().random() % 8).unwrap();
                    chunked(chunks.take(after)).into_body()
                }
                _ => match list {
                    Some(list) => chunked(faults.record(list, chunks)).into_body(),
                    None => chunked(chunks).into_body(),
                },
            };
            Ok(Response::from_parts(parts, body))
        })
    }
}

impl Faults {
    /// Keeps a list as it passes, to give it again when it is old.
    fn record(
        &self,
        list: String,
        chunks: impl futures::Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
    ) -> impl futures::Stream<Item = Result<Bytes, BoxError>> + Send + 'static {
        let faults = self.clone();
        let mut kept = Some(Vec::new());
        chunks.inspect(move |chunk| {
            let (Some(all), Ok(chunk)) = (&mut kept, chunk) else {
                return;
            };
            all.push(chunk.clone());
            if all.concat().windows(END.len()).any(|part| part == END) {
                let mut state = faults.state();
                if let Some(all) = kept.take()
                    && (state.random().is_multiple_of(2) || !state.lists.contains_key(&list))
                {
                    state.lists.insert(list.clone(), all);
                }
            }
        })
    }
}

/// What the last line of a streamed list holds.
const END: &[u8] = b"k8s.io/initial-events-end";

fn chunked(chunks: impl futures::Stream<Item = Result<Bytes, BoxError>> + Send + 'static) -> Answer {
    Response::new(StreamBody::new(chunks.map(|chunk| chunk.map(Frame::data))).boxed_unsync())
}

fn refusal(code: u16, reason: &str) -> Answer {
    let mut answer = whole(&status(code, reason));
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    answer
}

/// How the API server says within a watch that it no longer knows so old a version.
fn gone() -> Answer {
    whole(&json!({"type": "ERROR", "object": status(410, "Expired")}))
}

fn status(code: u16, reason: &str) -> Value {
    let message = format!("{code} by the fault layer");
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code})
}

fn whole(body: &Value) -> Answer {
    let line = Bytes::from(format!("{body}\n"));
    chunked(futures::stream::iter([Ok(line)]))
}
