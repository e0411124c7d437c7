# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Contents as files and streams."""

import os
import pathlib
import tempfile
import threading
import unittest

import gi

gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib, GObject

from mainloop import call

CONTENT = bytes(range(256)) * 4000


class StreamBacking(GObject.Object, Bs.Backing):
    """Keeps each blob in a file, and hands out GIO's own streams."""

    def __init__(self, directory):
        super().__init__()
        self.directory = directory
        self.calls = []

    def file(self, key):
        return Gio.File.new_for_path(os.path.join(self.directory, key))

    def do_write(self, key, content, cancellable):
        self.calls.append('write')
        pathlib.Path(self.directory, key).write_bytes(content.get_data() or b'')
        return True

    def do_read(self, key, cancellable):
        self.calls.append('read')
        return GLib.Bytes.new(pathlib.Path(self.directory, key).read_bytes())

    def do_delete_key(self, key, cancellable):
        pathlib.Path(self.directory, key).unlink(missing_ok=True)
        return True

    def do_read_stream(self, key, cancellable):
        self.calls.append('read_stream')
        return self.file(key).read(cancellable)

    def do_write_stream(self, key, stream, size, cancellable):
        self.calls.append('write_stream')
        output = self.file(key).replace(None, False, Gio.FileCreateFlags.NONE, cancellable)
        output.splice(stream, Gio.OutputStreamSpliceFlags.CLOSE_TARGET, cancellable)
        return True

    def do_write_file(self, key, file, cancellable):
        self.calls.append('write_file')
        return file.copy(self.file(key), Gio.FileCopyFlags.NONE, cancellable, None)


class LameBacking(StreamBacking, Bs.Backing):
    """Raises, forgets its result, or returns a stream that cannot seek."""

    def do_read_stream(self, key, cancellable):
        return None

    def do_write_stream(self, key, stream, size, cancellable):
        raise ValueError('so the test wants it')

    def do_write_file(self, key, file, cancellable):
        pathlib.Path(self.directory, key).write_bytes(b'x')
        return True


class StreamsTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.source = pathlib.Path(self.directory, 'source')
        self.source.write_bytes(CONTENT)
        self.target = pathlib.Path(self.directory, 'target')

    def open(self, backing):
        store = Bs.BackingStore.new(backing)
        self.addCleanup(store.close)
        return store, Bs.Pool.new(store, 1 << 20)

    def read_all(self, stream):
        parts = []
        while not parts or parts[-1]:
            parts.append(stream.read_bytes(100000, None).get_data() or b'')
        return b''.join(parts)

    def use(self, pool):
        """A path goes where a Gio.File is asked."""
        item = pool.insert_file(self.source)
        stream = item.read()
        self.assertIsInstance(stream, Gio.InputStream)
        self.assertIsInstance(stream, Gio.Seekable)
        self.assertEqual(self.read_all(stream), CONTENT)
        self.assertTrue(stream.seek(-10, GLib.SeekType.END, None))
        self.assertEqual(stream.tell(), len(CONTENT) - 10)
        self.assertEqual(self.read_all(stream), CONTENT[-10:])
        self.assertTrue(stream.close(None))
        item.copy_to_file(str(self.target))
        self.assertEqual(self.target.read_bytes(), CONTENT)
        return item

    def test_blocking(self):
        store, pool = self.open(Bs.FileBacking.new_temporary())
        item = self.use(pool)
        self.assertEqual(item.get_size(), len(CONTENT))
        self.assertEqual(pool.props.memory_use, 0)

        inserted = pool.insert_stream(Gio.MemoryInputStream.new_from_bytes(GLib.Bytes.new(CONTENT)))
        stream = inserted.read()
        inserted.replace(b'other')
        self.assertEqual(self.read_all(stream), CONTENT)

    def test_pipe(self):
        store, pool = self.open(Bs.FileBacking.new_temporary())
        reading, writing = os.pipe()

        def fill():
            with os.fdopen(writing, 'wb') as pipe:
                pipe.write(CONTENT)

        thread = threading.Thread(target=fill)
        thread.start()
        item = pool.insert_stream(Gio.UnixInputStream.new(reading, True))
        thread.join()
        self.assertEqual(self.read_all(item.read()), CONTENT)

    def test_async(self):
        store, pool = self.open(Bs.MemoryBacking.new())
        item = call(pool.insert_file_async, Gio.File.new_for_path(str(self.source)))
        self.assertEqual(self.read_all(call(item.read_async)), CONTENT)
        self.assertTrue(call(item.copy_to_file_async, Gio.File.new_for_path(str(self.target))))
        self.assertEqual(self.target.read_bytes(), CONTENT)
        stream = Gio.MemoryInputStream.new_from_bytes(GLib.Bytes.new(CONTENT))
        self.assertEqual(self.read_all(call(pool.insert_stream_async, stream).read()), CONTENT)

    def test_await(self):
        try:
            from gi.events import GLibEventLoopPolicy
        except ImportError:
            try:
                from gbulb import GLibEventLoopPolicy
            except ImportError:
                self.skipTest('there is neither gi.events nor gbulb')

        async def main():
            async with Bs.BackingStore.new(Bs.FileBacking.new_temporary()) as store:
                pool = Bs.Pool.new(store, 1 << 20)
                item = await pool.insert_file_async(self.source)
                stream = await item.read_async()
                self.assertEqual(self.read_all(stream), CONTENT)
                await item.copy_to_file_async(self.target)
                stream.seek(0, GLib.SeekType.SET, None)
                other = await pool.insert_stream_async(stream)
                self.assertEqual(other.load().get_data(), CONTENT)
                del stream, item, other

        loop = GLibEventLoopPolicy().get_event_loop()
        loop.run_until_complete(main())
        loop.close()
        self.assertEqual(self.target.read_bytes(), CONTENT)

    def test_errors(self):
        store, pool = self.open(Bs.FileBacking.new_temporary())
        for function, argument, code in (
                (pool.insert_file, '/nothing/there', Gio.IOErrorEnum.NOT_FOUND),
                (pool.insert_file, self.directory, Gio.IOErrorEnum.IS_DIRECTORY),
                (pool.insert(b'x').copy_to_file, self.directory, Gio.IOErrorEnum.IS_DIRECTORY)):
            with self.assertRaises(GLib.Error) as raised:
                function(argument)
            self.assertTrue(raised.exception.matches(Gio.io_error_quark(), code), raised.exception.message)

    def test_own_backing(self):
        blobs = pathlib.Path(self.directory, 'blobs')
        blobs.mkdir()
        backing = StreamBacking(str(blobs))
        store, pool = self.open(backing)
        item = self.use(pool)
        self.assertEqual(item.get_size(), len(CONTENT))
        self.assertIn('write_file', backing.calls)
        pool.insert_stream(Gio.MemoryInputStream.new_from_bytes(GLib.Bytes.new(CONTENT)))
        self.assertIn('write_stream', backing.calls)
        self.assertNotIn('read', backing.calls)
        self.assertNotIn('write', backing.calls)

    def test_lame_backing(self):
        store, pool = self.open(LameBacking(self.directory))
        item = pool.insert_file(self.source)
        self.assertEqual(item.get_size(), -1)
        for function in item.read, lambda: pool.insert_stream(Gio.MemoryInputStream.new()):
            with self.assertRaises(GLib.Error) as raised:
                function()
            self.assertTrue(raised.exception.matches(Bs.error_quark(), Bs.Error.FAILED), raised.exception.message)
            self.assertIn('LameBacking', raised.exception.message)


if __name__ == '__main__':
    unittest.main()
