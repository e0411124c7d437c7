# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""A screen of the tests' own, which GTK takes when it is imported."""

import ctypes
import os
import shutil
import struct
import subprocess
import tempfile
import unittest

import gi


framebuffer = None  # an XWD file, which Xvfb draws into


def start(size='800x600'):
    """Starts Xvfb until the module's tests are done, or skips them. Imports no GTK."""
    if shutil.which('Xvfb') is None:
        raise unittest.SkipTest('There is no Xvfb')
    try:
        gi.require_version('Gtk', '4.0')
    except ValueError as error:
        raise unittest.SkipTest(f'There is no GTK 4: {error}') from error

    global framebuffer
    directory = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(directory.cleanup)
    framebuffer = os.path.join(directory.name, 'Xvfb_screen0')

    reader, writer = os.pipe()
    server = subprocess.Popen(
        ['Xvfb', '-displayfd', str(writer), '-screen', '0', f'{size}x24', '-nolisten', 'tcp',
         '-fbdir', directory.name],
        pass_fds=[writer], stderr=subprocess.DEVNULL)
    unittest.addModuleCleanup(stop, server)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        number = pipe.readline().strip()
    if not number:
        raise unittest.SkipTest('Xvfb does not start')
    os.environ.update(DISPLAY=f':{number}', GDK_BACKEND='x11', GSK_RENDERER='cairo', GTK_A11Y='none',
                      GSETTINGS_BACKEND='memory')


def stop(server):
    server.terminate()
    server.wait()


def import_gtk():
    from gi.repository import Gtk
    if not Gtk.init_check():
        raise unittest.SkipTest('GTK finds no screen')
    return Gtk


class Screenshot:
    def __init__(self):
        with open(framebuffer, 'rb') as file:
            self.data = file.read()
        header = struct.unpack('>25I', self.data[:100])
        header_size, self.width, self.height = header[0], header[4], header[5]
        self.stride, n_colours = header[12], header[19]
        self.pixels = header_size + 12 * n_colours

    def at(self, x, y):
        """Red, green and blue."""
        start = self.pixels + y * self.stride + x * 4
        return tuple(reversed(self.data[start:start + 3]))


class Hand:
    """The keyboard and the mouse of somebody before the screen."""

    def __init__(self):
        try:
            self.x11, self.xtst = ctypes.CDLL('libX11.so.6'), ctypes.CDLL('libXtst.so.6')
        except OSError as error:
            raise unittest.SkipTest(str(error)) from error
        for function in self.x11.XOpenDisplay, self.x11.XStringToKeysym, self.x11.XDefaultRootWindow:
            function.restype = ctypes.c_void_p
        self.display = ctypes.c_void_p(self.x11.XOpenDisplay(os.environ['DISPLAY'].encode()))

    def press_key(self, *names):
        """All together, as 'Control_L' and 'q'."""
        codes = [self.x11.XKeysymToKeycode(self.display, ctypes.c_void_p(self.x11.XStringToKeysym(name.encode())))
                 for name in names]
        for code in codes:
            self.xtst.XTestFakeKeyEvent(self.display, code, True, 0)
        for code in reversed(codes):
            self.xtst.XTestFakeKeyEvent(self.display, code, False, 0)
        self.x11.XSync(self.display, False)

    def move(self, x, y):
        """Keys are for the window that the mouse is in."""
        self.xtst.XTestFakeMotionEvent(self.display, 0, x, y, 0)
        self.x11.XSync(self.display, False)

    def press_button(self, x, y, button=1):
        """Buttons 4 and 5 turn the wheel, up and down."""
        self.move(x, y)
        for pressed in True, False:
            self.xtst.XTestFakeButtonEvent(self.display, button, pressed, 0)
        self.x11.XSync(self.display, False)
