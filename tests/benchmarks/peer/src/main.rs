// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

//! The crate `file_backed` at the work of our benchmarks. Figures are printed as ours
//! are with --figures: tests/benchmarks/run puts them side by side.
//!
//!     peer files|track [--directory DIRECTORY] [--keys N] [--rounds N] [--smoke]
//!     peer manager|bulk [--keys N] [--rounds N] [--smoke]

mod files;
mod manager;
mod timing;

use std::path::PathBuf;

use anyhow::{Context, bail};

pub struct Options {
    pub directory: PathBuf,
    pub keys: Option<usize>,
    pub rounds: usize,
    pub smoke: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Options { directory: std::env::temp_dir(), keys: None, rounds: 7, smoke: false };
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{name} needs a value"));
            match &*name {
                "--directory" => options.directory = value()?.into(),
                "--keys" => options.keys = Some(value()?.parse()?),
                "--rounds" => options.rounds = value()?.parse()?,
                "--smoke" => options.smoke = true,
                _ => bail!("{name}: no such option"),
            }
        }
        Ok(options)
    }

    pub fn n_keys(&self, usual: usize, smoke: usize) -> usize {
        self.keys.unwrap_or(if self.smoke { smoke } else { usual })
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().context("what is to be measured?")?;
    let options = Options::parse(arguments)?;
    // As its documentation recommends: a runtime with threads, and blocking calls from outside of it.
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    match &*what {
        "files" => files::measure(&runtime, &options),
        "track" => files::measure_track(&runtime, &options),
        "manager" => manager::measure(&runtime, &options),
        "bulk" => manager::measure_bulk(&runtime, &options),
        _ => bail!("{what}: no such thing"),
    }
    Ok(())
}
