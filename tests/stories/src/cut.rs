//! A way to a PostgreSQL that breaks after a number of statements, before the last one arrives or before its answer does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A way that breaks.
#[derive(Debug)]
pub struct Cut {
    /// Where it listens.
    pub port: u16,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// How many statements still pass.
    left: AtomicI64,
    /// Whether the last one arrives, and its answer does not.
    arrives: AtomicBool,
    broken: Notify,
}

impl Cut {
    /// A way to the server at a port of this machine that does not break yet.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let state = Arc::new(State {
            left: AtomicI64::new(i64::MAX),
            arrives: AtomicBool::new(false),
            broken: Notify::new(),
        });
        let cut = Self {
            port: listener.local_addr().unwrap().port(),
            state: Arc::clone(&state),
        };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if let Ok(server) = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await {
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    let swallow = Arc::new(AtomicBool::new(false));
                    tokio::spawn(ask(from_client, to_server, Arc::clone(&state), Arc::clone(&swallow)));
                    tokio::spawn(answer(from_server, to_client, Arc::clone(&state), swallow));
                }
            }
        });
        cut
    }

    /// It breaks after so many statements. `arrives`: the last one arrives, and its answer does not.
    pub fn after(&self, statements: i64, arrives: bool) {
        self.state.arrives.store(arrives, Ordering::SeqCst);
        self.state.left.store(statements, Ordering::SeqCst);
    }

    /// It breaks no more.
    pub fn heal(&self) {
        self.state.left.store(i64::MAX, Ordering::SeqCst);
    }

    /// Waits until it breaks.
    pub async fn broken(&self) {
        self.state.broken.notified().await;
    }
}

/// Passes on what the client asks, message by message.
async fn ask(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<State>, swallow: Arc<AtomicBool>) {
    // The first message has no letter.
    let mut letter = None;
    while let Ok(length) = from.read_u32().await {
        let mut body = vec![0; usize::try_from(length).unwrap().saturating_sub(4)];
        if from.read_exact(&mut body).await.is_err() {
            return;
        }
        let statement = matches!(letter, Some(b'Q' | b'E'));
        let last = statement && state.left.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && !state.arrives.load(Ordering::SeqCst) {
            state.broken.notify_one();
            return;
        }
        if last {
            swallow.store(true, Ordering::SeqCst);
        }
        let mut message: Vec<u8> = letter.into_iter().collect();
        message.extend(length.to_be_bytes());
        message.extend(body);
        if to.write_all(&message).await.is_err() {
            return;
        }
        letter = from.read_u8().await.ok();
        if letter.is_none() {
            return;
        }
    }
}

/// Passes on what the server answers, until an answer is to be lost.
async fn answer(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<State>, swallow: Arc<AtomicBool>) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if swallow.load(Ordering::SeqCst) {
            state.broken.notify_one();
            return;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
