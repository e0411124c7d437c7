#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Checks the pages of the reference: test-reference.py REFERENCE GIR

test-reference.py --warnings REFERENCE   that gi-docgen has warned of nothing, such as a link
                                         into nothing
"""

import html
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

CORE = '{http://www.gtk.org/introspection/core/1.0}'
if sys.argv[1] == '--warnings':
    warnings = Path(f'{sys.argv[2]}.warnings').read_text(encoding='utf-8')
    print(warnings, end='', file=sys.stderr)
    sys.exit('WARNING' in warnings)

REFERENCE, GIR = Path(sys.argv[1]), sys.argv[2]
INDEX = (REFERENCE / 'index.html').read_text(encoding='utf-8')

n_tests = n_failed = 0


def check(what, complaints):
    global n_tests, n_failed
    n_tests += 1
    n_failed += bool(complaints)
    for complaint in complaints:
        print('#', complaint)
    print('not ok' if complaints else 'ok', n_tests, what)


def find_guides():
    """The pages of the list that stands before everything else on the first page."""
    first = INDEX.partition('<div class="meta info">')[0]
    section = first.partition('id="guides"')[2].partition('</section>')[0]
    return [page for page in re.findall(r'<li><a href="([\w-]+\.html)">', section) if page != 'classes_hierarchy.html']


def follow(page):
    """The pages that are reached by going to the next one."""
    while page and page != 'index.html':
        yield page
        text = (REFERENCE / page).read_text(encoding='utf-8')
        links = re.findall(r'<p class="next">.*?<a href="(.*?)">', text)
        page = links[0] if len(links) == 1 else None


def find_broken_links():
    """Links within the reference: that of another library is elsewhere before it is installed."""
    for page in sorted(REFERENCE.glob('*.html')):
        text = page.read_text(encoding='utf-8')
        for link in set(re.findall(r'(?:href|src)="(?![a-z]+:|\.\./)([^"#?]+)', text)):
            if not (REFERENCE / html.unescape(link)).exists():
                yield f'{page.name}: {link}'


def find_eaten_lines():
    """A text that opens with a word and a colon: Markdown takes that line for a heading of the file."""
    for doc in ElementTree.parse(GIR).getroot().iter(CORE + 'doc'):
        if re.match(r'[\w-]+:\s', doc.text):
            yield doc.text.partition('\n')[0]


guides = find_guides()
check('the first page leads to the guides', [] if len(guides) > 10 and guides[0] == 'overview.html' else [guides])
check('each guide leads to the next', [] if list(follow(guides[0])) == guides else list(follow(guides[0])))
check('each link leads somewhere', list(find_broken_links()))
check('no class structure of a final class is shown',
      [page.name for page in REFERENCE.glob('class.*.html') if 'Class structure' in page.read_text(encoding='utf-8')])
check('no first line is lost', list(find_eaten_lines()))
check('search reads its index from files', [] if 'search-index.js' in (REFERENCE / 'search.js').read_text(encoding='utf-8')
      and (REFERENCE / 'search-index.js').read_text(encoding='utf-8').startswith('onSearchIndex({') else ['no index'])
print(f'1..{n_tests}')
sys.exit(n_failed != 0)
