#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Puts every file below a directory into a pool that is much smaller than all
of them, makes them permanent, and in another process brings them back and
compares.

TARGET/blobs is the persisted path, and its manifest has an entry for each file: the
URI is the name, and the SHA-256 an attribute. TARGET/scratch is primary storage, on
the same file system, so that persisting is making a hard link. The URI of another
backing keeps it otherwise: with --backing='s3://BUCKET?endpoint=URL' TARGET is
s3://BUCKET/PREFIX.

Nothing blocks the main loop: what waits is a coroutine, and what takes time
runs in other threads.
"""

import argparse
import asyncio
import contextlib
import hashlib
import os
import re
import sys
import time
from collections import deque

import gi

gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib

try:
    from gi.events import GLibEventLoopPolicy
except ImportError:  # before PyGObject 3.50
    from gbulb import GLibEventLoopPolicy

IN_FLIGHT = 64
INSERTS_IN_FLIGHT = 8
N_DELETED = 3
MIB = 1024 * 1024


class Entry:
    """A file, and the item that holds its contents."""

    def __init__(self, file, key=None, sha256=None):
        self.file = file
        self.key = key
        self.sha256 = sha256
        self.item = None


def clear_progress():
    if sys.stdout.isatty():
        print('\r\033[K', end='', flush=True)


def complain(entry, problem):
    clear_progress()
    print(f'{entry.file.get_parse_name()}: {problem}', file=sys.stderr)


def watch(example, patience):
    """Ends the program when nothing has moved for so long."""
    def look():
        if time.monotonic() - example.moved < patience:
            return GLib.SOURCE_CONTINUE
        clear_progress()
        print(f'example: nothing has moved for {patience} s', file=sys.stderr, flush=True)
        os._exit(1)  # a thread may be stuck, too: nothing here waits for it

    GLib.timeout_add_seconds(1, look)


def get_resident_peak():
    """How much of this process was in memory at most, in bytes."""
    with open('/proc/self/status') as status:
        match = re.search(r'^VmHWM:\s*(\d+)', status.read(), re.MULTILINE)
    return int(match.group(1)) * 1024 if match else 0


class Example:
    def __init__(self, target, uri, budget):
        self.target = Gio.File.new_for_commandline_arg(target)
        self.begun = self.moved = time.monotonic()
        self.peak_before = get_resident_peak()
        self.blobs = self.target.get_child('blobs')
        self.backing = Bs.Backing.new_for_uri(uri) if uri else Bs.FileBacking.new(self.target.get_child('scratch'))
        self.store = Bs.BackingStore.new(self.backing)
        self.pool = Bs.Pool.new(self.store, budget)
        self.storing = False
        self.entries = []
        self.peak_use = 0
        self.n_skipped = 0
        self.n_wrong = 0

    def note_memory_use(self):
        self.peak_use = max(self.peak_use, self.pool.get_memory_use())

    async def step(self, name, coroutine):
        begun = self.moved = time.monotonic()
        result = await coroutine
        clear_progress()
        print(f'{name:11} {time.monotonic() - begun:8.2f} s')
        return result

    async def for_each(self, name, entries, function, in_flight=IN_FLIGHT):
        """Does one step for all entries, so many at a time."""
        todo = deque(entries)
        n_total = len(todo)
        n_done = 0
        shown = 0.0

        async def work():
            nonlocal n_done, shown
            while todo:
                try:
                    await function(todo.popleft())
                except BaseException:
                    todo.clear()
                    raise
                n_done += 1
                self.moved = time.monotonic()
                if sys.stdout.isatty() and time.monotonic() - shown >= 0.05:
                    shown = time.monotonic()
                    marks = '#' * (40 * n_done // n_total)
                    print(f'\r{name:11} [{marks:40}] {n_done} of {n_total} ', end='', flush=True)

        async def work_side_by_side():
            # All have ended when the first error is raised.
            results = await asyncio.gather(*(work() for _ in range(in_flight)), return_exceptions=True)
            for result in results:
                if result is not None:
                    raise result

        await self.step(name, work_side_by_side())

    async def list_files(self, source):
        folders = [source]
        while folders:
            folder = folders.pop()
            try:
                entries = await asyncio.to_thread(lambda: sorted(os.scandir(folder), key=lambda entry: entry.name))
            except OSError as error:
                if folder is source:
                    raise
                print(f'{error.filename}: {error.strerror}', file=sys.stderr)
                self.n_skipped += 1
                continue
            self.moved = time.monotonic()
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    self.entries.append(Entry(Gio.File.new_for_path(entry.path)))
        if not self.entries:
            raise FileNotFoundError(f'{source}: there are no files')

    async def track(self):
        self.tracked = await self.store.track_path_async(self.blobs)

    async def sync(self):
        await self.store.sync_async(self.tracked)

    async def insert(self, entry):
        def read():
            with open(entry.file.peek_path(), 'rb') as file:
                contents = file.read()
            return contents, hashlib.sha256(contents).hexdigest()

        try:
            contents, entry.sha256 = await asyncio.to_thread(read)
        except OSError as error:
            complain(entry, error.strerror)
            self.n_skipped += 1
            return
        entry.item = self.pool.insert(contents)
        del contents
        self.note_memory_use()

        # When the pool is over its budget, the disk sets the pace. Memory goes
        # over by what is in flight, so that is little.
        if self.pool.get_memory_use() > self.pool.get_max_bytes():
            await self.pool.trim_async(self.pool.get_max_bytes())

    async def persist(self, entry):
        if entry.item:
            await entry.item.persist_async(self.tracked)

    async def write_manifest(self):
        """Everything is at the path already: the save puts the names in place."""
        manifest = Bs.Manifest.new()
        for entry in self.entries:
            if entry.item and entry.item.dup_key() in self.tracked:
                manifest.add_item(entry.file.get_uri(), entry.item, {'sha256': entry.sha256})
        save = Bs.Save.new(self.store, self.tracked)
        save.set_manifest(manifest)
        await save.run_async()

    async def read_manifest(self):
        self.manifest = await self.store.load_manifest_async(self.tracked)
        if len(self.manifest) == 0:
            raise FileNotFoundError(f'{self.target.get_parse_name()}: no file is left there')

    async def register(self):
        """One operation for all keys."""
        try:
            await self.pool.register_manifest_async(self.tracked, self.manifest)
        except GLib.Error as error:
            # The entries that have no item are told one by one.
            if not error.matches(Bs.error_quark(), Bs.Error.NOT_FOUND):
                raise
        for named in self.manifest:
            entry = Entry(Gio.File.new_for_uri(named.props.name), named.props.key,
                          named.props.attributes.unpack().get('sha256'))
            entry.item = named.props.item
            self.entries.append(entry)

    def reject(self, entry, problem):
        complain(entry, problem)
        self.n_wrong += 1

    def judge(self):
        if self.n_wrong:
            raise ValueError(f'{self.n_wrong} of {len(self.entries)} files are missing or differ')

    async def compare(self, entry):
        if not entry.item:
            self.reject(entry, 'is not at the persisted path')
            return
        try:
            contents = await self.load(entry)
        except GLib.Error as error:
            self.reject(entry, error.message)
            return
        sha256 = await asyncio.to_thread(lambda: hashlib.sha256(contents.get_data()).hexdigest())
        if sha256 != entry.sha256:
            self.reject(entry, 'has another SHA-256 than the original')

    async def load(self, entry):
        contents = await entry.item.load_async()
        self.note_memory_use()
        return contents

    async def delete(self, entry):
        """Deletes what is permanent: the item stays whole as long as it is held."""
        await self.store.delete_persisted_async(self.tracked, entry.key)
        if entry.key in self.tracked:
            self.reject(entry, 'was deleted and is still there')
        await self.compare(entry)

    async def store_files(self, source):
        self.storing = True
        await self.step('Listing', self.list_files(source))
        await self.step('Tracking', self.track())
        if len(self.tracked) > 0:
            raise FileExistsError(f'{self.target.get_parse_name()} was used before: choose a new target')
        await self.for_each('Inserting', self.entries, self.insert, INSERTS_IN_FLIGHT)
        if not any(entry.item for entry in self.entries):
            raise PermissionError(f'{source}: none of the files can be read')
        await self.for_each('Persisting', self.entries, self.persist)
        await self.step('Syncing', self.sync())
        await self.step('Manifest', self.write_manifest())

    async def verify_files(self):
        # Tracking would make the directory. What is on a server is asked when it is tracked.
        if self.blobs.is_native():
            await asyncio.to_thread(self.blobs.query_info, Gio.FILE_ATTRIBUTE_STANDARD_TYPE,
                                    Gio.FileQueryInfoFlags.NONE)
        await self.step('Tracking', self.track())
        await self.step('Manifest', self.read_manifest())
        await self.step('Registering', self.register())
        await self.for_each('Comparing', self.entries, self.compare)
        self.judge()
        await self.for_each('Backwards', reversed(self.entries), self.load)
        await self.for_each('Deleting', self.entries[:N_DELETED], self.delete)
        self.judge()
        await self.step('Syncing', self.sync())
        await self.step('Manifest', self.write_manifest())

    async def run(self, work):
        async with self.store:  # which closes it: the scratch files go, too
            await work

    def name_files(self, message):
        """The store's errors name a key. A person knows the file."""
        for entry in self.entries:
            if entry.item:
                message = message.replace(entry.item.dup_key(), entry.file.get_parse_name())
        return message

    def describe_blobs(self):
        if not isinstance(self.backing, Bs.FileBacking):
            return ''
        files = self.backing.get_stats()
        return f'Blobs       {files.linked} linked, {files.reflinked} reflinked, {files.copied} copied\n'

    def summarize(self):
        stats = self.pool.get_stats()
        items = [entry.item for entry in self.entries if entry.item]
        sizes = [item.get_size() for item in items]
        verdict = f'{self.n_skipped} skipped' if self.storing else 'each with the SHA-256 of the original'
        n_deleted = 0 if self.storing else min(len(items), N_DELETED)
        largest = max(sizes)
        note = ('\nMemory      the largest file is above the budget: it is in memory whole while it is used'
                if largest > self.pool.get_max_bytes() else '')
        print(f'''{'Total':11} {time.monotonic() - self.begun:8.2f} s

Files       {len(items)}, {sum(sizes) / MIB:.1f} MiB, the largest {largest / MIB:.1f} MiB; {verdict}
Pool        {self.peak_use / MIB:.1f} MiB at most, budget {self.pool.get_max_bytes() / MIB:.1f} MiB
Process     {get_resident_peak() / MIB:.1f} MiB resident at most, {self.peak_before / MIB:.1f} MiB before the first file{note}
Loads       {stats.hits} hits, {stats.misses} misses, {stats.writes} written, {stats.evictions} evicted
{self.describe_blobs()}Persisted   {len(self.tracked)} files; {n_deleted} deleted''')


