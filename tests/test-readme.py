#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Takes the snippets out of the README and pages of the reference, and runs them.

test-readme.py extract LANGUAGE PAGE OUTPUT
test-readme.py run C-PROGRAM [PYTHON-RUNNER PAGE...]

The first snippet in Python finds what the one in C has left in the directory.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

# The output of the snippets in Python, by the name of their page.
PRINTED = {
    'README.md': [r'1 tiles\n[-0-9a-f]{36} 100000 bytes\n', r'three 5\n', r"\[\('first', 'one'\), \('second', 'two'\)\]\n", r'True content\n'],
    'documents.md': [r'\ntitle: first\n'],
    'undo-and-tiles.md': [r'cloud False\nsky True\n'],
    'writing-a-backing.md': [r'1 content\n'],
    'writing-an-engine.md': [r'content\n'],
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


def run(program, python_runner=None, *pages):
    with tempfile.TemporaryDirectory() as directory:
        check(1, 'C', [Path(program).resolve()], r'100000 bytes\n', directory)
        number = 1
        for page in map(Path, pages):
            snippets = extract('python', page)
            if len(snippets) != len(PRINTED[page.name]):
                sys.exit(f'{page} has {len(snippets)} snippets in Python')
            for snippet, expected in zip(snippets, PRINTED[page.name]):
                script = Path(directory, 'snippet.py')
                script.write_text(snippet, encoding='utf-8')
                number += 1
                check(number, page.name, [python_runner, script], expected, directory)
    print(f'1..{number}')


if sys.argv[1] == 'extract':
    snippet, = extract(*sys.argv[2:4])
    Path(sys.argv[4]).write_text(snippet, encoding='utf-8')
else:
    run(*sys.argv[2:])
