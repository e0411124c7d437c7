// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// Objects that were made without their construct properties answer what they are
// asked. ../python/test-half-constructed.py tries more, and survives what it finds.

import Bs from 'gi://Bs?version=1';
import GObject from 'gi://GObject';

import {assert, run, test} from './tap.js';

const QUESTION = /^(get|dup|list|is)_/;

function findClasses() {
    return Object.keys(Bs).filter(name => Bs[name]?.prototype instanceof GObject.Object).sort();
}

test('/half-constructed/all', () => {
    const names = findClasses();
    assert(names.includes('TrackedPath') && names.includes('Pool'));
});

for (const name of findClasses()) {
    test(`/half-constructed/${name}`, () => {
        const object = new Bs[name]();
        for (const spec of GObject.Object.list_properties.call(Bs[name])) {
            if (spec.flags & GObject.ParamFlags.READABLE)
                assert(object[spec.name.replaceAll('-', '_')] !== undefined);
        }
        for (const method of Object.getOwnPropertyNames(Bs[name].prototype)) {
            if (QUESTION.test(method) && object[method].length === 0)
                assert(object[method]() !== undefined);
        }
    });
}

run();
