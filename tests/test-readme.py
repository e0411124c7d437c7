#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Takes the snippets out of the README and a page of the reference, and runs them.

test-readme.py extract LANGUAGE PAGE OUTPUT
test-readme.py run C-PROGRAM [PYTHON-RUNNER README PAGE]

The second snippet finds what the first, in C, has left in the directory.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path


def extract(language, page):
    text = Path(page).read_text(encoding='utf-8')
    snippets = re.findall(rf'^```{language}\n(.*?)^```$', text, re.DOTALL | re.MULTILINE)
    if len(snippets) != 1:
        sys.exit(f'{page} has {len(snippets)} snippets in {language}')
    return snippets[0]


def check(number, what, command, expected, directory):
    result = subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=60)
    passed = result.returncode == 0 and re.fullmatch(expected, result.stdout)
    if not passed:
        print(f'status {result.returncode}, printed {result.stdout!r}', file=sys.stderr)
    print('ok' if passed else 'not ok', number, what, flush=True)


def run(program, python_runner=None, *pages):
    expected = [r'1 tiles\n[-0-9a-f]{36} 100000 bytes\n', r'1 content\n']
    with tempfile.TemporaryDirectory() as directory:
        check(1, 'C', [Path(program).resolve()], r'100000 bytes\n', directory)
        for number, page in enumerate(pages, 2):
            script = Path(directory, 'snippet.py')
            script.write_text(extract('python', page), encoding='utf-8')
            check(number, Path(page).name, [python_runner, script], expected[number - 2], directory)
    print(f'1..{1 + len(pages)}')


if sys.argv[1] == 'extract':
    Path(sys.argv[4]).write_text(extract(*sys.argv[2:4]), encoding='utf-8')
else:
    run(*sys.argv[2:])
