// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// Puts every file below a directory into a pool that is much smaller than all
// of them, makes them permanent, and in another process brings them back and
// compares.
//
//   gjs -m example.js store [--budget=MIB] [--patience=SECONDS] [--backing=URI] SOURCE TARGET
//   gjs -m example.js verify [--budget=MIB] [--patience=SECONDS] [--backing=URI] TARGET
//
// TARGET/blobs is the persisted path, and its manifest has an entry for each file:
// the URI is the name, and the SHA-256 an attribute. TARGET/scratch is primary
// storage, on the same file system, so that persisting is making a hard link. The URI
// of another backing keeps it otherwise: with --backing='s3://BUCKET?endpoint=URL'
// TARGET is s3://BUCKET/PREFIX.
//
// Nothing blocks the main loop. JavaScript has one thread, so the SHA-256 of a
// large file is computed piece by piece, and the loop runs in between.

import Bs from 'gi://Bs?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';

// Bs needs none of this.
Gio._promisify(Gio.File.prototype, 'enumerate_children_async', 'enumerate_children_finish');
Gio._promisify(Gio.File.prototype, 'load_bytes_async', 'load_bytes_finish');
Gio._promisify(Gio.File.prototype, 'query_info_async', 'query_info_finish');
Gio._promisify(Gio.FileEnumerator.prototype, 'next_files_async', 'next_files_finish');

const IN_FLIGHT = 64;
const INSERTS_IN_FLIGHT = 8;
const N_DELETED = 3;
const MIB = 1024 * 1024;
const PIECE = MIB / 4;
const GARBAGE = 16 * MIB;
const DEFAULT = [GLib.PRIORITY_DEFAULT, null];  // io_priority, cancellable

const onTerminal = GLib.log_writer_supports_color(1);

function seconds() {
    return GLib.get_monotonic_time() / 1e6;
}

// How much of this process was in memory at most, in bytes.
function getResidentPeak() {
    const [, status] = GLib.file_get_contents('/proc/self/status');
    const match = new TextDecoder().decode(status).match(/^VmHWM:\s*(\d+)/m);
    return match ? Number(match[1]) * 1024 : 0;
}

// Prints a line in the place of the last one: print() always ends a line.
let progressShown = false;

function clearProgress() {
    if (progressShown)
        print('\x1b[A\x1b[K\x1b[A');
    progressShown = false;
}

function showProgress(name, nDone, nTotal) {
    clearProgress();
    const marks = '#'.repeat(Math.floor(40 * nDone / nTotal));
    print(`${name.padEnd(11)} [${marks.padEnd(40)}] ${nDone} of ${nTotal}`);
    progressShown = true;
}

function complain(entry, problem) {
    clearProgress();
    printerr(`${entry.file.get_parse_name()}: ${problem}`);
}

// When something was last begun or ended, for the watchdog.
let moved = seconds();

// A thread may be stuck, too: nothing here waits for it.
function watch(patience) {
    GLib.timeout_add_seconds(GLib.PRIORITY_DEFAULT, 1, () => {
        if (seconds() - moved < patience)
            return GLib.SOURCE_CONTINUE;
        clearProgress();
        printerr(`example: nothing has moved for ${patience} s`);
        System.exit(1);
    });
}

async function step(name, func) {
    const begun = moved = seconds();
    await func();
    clearProgress();
    print(`${name.padEnd(11)} ${(seconds() - begun).toFixed(2).padStart(8)} s`);
}

function pause() {
    return new Promise(resolve => {
        GLib.idle_add(GLib.PRIORITY_DEFAULT, () => {
            resolve();
            return GLib.SOURCE_REMOVE;
        });
    });
}

// Not with bytes.get_size() and its like: GJS 1.74 leaks what they are called on.
async function sha256(bytes) {
    const contents = bytes.toArray();
    const checksum = GLib.Checksum.new(GLib.ChecksumType.SHA256);
    for (let begin = 0; begin < contents.length; begin += PIECE) {
        if (begin > 0)
            await pause();
        checksum.update(contents.subarray(begin, begin + PIECE));
    }
    return checksum.get_string();
}

class Example {
    constructor(target, uri, budget) {
        this.target = Gio.File.new_for_commandline_arg(target);
        this.begun = seconds();
        this.peakBefore = getResidentPeak();
        this.blobs = this.target.get_child('blobs');
        this.backing = uri ? Bs.Backing.new_for_uri(uri) : Bs.FileBacking.new(this.target.get_child('scratch'));
        this.store = Bs.BackingStore.new(this.backing);
        this.pool = Bs.Pool.new(this.store, budget);
        this.tracked = null;
        this.storing = false;
        this.entries = [];  // of {file, key, sha256, item}
        this.peakUse = 0;
        this.nUncollected = 0;
        this.nSkipped = 0;
        this.nWrong = 0;
    }

    // The engine does not know how large the contents are that it has not
    // collected yet.
    noteMemoryUse(item) {
        this.peakUse = Math.max(this.peakUse, this.pool.memory_use);
        this.nUncollected += item.size;
        if (this.nUncollected > GARBAGE) {
            System.gc();
            this.nUncollected = 0;
        }
    }

