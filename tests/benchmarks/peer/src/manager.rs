// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

//! The manager alone, over a backing that does nothing.

use std::sync::{Arc, Mutex};

use file_backed::backing_store::{BackingStore, BackingStoreT, Strategy, TrackedPath};
use file_backed::convenience::post_save_cleanup;
use file_backed::{Fb, FBPool};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::Options;
use crate::timing::Timing;

/// Finds the keys that it was given at its path, once.
struct NullBacking(Mutex<Vec<Uuid>>);

impl BackingStoreT for NullBacking {
    type PersistPath = ();

    fn delete(&self, _key: Uuid) {}
    fn delete_persisted(&self, _path: &(), _key: Uuid) {}
    fn register(&self, _path: &(), _key: Uuid) {}
    fn persist(&self, _path: &(), _key: Uuid) {}
    fn sync_persisted(&self, _path: &()) {}

    fn sanitize_path(&self, _path: &()) -> impl IntoIterator<Item = Uuid> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Strategy<()> for NullBacking {
    fn store(&self, _key: Uuid, _data: &()) {}
    fn load(&self, _key: Uuid) {}
}

type Store = Arc<BackingStore<NullBacking>>;

fn new_store(runtime: &Runtime, n_keys: usize) -> (Store, Arc<TrackedPath<()>>) {
    let keys = (0..n_keys).map(|_| Uuid::new_v4()).collect();
    let store = Arc::new(BackingStore::new(NullBacking(Mutex::new(keys)), runtime.handle().clone()));
    let tracked = Arc::new(store.blocking_track_path(()));
    (store, tracked)
}

pub fn wait_finished<B: BackingStoreT>(runtime: &Runtime, store: &BackingStore<B>) {
    runtime.block_on(store.finished());
    store.task_tracker().reopen();
}

/// Not random, but as far from the order of insertion.
fn shuffled(n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    let mut state = n as u64;
    for i in (1..n).rev() {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        order.swap(i, (state >> 33) as usize % (i + 1));
    }
    order
}

pub fn measure(runtime: &Runtime, options: &Options) {
    let n = options.n_keys(1000000, 100);
    let (store, tracked) = new_store(runtime, n);
    let pool = Arc::new(FBPool::new(store.clone(), 2 * n + 2));
    let items: Vec<Fb<(), NullBacking>> = (0..n).map(|_| pool.insert(())).collect();
    let keys: Vec<Uuid> = items.iter().map(|item| item.key()).collect();
    items.iter().for_each(|item| item.blocking_write_now());

    let orders = [("peer, in the order of insertion", (0..n).collect()), ("peer, shuffled", shuffled(n))];
    let mut timings = [Timing::default(), Timing::default()];
    for _ in 0..options.rounds {
        for ((_, order), timing) in orders.iter().zip(&mut timings) {
            timing.take(n, || {
                for &i in order {
                    items[i].blocking_persist(&tracked);
                    store.blocking_delete_persisted(&tracked, keys[i]);
                }
            });
        }
    }

    println!("persist and delete_persisted, the pair, {n} keys");
    for ((name, _), timing) in orders.iter().zip(&timings) {
        timing.print_cpu(name, "ns");
    }
    drop(items);
    wait_finished(runtime, &store);
}

pub fn measure_bulk(runtime: &Runtime, options: &Options) {
    let n = options.n_keys(1000000, 600);
    let mut timings = [Timing::default(), Timing::default(), Timing::default()];
    for _ in 0..options.rounds {
        let (store, tracked) = new_store(runtime, n);
        let keys = tracked.all_keys();
        let tokens = timings[0].take(n, || store.blocking_register_all(&tracked));
        timings[1].take(n, || {
            drop(tokens);
            wait_finished(runtime, &store);
        });
        // The clean-up after a save; as many at a time as our stores have threads.
        timings[2].take(n, || post_save_cleanup(&store, &tracked, 4, &keys));
    }

    for (name, timing) in ["register_all", "dropping them all", "delete_persisted_keys"].iter().zip(&timings) {
        println!("{name}, a key, {n} keys");
        timing.print_cpu("peer", "ns");
    }
}
