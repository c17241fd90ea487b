//! A replica: the use cases on a thread of their own making, which is this one. Its tasks run until each of them waits for
//! its turn at the store; a crash drops them all where they stand.

use std::future::Future;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use muster_app::{App, Mark, StoreError};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::call::{self, Reply};
use super::happening::Happening;
use super::hub::{MINUTE, Millis, SECOND};
use super::plant::Plant;
use super::store::SeatStore;
use super::world::World;

/// A server looks at the store this often.
const LOOK_EVERY: Millis = 2 * SECOND;

/// One replica.
#[derive(Default)]
pub(super) struct Replica {
    running: Option<Running>,
    /// What it keeps beside the store between two starts.
    mark: Arc<std::sync::Mutex<Option<Mark>>>,
    looked_at: Millis,
    look_due: bool,
}

struct Running {
    runtime: Runtime,
    app: App<SeatStore>,
}

/// The value of a future that needs nothing but one look.
pub(super) fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

impl Replica {
    /// Its use cases.
    pub(super) fn app(&self) -> App<SeatStore> {
        self.running.as_ref().expect("asked of one that runs").app.clone()
    }

    pub(super) fn runs(&self) -> bool {
        self.running.is_some()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(running) = &self.running {
            drop(running.runtime.spawn(task));
        }
    }

    /// Starts what is mostly done at once: only what waits becomes a task.
    fn begin(&self, task: impl Future<Output = ()> + Send + 'static) {
        let Some(running) = &self.running else { return };
        let mut task = Box::pin(task);
        let waits = {
            let _inside = running.runtime.enter();
            task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
        };
        if waits {
            drop(running.runtime.spawn(task));
            self.drive();
        }
    }

    /// Runs until every task waits.
    fn drive(&self) {
        let Some(running) = &self.running else { return };
        running.runtime.block_on(async {
            // What one task ends wakes another in the same round; a chain is no longer than this.
            for _ in 0..6 {
                tokio::task::yield_now().await;
            }
        });
    }
}

