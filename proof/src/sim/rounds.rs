//! What one event leaves behind, taken up before the next.

use std::sync::PoisonError;

use muster_wire::channel::ServerFrame;

use super::happening::Happening;
use super::hub::SECOND;
use super::plant::Plant;
use super::world::World;

impl World {
    /// Takes up everything that the last event left behind.
    pub(super) fn settle_down(&mut self) {
        for round in 0.. {
            assert!(round < 1000, "what one event leaves behind comes to an end");
            let waits = std::mem::take(&mut self.hub.lock().waits);
            let given = std::mem::take(&mut *self.given.lock().unwrap_or_else(PoisonError::into_inner));
            let dying: Vec<usize> = {
                let inside = self.hub.lock();
                (0..inside.seats.len()).filter(|seat| inside.seats[*seat].dying).collect()
            };
            let stirred = std::mem::take(&mut self.hub.lock().stirred);
            if std::mem::take(&mut self.hub.lock().failing_over) {
                let after = self.between(SECOND, 40 * SECOND);
                self.after(after, Happening::Whole(super::weather::Trouble::Store));
            }
            if waits.is_empty() && given.is_empty() && dying.is_empty() && !stirred {
                break;
            }
            for wait in waits {
                let (seat, incarnation, go) = (wait.seat, wait.incarnation, wait.go);
                self.after(wait.after, Happening::Turn { seat, incarnation, go });
            }
            given.into_iter().for_each(|(request, seat, reply)| self.given(request, seat, reply));
            dying.into_iter().for_each(|seat| self.kill(seat));
            if stirred {
                self.durable_keys_count();
                (0..self.replicas.len()).for_each(|seat| self.stir(seat));
            }
        }
        self.pass_orders();
    }

    /// Passes on what servers put into channels.
    fn pass_orders(&mut self) {
        let mut passed = Vec::new();
        let mut over = Vec::new();
        let lost = self.plant() == Some(Plant::OrdersLost);
        for (number, held) in &mut self.channels {
            let Some(channel) = &mut held.channel else { continue };
            loop {
                match channel.orders.try_recv() {
                    Ok(_) if lost => {}
                    Ok(order) => {
                        held.orders += 1;
                        let frame =
                            ServerFrame::Order { id: held.orders, order: order.order, reason: order.reason };
                        passed.push((*number, frame));
                    }
                    Err(tokio::sync::mpsc::error::TryRecvError::Disconnected) => {
                        over.push(*number);
                        break;
                    }
                    Err(tokio::sync::mpsc::error::TryRecvError::Empty) => break,
                }
            }
        }
        for (channel, frame) in passed {
            let now = self.now();
            let earliest = now + self.between(5, 200);
            let Some(held) = self.channels.get_mut(&channel) else { continue };
            held.clear_at = earliest.max(held.clear_at + 1);
            let after = held.clear_at - now;
            self.after(after, Happening::Frame { channel, frame });
        }
        for channel in over {
            let after = self.between(5, 200);
            self.after(after, Happening::ChannelLost { channel });
            self.gone(channel);
        }
    }
}
