//! The parts that a write passes, each alone, so that it shows where its time goes.

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context;
use clap::Args;
use rideshare::adapters::mongo::{MongoSettings, MongoStore, remove_database};
use rideshare::domain::log::{Change, Record};
use rideshare::domain::message::{decode, encode};
use rideshare::ports::store::Store;

use crate::broker;
use crate::load::{client, text};
use crate::measure::{Load, print_head};
use crate::work::{entries, history, insert, planned, record};

const DATABASE: &str = "rideshare_components";
/// How many are under way at a time, or stand in a batch.
const AT_A_TIME: [u64; 2] = [1, 64];

#[derive(Args)]
pub(crate) struct Options {
    /// A broker, as `amqp://`.
    rabbitmq: String,
    /// A database server, as `mongodb://`.
    mongodb: String,
}

/// Prints a table.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let settings = broker::settings(&options.rabbitmq);
    print_head();
    for count in AT_A_TIME {
        http(count).await?;
        broker::requests(&settings, count).await?;
        planning(count).await;
        records(count).await;
        broker::log(&settings, count).await?;
        apply(&options.mongodb, count).await?;
    }
    Ok(())
}

/// A server that answers at once, and its client, on one thread each.
async fn http(count: u64) -> anyhow::Result<()> {
    let app = || App::new().default_service(web::to(answer));
    let server = HttpServer::new(app).workers(1).disable_signals().bind(("127.0.0.1", 0))?;
    let port = server.addrs().first().context("a bound server has an address")?.port();
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    let (url, http) = (format!("http://127.0.0.1:{port}"), client()?);
    let round = async |_| {
        let sent = http.post(&url).body(text()).send().await;
        sent.expect("the server is there").bytes().await.expect("the answer is whole");
    };
    Load::side_by_side(count).measure("HTTP alone", round).await;
    handle.stop(false).await;
    Ok(())
}

async fn answer(body: web::Bytes) -> HttpResponse {
    HttpResponse::Ok().body(body)
}

async fn planning(count: u64) {
    let requests: Vec<_> = (0..count).map(insert).collect();
    let requests: Vec<_> = requests.iter().collect();
    let round = async |_| drop(planned(&requests));
    Load::batch_by_batch(count).measure("Plan", round).await;
}

async fn records(count: u64) {
    let record = record(0, entries(0, count));
    let round = async |_| {
        let read: Record = decode(&encode(&record)).expect("it is what was written");
        drop(read);
    };
    Load::batch_by_batch(count).measure("Record to bytes and back", round).await;
}

async fn apply(url: &str, count: u64) -> anyhow::Result<()> {
    let settings = MongoSettings::new(url, DATABASE);
    remove_database(&settings).await?;
    let store = MongoStore::connect(settings.clone()).await?;
    let round = async |round| {
        let entries = entries(round, count).into_iter();
        let changes: Vec<Change> = entries.flat_map(|entry| entry.changes).collect();
        store.apply(&changes, &history(round)).await.expect("the database is there");
    };
    Load::batch_by_batch(count).measure("Apply to MongoDB", round).await;
    drop(store);
    remove_database(&settings).await?;
    Ok(())
}
