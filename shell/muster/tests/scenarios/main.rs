//! The real binary, doing what people do with it: one module for each story, numbered steps at its head.
//!
//! Every scenario starts servers and agents of its own, in directories of its own, on ports the system picks, and ends
//! them by their process id. Nothing is faked but what the story is about.

mod a_day_in_a_minute;
mod adopted_client;
mod audit;
mod bad_input;
mod browser;
mod ca_rollover;
mod callers;
mod clone;
mod command_line;
mod damaged_files;
mod disk_full;
mod doctor;
mod first_five_minutes;
mod foreign_answers;
mod guruconnect;
mod killed_server;
mod leaked_site_key;
mod looks;
mod moving_database;
mod nothing_shown;
mod own_certificate;
mod people;
mod proofs;
mod provision;
mod real_clients;
mod replicas_basics;
mod replicas_database;
mod replicas_killed;
mod replicas_orders;
mod replicas_presence;
mod request_and_approval;
mod restored;
mod revoked_machine;
mod rotation;
mod scuttlebot;
mod second_machine;
mod secrets;
mod silent;
mod studio_worker;
mod support;
mod wrenn;
