# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Plots of the figures, as SVG that needs no style sheet."""

import math
from html import escape

COLOURS = {'ours': '#1c71d8', 'floor': '#77767b', 'crate': '#e66100', 'GEGL': '#813d9c',
           'GEGL plain': '#c061cb', 'file backing': '#26a269', 'cp': '#e66100', 'cat': '#e66100',
           'libcurl, same headers': '#e66100', 'bare C, as promised': '#77767b'}
MET, MISSED, INK, GRID = '#26a269', '#c01c28', '#241f31', '#deddda'
WIDTH, LABELS, ROW = 840, 350, 20


class Drawing:
    def __init__(self, height, title):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
            f' font-family="sans-serif" font-size="12" role="img">',
            f'<title>{escape(title)}</title>',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        ]

    def text(self, x, y, text, anchor='start', colour=INK, size=12):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"'
                          f' font-size="{size}">{escape(text)}</text>')

    def line(self, points, colour=GRID, width=1, dashes=''):
        path = ' '.join(f'{x:.1f},{y:.1f}' for x, y in points)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"'
                          f' stroke-dasharray="{dashes}"/>')

    def dot(self, x, y, colour):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')

    def bar(self, x, y, width, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{ROW - 8}" fill="{colour}"/>')

    def finish(self):
        return '\n'.join([*self.parts, '</svg>', ''])


class Scale:
    """A logarithmic scale, from one decade to another."""

    def __init__(self, values, start, end):
        logs = [math.log10(value) for value in values if value > 0] or [0]
        self.low, self.high = math.floor(min(logs)), max(math.ceil(max(logs)), math.floor(min(logs)) + 1)
        self.start, self.end = start, end

    def __call__(self, value):
        at = (math.log10(max(value, 10 ** self.low)) - self.low) / (self.high - self.low)
        return self.start + at * (self.end - self.start)

    def marks(self):
        return [10.0 ** power for power in range(self.low, self.high + 1)]


def format_mark(value):
    return f'{value:g}' if value < 1000 else f'{value:,.0f}'


def draw_ratios(title, legend, ratios, colour_of):
    """A bar for each (label, ratio, lowest, highest, name), from 1, on a logarithmic scale."""
    height = 70 + ROW * len(ratios)
    drawing = Drawing(height, title)
    scale = Scale([1] + [value for ratio in ratios for value in ratio[1:4]], LABELS, WIDTH - 60)
    drawing.text(10, 20, title, size=14)
    drawing.text(10, 38, legend, colour='#5e5c64')
    for mark in scale.marks():
        drawing.line([(scale(mark), 48), (scale(mark), height - 20)])
        drawing.text(scale(mark), height - 6, format_mark(mark), 'middle')
    for i, (label, ratio, lowest, highest, name) in enumerate(ratios):
        y, colour = 60 + ROW * i, colour_of(ratio, name)
        drawing.text(LABELS - 8, y + 4, label, 'end')
        drawing.bar(min(scale(1), scale(ratio)), y - 6, abs(scale(ratio) - scale(1)) + 1, colour)
        drawing.line([(scale(lowest), y), (scale(highest), y)], INK)
        drawing.text(WIDTH - 52, y + 4, f'{ratio:.2f}', colour=colour)
    drawing.line([(scale(1), 48), (scale(1), height - 20)], INK, 1.5)
    return drawing.finish()


def draw_goals(goals):
    return draw_ratios('Measured ÷ goal', 'Left of 1 the goal is met. The thin line spans the rounds. Logarithmic.',
                       goals, lambda ratio, name: MET if ratio <= 1 else MISSED)


def draw_beside(ratios):
    return draw_ratios('Ours ÷ what people would use instead',
                       'Left of 1 ours costs less. The thin line spans the rounds. Logarithmic.',
                       ratios, lambda ratio, name: COLOURS[name])


def draw_panel(drawing, left, top, title, lines):
    width, height = 205, 150
    keys = sorted({n for points in lines.values() for n, _ in points})
    scale = Scale([value for points in lines.values() for _, value in points], top + height, top)
    x_of = {n: left + width * (i + 0.5) / len(keys) for i, n in enumerate(keys)}
    drawing.text(left, top - 10, title, size=13)
    for mark in scale.marks():
        drawing.line([(left, scale(mark)), (left + width, scale(mark))])
        drawing.text(left - 5, scale(mark) + 4, format_mark(mark), 'end', size=10)
    for n in keys:
        drawing.text(x_of[n], top + height + 15, f'{n:,}', 'middle', size=10)
    for name, points in lines.items():
        where = [(x_of[n], scale(value)) for n, value in points]
        drawing.line(where, COLOURS[name], 2, '4 3' if name == 'floor' else '')
        for x, y in where:
            drawing.dot(x, y, COLOURS[name])


def draw_growth(panels):
    """Panels are (title, {name: [(keys, nanoseconds)]})."""
    n_rows = (len(panels) + 2) // 3
    drawing = Drawing(50 + 210 * n_rows, 'Growth')
    drawing.text(10, 20, 'Nanoseconds for each, with so many keys', size=14)
    for i, name in enumerate(['ours', 'floor', 'crate']):
        drawing.dot(400 + 90 * i, 16, COLOURS[name])
        drawing.text(408 + 90 * i, 20, name)
    for i, (title, lines) in enumerate(panels):
        draw_panel(drawing, 60 + 262 * (i % 3), 65 + 210 * (i // 3), title, lines)
    return drawing.finish()
