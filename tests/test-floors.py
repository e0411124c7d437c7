#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Checks which files of the library lead to which: none upwards, none in a circle.

A file is bs-thing.c with bs-thing.h and bs-thing-private.h. An arrow leads from it to
each file that it includes, and to each file that defines a function which it names.
"""

import pathlib
import re
import sys

# A folder may lead to itself, to the folders named here, and to those below them.
BELOW = {
    'base': [],
    'backings': ['base'],
    'store/threads': ['base'],
    'store/queues': ['store/threads'],
    'store/operations': ['store/queues'],
    'store': ['store/operations'],
    'pool': ['store'],
    'gtk': ['pool', '.'],
    'tools': ['pool', 'backings', '.'],
    'modules/sqlite': ['pool', 'backings', '.'],
    'modules/s3': ['pool', 'backings', '.'],
    '.': ['pool', 'backings'],
}
# These are applications of the library: private headers are closed to them.
PUBLIC_ONLY = ['gtk', 'modules/sqlite', 'modules/s3', 'tools', '.']
GENERATED = ['config.h', 'bs-version.h', 'bs-enum-types.h']

COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
INCLUDE = re.compile(r'^#\s*include\s+(?:"|<backingstore/)([^">]+)[">]', re.MULTILINE)
DEFINITION = re.compile(r'^(?!static\b)\w[^\n;]*\n(bs_\w+) \(', re.MULTILINE)
NAME = re.compile(r'\bbs_\w+')


class Arrow:
    def __init__(self, source, target, why):
        self.source, self.target = room(source), room(target)
        self.folders = source.parent.as_posix(), target.parent.as_posix()
        self.is_private = target.stem.endswith('-private')
        self.why = why

    def __str__(self):
        return f'{self.source} -> {self.target}: {self.why}'


def room(path):
    return path.with_name(path.stem.removesuffix('-private')).as_posix()


def blank(match):
    return re.sub(r'[^\n]', ' ', match.group())


def places(pattern, text):
    """Each match with its line number."""
    line = last = 0
    for match in pattern.finditer(text):
        line += text.count('\n', last, match.start())
        last = match.start()
        yield line + 1, match


def find_include(top, source, name):
    for path in source.parent / name, pathlib.Path(name):
        if (top / path).is_file():
            return path
    return None


def follow_includes(top, sources):
    arrows, lost = [], []
    for source, text in sources.items():
        for line, match in places(INCLUDE, text):
            target = find_include(top, source, match.group(1))
            if target is not None:
                arrows.append(Arrow(source, target, f'{source}:{line} includes {target}'))
            elif match.group(1) not in GENERATED:
                lost.append(f'{source}:{line} includes {match.group(1)}')
    return arrows, lost


def follow_calls(sources):
    codes = {source: COMMENT_OR_STRING.sub(blank, text) for source, text in sources.items()}
    homes = {match.group(1): source for source, code in codes.items() if source.suffix == '.c'
             for match in DEFINITION.finditer(code)}
    # A header that declares a function does not use it.
    return [Arrow(source, homes[match.group()], f'{source}:{line} calls {match.group()}')
            for source, code in codes.items() if source.suffix == '.c'
            for line, match in places(NAME, code)
            if match.group() in homes and room(homes[match.group()]) != room(source)]


def folders_below(folder):
    below = {folder}
    for other in BELOW.get(folder, []):
        below |= folders_below(other)
    return below


def is_allowed(arrow):
    source, target = arrow.folders
    if source in PUBLIC_ONLY and arrow.is_private and source != target:
        return False
    return target in folders_below(source)


def reachable(start, targets):
    reached, waiting = set(), [start]
    while waiting:
        for target in targets.get(waiting.pop(), ()):
            if target not in reached:
                reached.add(target)
                waiting.append(target)
    return reached


def find_circles(arrows):
    """Each largest set of files that all lead to one another, with an arrow for each pair in it."""
    first = {}
    for arrow in arrows:
        if arrow.source != arrow.target:
            first.setdefault((arrow.source, arrow.target), arrow)
    targets = {}
    for source, target in first:
        targets.setdefault(source, set()).add(target)

    reached = {name: reachable(name, targets) for name in targets}
    circles = {frozenset(other for other in reached[name] if name in reached.get(other, ()))
               for name in targets if name in reached[name]}
    for circle in sorted(circles, key=sorted):
        yield f'a circle of {len(circle)} files: ' + ', '.join(sorted(circle))
        yield from ('  ' + str(arrow) for pair, arrow in sorted(first.items()) if circle.issuperset(pair))


def report(number, title, complaints):
    complaints = [str(complaint) for complaint in complaints]
    for complaint in complaints:
        print('#', complaint)
    print(f'{"not ok" if complaints else "ok"} {number} {title}')
    return not complaints


top = pathlib.Path(sys.argv[1])
sources = {path.relative_to(top): path.read_text(encoding='utf-8')
           for path in sorted(top.rglob('*.[ch]'))}
includes, lost = follow_includes(top, sources)
calls = follow_calls(sources)
folders = {source.parent.as_posix() for source in sources}

print('1..6')
fine = [
    report(1, 'every folder has its floor', sorted(folders - BELOW.keys())),
    report(2, 'every include leads to a file', lost),
    report(3, 'no include leads upwards', (arrow for arrow in includes if not is_allowed(arrow))),
    report(4, 'no call leads upwards', (arrow for arrow in calls if not is_allowed(arrow))),
    report(5, 'no files include each other in a circle', find_circles(includes)),
    report(6, 'no files call each other in a circle', find_circles(includes + calls)),
]
sys.exit(not all(fine))