def main():
    parser = argparse.ArgumentParser(prog='example')
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument('--budget', metavar='MIB', type=int, default=4, help='memory that the pool may hold (4)')
    options.add_argument('--patience', metavar='SECONDS', type=int, default=300,
                         help='give up when nothing has moved for so long (300)')
    options.add_argument('--backing', metavar='URI', help='where it is kept instead of files')
    commands = parser.add_subparsers(dest='command', required=True)
    command = commands.add_parser('store', parents=[options])
    command.add_argument('source', metavar='SOURCE')
    command.add_argument('target', metavar='TARGET')
    command = commands.add_parser('verify', parents=[options])
    command.add_argument('target', metavar='TARGET')
    arguments = parser.parse_args()
    if arguments.budget < 0 or arguments.patience < 1:
        parser.error('neither the budget nor the patience can be negative')

    try:
        example = Example(arguments.target, arguments.backing, arguments.budget * MIB)
    except GLib.Error as error:
        print(f'example: {error.message}', file=sys.stderr)
        return 1
    if arguments.command == 'store':
        work = example.store_files(arguments.source)
    else:
        work = example.verify_files()

    watch(example, arguments.patience)
    try:
        with contextlib.closing(GLibEventLoopPolicy().get_event_loop()) as loop:
            loop.run_until_complete(example.run(work))
    except Exception as error:
        clear_progress()
        message = getattr(error, 'message', str(error))
        print(f'example: {example.name_files(message)}', file=sys.stderr)
        return 1
    example.summarize()
    return 0


if __name__ == '__main__':
    sys.exit(main())
