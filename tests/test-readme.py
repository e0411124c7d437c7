#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Takes the snippets out of the README and pages of the reference, and runs them.

test-readme.py extract LANGUAGE PAGE OUTPUT
test-readme.py run C-PROGRAM PYTHON-RUNNER GJS PAGE...

A runner that is not there is '': its snippets are skipped. The first snippet in Python
finds what the one in C has left in the directory.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

# The output of the snippets, by the name of their page.
PRINTED = {
    'python': {
        'README.md': [r'1 tiles\n[-0-9a-f]{36} 100000 bytes\n', r'three 5\n', r"\[\('first', 'one'\), \('second', 'two'\)\]\n", r'True content\n'],
        'documents.md': [r'\ntitle: first\n'],
        'importing-and-exporting.md': [r'5000000 0\n10\n'],
        'pictures-in-a-grid.md': [r''],
        'python.md': [r'(True 1\n){5}', r"b'content'\n", r'7\n', r'one\nTrue\nTrue\n'],
        'undo-and-tiles.md': [r'cloud False\nsky True\n'],
        'writing-a-backing.md': [r'1 content\n'],
        'writing-an-engine.md': [r'content\n'],
    },
    'javascript': {
        'README.md': [r'1 tiles\n[-0-9a-f]{36} 100000 bytes\n'],
        'importing-and-exporting.md': [r'few\n'],
        'javascript.md': [r'(true [123]\n){3}', r'one\ntrue\n'],
        'pictures-in-a-grid.md': [r''],
    },
}


def extract(language, page):
    text = Path(page).read_text(encoding='utf-8')
    return re.findall(rf'^```{language}\n(.*?)^```$', text, re.DOTALL | re.MULTILINE)


def check(number, what, command, expected, directory):
    result = subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=60)
    passed = result.returncode == 0 and re.fullmatch(expected, result.stdout)
    if not passed:
        print(f'status {result.returncode}, printed {result.stdout!r}', file=sys.stderr)
    print('ok' if passed else 'not ok', number, what, flush=True)


def run_snippets(number, language, page, command, directory):
    snippets = extract(language, page)
    outputs = PRINTED[language].get(page.name, [])
    if len(snippets) != len(outputs):
        sys.exit(f'{page} has {len(snippets)} snippets in {language}')
    # A place of their own: each page has one called tiles.
    place = directory if page.name == 'README.md' else tempfile.mkdtemp(dir=directory)
    for number, (snippet, expected) in enumerate(zip(snippets, outputs), number + 1):
        script = Path(place, 'snippet')
        script.write_text(snippet, encoding='utf-8')
        check(number, f'{page.name}, {language}', [*command, script], expected, place)
    return number


def run(program, python_runner, gjs, *pages):
    commands = {'python': [python_runner], 'javascript': [gjs, '-m']}
    with tempfile.TemporaryDirectory() as directory:
        check(1, 'C', [Path(program).resolve()], r'100000 bytes\n', directory)
        number = 1
        for page in map(Path, pages):
            for language, command in commands.items():
                if command[0]:
                    number = run_snippets(number, language, page, command, directory)
    print(f'1..{number}')


if sys.argv[1] == 'extract':
    snippet, = extract(*sys.argv[2:4])
    Path(sys.argv[4]).write_text(snippet, encoding='utf-8')
else:
    run(*sys.argv[2:])
