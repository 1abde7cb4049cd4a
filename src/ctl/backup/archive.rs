//! The files of a backup: in a directory, or in an object store.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Place;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::crypto::ring;

use super::manifest::{Kind, MANIFEST, Manifest, Part};

const S3: &str = "s3://";
/// A part ends with the line that makes it larger than this, compressed.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// The longest line: a record of many large documents.
const LINE_BYTES: u64 = 256 * 1024 * 1024;

/// Where a backup lies.
pub(super) struct Archive {
    store: Arc<dyn ObjectStore>,
    prefix: Place,
}

impl Archive {
    /// A directory, or `s3://BUCKET/PREFIX`; who asks there, and where it is, say the variables
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT` and the like.
    ///
    /// # Errors
    /// When there can be nothing there.
    pub(super) fn open(location: &str, make: bool) -> anyhow::Result<Self> {
        if let Some(rest) = location.strip_prefix(S3) {
            // The client asks for one that the whole process has in common.
            let _ = ring::default_provider().install_default();
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            ensure!(!bucket.is_empty(), "{location} names no bucket");
            let store = AmazonS3Builder::from_env().with_bucket_name(bucket).build()?;
            return Ok(Self { store: Arc::new(store), prefix: Place::parse(prefix)? });
        }
        let directory = Path::new(location);
        if make {
            std::fs::create_dir_all(directory).with_context(|| location.to_owned())?;
        }
        let store = LocalFileSystem::new_with_prefix(directory)
            .with_context(|| format!("there is no directory {location}"))?;
        Ok(Self { store: Arc::new(store.with_fsync(true)), prefix: Place::default() })
    }

    fn place(&self, name: &str) -> Place {
        self.prefix.clone().join(name)
    }

    async fn get(&self, name: &str) -> anyhow::Result<Option<Bytes>> {
        match self.store.get(&self.place(name)).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {name}")),
        }
    }

    async fn put(&self, name: &str, bytes: Bytes) -> anyhow::Result<()> {
        let put = self.store.put(&self.place(name), bytes.into()).await;
        put.map(drop).with_context(|| format!("writing {name}"))
    }

    /// What lies here; nothing where no backup does.
    pub(super) async fn manifest(&self) -> anyhow::Result<Option<Manifest>> {
        self.get(MANIFEST).await?.map(|text| Manifest::parse(&text)).transpose()
    }

    /// Makes a backup of the parts: from now on they count.
    pub(super) async fn put_manifest(&self, manifest: &Manifest) -> anyhow::Result<()> {
        self.put(MANIFEST, serde_json::to_vec_pretty(manifest)?.into()).await
    }

    /// A part, if it is what the manifest says.
    pub(super) async fn part(&self, part: &Part) -> anyhow::Result<Lines> {
        let Some(bytes) = self.get(&part.name).await? else { bail!("{} is missing", part.name) };
        ensure!(
            bytes.len() as u64 == part.bytes && checksum(&bytes) == part.sha256,
            "{} is damaged: it is not what the manifest says",
            part.name
        );
        let decoder = GzDecoder::new(std::io::Cursor::new(bytes));
        Ok(Lines { reader: BufReader::new(decoder), name: part.name.clone(), number: 0 })
    }
}

fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The lines of one part.
pub(super) struct Lines {
    reader: BufReader<GzDecoder<std::io::Cursor<Bytes>>>,
    name: String,
    number: u64,
}

impl Lines {
    /// The next; nothing after the last.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> anyhow::Result<Option<T>> {
        self.number += 1;
        let place = || format!("{} line {}", self.name, self.number);
        let mut line = Vec::new();
        let mut limited = (&mut self.reader).take(LINE_BYTES);
        if limited.read_until(b'\n', &mut line).with_context(place)? == 0 {
            return Ok(None);
        }
        serde_json::from_slice(&line).map(Some).with_context(place)
    }
}

/// Parts of one kind, as many as it takes.
pub(super) struct Writer<'a> {
    archive: &'a Archive,
    kind: Kind,
    encoder: GzEncoder<Vec<u8>>,
    lines: u64,
    parts: Vec<Part>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(archive: &'a Archive, kind: Kind) -> Self {
        Self { archive, kind, encoder: encoder(), lines: 0, parts: Vec::new() }
    }

    /// Adds a line. `name` is what the part is called if this one is its last.
    pub(super) async fn add(
        &mut self,
        line: &impl Serialize,
        name: impl FnOnce(usize) -> String,
    ) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.encoder.write_all(&text)?;
        self.lines += 1;
        if self.encoder.get_ref().len() >= PART_BYTES { self.end_part(name).await } else { Ok(()) }
    }

    async fn end_part(&mut self, name: impl FnOnce(usize) -> String) -> anyhow::Result<()> {
        let bytes = Bytes::from(std::mem::replace(&mut self.encoder, encoder()).finish()?);
        let name = name(self.parts.len());
        let part = Part {
            name,
            kind: self.kind,
            lines: std::mem::take(&mut self.lines),
            bytes: bytes.len() as u64,
            sha256: checksum(&bytes),
        };
        self.archive.put(&part.name, bytes).await?;
        self.parts.push(part);
        Ok(())
    }

    /// Writes out what is left.
    pub(super) async fn finish(
        mut self,
        name: impl FnOnce(usize) -> String,
    ) -> anyhow::Result<Vec<Part>> {
        if self.lines > 0 {
            self.end_part(name).await?;
        }
        Ok(self.parts)
    }
}

fn encoder() -> GzEncoder<Vec<u8>> {
    GzEncoder::new(Vec::new(), Compression::default())
}
