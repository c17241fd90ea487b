use std::collections::BTreeMap;

use muster_model::{Actor, SecretId};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::*;
use crate::tests::fixtures::*;

fn kind(n: u8) -> CredentialKind {
    CredentialKind::Refresh { secret: SecretId([n; 10]), hash: hash(n) }
}

fn keyless() -> Machine {
    Machine { key: None, ..machine(1) }
}

fn token(n: u8, used: bool) -> Credential {
    let state = CredentialState::Issued(Minted::Refresh { used_at: used.then(|| ago(HOUR)) });
    Credential { kind: kind(n), state, ..bearer(n, &keyless()) }
}

fn ended_token(n: u8, reason: EndReason) -> Credential {
    Credential { state: CredentialState::Ended { at: ago(HOUR), reason }, ..token(n, true) }
}

fn facts(shown: Credential, open: &[Credential]) -> Facts {
    Facts { token: Some(shown), machine: Some(keyless()), open: open.to_vec() }
}

fn by_anybody() -> Context {
    context(now(), Actor::Anonymous)
}

fn ask(n: u8, facts: Facts) -> Result<Plan<Outcome>, Refusal> {
    let shown = Presented { hash: hash(n), successor: kind(n + 1), id: credential_id(n + 1) };
    refresh(facts, &shown, &by_anybody(), &Terms::default())
}

#[test]
fn a_token_gets_its_successor_and_stays_until_that_is_used() {
    let plan = ask(3, facts(token(3, false), &[token(3, false)])).expect("it may refresh");
    let Outcome::Refreshed { token: next, .. } = plan.outcome() else { panic!("{plan:?}") };
    assert_eq!((&next.kind, is_unused(next)), (&kind(4), true));
    assert_eq!(next.not_after.duration_since(now()), Terms::default().refresh_life);
    assert_eq!(rows(&plan), ["credential issued", "credential reserved"]);
    assert_eq!(ended(&plan), []);
    assert_eq!(told(&plan), ("credential.refresh", "rotated"));
}

#[test]
fn a_lost_answer_is_given_again_with_the_same_token() {
    let plan = ask(3, facts(token(3, true), &[token(4, false), token(3, true)])).expect("it may refresh");
    let Outcome::Refreshed { token: next, .. } = plan.outcome() else { panic!("{plan:?}") };
    assert_eq!(**next, token(4, false));
    assert!(plan.changes().is_empty());
    assert_eq!(told(&plan), ("credential.refresh", "again"), "what is issued beside it leaves an entry");
}

#[test]
fn a_token_that_was_followed_by_one_in_use_ends_the_family_and_raises_an_alarm() {
    let old = ended_token(3, EndReason::Renewed);
    let plan = ask(3, facts(old.clone(), &[token(5, false), token(4, true)])).expect("it is told");
    assert_eq!(plan.outcome(), &Outcome::Copied);
    let ids = [credential_id(5), credential_id(4)];
    assert_eq!(ended(&plan), ids.map(|id| (id, EndReason::Revoked)));
    assert_eq!(told(&plan), ("credential.copied", "alarm"));
    assert_eq!(ask(3, facts(old, &[])), Err(Refusal::Revoked), "an ended family ends once");
}

#[test]
fn a_token_that_is_shown_at_another_door_is_a_copy_there_too_once_its_successor_is_in_use() {
    let shown = |facts: Facts| shown_elsewhere(&facts, &hash(1), &by_anybody());
    let facts_of = |open: &[Credential]| facts(ended_token(1, EndReason::Renewed), open);
    let plan = shown(facts_of(&[token(2, true)])).expect("it is told");
    assert_eq!(told(&plan), ("credential.copied", "alarm"));
    assert_eq!(ended(&plan), [(token(2, true).id, EndReason::Revoked)]);
    assert_eq!(shown(facts_of(&[])), Err(Refusal::Revoked), "once");
    for harmless in [facts(token(1, true), &[token(1, true)]), Facts::default()] {
        assert!(shown(harmless).expect("nothing to tell").is_unchanged());
    }
    let other = shown_elsewhere(&facts_of(&[token(2, true)]), &hash(9), &by_anybody());
    assert!(other.expect("nothing to tell").is_unchanged(), "who has the public half alone");
}

