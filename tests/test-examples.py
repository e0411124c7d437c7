#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Runs the example of docs/examples, in one language, on a few odd files.

test-examples.py COMMAND [ARGUMENT...]
"""

import fcntl
import hashlib
import os
import pty
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

COMMAND = sys.argv[1:]
N_FILES = 300
N_DELETED = 3
IS_WHOLE = os.environ.get('BACKINGSTORE_TESTS') == 'whole'

n_tests = 0


def check(condition, what):
    global n_tests
    n_tests += 1
    print('ok' if condition else 'not ok', n_tests, what, flush=True)
    return condition


def run(*arguments, prefix=(), preexec=None):
    return subprocess.run([*prefix, *COMMAND, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=100, preexec_fn=preexec)


def expect(status, what, *arguments, message='', **options):
    """Checks an exit status and what it says, on stdout if all is well."""
    result = run(*arguments, **options)
    said = result.stderr if status else result.stdout
    if not check(result.returncode == status and message in said, what):
        print(f'status {result.returncode}\n{result.stdout}{result.stderr}', file=sys.stderr)
    return result.stdout


def make_source(source):
    names = [b'with a space', b'with a\nnew line', b'with 100%20', b'with \xff', 'with ü'.encode(), b'-option']
    names += [b'%d' % i for i in range(N_FILES - len(names))]
    files = {}
    for i, name in enumerate(names):
        folder = source / str(i % 7) / str(i % 3)
        folder.mkdir(parents=True, exist_ok=True)
        file = os.path.join(os.fsencode(folder), name)
        content = (name + b'\n') * (i * i % 4099)
        if i == 100:
            content = os.urandom(3 << 20)
        with open(file, 'wb') as stream:
            stream.write(content)
        files[file] = content
    (source / 'link').symlink_to('/etc/passwd')
    (source / 'loop').symlink_to('.')
    (source / 'broken').symlink_to('nowhere')
    os.mkfifo(source / 'fifo')
    (source / 'empty').mkdir()
    return files


def list_blobs(target):
    return sorted(path for path in (target / 'blobs').glob('??/*') if path.is_file())


def get_blob(target, key):
    digits = key.replace('-', '')
    return target / 'blobs' / digits[:2] / digits


def read_manifest(target):
    """The key, SHA-256 and URI of each file, from the bytes that the page “Files on disk” explains."""
    content = (target / 'blobs' / 'root').read_bytes()
    magic, version, n_entries = struct.unpack_from('<8sII', content)
    assert (magic, version) == (b'BsManif\n', 1)
    entries, offset = [], 16
    for _ in range(n_entries):
        key, name_length, attributes_length = struct.unpack_from('<16sII', content, offset)
        name = content[offset + 24:offset + 24 + name_length].decode()
        offset += (24 + name_length + 1 + 7) // 8 * 8
        attributes = content[offset:offset + attributes_length]
        assert attributes.startswith(b'sha256\0')
        entries.append((key.hex(), attributes[8:8 + 64].decode(), name))
        offset += (attributes_length + 7) // 8 * 8
    assert offset == len(content)
    return entries


def get_figure(output, pattern):
    match = re.search(pattern, output)
    return float(match.group(1)) if match else None


def test_round_trip(source, target):
    files = make_source(source)
    output = expect(0, 'stores', 'store', source, target, '--budget=1', message=f'Persisted   {N_FILES} files')
    check('the largest file is above the budget' in output, 'says why memory is larger than the budget')
    check(get_figure(output, r'Pool +([\d.]+) MiB') > 0, 'tells the peak')
    check(get_figure(output, r'([\d]+) evicted') > 0, 'evicts')

    manifest = read_manifest(target)
    check(len(manifest) == N_FILES == len(list_blobs(target)), 'stores every file, and no other')
    hashes = sorted(hashlib.sha256(content).hexdigest() for content in files.values())
    check(sorted(sha256 for _, sha256, _ in manifest) == hashes, 'knows the hashes')
    check(all(hashlib.sha256(get_blob(target, key).read_bytes()).hexdigest() == sha256
              for key, sha256, _ in manifest), 'has blobs that are what the files are')
    check(not list((target / 'scratch').glob('??/*')), 'leaves no scratch files')

    for left in N_FILES - N_DELETED, N_FILES - 2 * N_DELETED:
        output = expect(0, 'verifies', 'verify', target, '--budget=1',
                        message=f'Persisted   {left} files; {N_DELETED} deleted')
        check(len(list_blobs(target)) == left == len(read_manifest(target)), 'deletes some')
        check(get_figure(output, r'(\d+) misses') >= left, 'counts the misses')
    check(not list((target / 'scratch').glob('??/*')), 'leaves no scratch files')

    output = expect(0, 'verifies with a large budget', 'verify', target, '--budget=100')
    check(get_figure(output, r'(\d+) hits') >= left, 'counts the hits')
    check('above the budget' not in output, 'has no excuse to make')


def test_failures(source, target):
    expect(1, 'refuses a target that was used', 'store', source, target, message=f'{target} was used before')

    key, _, uri = read_manifest(target)[0]
    blob = get_blob(target, key)
    content = blob.read_bytes()
    name = uri.rpartition('/')[2]
    times = blob.stat()
    blob.write_bytes(content + b'x')
    os.utime(blob, ns=(times.st_atime_ns, times.st_mtime_ns))
    expect(1, 'sees a blob that was changed', 'verify', target, message='not the content that was written')
    blob.unlink()
    blob.write_bytes(content + b'x')
    expect(1, 'sees a blob that differs', 'verify', target, message='has another SHA-256 than the original')
    blob.unlink()
    expect(1, 'sees a blob that is gone', 'verify', target, message='is not at the persisted path')
    blob.write_bytes(content)
    expect(0, 'is content again', 'verify', target)

    missing = source / 'missing'
    expect(1, 'names a missing source', 'store', missing, target, message=str(missing))
    expect(1, 'names a missing target', 'verify', missing, message=str(missing))
    check(not missing.exists(), 'makes nothing then')
    expect(1, 'names an empty source', 'store', source / 'empty', target, message=str(source / 'empty'))
    expect(1, 'names a foreign target', 'store', source, source.parent, message=str(source.parent / 'blobs'))
    expect(2, 'shows its usage', 'store', source, message='TARGET')


def test_few(top):
    """Fewer than are deleted, and what has no content at all."""
    for content in b'content', b'':
        for n_files in (1, 2, 3) if IS_WHOLE else (1, 3) if content else (2,):
            name = f'{n_files}-{len(content)}'
            source, target = top / f'few-{name}', top / f'target-{name}'
            source.mkdir()
            for i in range(n_files):
                (source / str(i)).write_bytes(content)
            expect(0, f'stores {n_files} files of {len(content)} bytes', 'store', source, target,
                   message=f'Persisted   {n_files} files')
            expect(0, 'verifies them', 'verify', target, message=f'Persisted   0 files; {n_files} deleted')
            check(read_manifest(target) == list_blobs(target) == [], 'leaves none')
            expect(1, 'has nothing to compare then', 'verify', target, message='no file is left there')


def give_up_privileges():
    """The command prefix that makes root obey permissions; None where that cannot be had."""
    if os.geteuid() != 0:
        return []
    setpriv = ['setpriv', '--inh-caps=-all', '--bounding-set=-dac_override,-dac_read_search']
    if not shutil.which('setpriv'):
        return None
    works = subprocess.run([*setpriv, 'test', '-r', COMMAND[-1]], capture_output=True).returncode == 0
    return setpriv if works else None


def test_unreadable(top):
    prefix = give_up_privileges()
    if prefix is None:
        check(True, 'skips what it cannot read # SKIP root may read everything here')
        return
    source = top / 'unreadable'
    for name in 'a', 'b', 'c':
        (source / name).mkdir(parents=True)
        (source / name / 'file').write_text(name)
        (source / name / 'file').chmod(0)
    expect(1, 'ends where nothing can be read', 'store', source, top / 'nothing', prefix=prefix,
           message='none of the files can be read')
    check(list_blobs(top / 'nothing') == [], 'stores nothing then')

    (source / 'a' / 'file').chmod(0o600)
    (source / 'b').chmod(0)
    output = expect(0, 'skips what it cannot read', 'store', source, top / 'something', prefix=prefix)
    check('; 2 skipped' in output, 'counts that')
    (source / 'b').chmod(0o700)


def test_too_large(source, target):
    """A file of 3 MiB where none may be so large, as on a disk that is full."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))

    large = source / str(100 % 7) / str(100 % 3) / '94'
    assert large.stat().st_size == 3 << 20
    expect(1, 'names the file that cannot be written', 'store', source, target, '--budget=0', preexec=limit,
           message=f'write {large}: ')


