//! Tokens, login links and sessions.

use muster_app::{Action, Caller, Origin};
use muster_store::Store;
use muster_wire::ListQuery;
use muster_wire::access::Login;

use super::{Player, pick};
use crate::op::Kind;
use crate::plain::Answer;

impl<S: Store> Player<S> {
    pub(super) async fn accessing(&mut self, kind: Kind, [a, b, _]: [u8; 3]) -> Answer {
        match kind {
            Kind::RevokeToken => match pick(&self.memory.tokens, a) {
                Some(id) => Answer::of(&self.app.revoke_token(*id, &self.admin()).await),
                None => Answer::Nothing,
            },
            Kind::UseToken => self.use_token(a).await,
            Kind::LoginLink => {
                let result = self.app.login_link(self.founded.admin).await;
                let link = result.as_ref().ok().and_then(|link| link.rsplit_once('#'));
                self.memory.links.extend(link.map(|(_, secret)| secret.to_owned()));
                Answer::of(&result)
            }
            Kind::Login => self.login(a, b).await,
            _ => match pick(&self.memory.secrets, a) {
                Some(secret) => Answer::of(&self.app.logout(secret, &self.admin()).await),
                None => Answer::Nothing,
            },
        }
    }

    /// By a link, or by what is none.
    async fn login(&mut self, number: u8, how: u8) -> Answer {
        let Some(link) = pick(&self.memory.links, number) else { return Answer::Nothing };
        let login = if how.is_multiple_of(9) { "mst_log_nothing".to_owned() } else { link.clone() };
        let result = self.app.login(&Login { login }, &self.stranger(how)).await;
        let result = result.map(|(secret, life)| {
            self.memory.secrets.push(secret.clone());
            (secret, life.as_secs())
        });
        Answer::of(&result)
    }

    /// Looks by a token, as far as it may.
    async fn use_token(&self, number: u8) -> Answer {
        let Some(secret) = pick(&self.memory.secrets, number) else { return Answer::Nothing };
        let caller: Caller = match self.app.by_secret(secret).await {
            Ok(caller) => caller,
            Err(error) => return Answer::error(&error),
        };
        let permitted = Action::ALL.map(|action| action.permit(&caller).is_ok());
        let origin = Origin { caller, source: None };
        match self.app.tokens(&ListQuery::default(), &origin).await {
            Ok(page) => Answer::done(&(permitted, page)),
            Err(error) => Answer::error(&error),
        }
    }
}