#[test]
fn a_token_of_an_older_family_is_refused_and_tells_nothing_of_the_present_one() {
    let old = Credential { generation: keyless().generation - 1, ..ended_token(3, EndReason::Renewed) };
    assert_eq!(ask(3, facts(old, &[token(9, true)])), Err(Refusal::CredentialExpired));
    let old = ended_token(3, EndReason::Superseded);
    assert_eq!(ask(3, facts(old, &[token(9, true)])), Err(Refusal::Revoked));
}

#[test]
fn whoever_knows_the_public_half_alone_changes_nothing() {
    let facts = facts(ended_token(3, EndReason::Renewed), &[token(4, true)]);
    let shown = Presented { hash: hash(7), successor: kind(8), id: credential_id(8) };
    let answer = refresh(facts, &shown, &by_anybody(), &Terms::default());
    assert_eq!(answer, Err(Refusal::NotAuthenticated { cause: "secret_wrong" }));
}

#[test]
fn another_kind_of_credential_with_the_same_hash_is_no_refresh_token() {
    let answer = ask(3, facts(bearer(3, &keyless()), &[]));
    assert_eq!(answer, Err(Refusal::NotAuthenticated { cause: "secret_wrong" }));
}

#[test]
fn a_machine_that_ended_is_told_so_by_its_own_token_and_one_that_is_paused_waits() {
    let of = |state| Facts { machine: Some(Machine { state, ..keyless() }), ..facts(token(3, false), &[]) };
    let revoked = suspended(SuspendCause::Revoked(None));
    assert_eq!(ask(3, of(retired())), Err(Refusal::NotFound { what: "machine" }));
    assert_eq!(ask(3, of(suspended(SuspendCause::Operator(None)))), Err(Refusal::MachineSuspended));
    assert_eq!(ask(3, of(revoked)), Err(Refusal::Revoked));
    let late = Credential { not_after: now(), ..token(3, false) };
    assert_eq!(ask(3, facts(late, &[])), Err(Refusal::CredentialExpired));
}

#[test]
fn the_first_use_ends_the_one_before_it_and_no_later_use_writes() {
    let context = by_anybody();
    let plan = first_use(&facts(token(4, false), &[token(4, false), token(3, true)]), &context);
    let plan = plan.expect("it counts");
    assert_eq!(ended(&plan), [(credential_id(3), EndReason::Renewed)]);
    assert_eq!(told(&plan), ("credential.use", "first_use"));
    assert!(
        first_use(&facts(token(4, true), &[token(4, true)]), &context).expect("it counts").is_unchanged()
    );
}

#[test]
fn a_token_that_is_used_while_its_successor_waits_does_not_end_that() {
    let facts = facts(token(3, true), &[token(4, false), token(3, true)]);
    assert!(first_use(&facts, &by_anybody()).expect("it counts").is_unchanged());
}

/// A family, whoever has its tokens, and what the deployment keeps of it.
#[derive(Default)]
struct World {
    rows: BTreeMap<u8, Credential>,
    /// The newest token that was used by anybody.
    used: u8,
    over: bool,
}

#[derive(Debug, Clone, Copy)]
enum Op {
    /// Somebody refreshes; the answer may be lost.
    Refresh { who: usize, lost: bool },
    /// Somebody beats by what was issued beside its token.
    Beat { who: usize },
    /// The second one copies what the first one has.
    Copy,
}

impl World {
    fn new() -> Self {
        Self { rows: BTreeMap::from([(1, Self::row(1))]), ..Self::default() }
    }

    /// Identifiers are in no order.
    fn row(n: u8) -> Credential {
        Credential { id: credential_id(n.wrapping_mul(37)), ..token(n, false) }
    }

