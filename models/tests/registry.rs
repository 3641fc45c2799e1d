//! The registry of open connections between threads that open, close, stop and abort.

use tornadose_models::registry;

#[test]
fn a_connection_that_opens_during_a_stop_is_refused_or_ended() {
    registry::a_connection_that_opens_during_a_stop_is_refused_or_ended();
}

#[test]
fn the_last_control_of_a_connection_is_ended_and_aborted() {
    registry::the_last_control_of_a_connection_is_ended_and_aborted();
}

#[test]
fn a_connection_is_ended_by_its_handler_and_by_its_server() {
    registry::a_connection_is_ended_by_its_handler_and_by_its_server();
}

#[test]
fn the_limit_of_connections_holds() {
    registry::the_limit_of_connections_holds();
}

#[test]
fn a_stop_sees_the_last_connection_close() {
    registry::a_stop_sees_the_last_connection_close();
}
