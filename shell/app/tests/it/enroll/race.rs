//! Many at once.

use std::sync::Arc;

use muster_app::Error;
use muster_testkit::world::{Device, World};
use muster_wire::enroll::EnrollAnswer;
use tokio::task::JoinSet;

use crate::support::used;

async fn all_at_once(
    world: &Arc<World>,
    requests: Vec<muster_wire::enroll::EnrollRequest>,
) -> Vec<Result<EnrollAnswer, Error>> {
    let mut asking = JoinSet::new();
    for request in requests {
        let world = Arc::clone(world);
        asking.spawn(async move { world.ask(request).await });
    }
    asking.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn q_05_a_thousand_redemptions_of_one_token_bind_one_key() {
    let world = Arc::new(World::new().await);
    let token = world.one_time().await;
    let requests = (0..1000).map(|n| Device::new(&format!("web-{n}")).by_token(&token)).collect();
    let answers = all_at_once(&world, requests).await;
    let mut refused = 0;
    for answer in &answers {
        match answer {
            Ok(EnrollAnswer::Enrolled(_)) => {}
            Err(Error::Refused(refusal)) => {
                assert_eq!(refusal.code(), "not_entitled");
                refused += 1;
            }
            other => panic!("neither in nor refused: {other:?}"),
        }
    }
    assert_eq!(refused, 999);
    assert_eq!(world.machines().await.len(), 1);
    assert_eq!(used(&world).await, [("spent".to_owned(), Some(1))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_that_asks_a_hundred_times_at_once_is_one_machine_with_one_certificate() {
    let world = Arc::new(World::new().await);
    let token = world.one_time().await;
    let device = Device::new("web-1");
    let answers = all_at_once(&world, (0..100).map(|_| device.by_token(&token)).collect()).await;
    let mut certificates: Vec<_> = answers
        .into_iter()
        .map(|answer| muster_testkit::world::enrolled(answer.expect("let in")).credential.certificate)
        .collect();
    certificates.dedup();
    assert_eq!(certificates.len(), 1);
    assert_eq!(world.machines().await.len(), 1);
    assert_eq!(used(&world).await, [("spent".to_owned(), Some(1))]);
}

/// D3.5 of the fault matrix.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_first_enrollments_of_one_hardware_are_one_machine_and_one_hold_whichever_comes_first() {
    let world = Arc::new(World::new().await);
    for round in 0..25 {
        let one = Device::new(&format!("web-{round}"));
        let two = one.reinstalled();
        let requests = vec![one.by_token(&world.one_time().await), two.by_token(&world.one_time().await)];
        let answers = all_at_once(&world, requests).await;
        let held = answers.iter().filter(|answer| matches!(answer, Ok(EnrollAnswer::Held(_)))).count();
        let enrolled =
            answers.iter().filter(|answer| matches!(answer, Ok(EnrollAnswer::Enrolled(_)))).count();
        assert_eq!((enrolled, held), (1, 1), "round {round}: {answers:?}");
        assert_eq!(world.machines().await.len(), round + 1);
    }
}
