//! The mailbox under loom.

use tornadose_models::mailbox;

#[test]
fn every_message_is_read_once() {
    mailbox::every_message_is_read_once();
}

#[test]
fn a_second_message_before_the_first_is_taken_is_not_lost() {
    mailbox::a_second_message_before_the_first_is_taken_is_not_lost();
}

#[test]
fn a_retracted_message_is_read_from_the_log() {
    mailbox::a_retracted_message_is_read_from_the_log();
}

#[test]
fn a_new_generation_loses_nothing() {
    mailbox::a_new_generation_loses_nothing();
}

#[test]
fn a_reader_sees_its_end() {
    mailbox::a_reader_sees_its_end();
}

#[test]
fn every_wake_source_is_polled_after_it_woke() {
    mailbox::every_wake_source_is_polled_after_it_woke();
}
