//! Quotas of one node by a clock that the tests move, and of several nodes on a real Redis.

mod contract;
mod nodes;
mod one;
