// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

//! Files, in blocking calls from one thread. Every round has a directory of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use file_backed::backing_store::{BackingStore, Strategy};
use file_backed::fbstore::{Codec, FBStore, PreparedPath, key_path};
use file_backed::FBPool;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::Options;
use crate::manager::wait_finished;
use crate::timing::Timing;

/// The bytes and nothing else. Memory is taken once, and not cleared.
struct RawCodec;

impl Codec<Vec<u8>> for RawCodec {
    fn encode(&self, data: &Vec<u8>, file: &mut File) -> anyhow::Result<()> {
        Ok(file.write_all(data)?)
    }

    fn decode(&self, file: &mut File) -> anyhow::Result<Vec<u8>> {
        let mut data = Vec::with_capacity(file.metadata()?.len() as usize);
        file.read_to_end(&mut data)?;
        Ok(data)
    }
}

struct Directory(PathBuf);

impl Directory {
    fn new(parent: &Path) -> Self {
        let path = parent.join(format!("peer-{}", Uuid::new_v4()));
        std::fs::create_dir(&path).unwrap();
        Directory(path)
    }

    fn prepare(&self, name: &str) -> PreparedPath {
        PreparedPath::blocking_new(self.0.join(name), vec![])
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn content(size: usize) -> Vec<u8> {
    (0..size / 4).flat_map(|i| (i as u32).wrapping_mul(2654435761).to_ne_bytes()).collect()
}

const STEPS: [&str; 6] = ["write", "persist", "register", "load", "load without eviction", "delete_persisted"];

fn run_small(runtime: &Runtime, parent: &Path, n: usize, timings: &mut [Timing; STEPS.len()], dropping: &mut Timing) {
    let directory = Directory::new(parent);
    let store = Arc::new(BackingStore::new(FBStore::new(RawCodec, directory.prepare("scratch")), runtime.handle().clone()));
    let tracked = store.blocking_track_path(directory.prepare("path"));
    let [write, persist, register, load, load_kept, delete] = timings;

    let pool = Arc::new(FBPool::new(store.clone(), 2 * n + 2));
    let items: Vec<_> = (0..n).map(|_| pool.insert(content(4096))).collect();
    let keys: Vec<Uuid> = items.iter().map(|item| item.key()).collect();
    write.take(n, || items.iter().for_each(|item| item.blocking_write_now()));
    persist.take(n, || items.iter().for_each(|item| item.blocking_persist(&tracked)));
    dropping.take(n, || {
        drop(items);
        wait_finished(runtime, &store);
    });

    let items: Vec<_> = keys.iter().map(|&key| pool.blocking_register(&tracked, key).unwrap()).collect();
    load_kept.take(n, || items.iter().for_each(|item| drop(item.blocking_load())));
    drop(items);
    wait_finished(runtime, &store);

    // From here on each load has another item leave.
    let pool: Arc<FBPool<Vec<u8>, _>> = Arc::new(FBPool::new(store.clone(), 16));
    let items: Vec<_> = register.take(n, || keys.iter().map(|&key| pool.blocking_register(&tracked, key).unwrap()).collect());
    load.take(n, || {
        items.iter().for_each(|item| drop(item.blocking_load()));
        wait_finished(runtime, &store);
    });
    delete.take(n, || keys.iter().for_each(|&key| store.blocking_delete_persisted(&tracked, key)));
    drop(items);
    wait_finished(runtime, &store);
}

fn measure_large(parent: &Path, size: usize, n: usize, rounds: usize) {
    let data = content(size);
    let (mut write, mut load) = (Timing::default(), Timing::default());
    for _ in 0..rounds {
        let directory = Directory::new(parent);
        let backing = FBStore::new(RawCodec, directory.prepare("scratch"));
        let keys: Vec<Uuid> = (0..n).map(|_| Uuid::new_v4()).collect();
        write.take(n, || keys.iter().for_each(|&key| backing.store(key, &data)));
        load.take(n, || {
            for &key in &keys {
                let loaded: Vec<u8> = backing.load(key);
                assert_eq!(loaded.len(), data.len());
            }
        });
    }

    for (name, timing) in [("write", &write), ("load", &load)] {
        println!("{name}, {} KiB, {n} keys, for each", size / 1024);
        timing.print_clock_and_cpu(1000.0, "us");
    }
}

pub fn measure(runtime: &Runtime, options: &Options) {
    let n = options.n_keys(20000, 100);
    let mut timings = STEPS.map(|_| Timing::default());
    let mut dropping = Timing::default();
    for _ in 0..options.rounds {
        run_small(runtime, &options.directory, n, &mut timings, &mut dropping);
    }
    for (name, timing) in STEPS.iter().zip(&timings) {
        println!("{name}, 4 KiB, {n} keys, for each");
        timing.print_clock_and_cpu(1000.0, "us");
    }
    println!("drop, until the scratch file is gone, {n} keys, for each");
    dropping.print_clock_and_cpu(1000.0, "us");

    if options.smoke {
        measure_large(&options.directory, 100 << 10, 3, options.rounds);
        measure_large(&options.directory, 1 << 20, 2, options.rounds);
    } else {
        measure_large(&options.directory, 1 << 20, 64, options.rounds);
        measure_large(&options.directory, 64 << 20, 4, options.rounds);
    }
}

/// Empty files: no content is looked at.
pub fn measure_track(runtime: &Runtime, options: &Options) {
    let n = options.n_keys(1000000, 600);
    let directory = Directory::new(&options.directory);
    let store = Arc::new(BackingStore::new(FBStore::new(RawCodec, directory.prepare("scratch")), runtime.handle().clone()));
    let path = directory.prepare("path");
    for _ in 0..n {
        File::create_new(key_path(&path, Uuid::new_v4())).unwrap();
    }

    let mut timing = Timing::default();
    for _ in 0..options.rounds {
        let tracked = timing.take(n, || store.blocking_track_path(path.clone()));
        assert_eq!(tracked.all_keys().len(), n);
    }
    println!("track_path, {n} keys, for each");
    timing.print_clock_and_cpu(1.0, "ns");
}
