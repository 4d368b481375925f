//! The broker's contract: one suite, every backend.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod cut;
mod dead;
mod jobs;
mod limits;
mod listening;
mod outage;
mod own;
mod refusals;
mod support;

use runtime::{broker, testing::RabbitMq};
use std::time::Duration;
use support::{Backend, show_logs};

/// Runs every case in turn on `broker` and says how long each took.
async fn contract(broker: Backend) {
    macro_rules! run {
        ($($module:ident::$case:ident)*) => {$({
            let begin = tokio::time::Instant::now();
            $module::$case(&broker).await;
            eprintln!("  {:<60} {:>6} ms", concat!(stringify!($module), "::", stringify!($case)), begin.elapsed().as_millis());
        })*};
    }
    run! {
        jobs::bytes_arrive_as_they_were_sent
        jobs::jobs_come_in_order
        jobs::prefetch_bounds_what_is_out
        jobs::an_acknowledged_job_is_gone
        jobs::a_returned_job_comes_first_as_its_next_attempt
        jobs::dropping_a_consumer_hands_its_jobs_back
        jobs::dropping_a_delivery_hands_it_back
        jobs::consumers_share_a_queue
        jobs::a_limit_holds_while_it_changes
        jobs::a_limit_that_changes_often_fails_no_job
        jobs::a_consumer_that_stops_keeps_what_is_out
        jobs::a_thousand_concurrent_jobs_all_arrive_once
        limits::a_job_that_keeps_failing_becomes_a_dead_letter
        limits::a_hopeless_job_becomes_a_dead_letter
        limits::a_job_whose_time_ran_out_becomes_a_dead_letter
        limits::a_job_in_time_is_delivered
        limits::a_full_queue_refuses_and_recovers
        limits::a_message_without_a_queue_is_unroutable
        limits::what_is_too_large_is_refused_and_the_largest_arrives
        limits::verdicts_do_not_mix
        limits::depth_counts_what_waits
        dead::every_dead_letter_tells_its_reason
        dead::to_look_at_dead_letters_moves_none
        dead::dead_letters_have_one_reader_at_a_time
        dead::what_dies_during_a_look_is_seen_at_the_next
        dead::a_dead_letter_goes_back_to_work_with_a_new_deadline
        dead::a_requeued_job_dies_again_when_its_time_runs_out
        own::a_job_reaches_the_worker_whose_queue_it_names
        own::what_a_busy_worker_does_not_take_in_time_is_anybody_s
        own::a_job_s_own_deadline_holds_in_an_own_queue
        own::a_job_that_is_sent_on_was_not_begun
        own::a_dead_worker_s_jobs_go_on_elsewhere
        own::attempts_go_on_in_the_shared_queue
        own::a_worker_that_stops_is_not_found_and_finishes_what_it_has
        listening::replies_arrive_in_order
        listening::replies_end_with_their_reader
        listening::a_reply_queue_has_one_reader
        listening::a_broadcast_reaches_every_subscriber
        listening::the_broker_answers
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    contract(Backend::memory(broker::connect("memory:", Duration::ZERO).await.unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amqp() {
    show_logs();
    let server = RabbitMq::start();
    let broker = broker::connect(&server.url(), Duration::from_secs(20)).await.unwrap();
    contract(Backend::amqp(broker, &server.url()).await).await;
    dead::a_reader_that_is_cut_off_loses_nothing(&server).await;
    cut::a_reader_learns_that_its_queue_was_lost(&server).await;
    cut::what_its_publisher_gave_up_is_not_sent(&server).await;
    cut::readiness_follows_the_broker(&server).await;
    refusals::a_wrong_password_is_named_without_being_shown(&server).await;
    refusals::a_missing_vhost_is_named(&server).await;
    refusals::a_queue_with_other_arguments_is_named(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amqp_address() {
    refusals::a_malformed_url_is_explained().await;
    refusals::nobody_listening_is_unavailable_in_time().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amqp_outage() {
    outage::everything_goes_on_after_a_crash_of_the_broker().await;
}
