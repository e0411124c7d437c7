# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Which benchmark prints which row, beside what it is to be seen, and the goals."""

from dataclasses import dataclass

THOUSANDS, MILLION, TEN_MILLION = 10_000, 1_000_000, 10_000_000
GROWN = (THOUSANDS, MILLION, TEN_MILLION)


@dataclass(frozen=True)
class Program:
    """How a benchmark is run; one that is not built is passed over."""
    keys: tuple = (None,)    # --keys for each run; more than a million with --large alone
    where: str = ''          # which directory files are made in: disk or memory
    peer: bool = False       # peer/ does the same work
    large: bool = False      # takes --large, for --large-clients
    traces: bool = False     # takes traces and no rounds; passed over without
    folder: str = 'benchmarks'


PROGRAMS = {
    'files': Program(where='disk', peer=True),
    'manager': Program(keys=GROWN, peer=True),
    'round-trip': Program(),
    'bulk': Program(keys=GROWN, peer=True),
    'hit': Program(keys=GROWN),
    'track': Program(keys=(THOUSANDS, MILLION), where='memory', peer=True),
    'manifest': Program(keys=(MILLION,)),
    'memory': Program(keys=(MILLION, TEN_MILLION)),
    'sync': Program(where='disk'),
    'stall': Program(),
    'save': Program(keys=(THOUSANDS,), where='disk'),
    'pressure': Program(),
    'scratch': Program(where='disk'),
    'sqlite': Program(keys=(THOUSANDS, MILLION), where='disk'),
    's3': Program(),
    'replay': Program(traces=True),
    'resident': Program(),
    'gallery': Program(),
    'copy': Program(where='disk', large=True),
    'gegl': Program(where='disk', large=True, folder='clients/gegl'),
}


@dataclass(frozen=True)
class Row:
    """A row of figures. Names are those of series, below a heading that the program prints."""
    number: str
    work: str
    program: str
    heading: str              # a regular expression, from its beginning
    ours: str
    floor: str = None
    goal: float = None        # times the floor, at most
    limit: float = None       # in the unit of the series, at most
    other: str = None         # beside which ours stands: a series of the crate, or of the program itself
    other_name: str = 'crate'
    other_goal: float = None  # times that, at most
    other_heading: str = None
    optional: bool = False    # a machine may lack what it takes
    beside: str = None        # the series of ours that stands there, where it is not the same
    keys: int = None
    least: float = None       # in the unit of the series, at least
    smoke: str = None         # the headings with --smoke, where they are others
    other_smoke: str = None

    def get_headings(self, smoke):
        """The heading of ours, and that of the other."""
        heading = smoke and self.smoke or self.heading
        return heading, smoke and self.other_smoke or self.other_heading or heading


@dataclass(frozen=True)
class Growth:
    """The cost of a key with more keys, divided by that with fewest."""
    work: str
    program: str
    heading: str
    ours: str
    floor: str = None
    other: str = None
    goal: float = 2


def file_rows():
    backing, items, floor, peer = (name + ', processor' for name in (
        'ours, the backing', 'ours, items of a pool', 'floor', 'peer'))
    for step in 'write', 'load', 'register', 'persist', 'delete_persisted':
        # The crate's load of something in memory is none: both read, and nothing leaves.
        reads = step == 'load'
        yield Row('1', f'{step}, 4 KiB', 'files', f'{step}, 4 KiB', backing, floor, 1.15, None, peer,
                  other_goal=0.9, other_heading='load without eviction, 4 KiB' if reads else None,
                  beside=None if reads else items)
    yield Row('1b', 'load that evicts, 4 KiB', 'files', 'load, 4 KiB', items, floor, 1.4, None, peer, other_goal=0.5)
    yield Row('1b', 'drop, until the scratch is gone', 'files', 'drop, until', items, floor, 1.5, None, peer, other_goal=0.5)
    for size, name in (1024, '1 MiB'), (65536, '64 MiB'):
        for step, goal in ('write', 1.05), ('load and drop', 0.5), ('load, all held', 0.5):
            peer_step = {'write': 'write', 'load and drop': 'load'}.get(step)
            yield Row('2', f'{step}, {name}', 'files', f'{step}, {size} KiB', backing, floor, goal,
                      other=peer if peer_step else None, other_goal=0.5, other_heading=f'{peer_step}, {size} KiB',
                      smoke=f'{step}, 1024 KiB', other_smoke=f'{peer_step}, 1024 KiB')


