//! What is said to an agent, as it understands it: problem documents, strangers, frames.

use muster_agent_core::{Answer, Event, Standing, Verdict};
use muster_wire::channel::ServerFrame;

use super::call::Failure;
use super::links::Which;
use super::plant::Plant;
use super::world::World;

impl World {
    /// What a problem document says, as the agent reads it.
    pub(super) fn verdict(&mut self, failure: &Failure) -> Verdict {
        let body = serde_json::to_vec(&failure.problem).unwrap_or_default();
        let answer = Answer {
            status: failure.problem.status,
            content_type: Some(muster_wire::problem::MEDIA_TYPE),
            retry_after: failure.problem.retry_after,
            body: &body,
            authenticated: true,
        };
        answer.classify()
    }

    /// What a stranger's answer means: a portal that stands between the machine and its server.
    pub(super) fn foreign(&mut self) -> Verdict {
        const WORDS: [(u16, &str, &str); 7] = [
            (200, "text/html", "<html>Welcome</html>"),
            (302, "text/html", ""),
            (401, "text/html", "<html>Log in</html>"),
            (404, "text/html", "<html>Not found</html>"),
            (404, "application/json", "{}"),
            (502, "text/html", "<html>Bad gateway</html>"),
            (
                403,
                muster_wire::problem::MEDIA_TYPE,
                r#"{"type":"x","title":"T","status":403,"code":"unknown_machine","action":"stop","help":"H"}"#,
            ),
        ];
        let (status, content_type, body) = WORDS[self.hub.lock().dice.usize(0..WORDS.len())];
        let answer = Answer {
            status,
            content_type: Some(content_type),
            retry_after: None,
            body: body.as_bytes(),
            authenticated: self.plant() == Some(Plant::StrangerBelieved),
        };
        answer.classify()
    }

    /// A frame arrives on the channel.
    pub(super) fn heard(&mut self, host: usize, frame: ServerFrame) {
        match frame {
            ServerFrame::Hello { machine, state, server_time } => {
                let Some(process) = &mut self.hosts[host].process else { return };
                process.first_channel = false;
                let Some(enrolled) = process.enrolled() else { return };
                if enrolled.identity.machine != machine {
                    return self.taken_for(host, Which::Present, &machine);
                }
                self.learn(host, server_time);
                let standing = Standing::from_wire(&state);
                self.step(host, Event::ChannelOpened { standing });
            }
            // Every world has the authority that it began with, and its machines name no version.
            ServerFrame::Trust { .. } => {}
            ServerFrame::Order { id, order, .. } => self.step(host, Event::Ordered { id, order }),
        }
    }
}
