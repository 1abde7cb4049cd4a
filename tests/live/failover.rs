//! The whole system as processes on the real servers: what clients notice of a fault, and what is
//! left of their data afterwards.

mod by_hand;
mod freezes;
mod joining;
mod kills;
mod lost_log;
mod orchestrators;
mod outages;
mod poison;
mod renewal;
mod restarts;
mod start_order;
mod switchovers;

use crate::verdict;