def gegl_rows():
    for size, cache in (1536, '8 MiB'), (12000, '256 MiB'):
        for name, beside in ('GEGL', 'GEGL'), ('GEGL uncompressed', 'GEGL plain'):
            for figure, goal in ('processor', 1.05), ('wall', 1.0), ('exit', 1.0), ('peak resident', 1.1):
                yield Row('15', f'{size}², cache {cache}, {figure}', 'gegl', f'GEGL, {size} x', f'ours, {figure}',
                          other=f'{name}, {figure}', other_name=beside, other_goal=goal, smoke='GEGL, 384 x')


def scratch_rows():
    ours, floor = 'ours, processor', 'slots in one file, processor'
    for size in 4, 256:
        for step in 'drop and write again', 'load':
            yield Row('16', f'scratch, {size} KiB, {step}', 'scratch', f'{step}, {size} KiB', ours, floor, 1.5)
    for size, name in (4, '4 KiB'), (1024, '1 MiB'):
        yield Row('17', f'spilled, then persisted, {name}', 'scratch', f'persist, {size} KiB',
                  'ours, spilled and then persisted, processor', 'a file with an attribute, linked, processor')
    for size in 1024, 4096:
        yield Row('17', f'close, 100,000 of {size} bytes in scratch', 'scratch', f'close, with .* of {size} bytes',
                  'ours, processor', limit=50)


def sqlite_rows():
    """SQLite in a loop of its own is the floor, and the file backing what else there is."""
    ours, plain, files = (name + ', processor' for name in ('sqlite:', 'plain SQLite', 'file:'))
    for work, heading in (('insert', '\\d+ blobs of 100 B to 16 KiB'), ('random read', 'random reading'),
                          ('delete', 'deletion in batches')):
        yield Row('18', f'sqlite engine, {work}', 'sqlite', heading, ours, plain, 1.25, None, files,
                  other_name='file backing', other_goal=0.5 if work == 'insert' else None)
    for work, series, limit in (('written ÷ stored', 'written for each that is stored', 3), ('bytes a blob over the payload', 'on disk over the payload', 100),
                                ('tracking', 'tracking', 1)):
        yield Row('19', f'sqlite engine, a million small: {work}', 'sqlite', f'{MILLION} blobs of 100 B to 1 KiB', series,
                  limit=limit, keys=MILLION, smoke='100 blobs of 100 B to 1 KiB')


def s3_rows():
    """A bare loop of libcurl is the floor; beside it one whose requests are signed and have the same headers."""
    works = [f'{work}, 4 KiB, {n} under way' for n in (1, 16, 64) for work in ('put', 'get')]
    for work in [*works, 'put, 4 KiB, in one call']:
        for figure, goal in ('', 1 / 0.9), (', processor', 1.3):
            yield Row('20', f'S3 engine, {work}{figure}', 's3', work, f's3:{figure}', f'bare libcurl{figure}', goal,
                      other=f'libcurl, same headers{figure}', other_name='libcurl, same headers', other_goal=goal, optional=True)
    yield Row('20', 'S3 engine, save of 10,000 new items', 's3', 'a save of \\d+ new items', 'all requests', limit=10020, optional=True)
    yield Row('20', 'S3 engine, tracking 100,000 keys', 's3', 'tracking \\d+ keys', 'list requests', limit=110, optional=True)