impl World {
    /// Runs what an operator does while nothing can fail.
    pub(super) fn made<T: Send + 'static>(
        &mut self,
        future: impl Future<Output = Result<T, muster_app::Error>>,
    ) -> T {
        let running = self.replicas[0].running.as_ref().expect("it runs");
        let hub = self.hub.clone();
        let made = running.runtime.block_on(async {
            let mut future = std::pin::pin!(future);
            loop {
                let waits = std::mem::take(&mut hub.lock().waits);
                for wait in waits {
                    if wait.go.send(()).is_err() {
                        continue;
                    }
                }
                tokio::select! {
                    biased;
                    made = &mut future => return made,
                    () = tokio::task::yield_now() => {}
                }
            }
        });
        made.expect("nothing fails")
    }

    pub(super) fn start_replica(&mut self, seat: usize) {
        if self.replicas[seat].runs() {
            return;
        }
        let incarnation = {
            let mut inside = self.hub.lock();
            let at = &mut inside.seats[seat];
            at.incarnation += 1;
            (at.alive, at.dying) = (true, false);
            at.serving.clear();
            at.incarnation
        };
        let runtime = Builder::new_current_thread().build().expect("a runtime without drivers");
        let app = App::new(self.parts(seat, incarnation));
        let mark = *self.replicas[seat].mark.lock().unwrap_or_else(PoisonError::into_inner);
        // It answers nobody before it has seen the store.
        let seen = at_once(app.look(mark.as_ref()));
        match seen {
            Some(Ok(seen)) => {
                let mark = &self.replicas[seat].mark;
                *mark.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
            }
            Some(Err(_)) | None => {
                self.hub.lock().seats[seat].alive = false;
                return self.after(10 * SECOND, Happening::StartReplica(seat));
            }
        }
        self.replicas[seat].running = Some(Running { runtime, app });
        self.replicas[seat].looked_at = self.now();
        self.tell(|_| format!("replica {seat} starts"));
        self.stir(seat);
    }

    /// A replica dies: its tasks end where they are, its connections break.
    pub(super) fn kill(&mut self, seat: usize) {
        self.replicas[seat].running = None;
        {
            let mut inside = self.hub.lock();
            let at = &mut inside.seats[seat];
            (at.alive, at.dying) = (false, false);
            at.signals.clear();
            at.serving.clear();
        }
        self.tell(|_| format!("replica {seat} dies"));
        self.break_channels(seat);
        let after = self.between(SECOND, 2 * MINUTE);
        self.after(after, Happening::StartReplica(seat));
    }

    /// A store operation has its turn.
    pub(super) fn turn(&mut self, seat: usize, incarnation: u32, go: oneshot::Sender<()>) {
        if self.hub.lock().seats[seat].incarnation == incarnation && go.send(()).is_ok() {
            self.replicas[seat].drive();
        }
    }

    /// Has a replica serve a request.
    pub(super) fn serve(&mut self, seat: usize, request: u64) {
        let Some(asked) = self.requests.get(&request) else { return };
        let (call, kind) = (asked.call.clone(), asked.kind);
        let origin = self.origin_of(request);
        let (app, given, plant) = (self.replicas[seat].app(), Arc::clone(&self.given), self.plant());
        self.hub.lock().seats[seat].serving.insert(request, kind);
        self.replicas[seat].spawn(async move {
            let reply = call::serve(app, call, origin, plant).await;
            given.lock().unwrap_or_else(PoisonError::into_inner).push((request, seat, reply));
        });
        self.replicas[seat].drive();
    }

    /// Has a replica look at the store soon.
    pub(super) fn stir(&mut self, seat: usize) {
        if !self.replicas[seat].look_due {
            self.replicas[seat].look_due = true;
            let after = self.between(SECOND / 10, LOOK_EVERY);
            self.after(after, Happening::Look(seat));
        }
    }

    /// Its hour has come.
    pub(super) fn look_now(&mut self, seat: usize) {
        self.replicas[seat].look_due = false;
        self.look(seat);
    }

    /// What a server does every few seconds. While nothing happens there is nothing to see, so it is done when something
    /// has happened, and before a request that comes after a long silence.
    pub(super) fn look(&mut self, seat: usize) {
        if !self.replicas[seat].runs() {
            return;
        }
        let app = self.replicas[seat].app();
        let kept = Arc::clone(&self.replicas[seat].mark);
        let (reached, plant) = (!self.is_cut(seat), self.plant());
        self.replicas[seat].begin(async move {
            // What fails is done again the next time.
            drop(looked(&app, &kept, plant).await);
        });
        // Where it was not reached: it is stirred once the way is free again, and looks before it serves anybody.
        if reached {
            self.replicas[seat].looked_at = self.now();
        }
    }

    fn is_cut(&self, seat: usize) -> bool {
        let inside = self.hub.lock();
        inside.seats[seat].cut || inside.condition != super::hub::Condition::Well
    }

    /// Before a request that comes after a long silence: the looks that were left out.
    pub(super) fn catch_up(&mut self, seat: usize) {
        if self.now() - self.replicas[seat].looked_at > 2 * LOOK_EVERY {
            self.look(seat);
        }
    }

    /// Has a replica do something that nobody waits for.
    pub(super) fn aside(&mut self, seat: usize, task: impl Future<Output = ()> + Send + 'static) {
        self.replicas[seat].spawn(task);
        self.replicas[seat].drive();
    }
}

/// One round of what a server does every few seconds.
async fn looked(
    app: &App<SeatStore>,
    kept: &std::sync::Mutex<Option<Mark>>,
    plant: Option<Plant>,
) -> Result<(), StoreError> {
    let mark = *kept.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = app.look(mark.as_ref()).await?;
    *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    app.doubt().await?;
    app.keep_alive().await?;
    if plant != Some(Plant::NothingHeeded) {
        app.heed().await?;
    }
    app.flush_presence().await;
    app.flush_refusals().await;
    Ok(())
}

/// Whether a reply is a channel, which is held on.
pub(super) fn is_channel(reply: &Reply) -> bool {
    matches!(reply, Reply::Channel(..))
}
