#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Writes the reference: generate.py GI-DOCGEN OUTPUT STYLE [ARGUMENT...]

gi-docgen writes the pages, and has no setting for what follows:

- Guides come first on the first page, stand beside each other, and each leads to the next.
- A class that nobody can derive from shows no class structure.
- Search works from files: browsers let a page read no other file, but run any script.
- STYLE keeps words whole in tables, and code in its box.

What gi-docgen warns of is also written to OUTPUT.warnings, which a test reads.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

GUIDES = re.compile(r'<section>\s*<div class="toggle-wrapper">\s*<h4 id="extra".*?</section>', re.DOTALL)
LINK = re.compile(r'<a href="([\w-]+\.html)">(.*?)</a>')
CLASS_STRUCTURE = re.compile(
    r'<div class="class toggle-wrapper default-hide">\s*<h4 id="class-struct">.*?</dd>\s*(?:</dl>\s*|</dd>\s*)</div>\s*</div>',
    re.DOTALL)
EMPTY_ROW = re.compile(r'<tr><td><em>\w+</em></td><td><a href="" class="external"></a></td></tr>\s*')
HIERARCHY = 'classes_hierarchy.html'

FETCH = 'function fetchJSON(url, callback) {\n'
FETCH_FROM_FILES = '''    if (location.protocol === 'file:') {
        window.onSearchIndex = callback;
        const script = document.createElement('script');
        script.src = 'search-index.js';
        document.head.append(script);
        return;
    }
'''


def finish_index(text):
    """The page with the guides first, and the guides: [(page, title)]."""
    section = GUIDES.search(text)[0]
    text = text.replace(section, '')
    section = section.replace('Additional documentation', 'Guides').replace('"extra"', '"guides"').replace('#extra', '#guides')
    text = EMPTY_ROW.sub('', text)
    text = text.replace('<div class="meta info">', f'{section}\n<div class="meta info">', 1)
    return text, [guide for guide in LINK.findall(section) if guide[0] != HIERARCHY]


def make_sidebar(guides):
    links = ''.join(f'<a href="{page}">{title}</a>\n' for page, title in guides)
    return f'<div class="section"><h5>Guides</h5><div class="links">\n{links}</div></div>\n'


def finish_guide(text, guides, position):
    text = text.replace('<div class="section generator">', make_sidebar(guides) + '<div class="section generator">', 1)
    page, title = guides[(position + 1) % len(guides)]
    if position + 1 < len(guides):
        following = f'Next: <a href="{page}">{title}</a>'
    else:
        following = '<a href="index.html">All guides, and the reference</a>'
    content, end, rest = text.rpartition('</section>')
    return f'{content}<p class="next">{following}</p>\n{end}{rest}'


def finish_page(text):
    text = CLASS_STRUCTURE.sub('', text)
    return text.replace('</head>', '  <link rel="stylesheet" href="reference.css" type="text/css" />\n</head>', 1)


def main(gidocgen, output, style, *arguments):
    done = subprocess.run([gidocgen, 'generate', *arguments, '--output-dir', output], stderr=subprocess.PIPE, text=True)
    sys.stderr.write(done.stderr)
    done.check_returncode()
    Path(f'{output}.warnings').write_text(done.stderr, encoding='utf-8')
    output = Path(output)

    index = output / 'index.html'
    text, guides = finish_index(index.read_text(encoding='utf-8'))
    index.write_text(text, encoding='utf-8')
    for position, (page, _) in enumerate(guides):
        path = output / page
        path.write_text(finish_guide(path.read_text(encoding='utf-8'), guides, position), encoding='utf-8')
    for path in output.glob('*.html'):
        path.write_text(finish_page(path.read_text(encoding='utf-8')), encoding='utf-8')

    shutil.copyfile(style, output / 'reference.css')
    symbols = json.loads((output / 'index.json').read_text(encoding='utf-8'))
    (output / 'search-index.js').write_text(f'onSearchIndex({json.dumps(symbols)});\n', encoding='utf-8')
    search = output / 'search.js'
    text = search.read_text(encoding='utf-8').replace(FETCH, FETCH + FETCH_FROM_FILES)
    search.write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main(*sys.argv[1:])
