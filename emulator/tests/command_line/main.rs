//! The built program as a user meets it: exit code, stdout and stderr; one file a command. No virtual machine runs here.

mod doctor;
mod documented;
mod env;
mod harness;
mod help;
mod hostile;
mod hub;
mod identity;
mod images;
mod instances;
mod libraries;
mod logs;
mod output;
mod places;
mod published;
mod pull;
mod pull_faults;
mod records;
mod reset;
mod rotate;
mod run;
mod signals;
mod status;
mod stop;
mod variables;
mod wait;
