# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Somebody uses the gallery: arguments are its command.

Nothing looks inside: the tests see the screen and the library, and have the keyboard and
the mouse.
"""

import itertools
import os
import select
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zlib
from pathlib import Path

import screen

COMMAND = sys.argv[1:]
PHOTOS = Path(__file__).resolve().parent.parent.parent / 'docs' / 'examples' / 'gallery' / 'make-photos'
IS_WHOLE = os.environ.get('BACKINGSTORE_TESTS') == 'whole'
N_PHOTOS = 480 if IS_WHOLE else 240
N_FEW = 30
BUDGET = 4  # MiB; one photo takes 6, a thumbnail 0.17
SECONDS = 100 if IS_WHOLE else 30

# The part of the window that the grid has, without its scroll bar, and empty.
LEFT, TOP, RIGHT, BOTTOM = 8, 54, 750, 570
EMPTY = 255, 255, 255
MIDDLE = (LEFT + RIGHT) // 2, (TOP + BOTTOM) // 2
CANCEL = 735, 557
LAST = 735, 573


def setUpModule():
    screen.start()


def make_png(width, height):
    """A file of less than 100 bytes, which ends where its pixels begin."""
    chunk = b'IHDR' + struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n\0\0\0\r' + chunk + struct.pack('>I', zlib.crc32(chunk))


def wait_until(condition, process):
    """For a condition of the screen or of files, which tell nobody when they change."""
    end = time.monotonic() + SECONDS
    while not condition():
        if process.poll() is not None:
            raise AssertionError(f'the gallery ended with status {process.returncode}')
        if time.monotonic() > end:
            raise TimeoutError('the gallery does not get there')
        time.sleep(.02)


class Shot(screen.Screenshot):
    def is_like(self, other):
        """Whether the grid, or what is there instead, is the same, but for rounding."""
        places = [(x, y) for x in range(LEFT, RIGHT, 16) for y in range(TOP, BOTTOM, 16)]
        n_alike = sum(max(abs(mine - theirs) for mine, theirs in zip(self.at(*place), other.at(*place))) < 8
                      for place in places)
        return n_alike > .99 * len(places)

    def has_empty_cell(self):
        """A place as large as a third of a cell, while gaps are much narrower than that."""
        def is_empty(x, y):
            return all(self.at(x + dx, y + dy) == EMPTY for dx, dy in ((20, 20), (0, 0), (40, 0), (0, 40), (40, 40)))

        return any(is_empty(x, y) for x in range(LEFT, RIGHT - 40, 20) for y in range(TOP, BOTTOM - 40, 20))


class GalleryTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.top = Path(directory.name)
        cls.photos = cls.top / 'photos'
        cls.few = cls.top / 'few photos'
        subprocess.run([PHOTOS, cls.few, str(N_FEW), '1.5'], check=True)
        cls.photos.mkdir()
        for number, photo in zip(range(N_PHOTOS), itertools.cycle(sorted(cls.few.iterdir()))):
            os.link(photo, cls.photos / f'{number}.jpeg')
        cls.hand = screen.Hand()

    def start(self, library, *folders):
        environment = {**os.environ, 'G_DEBUG': 'fatal-criticals'}
        process = subprocess.Popen([*COMMAND, library, str(BUDGET), *folders], env=environment)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def quit(self, process):
        self.hand.move(*MIDDLE)
        ended = os.pidfd_open(process.pid)
        self.addCleanup(os.close, ended)
        begun = time.monotonic()
        self.hand.press_key('Control_L', 'q')
        select.select([ended], [], [], SECONDS)
        print(f'# quit in {(time.monotonic() - begun) * 1000:.0f} ms')
        self.assertEqual(process.wait(SECONDS), 0)

    def blobs(self, library):
        return [path for path in library.glob('??/*') if len(path.name) == 32]

    def wait_for_import(self, process, library, n_photos):
        wait_until(lambda: len(self.blobs(library)) == n_photos and not (library / '.dirty').exists(), process)

    def has_last_row(self):
        """Whether a photo, and not the bar of the import, is at the end: that has no colours."""
        pixel = Shot().at(*LAST)
        return max(pixel) - min(pixel) > 20

    def wait_until_settled(self, process):
        """All that was asked is done, and no cell is empty."""
        def threads():
            return [stat.read_text().rpartition(')')[2].split()[:13] for stat in Path(f'/proc/{process.pid}/task').glob('*/stat')]

        def is_settled():
            before = threads()
            time.sleep(.05)
            return threads() == before and all(thread[0] == 'S' for thread in before) and not Shot().has_empty_cell()

        wait_until(is_settled, process)

    def resident_size(self, process):
        pages = int(Path(f'/proc/{process.pid}/statm').read_text().split()[1])
        return pages * os.sysconf('SC_PAGESIZE') / 1024 / 1024

    def scroll(self, process, button):
        """Turns the wheel until nothing moves any more. Returns the largest resident size."""
        largest = 0
        before = None
        while before is None or not Shot().is_like(before):
            before = Shot()
            # No faster than a finger: GTK 4.8 loses its place if it is scrolled twice in a frame.
            for _ in range(25):
                self.hand.press_button(*MIDDLE, button=button)
                time.sleep(.02)
            self.wait_until_settled(process)
            largest = max(largest, self.resident_size(process))
        return largest

    def test_use(self):
        library = self.top / 'library'
        process = self.start(library, self.photos)
        self.wait_for_import(process, library, N_PHOTOS)
        wait_until(self.has_last_row, process)
        self.wait_until_settled(process)
        self.quit(process)

        # Another day.
        process = self.start(library)
        self.hand.move(*MIDDLE)
        wait_until(self.has_last_row, process)
        self.wait_until_settled(process)
        at_first = Shot()
        size = self.resident_size(process)
        largest = self.scroll(process, 5)
        self.assertFalse(Shot().is_like(at_first))
        largest = max(largest, self.scroll(process, 4))
        self.assertTrue(Shot().is_like(at_first))
        print(f'# {size:.0f} MiB resident at first, {largest:.0f} at most')
        # A grid holds up to thirty rows of cells; all thumbnails together are 200 MiB.
        if IS_WHOLE:
            self.assertLess(largest, size + 100)

        # One of them large, and zoomed, and back.
        self.hand.press_button(*MIDDLE)
        wait_until(lambda: not Shot().is_like(at_first), process)
        self.wait_until_settled(process)
        large = Shot()
        self.hand.press_key('z')
        wait_until(lambda: not Shot().is_like(large), process)
        self.hand.press_key('z')
        wait_until(lambda: Shot().is_like(large), process)
        self.hand.press_key('Escape')
        wait_until(lambda: Shot().is_like(at_first), process)
        self.quit(process)
        self.assertEqual(len(self.blobs(library)), N_PHOTOS)

    def open_middle(self, process):
        """Makes the photo in the middle of the grid a large one. Returns what the grid was like."""
        self.hand.move(*MIDDLE)
        self.wait_until_settled(process)
        grid = Shot()
        self.hand.press_button(*MIDDLE)
        wait_until(lambda: not Shot().is_like(grid), process)
        self.wait_until_settled(process)
        return grid

    def test_delete(self):
        """A photo that is deleted while it is shown leaves the grid, and no gap."""
        library = self.top / 'library to delete from'
        process = self.start(library, self.few)
        self.wait_for_import(process, library, N_FEW)
        grid = self.open_middle(process)
        self.hand.press_key('Delete')
        wait_until(lambda: len(self.blobs(library)) == N_FEW - 1, process)
        self.wait_until_settled(process)
        self.assertFalse(Shot().is_like(grid))
        # Nothing is shown that could be deleted.
        self.hand.press_key('Delete')
        # The gallery may end while a photo is large.
        self.open_middle(process)
        self.quit(process)
        self.assertEqual(len(self.blobs(library)), N_FEW - 1)

    def test_delete_elsewhere(self):
        """Photos whose files somebody removes can be seen until the gallery is closed."""
        library = self.top / 'library that others delete from'
        process = self.start(library, self.photos if IS_WHOLE else self.few)
        self.wait_for_import(process, library, N_PHOTOS if IS_WHOLE else N_FEW)
        self.quit(process)
        process = self.start(library)
        self.hand.move(*MIDDLE)
        wait_until(self.has_last_row, process)
        grid = self.open_middle(process)
        large = Shot()
        for blob in self.blobs(library):
            blob.unlink()
        self.hand.press_key('z')
        wait_until(lambda: not Shot().is_like(large), process)
        self.hand.press_key('z')
        wait_until(lambda: Shot().is_like(large), process)
        self.hand.press_key('Escape')
        wait_until(lambda: Shot().is_like(grid), process)
        self.scroll(process, 5)
        self.quit(process)

    def test_cancel(self):
        """An import that is cancelled leaves what it has brought."""
        folder, library = self.top / 'many', self.top / 'cancelled'
        folder.mkdir()
        photo = next(self.photos.iterdir())
        for number in range(5000):
            (folder / f'{number}.jpeg').symlink_to(photo)
        process = self.start(library, folder)
        wait_until(lambda: len(self.blobs(library)) > 20, process)

        def is_cancelled():
            self.hand.press_button(*CANCEL)
            return not (library / '.dirty').exists()

        wait_until(is_cancelled, process)
        n_blobs = len(self.blobs(library))
        self.assertLess(n_blobs, 5000)
        self.quit(process)
        self.assertEqual(len(self.blobs(library)), n_blobs)

    def test_quit_at_once(self):
        """The window may be closed in the middle of an import."""
        library = self.top / 'interrupted'
        process = self.start(library, self.photos)
        wait_until(lambda: len(self.blobs(library)) > 20, process)
        self.quit(process)
        self.assertLess(len(self.blobs(library)), N_PHOTOS)

    def test_bad_photos(self):
        """A file that is no photo, or declares too many pixels, leaves an empty cell."""
        folder, library = self.top / 'bad', self.top / 'library of bad ones'
        folder.mkdir()
        (folder / 'text.jpeg').write_text('no photo')
        (folder / 'short.jpeg').write_bytes(next(self.photos.iterdir()).read_bytes()[:100])
        (folder / 'huge.png').write_bytes(make_png(30000, 30000))
        (folder / 'empty.jpeg').touch()
        os.link(next(self.photos.iterdir()), folder / 'good.jpeg')
        process = self.start(library, folder)
        self.wait_for_import(process, library, 4)

        def count_colours():
            shot = Shot()
            return sum(shot.at(x, TOP + 64) != EMPTY for x in range(LEFT, RIGHT, 32))

        wait_until(lambda: 0 < count_colours() < 8, process)
        self.assertLess(self.resident_size(process), 500)
        self.quit(process)


if __name__ == '__main__':
    unittest.main()