def hit_rows():
    """Objects found in memory, of those asked for again, with so much of all bytes as a budget."""
    for percent, goals in (10, {'gallery': 90.6, 'gcc-build': 98.1, 'git-logp': 94.7, 'git-mixblob': 79.5, 'undo': 91.1}), (
            25, {'gallery': 98.8, 'gcc-build': 99.8, 'git-logp': 96.3, 'git-mixblob': 92.5, 'undo': 96.8}):
        for trace, goal in goals.items():
            yield Row('11', f'hits, {trace}, budget {percent} %', 'replay', f'hits, {trace}, {percent} %', 'backingstore, objects',
                      least=goal, smoke=f'hits, made up, {percent} %')


def resident_rows():
    for size, name in (4096, '4 KiB'), (16384, '16 KiB'), (102400, '100 KiB'), (1048576, '1 MiB'):
        for n in 1, 4:
            yield Row('23', f'given back by a trim, {name}, {n} thread{"s" if n > 1 else ""}', 'resident',
                      f'given back by a trim to nothing, {size} bytes, {n} threads', 'inserted', least=90,
                      smoke='given back')


def copy_rows():
    for method, floor, program, goal in (('clone', 'cp --reflink', 'cp --reflink=always', 1.05),
                                         ('copy', 'copy_file_range', 'cp --reflink=never', 1.05),
                                         ('stream', 'cat', 'cat', 1.1)):
        for way in 'in', 'out':
            yield Row('22', f'a large file {way}, as a {method}', 'copy', f'a file of \\d+ MiB as a {method}',
                      f'ours, {way}, processor', f'floor, {floor}, processor', None, None,
                      f'the program {program}, processor', program.split()[0], goal, optional=method == 'clone')


def gallery_rows():
    ours, floor = 'ours', 'all in memory'
    yield Row('21', 'gallery, a frame while scrolling', 'gallery', '\\d+ photos', ours, floor, 1.11)
    yield Row('21', 'gallery, longest gap of the main loop', 'gallery', 'longest gap', ours, floor, 1.2)
    yield Row('21', 'gallery, no cell in sight is empty after', 'gallery', 'after stopping', ours, limit=300)
    yield Row('21', 'gallery, quit', 'gallery', 'quit', ours, limit=200)


def manifest_rows():
    yield Row('24', 'opening a manifest', 'manifest', 'opening', 'ours, processor', 'a GHashTable, filled, processor',
              limit=1000, keys=MILLION)
    table, bare = 'a GHashTable, processor', 'floor, find and a bare object, processor'
    for name, floor, limit, goal in (('find', table, 200, None), ('find its position', table, None, None),
                                     ('lookup', bare, None, 1.25), ('lookup, the entry alive', bare, None, None)):
        yield Row('24', f'manifest, {name}', 'manifest', 'looking for a name', f'ours, {name}, processor', floor, goal,
                  limit, keys=MILLION)
    yield Row('24', 'memory of an entry, without its name', 'manifest', 'memory', 'an entry, without its name',
              limit=120, keys=MILLION)


BULK = 'ours, a backing with functions for many'

