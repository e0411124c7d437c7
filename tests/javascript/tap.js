// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// Tests are asynchronous functions, so that nothing is asserted in a callback,
// where a failure would be swallowed. Each has a watchdog and a directory.

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';

const SECONDS = 30;
const tests = [];

export function test(name, func) {
    tests.push([name, func]);
}

export function assert(condition, message = 'assertion failed') {
    if (!condition)
        throw new Error(message);
}

export function assertEqual(actual, expected) {
    const [left, right] = [actual, expected].map(
        value => Array.isArray(value) ? JSON.stringify(value) : value);
    if (left !== right)
        throw new Error(`expected ${right}, got ${left}`);
}

// Awaits the function, and returns the GLib.Error that it must fail with.
export async function assertFails(domain, code, func) {
    const wanted = `${domain.name} ${code}`;
    try {
        await func();
    } catch (error) {
        if (error instanceof GLib.Error && error.matches(domain, code))
            return error;
        throw new Error(`expected ${wanted}, got ${error.constructor.name} ${error.code}: ${error.message}`);
    }
    throw new Error(`expected ${wanted}, but it succeeded`);
}

export function assertIncludes(message, ...parts) {
    for (const part of parts)
        assert(message.includes(part), `“${part}” is not in “${message}”`);
}

export function bytes(text) {
    return new GLib.Bytes(new TextEncoder().encode(text));
}

export function text(content) {
    return new TextDecoder().decode(content.toArray());
}

export function list(model) {
    return Array.from({length: model.get_n_items()}, (_, index) => model.get_item(index));
}

function remove(file) {
    if (file.query_file_type(Gio.FileQueryInfoFlags.NOFOLLOW_SYMLINKS, null) === Gio.FileType.DIRECTORY) {
        const children = file.enumerate_children('standard::name', Gio.FileQueryInfoFlags.NOFOLLOW_SYMLINKS, null);
        for (let info = children.next_file(null); info; info = children.next_file(null))
            remove(children.get_child(info));
    }
    file.delete(null);
}

async function runOne(name, func) {
    const watchdog = GLib.timeout_add_seconds(GLib.PRIORITY_HIGH, SECONDS, () => {
        print(`Bail out! ${name}: nothing happened in the main loop`);
        System.exit(1);
    });
    const directory = Gio.File.new_for_path(GLib.dir_make_tmp('backingstore-XXXXXX'));
    try {
        await func(directory);
    } finally {
        GLib.source_remove(watchdog);
        remove(directory);
    }
}

async function runAll() {
    let nFailed = 0;
    print(`1..${tests.length}`);
    for (const [number, [name, func]] of tests.entries()) {
        try {
            await runOne(name, func);
            print(`ok ${number + 1} ${name}`);
        } catch (error) {
            printerr(`${error}\n${error.stack}`);
            print(`not ok ${number + 1} ${name}`);
            nFailed++;
        }
    }
    return nFailed;
}

export function run() {
    const loop = new GLib.MainLoop(null, false);
    let status = 1;
    runAll()
        .then(nFailed => (status = nFailed > 0 ? 1 : 0))
        .finally(() => loop.quit());
    loop.run();
    System.exit(status);
}
