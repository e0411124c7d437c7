#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""A document of named pages that survives whatever happens while it is saved.

    document.py DOCUMENT                        shows the pages
    document.py DOCUMENT set NAME FILE...       sets pages, each from a file
    document.py DOCUMENT remove NAME...         removes pages

The manifest names the pages, which are the blobs. DOCUMENT is a directory, and
.DOCUMENT.scratch beside it is for the time that it is open. The URI of another backing
keeps it otherwise: with --backing=sqlite:///SCRATCH it is one file, and with
--backing='s3://BUCKET?endpoint=URL' DOCUMENT is s3://BUCKET/PREFIX.

With --crash=WHERE the process is killed in the middle of the save: at the first
write, persist, sync, root or delete. Up to the root the document is the old one
then, and after it the new one. document.c is the same program in C, for the same
documents.
"""

import argparse
import hashlib
import os
import signal
import sys

import gi

gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib

MIB = 1 << 20

CRASHES = {
    'write': [Bs.Operation.WRITE],
    'persist': [Bs.Operation.PERSIST],
    'sync': [Bs.Operation.SYNC_PERSISTED],
    'root': [Bs.Operation.WRITE_ROOT],
    'delete': [Bs.Operation.DELETE_PERSISTED, Bs.Operation.DELETE_PERSISTED_KEYS],
}


class Document:
    def __init__(self, path, uri=None):
        place = Gio.File.new_for_commandline_arg(path)
        scratch = place.resolve_relative_path(f'../.{place.get_basename()}.scratch')
        self.backing = Bs.FaultBacking.new(Bs.Backing.new_for_uri(uri or scratch.get_uri()))
        self.store = Bs.BackingStore.new(self.backing)
        self.pool = Bs.Pool.new(self.store, 64 * MIB)
        self.tracked = self.store.track_path(place)
        self.manifest = self.load()

    def load(self):
        try:
            manifest = self.store.load_manifest(self.tracked)
        except GLib.Error as error:
            if not error.matches(Bs.error_quark(), Bs.Error.NOT_FOUND):
                raise
            return Bs.Manifest.new()  # a new document

        self.pool.register_manifest(self.tracked, manifest)
        return manifest

    def set_page(self, name, content):
        # The page that was there is still in the document on the disk.
        item = self.pool.insert(content)
        if name in self.manifest:
            self.manifest.set_item(name, item)
        else:
            self.manifest.add_item(name, item)

    def remove_page(self, name):
        self.manifest.remove(name)

    def save_async(self, callback):
        save = Bs.Save.new(self.store, self.tracked)
        save.set_manifest(self.manifest)
        save.run_async(callback=callback)
        return save


def show(document):
    for entry in document.manifest:
        content = entry.props.item.load().get_data()
        print(entry.props.name, len(content), hashlib.sha256(content).hexdigest())


def save(document, crash):
    """Saves, and shows how far it is; nothing blocks the main loop meanwhile."""
    loop = GLib.MainLoop()
    errors = []

    def on_saved(saving, result):
        try:
            saving.run_finish(result)
        except GLib.Error as error:
            errors.append(error)
        loop.quit()

    def crash_at(operations):
        if any(document.backing.get_count(operation) for operation in operations):
            os.kill(os.getpid(), signal.SIGKILL)
        return GLib.SOURCE_CONTINUE

    if crash:
        # The call waits before it has done anything, and is the last one.
        for operation in CRASHES[crash]:
            document.backing.hold(operation)
        GLib.timeout_add(1, crash_at, CRASHES[crash])
    saving = document.save_async(on_saved)
    saving.connect('notify::fraction', lambda *_: print(f'{saving.props.fraction:4.0%}', file=sys.stderr))
    loop.run()
    if errors:
        raise errors[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--backing', metavar='URI')
    parser.add_argument('--crash', metavar='WHERE', choices=CRASHES)
    parser.add_argument('document')
    parser.add_argument('command', nargs='?', choices=['show', 'set', 'remove'], default='show')
    parser.add_argument('arguments', nargs='*')
    options = parser.parse_args()

    document = Document(options.document, options.backing)
    with document.store:  # closes it
        if options.command == 'set':
            for name, path in zip(options.arguments[::2], options.arguments[1::2], strict=True):
                with open(path, 'rb') as file:
                    document.set_page(name, file.read())
        elif options.command == 'remove':
            for name in options.arguments:
                document.remove_page(name)
        if options.command == 'show':
            show(document)
        else:
            save(document, options.crash)


if __name__ == '__main__':
    try:
        main()
    except (GLib.Error, OSError, ValueError) as error:
        sys.exit(f'{sys.argv[0]}: {error}')
