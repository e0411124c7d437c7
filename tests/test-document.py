#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Edits a document with the program of docs/examples, in one language, and kills
it in the middle of its saves.

test-document.py ENGINE COMMAND [ARGUMENT...]
"""

import contextlib
import hashlib
import http.client
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ENGINE, COMMAND = sys.argv[1], sys.argv[2:]
CRASHES = ['write', 'persist', 'sync', 'root', 'delete']
N_RANDOM = 15

n_tests = 0


def check(condition, what, details=''):
    global n_tests
    n_tests += 1
    print('ok' if condition else 'not ok', n_tests, what, flush=True)
    if not condition:
        print(details, file=sys.stderr)
    return condition


def run(*arguments):
    return subprocess.run([*COMMAND, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60)


class Server:
    """A server that speaks S3, for as long as this process runs."""

    def __init__(self):
        os.environ |= {'AWS_ACCESS_KEY_ID': 'AKIAIOSFODNN7EXAMPLE',
                       'AWS_SECRET_ACCESS_KEY': 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'}
        program = Path(__file__).parent / 's3' / 'server.py'
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def list_names(self):
        connection = http.client.HTTPConnection('127.0.0.1', self.port)
        connection.request('POST', '/_control', '[]')
        names = json.load(connection.getresponse())['names']
        connection.close()
        return names


class Document:
    """The pages that the document should have, beside the document."""

    def __init__(self, directory):
        self.directory = directory
        self.path = directory / 'document'
        self.pages = {}
        self.n_files = 0
        if ENGINE == 's3':
            self.server = Server()
            self.path = 's3://bucket/top/document'
            COMMAND.append(f'--backing=s3://bucket/top?endpoint=http://127.0.0.1:{self.server.port}')
        elif ENGINE != 'file':
            COMMAND.append(f'--backing={ENGINE}://{directory}/scratch')

    def make_edit(self, *names):
        """Arguments that set these pages to something new, and the pages then."""
        arguments, pages = ['set'], dict(self.pages)
        for name in names:
            content = random.randbytes(random.choice([0, 1, 5000, 300000]))
            file = self.directory / f'file {self.n_files}'
            file.write_bytes(content)
            self.n_files += 1
            arguments += [name, file]
            pages[name] = (len(content), hashlib.sha256(content).hexdigest())
        return arguments, pages

    def make_removal(self, *names):
        return ['remove', *names], {name: page for name, page in self.pages.items() if name not in names}

    def show(self):
        result = run(self.path)
        lines = [line.rsplit(' ', 2) for line in result.stdout.splitlines()]
        pages = {name: (int(size), checksum) for name, size, checksum in lines}
        return result.returncode, pages, result.stderr

    def is_whole(self, pages):
        status, shown, message = self.show()
        return check(status == 0 and shown == pages, 'the document is whole', f'{status} {shown} {pages} {message}')

    def count_blobs(self):
        if ENGINE == 'sqlite':
            database = sqlite3.connect(self.path)
            with contextlib.closing(database):
                return database.execute('SELECT count(*) FROM blob').fetchone()[0]
        if ENGINE == 's3':
            return sum(1 for name in self.server.list_names() if name.count('/') == 3)
        return sum(1 for path in self.path.glob('??/*') if path.is_file())


def edit(document, arguments, pages):
    result = run(document.path, *arguments)
    check(result.returncode == 0, ' '.join(map(str, arguments[:2])), result.stderr)
    document.pages = pages
    document.is_whole(pages)
    check(document.count_blobs() == len(pages), 'nothing is left over', document.count_blobs())


def crash(document, where, arguments, pages):
    result = run(f'--crash={where}', document.path, *arguments)
    check(result.returncode == -signal.SIGKILL, f'{arguments[0]}: killed at {where}', f'{result.returncode} {result.stderr}')
    if where == 'delete':
        document.pages = pages
    document.is_whole(document.pages)


def kill_at_random(document, arguments, pages):
    process = subprocess.Popen([*COMMAND, str(document.path), *map(str, arguments)],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(random.random() * document.seconds)
    process.kill()
    process.wait(60)
    status, shown, message = document.show()
    check(status == 0 and shown in (document.pages, pages), 'killed at random, the old one or the new one',
          f'{status} {shown} {document.pages} {pages} {message}')
    document.pages = shown


def main():
    seed = random.randrange(1 << 30)
    random.seed(seed)
    print('# seed', seed)
    with tempfile.TemporaryDirectory() as name:
        document = Document(Path(name))
        document.is_whole({})
        started = time.monotonic()
        edit(document, *document.make_edit('one', 'two', 'three with spaces'))
        document.seconds = time.monotonic() - started
        edit(document, *document.make_edit('two', 'four'))
        edit(document, *document.make_removal('one'))
        for where in CRASHES:
            crash(document, where, *document.make_edit('two', 'five'))
            edit(document, *document.make_edit('six'))
        for where in CRASHES[2:]:
            crash(document, where, *document.make_removal('six'))
            edit(document, *document.make_edit('six'))
        for _ in range(N_RANDOM):
            kill_at_random(document, *document.make_edit('one', 'two'))
        edit(document, *document.make_edit('one'))

        for arguments in (document.path, 'remove', 'missing'), (document.path, 'set', 'x', '/nonexistent'), ('/dev/null/x',):
            result = run(*arguments)
            check(result.returncode == 1 and result.stderr.count('\n') == 1, f'{arguments[1:]} is an error', result.stderr)
        document.is_whole(document.pages)
    print(f'1..{n_tests}')


main()