ROWS = [
    *file_rows(),
    Row('3', 'persist and delete, the pair', 'manager', 'persist and', 'ours, in the order of insertion',
        'floor, in the order of insertion', limit=300, other='peer, in the order of insertion', keys=THOUSANDS),
    Row('3', 'persist and delete, the pair', 'manager', 'persist and', 'ours, in the order of insertion',
        'floor, in the order of insertion', limit=400, other='peer, in the order of insertion', other_goal=1.5, keys=MILLION),
    Row('4', 'a round trip, 64 in flight', 'round-trip', 'round trip', 'ours, delete_persisted_async',
        'floor, a bare GTask', 1.25),
    Row('4', 'a round trip, processor', 'round-trip', 'round trip', 'ours, processor time', 'floor, processor time', 1.25),
    Row('5', 'register_all, a key', 'bulk', 'register_all', BULK, 'floor', limit=150, other='peer', other_goal=0.2, keys=MILLION),
    Row('5', 'dropping them all, a key', 'bulk', 'dropping', BULK, 'floor', limit=150, other='peer', other_goal=0.2, keys=MILLION),
    Row('5', 'items dropped one by one, that thread', 'bulk', 'dropping', 'ours, items dropped one by one, that thread',
        'bare GObjects dropped one by one', limit=300, keys=MILLION),
    Row('5', 'items dropped one by one, until deleted', 'bulk', 'dropping', 'ours, items dropped one by one, until deleted',
        'floor', other='peer', keys=MILLION),
    Row('5', 'delete after a save, a key', 'bulk', 'delete', BULK, 'floor', limit=150, other='peer', other_goal=0.2, keys=MILLION),
    Row('6', 'a hit', 'hit', 'hit', 'ours, one thread, processor', 'floor, one thread, processor', limit=50, keys=THOUSANDS),
    Row('6', 'a hit, two threads, each', 'hit', 'hit', 'ours, two threads, each, processor',
        'floor, two threads, each, processor', limit=60, keys=THOUSANDS),
    Row('7', 'track_path, a blob', 'track', 'track_path', 'ours, processor', 'floor, processor', 1.3, None,
        'peer, processor', other_goal=0.5, keys=MILLION),
    Row('8', 'memory of a tracked key', 'memory', 'memory', 'a tracked key', limit=24, keys=MILLION),
    Row('8', 'memory of an item not in memory', 'memory', 'memory', 'an item of register', limit=200, keys=MILLION),
    Row('8', 'memory of an item, evicted', 'memory', 'memory', 'an item of insert, evicted', limit=200, keys=MILLION),
    Row('9', 'sync after one persist', 'sync', 'sync after', 'ours', 'floor', 2),
    Row('10', 'one key stuck: others delayed', 'stall', '10000 other', 'beyond the unstalled p99 (1 is none)', limit=1,
        smoke='2500 other'),
    Row('13', 'save of 10,000 new', 'save', 'a save of \\d+ new', 'ours, blocking', 'floor, bare C', 1.3),
    Row('13', 'save of one changed in 10,000', 'save', 'a save of one', 'ours, blocking', 'floor, bare C', 1.5,
        other='floor, with what is promised', other_name='bare C, as promised', other_goal=1.5),
    Row('13', 'save of one changed in 10,000, processor', 'save', 'a save of one', 'ours, blocking, processor',
        'floor, bare C, processor', other='floor, with what is promised, processor',
        other_name='bare C, as promised'),
    Row('14', 'producer faster than the disk: peak', 'pressure', 'awaits a trim after every 1$', 'peak memory-use', limit=18),
    *gegl_rows(),
    *scratch_rows(),
    *sqlite_rows(),
    *s3_rows(),
    *hit_rows(),
    *resident_rows(),
    *gallery_rows(),
    *copy_rows(),
    *manifest_rows(),
]

GROWTHS = [
    Growth('persist and delete, the pair', 'manager', 'persist and', 'ours, in the order of insertion',
           'floor, in the order of insertion', 'peer, in the order of insertion'),
    Growth('register_all, a key', 'bulk', 'register_all', BULK, 'floor', 'peer'),
    Growth('dropping them all, a key', 'bulk', 'dropping', BULK, 'floor', 'peer'),
    Growth('delete after a save, a key', 'bulk', 'delete', BULK, 'floor', 'peer'),
    Growth('a hit', 'hit', 'hit', 'ours, one thread, processor', 'floor, one thread, processor'),
    Growth('sqlite engine, insert', 'sqlite', '\\d+ blobs of 100 B to 1 KiB', 'insertion of one, processor'),
    Growth('track_path, a blob', 'track', 'track_path', 'ours, processor', 'floor, processor', 'peer, processor'),
]
