// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

//! What the crate `file_backed` makes of a directory.
//!
//!     interop write PERSISTED SCRATCH N [IGNORED...]   persists N blobs more, prints "KEY NUMBER" for each
//!     interop read PERSISTED SCRATCH [IGNORED...]      takes such lines, compares, prints what it has found
//!
//! IGNORED are names of files that are not blobs and that the crate is to leave alone.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use file_backed::fbstore::{Codec, FBStore, PreparedPath};
use file_backed::{BackingStore, FBPool};
use tokio::runtime::Handle;
use uuid::Uuid;

/// The bytes of a blob and nothing else, as in backingstore.
struct RawCodec;

impl Codec<Vec<u8>> for RawCodec {
    fn encode(&self, data: &Vec<u8>, file: &mut File) -> anyhow::Result<()> {
        Ok(file.write_all(data)?)
    }

    fn decode(&self, file: &mut File) -> anyhow::Result<Vec<u8>> {
        let mut data = Vec::new();
        file.read_to_end(&mut data)?;
        Ok(data)
    }
}

/// test-interop.py and test-interop.c make this content, too.
fn content(number: usize) -> Vec<u8> {
    const SIZES: [usize; 6] = [0, 1, 100, 4096, 5000, 70000];
    (0..SIZES[number % SIZES.len()]).map(|i| (number * 31 + i * 7 + i / 251) as u8).collect()
}

async fn write(store: Store, persisted: PreparedPath, n: usize) -> anyhow::Result<()> {
    let pool = Arc::new(FBPool::new(store.clone(), 4));
    let tracked = Arc::new(store.track_path(persisted).await?);
    for number in 0..n {
        let item = pool.insert(content(number));
        item.spawn_persist(&tracked).await.await?;
        println!("{} {number}", item.key());
    }
    store.sync(&tracked).await?;
    Ok(())
}

async fn read(store: Store, persisted: PreparedPath) -> anyhow::Result<()> {
    let pool: Arc<FBPool<Vec<u8>, _>> = Arc::new(FBPool::new(store.clone(), 4));
    let tracked = Arc::new(store.track_path(persisted).await?);
    let mut keys: HashSet<Uuid> = tracked.all_keys().into_iter().collect();
    for line in std::io::read_to_string(std::io::stdin())?.lines() {
        let (key, number) = line.split_once(' ').context("a line is KEY NUMBER")?;
        let key: Uuid = key.parse()?;
        let item = pool.register(&tracked, key).await.with_context(|| format!("{key} is not there"))?;
        ensure!(*item.load().await == content(number.parse()?), "{key} has another content");
        keys.remove(&key);
        println!("{key}");
    }
    ensure!(keys.is_empty(), "these are there as well: {keys:?}");
    Ok(())
}

type Store = Arc<BackingStore<FBStore<RawCodec>>>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<&'static str> = std::env::args().skip(1).map(|argument| &*argument.leak()).collect();
    let [mode, persisted, scratch, rest @ ..] = arguments.as_slice() else {
        bail!("too few arguments");
    };
    let ignored = &rest[rest.len().min((*mode == "write") as usize)..];
    let persisted = PreparedPath::new(PathBuf::from(persisted), ignored.to_vec()).await;
    let scratch = PreparedPath::new(PathBuf::from(scratch), vec![]).await;
    let store = Arc::new(BackingStore::new(FBStore::new(RawCodec, scratch), Handle::current()));
    match *mode {
        "write" => write(store.clone(), persisted, rest.first().context("how many?")?.parse()?).await?,
        "read" => read(store.clone(), persisted).await?,
        _ => bail!("{mode}: no such thing"),
    }
    store.finished().await;
    Ok(())
}
