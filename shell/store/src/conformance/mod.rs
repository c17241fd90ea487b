//! What every adapter must do, as tests that any adapter runs.
//!
//! An adapter's tests hold one line, `muster_store::conformance!(Fixture)`, and a [`Fixture`]: an empty database of its
//! kind, and a way to write into it behind the port's back. Nothing here knows which database it is.

mod accounts;
mod agents;
mod changes;
mod decisions;
mod deployment;
mod impossible;
mod listing;
mod machines;
mod once;
mod operators;
mod pulse;
mod races;
mod reaper;
mod settling;
mod things;

use std::future::Future;

use muster_model::{ReplicaId, Timestamp};

use crate::{Joining, Store};

pub use accounts::*;
pub use agents::*;
pub use changes::*;
pub use deployment::*;
pub use impossible::*;
pub use listing::*;
pub use machines::*;
pub use once::*;
pub use operators::*;
pub use pulse::*;
pub use races::*;
pub use reaper::*;
pub use settling::*;

/// An empty database to test.
pub trait Fixture: Send + Sync + 'static {
    /// The adapter.
    type Store: Store;

    /// Whether there is a database of its kind. Where there is none, whoever answers says so, and the tests pass.
    fn available() -> bool {
        true
    }

    /// A new one, with a database of its own.
    fn fresh() -> impl Future<Output = Self> + Send;

    /// The store on it, which has [joined](Store::join).
    fn store(&self) -> &Self::Store;

    /// Writes a value into a column of every row of a table, past every rule. A store that keeps values and not rows
    /// has nothing to tamper with: it runs `conformance!(Fixture, values)`.
    fn tamper(
        &self,
        table: &'static str,
        column: &'static str,
        value: Odd,
    ) -> impl Future<Output = ()> + Send {
        async move { panic!("{table}.{column} is no row here: {value:?} cannot be written") }
    }
}

/// What a fixture joins with: a replica that has this number.
pub fn joining(number: u64) -> Joining {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    let now = Timestamp::from_second(1_793_534_400).expect("a time of our century");
    Joining { replica: ReplicaId::from_bytes(id), version: "1.2.3".to_owned(), now }
}

/// A value that Muster never writes where it is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Odd {
    /// Nothing.
    Null,
    /// A number.
    Number(i64),
    /// A text.
    Text(&'static str),
    /// Bytes.
    Bytes(&'static [u8]),
}

/// Makes a test of each rule for a type that is a [`Fixture`]. With `values`, those of rows are left out: they are for
/// databases, whose columns can hold what no value of the model can.
#[macro_export]
macro_rules! conformance {
    ($fixture:ty) => {
        $crate::conformance! { $fixture, values }
        $crate::conformance! { @each $fixture;
            impossible_rows_are_reported_and_never_defaulted
        }
    };
    ($fixture:ty, values) => {
        $crate::conformance! { @each $fixture;
            tenants_and_sites_read_back_as_written
            grants_read_back_as_written
            an_imported_key_is_proved_once
            machines_read_back_as_written
            keys_read_back_as_written
            keys_on_their_way_read_back_and_end_together
            holds_read_back_as_written
            holds_by_secret_are_told_apart
            credentials_read_back_as_written
            operators_and_tokens_read_back_as_written
            accounts_read_back_as_written
            memory_reads_back_as_written
            software_agents_read_back_as_written
            audit_entries_read_back_as_written
            q_48_nothing_in_an_entry_can_make_it_fail
            nothing_of_one_tenant_is_seen_in_another

            changes_and_entries_are_written_together
            a_refusal_writes_nothing_but_what_it_tells
            q_48_what_cannot_be_applied_writes_nothing_not_even_its_entry
            a_plan_writes_in_one_tenant_alone
            an_unchanged_plan_writes_nothing
            a_reader_sees_one_moment
            a_panic_in_a_decision_fails_that_decision_alone

            a_token_is_bound_once
            a_count_of_uses_only_rises
            a_hold_is_decided_once
            what_has_ended_stays_ended
            a_generation_never_falls
            what_is_not_there_is_not_changed

            one_live_machine_per_hardware
            one_record_per_key_and_one_current_key_per_machine
            codes_and_secrets_are_unique
            a_nick_has_one_holder_however_it_is_written
            what_was_freed_stays_so_and_a_version_never_falls
            a_token_that_ended_gets_no_other_secret
            many_callers_make_one_agent_of_one_nick
            q_10_a_name_has_one_operator_however_it_is_written
            what_an_operator_has_is_told_while_it_is_good
            thousands_of_tokens_end_with_their_operator
            a_second_factor_reads_back_as_far_as_it_has_come
            one_code_lets_one_in
            many_who_disable_each_other_leave_one_admin
            i_7_many_callers_spend_a_token_once
            many_callers_never_exceed_a_cap
            i_1_many_callers_make_one_machine_of_one_hardware

            an_account_is_never_older
            an_account_goes_over_to_another_machine
            one_account_of_a_name_until_it_is_removed
            accounts_that_are_due_are_those_that_wait_longest
            accounts_are_listed_by_machine_and_standing

            pages_of_machines_neither_skip_nor_repeat
            machines_are_filtered_by_site_and_state
            machines_are_found_by_their_words
            machines_are_found_by_what_their_fields_say
            a_search_follows_a_change_of_name
            machine_counts_follow_every_change
            a_machine_row_tells_its_site_presence_credential_and_contest
            presence_notes_tell_the_newest
            pages_of_the_other_lists_neither_skip_nor_repeat
            software_agents_are_listed_while_they_hold_a_nick_and_are_not_retired
            open_holds_are_those_that_wait
            the_audit_log_reads_both_ways
            the_audit_log_is_searched_by_what_is_in_it

            the_deployment_is_founded_once_and_remembers_its_incarnations
            an_entry_is_found_at_its_place_alone
            the_authority_only_goes_on_and_whoever_is_behind_is_counted
            pruning_takes_what_is_old_and_nothing_else

            a_slot_is_what_each_server_noted_last_and_all_of_them_together
            stretches_are_as_long_as_they_are_asked_for_and_bounded
            what_ends_is_told_by_day_and_kind_while_it_counts
            versions_are_those_that_active_machines_say

            when_the_fleet_was_watched_is_kept_and_bounded
            the_reaper_stops_once_and_goes_on_once
            who_is_quiet_is_found_among_those_who_may_be_taken
        }
    };
    (@each $fixture:ty; $($rule:ident)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $rule() {
            if !<$fixture as $crate::conformance::Fixture>::available() {
                return;
            }
            let fixture = <$fixture as $crate::conformance::Fixture>::fresh().await;
            $crate::conformance::$rule(&fixture).await;
        }
    )+};
}
