//! Closed loops against MongoDB through its driver, and against Eve over HTTP.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use hdrhistogram::Histogram;
use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use rand::RngExt;
use serde_json::{Value, json};

const COLLECTION: &str = "rideshare_bench";
const DATABASE: &str = "rideshare_bench";
/// As many as `rideshare bench` reads from, and as large.
const DOCUMENTS: u64 = 10_000;
const TEXT_BYTES: usize = 100;
const WARM_UP: Duration = Duration::from_secs(1);
/// Documents that are written together before they are read.
const PORTION: u64 = 500;

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum System {
    /// `insert_one` and `find_one`.
    Driver,
    /// REST over MongoDB, in Python.
    Eve,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Work {
    Write,
    Read,
}

#[derive(Args)]
pub(crate) struct Options {
    system: System,
    url: String,
    work: Work,
    connections: u32,
    seconds: u64,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<Value> {
    let target = Arc::new(Target::prepare(&options).await?);
    let begin = Instant::now() + WARM_UP;
    let end = begin + Duration::from_secs(options.seconds);
    let mut loops = Vec::new();
    for _ in 0..options.connections {
        let connection = target.connection()?;
        loops.push(tokio::spawn(connection.run(options.work, begin, end)));
    }
    let mut all = Histogram::<u64>::new(3)?;
    let mut failed = 0;
    for one in loops {
        let (latencies, failures) = one.await??;
        all.add(latencies)?;
        failed += failures;
    }
    target.clean_up().await?;
    let ms = |quantile| all.value_at_quantile(quantile) as f64 / 1_000.0;
    let line = json!({
        "answered": all.len(),
        "per_second": all.len() as f64 / options.seconds as f64,
        "p50_ms": ms(0.5), "p99_ms": ms(0.99), "max_ms": ms(1.0),
    });
    let name = if options.work == Work::Write { "writes" } else { "reads" };
    Ok(json!({ "requests": { name: line }, "failures": { "all": failed } }))
}

enum Target {
    Driver(mongodb::Collection<Document>),
    Eve { client: reqwest::Client, url: String },
}

impl Target {
    async fn prepare(options: &Options) -> anyhow::Result<Self> {
        let target = match options.system {
            System::Driver => {
                let mut driver = ClientOptions::parse(&options.url).await?;
                driver.max_pool_size = Some(options.connections);
                let client = mongodb::Client::with_options(driver)?;
                Self::Driver(client.database(DATABASE).collection(COLLECTION))
            }
            System::Eve => {
                Self::Eve { client: client()?, url: format!("{}/{COLLECTION}", options.url) }
            }
        };
        target.clean_up().await?;
        if options.work == Work::Read {
            target.fill().await?;
        }
        Ok(target)
    }

    async fn fill(&self) -> anyhow::Result<()> {
        for first in (0..DOCUMENTS).step_by(PORTION as usize) {
            let numbers = first..(first + PORTION).min(DOCUMENTS);
            match self {
                Self::Driver(collection) => {
                    let documents =
                        numbers.map(|id| doc! { "_id": id.to_string(), "text": text() });
                    collection.insert_many(documents).await?;
                }
                Self::Eve { client, url } => {
                    let body: Vec<_> = numbers
                        .map(|id| json!({ "_id": id.to_string(), "text": text() }))
                        .collect();
                    let answer = client.post(url).json(&body).send().await?;
                    ensure!(answer.status().is_success(), "{}", answer.text().await?);
                }
            }
        }
        Ok(())
    }

    async fn clean_up(&self) -> anyhow::Result<()> {
        match self {
            Self::Driver(collection) => collection.drop().await?,
            Self::Eve { client, url } => {
                let answer = client.delete(url).send().await.context("Eve is not there")?;
                ensure!(answer.status().is_success(), "{}", answer.text().await?);
            }
        }
        Ok(())
    }

    /// As `rideshare bench` has them: one connection, one request at a time.
    fn connection(&self) -> anyhow::Result<Connection> {
        Ok(match self {
            Self::Driver(collection) => Connection(Self::Driver(collection.clone())),
            Self::Eve { url, .. } => Connection(Self::Eve { client: client()?, url: url.clone() }),
        })
    }
}

struct Connection(Target);

impl Connection {
    async fn run(
        self,
        work: Work,
        begin: Instant,
        end: Instant,
    ) -> anyhow::Result<(Histogram<u64>, u64)> {
        let mut latencies = Histogram::new(3)?;
        let mut failures = 0;
        loop {
            let sent = Instant::now();
            if sent >= end {
                return Ok((latencies, failures));
            }
            let id = rand::rng().random_range(0..DOCUMENTS);
            let outcome = match work {
                Work::Write => self.write().await,
                Work::Read => self.read(id).await,
            };
            if sent < begin {
                outcome?;
            } else if outcome.is_ok() {
                latencies.record(u64::try_from(sent.elapsed().as_micros())?)?;
            } else {
                failures += 1;
            }
        }
    }

    async fn write(&self) -> anyhow::Result<()> {
        let id = uuid::Uuid::now_v7().to_string();
        match &self.0 {
            Target::Driver(collection) => {
                collection.insert_one(doc! { "_id": id, "text": text() }).await?;
            }
            Target::Eve { client, url } => {
                let body = json!({ "_id": id, "text": text() });
                let answer = client.post(url).json(&body).send().await?;
                ensure!(answer.status().is_success(), "{}", answer.status());
                answer.bytes().await?;
            }
        }
        Ok(())
    }

    async fn read(&self, id: u64) -> anyhow::Result<()> {
        match &self.0 {
            Target::Driver(collection) => {
                let found = collection.find_one(doc! { "_id": id.to_string() }).await?;
                ensure!(found.is_some(), "{id} is not there");
            }
            Target::Eve { client, url } => {
                let answer = client.get(format!("{url}/{id}")).send().await?;
                ensure!(answer.status().is_success(), "{}", answer.status());
                answer.bytes().await?;
            }
        }
        Ok(())
    }
}

pub(crate) fn client() -> anyhow::Result<reqwest::Client> {
    rideshare::adapters::http_client::client(Path::new(""))
}

pub(crate) fn text() -> String {
    "x".repeat(TEXT_BYTES)
}