def test_standing_still(top):
    """A file that cannot be opened until the lease on it ends, which is a matter of minutes."""
    source = top / 'leased'
    source.mkdir()
    with (source / 'file').open('w') as file:
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        try:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError as error:
            check(True, f'ends when it stands still # SKIP no lease is to be had: {error.strerror}')
            return
        expect(1, 'ends when it stands still', 'store', source, top / 'still', '--patience=1',
               message='nothing has moved for 1 s')


def test_terminal(source, target):
    try:
        main, terminal = pty.openpty()
    except OSError:
        check(True, 'shows its progress on a terminal # SKIP there are none')
        return
    process = subprocess.Popen([*COMMAND, 'store', source, target], stdin=subprocess.DEVNULL, stdout=terminal)
    os.close(terminal)
    output = b''
    try:
        while data := os.read(main, 4096):
            output += data
    except OSError:
        pass
    check(process.wait(timeout=100) == 0 and b'Inserting   [' in output, 'shows its progress on a terminal')
    os.close(main)


def test_server(source):
    """Keeps the files on a server, and says what is wrong with a URI."""
    expect(1, 'names an engine that is not there', 'store', source, 's3://bucket/top', '--backing=nowhere://x',
           message='no engine has the scheme')
    if not any(path.endswith('/s3') for path in os.environ.get('BACKINGSTORE_MODULES', '').split(':')):
        check(True, 'keeps files on a server # SKIP the engine is not built')
        return
    os.environ |= {'AWS_ACCESS_KEY_ID': 'AKIAIOSFODNN7EXAMPLE',
                   'AWS_SECRET_ACCESS_KEY': 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'}
    program = Path(__file__).parent / 's3' / 'server.py'
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        port = int(server.stdout.readline())
        place = 's3://bucket/top/files', f'--backing=s3://bucket/top?endpoint=http://127.0.0.1:{port}'
        expect(1, 'names what is not on the server', 'verify', *place, message='nothing has been saved there')
        expect(0, 'stores on a server', 'store', source, *place, message=f'Persisted   {N_FILES} files')
        expect(1, 'refuses a target that was used', 'store', source, *place, message='was used before')
        expect(0, 'verifies what is on a server', 'verify', *place,
               message=f'Persisted   {N_FILES - N_DELETED} files; {N_DELETED} deleted')
        server.stdin.close()


def main():
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        source = top / 'source'
        (top / 'blobs').mkdir()
        (top / 'blobs' / 'letter').touch()
        test_round_trip(source, top / 'target')
        test_failures(source, top / 'target')
        test_server(source)
        test_few(top)
        test_unreadable(top)
        test_too_large(source, top / 'large')
        test_standing_still(top)
        test_terminal(source, top / 'terminal')
    print(f'1..{n_tests}')


main()