    // Does one step for all entries, so many at a time.
    async forEach(name, entries, func, inFlight = IN_FLIGHT) {
        let [nStarted, nDone, shown] = [0, 0, 0];

        const work = async () => {
            while (nStarted < entries.length) {
                const entry = entries[nStarted++];
                try {
                    await func(entry);
                } catch (error) {
                    nStarted = entries.length;
                    throw error;
                }
                nDone++;
                moved = seconds();
                if (onTerminal && seconds() - shown >= 0.05) {
                    shown = seconds();
                    showProgress(name, nDone, entries.length);
                }
            }
        };

        await step(name, async () => {
            const results = await Promise.allSettled(Array.from({length: inFlight}, work));
            const failed = results.find(result => result.status === 'rejected');
            if (failed)
                throw failed.reason;
        });
    }

    async listFiles(source) {
        const folders = [source];
        while (folders.length > 0) {
            const folder = folders.pop();
            let enumerator, infos;
            try {
                enumerator = await folder.enumerate_children_async('standard::name,standard::type',
                    Gio.FileQueryInfoFlags.NOFOLLOW_SYMLINKS, ...DEFAULT);
            } catch (error) {
                if (folder === source)
                    throw error;
                printerr(error.message);
                this.nSkipped++;
                continue;
            }
            while ((infos = await enumerator.next_files_async(100, ...DEFAULT)).length > 0) {
                moved = seconds();
                for (const info of infos) {
                    if (info.get_file_type() === Gio.FileType.DIRECTORY)
                        folders.push(enumerator.get_child(info));
                    else if (info.get_file_type() === Gio.FileType.REGULAR)
                        this.entries.push({file: enumerator.get_child(info)});
                }
            }
        }
        if (this.entries.length === 0)
            throw new Error(`${source.get_parse_name()}: there are no files`);
    }

    async track() {
        this.tracked = await this.store.track_path_async(this.blobs);
    }

    async sync() {
        await this.store.sync_async(this.tracked);
    }

    async insert(entry) {
        try {
            const [contents] = await entry.file.load_bytes_async(null);
            entry.sha256 = await sha256(contents);
            entry.item = this.pool.insert(contents);
            this.noteMemoryUse(entry.item);
        } catch (error) {
            complain(entry, error.message);
            this.nSkipped++;
        }

        // When the pool is over its budget, the disk sets the pace. Memory goes
        // over by what is in flight, so that is little.
        if (this.pool.memory_use > this.pool.max_bytes)
            await this.pool.trim_async(this.pool.max_bytes);
    }

    async persist(entry) {
        await entry.item?.persist_async(this.tracked);
    }

    // Everything is at the path already: the save puts the names in place.
    async writeManifest() {
        const manifest = new Bs.Manifest();
        for (const {item, sha256: sum, file} of this.entries) {
            if (item && this.tracked.contains_key(item.dup_key())) {
                const attributes = new GLib.Variant('a{sv}', {sha256: new GLib.Variant('s', sum)});
                manifest.add_item(file.get_uri(), item, attributes);
            }
        }
        const save = Bs.Save.new(this.store, this.tracked);
        save.set_manifest(manifest);
        await save.run_async();
    }

    async readManifest() {
        this.manifest = await this.store.load_manifest_async(this.tracked);
        if (this.manifest.get_n_items() === 0)
            throw new Error(`${this.target.get_parse_name()}: no file is left there`);
    }

    // One operation for all keys.
    async register() {
        try {
            await this.pool.register_manifest_async(this.tracked, this.manifest);
        } catch (error) {
            // The entries that have no item are told one by one.
            if (!error.matches(Bs.Error, Bs.Error.NOT_FOUND))
                throw error;
        }
        for (const named of this.manifest) {
            this.entries.push({
                file: Gio.File.new_for_uri(named.name),
                key: named.key,
                sha256: named.lookup_attribute('sha256', null)?.unpack(),
                item: named.item,
            });
        }
    }

    reject(entry, problem) {
        complain(entry, problem);
        this.nWrong++;
    }

    judge() {
        if (this.nWrong > 0)
            throw new Error(`${this.nWrong} of ${this.entries.length} files are missing or differ`);
    }

    async compare(entry) {
        if (!entry.item) {
            this.reject(entry, 'is not at the persisted path');
            return;
        }
        try {
            if (await sha256(await this.load(entry)) !== entry.sha256)
                this.reject(entry, 'has another SHA-256 than the original');
        } catch (error) {
            this.reject(entry, error.message);
        }
    }

    async load(entry) {
        const contents = await entry.item.load_async();
        this.noteMemoryUse(entry.item);
        return contents;
    }

    // Deletes what is permanent: the item stays whole as long as it is held.
    async delete(entry) {
        await this.store.delete_persisted_async(this.tracked, entry.key);
        if (this.tracked.contains_key(entry.key))
            this.reject(entry, 'was deleted and is still there');
        await this.compare(entry);
    }