    fn facts(&self, n: u8) -> Facts {
        let mut open: Vec<Credential> = self.rows.values().filter(|row| row.is_open()).cloned().collect();
        open.sort_by_key(|row| std::cmp::Reverse(row.id));
        Facts { token: self.rows.get(&n).cloned(), machine: Some(keyless()), open }
    }

    fn apply<O>(&mut self, plan: &Plan<O>) {
        for change in plan.changes() {
            match change.clone() {
                Change::Credential(CredentialChange::Reserve(row)) => {
                    let CredentialKind::Refresh { secret, .. } = row.kind else { panic!("{row:?}") };
                    assert!(self.rows.insert(secret.0[0], row).is_none());
                }
                Change::Credential(CredentialChange::State { credential, state }) => {
                    let row = self.rows.values_mut().find(|row| row.id == credential).expect("a row");
                    assert!(row.is_open(), "what ended changed");
                    row.state = state;
                }
                other => panic!("{other:?}"),
            }
        }
        let open = self.rows.values().filter(|row| row.is_open()).count();
        assert!(open <= 2, "{open} tokens are open");
    }

    fn refresh(&mut self, n: u8) -> Option<u8> {
        let shown = Presented { hash: hash(n), successor: kind(n + 1), id: Self::row(n + 1).id };
        let plan = refresh(self.facts(n), &shown, &by_anybody(), &Terms::default()).ok()?;
        self.apply(&plan);
        match plan.outcome() {
            Outcome::Refreshed { token, .. } => {
                assert_eq!(token.kind, kind(n + 1), "one successor");
                assert!(!self.over && self.used <= n, "a token that was followed by one in use refreshed");
                self.used = n;
                Some(n + 1)
            }
            Outcome::Copied => {
                assert!(n < self.used, "the family of the newest token ended");
                self.over = true;
                None
            }
        }
    }

    fn beat(&mut self, n: u8) -> bool {
        let Ok(plan) = first_use(&self.facts(n), &by_anybody()) else { return false };
        self.apply(&plan);
        assert!(!self.over && self.used <= n, "what was issued beside a followed token counts");
        self.used = self.used.max(n);
        true
    }

    /// Whether everybody was let in.
    fn step(&mut self, op: Op, held: &mut [u8; 2]) -> bool {
        match op {
            Op::Refresh { who, lost } => match self.refresh(held[who]) {
                Some(next) if !lost => held[who] = next,
                Some(_) => {}
                None => return false,
            },
            Op::Beat { who } => return self.beat(held[who]),
            Op::Copy => held[1] = held[0],
        }
        true
    }
}

fn always(op: impl Strategy<Value = Op>, check: impl Fn(Vec<Op>)) {
    let config = Config { rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&proptest::collection::vec(op, 1..60), |ops| {
        check(ops);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

fn by(who: impl Strategy<Value = usize> + Clone) -> impl Strategy<Value = Op> {
    let refresh = (who.clone(), any::<bool>()).prop_map(|(who, lost)| Op::Refresh { who, lost });
    prop_oneof![3 => refresh, 2 => who.prop_map(|who| Op::Beat { who })]
}

#[test]
fn a_machine_that_is_alone_is_never_locked_out_whatever_answers_are_lost() {
    always(by(Just(0)), |ops| {
        let (mut world, mut held) = (World::new(), [1, 1]);
        for op in ops {
            assert!(world.step(op, &mut held), "{op:?}");
        }
        assert!(!world.over);
    });
}

#[test]
fn two_with_one_token_never_both_go_on_and_the_one_behind_ends_the_family() {
    always(prop_oneof![8 => by(0..2usize), 1 => Just(Op::Copy)], |ops| {
        let (mut world, mut held) = (World::new(), [1, 1]);
        for op in ops {
            world.step(op, &mut held);
        }
        let behind = held.into_iter().min().filter(|least| *least < world.used);
        if let Some(least) = behind {
            assert_eq!(world.refresh(least), None);
            assert!(world.over, "nobody noticed");
        }
        if world.over {
            assert!(held.into_iter().all(|n| !world.beat(n) && world.refresh(n).is_none()));
        }
    });
}
