//! Servers that speak TLS only and ask who is there, each started by its test.

mod broker;
mod certificates;
mod coordination;
mod databases;
mod whole;