    async storeFiles(source) {
        this.storing = true;
        await step('Listing', () => this.listFiles(source));
        await step('Tracking', () => this.track());
        if (this.tracked.n_keys > 0)
            throw new Error(`${this.target.get_parse_name()} was used before: choose a new target`);
        await this.forEach('Inserting', this.entries, entry => this.insert(entry), INSERTS_IN_FLIGHT);
        if (!this.entries.some(entry => entry.item))
            throw new Error(`${source.get_parse_name()}: none of the files can be read`);
        await this.forEach('Persisting', this.entries, entry => this.persist(entry));
        await step('Syncing', () => this.sync());
        await step('Manifest', () => this.writeManifest());
    }

    async verifyFiles() {
        // Tracking would make the directory. What is on a server is asked when it is tracked.
        if (this.blobs.is_native())
            await this.blobs.query_info_async('standard::type', Gio.FileQueryInfoFlags.NONE, ...DEFAULT);
        await step('Tracking', () => this.track());
        await step('Manifest', () => this.readManifest());
        await step('Registering', () => this.register());
        await this.forEach('Comparing', this.entries, entry => this.compare(entry));
        this.judge();
        await this.forEach('Backwards', [...this.entries].reverse(), entry => this.load(entry));
        await this.forEach('Deleting', this.entries.slice(0, N_DELETED), entry => this.delete(entry));
        this.judge();
        await step('Syncing', () => this.sync());
        await step('Manifest', () => this.writeManifest());
    }

    // The scratch files go, too.
    async close() {
        await this.store.close_async();
    }

    // The store's errors name a key. A person knows the file.
    nameFiles(message) {
        for (const {item, file} of this.entries)
            message = item ? message.replaceAll(item.dup_key(), file.get_parse_name()) : message;
        return message;
    }

    describeBlobs() {
        if (!(this.backing instanceof Bs.FileBacking))
            return '';
        const files = this.backing.get_stats();
        return `Blobs       ${files.linked} linked, ${files.reflinked} reflinked, ${files.copied} copied\n`;
    }

    summarize() {
        const stats = this.pool.get_stats();
        const items = this.entries.map(entry => entry.item).filter(item => item);
        const mib = bytes => `${(bytes / MIB).toFixed(1)} MiB`;
        const nBytes = items.reduce((sum, item) => sum + item.size, 0);
        const largest = items.reduce((size, item) => Math.max(size, item.size), 0);
        const verdict = this.storing ? `${this.nSkipped} skipped` : 'each with the SHA-256 of the original';
        const note = largest > this.pool.max_bytes
            ? '\nMemory      the largest file is above the budget: it is in memory whole while it is used' : '';
        const nDeleted = this.storing ? 0 : Math.min(items.length, N_DELETED);
        print(`${'Total'.padEnd(11)} ${(seconds() - this.begun).toFixed(2).padStart(8)} s

Files       ${items.length}, ${mib(nBytes)}, the largest ${mib(largest)}; ${verdict}
Pool        ${mib(this.peakUse)} at most, budget ${mib(this.pool.max_bytes)}
Process     ${mib(getResidentPeak())} resident at most, ${mib(this.peakBefore)} before the first file${note}
Loads       ${stats.hits} hits, ${stats.misses} misses, ${stats.writes} written, ${stats.evictions} evicted
${this.describeBlobs()}Persisted   ${this.tracked.n_keys} files; ${nDeleted} deleted`);
    }
}

async function main(args) {
    const options = {budget: 4, patience: 300, backing: ''};
    const words = args.filter(arg => {
        const match = arg.match(/^--(budget|patience)=(\d+)$/) ?? arg.match(/^--(backing)=(.+)$/);
        if (match)
            options[match[1]] = match[1] === 'backing' ? match[2] : Number(match[2]);
        return !match;
    });
    const [command, ...paths] = words;
    const isStore = command === 'store' && paths.length === 2;
    const isVerify = command === 'verify' && paths.length === 1;
    if (!isStore && !isVerify) {
        printerr('Usage: gjs -m example.js [--budget=MIB] [--patience=SECONDS] [--backing=URI] ' +
            'store SOURCE TARGET | verify TARGET');
        return 2;
    }

    let example;
    try {
        example = new Example(paths.at(-1), options.backing, options.budget * MIB);
    } catch (error) {
        printerr(`example: ${error.message}`);
        return 1;
    }

    watch(options.patience);
    try {
        if (isStore)
            await example.storeFiles(Gio.File.new_for_commandline_arg(paths[0]));
        else
            await example.verifyFiles();
    } catch (error) {
        clearProgress();
        printerr(`example: ${example.nameFiles(error.message)}`);
        return 1;
    } finally {
        await example.close();
    }
    example.summarize();
    return 0;
}

const loop = GLib.MainLoop.new(null, false);
let status = 1;

main(ARGV).then(value => (status = value)).catch(logError).finally(() => loop.quit());
loop.run();
System.exit(status);
