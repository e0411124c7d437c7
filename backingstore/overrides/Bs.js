// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// Additions of GJS to the introspected library.
//
// Every asynchronous method returns a promise where it is called without a callback.
// The priority and the cancellable at the end may be left out then: `item.load_async()`.
// Key sets, tracked paths, manifests and lists of items are iterable.
//
// The engine allows its own thread alone. A backing, a codec or a function in JavaScript
// that the store would call in another one is refused, with an error that says what to do.

/* exported _init */

const {Gio, GLib, GObject} = imports.gi;

const NEEDS_CONTEXT = 'in JavaScript needs a store of Bs.BackingStore.new_in_context(): ' +
    'the engine may not be called in the threads of another store';

function refuse(what) {
    throw new Error(`${what} ${NEEDS_CONTEXT}`);
}

// Whether a virtual function of the object would run in the engine, or one of the object
// that it wraps.
function isInJavaScript(object) {
    for (let at = object; at; at = Object.getPrototypeOf(at)) {
        if (Object.getOwnPropertyNames(at).some(name => name.startsWith('vfunc_')))
            return true;
    }
    return object instanceof GObject.Object && 'inner' in object && isInJavaScript(object.inner);
}

function checkBacking(backing, context) {
    if (backing && !context && isInJavaScript(backing))
        refuse('A backing');
}

function checkCodec(codec, store) {
    if (codec && store && !store.main_context && isInJavaScript(codec))
        refuse('A codec');
}

function checkFunction(func, store) {
    if (func && store && !store.main_context)
        refuse('A function');
}

// Has the method called only after a check of what it is given, without changing how
// many arguments it says to take.
function checkBefore(owner, name, check) {
    const original = owner[name];
    const checked = function (...args) {
        check.apply(this, args);
        return original.apply(this, args);
    };
    Object.defineProperty(checked, 'length', {value: original.length});
    owner[name] = checked;
}

function checkProperties(type, check) {
    const original = type.prototype._init;
    type.prototype._init = function (properties = {}, ...rest) {
        check(properties);
        return original.call(this, properties, ...rest);
    };
}

// Gio has no name for the priority that its own calls take.
function promisify(owner, name) {
    const nArguments = owner[name].length;
    Gio._promisify(owner, name, name.replace(/_async$/, '_finish'));
    const promised = owner[name];
    owner[name] = function (...args) {
        if (args.length < nArguments - 2)
            args[nArguments - 3] ??= GLib.PRIORITY_DEFAULT;
        if (args.length < nArguments - 1)
            args[nArguments - 2] = null;
        return promised.apply(this, args);
    };
}

function promisifyAll(owner) {
    const names = Object.getOwnPropertyNames(owner);
    for (const name of names) {
        if (name.endsWith('_async') && names.includes(name.replace(/_async$/, '_finish')))
            promisify(owner, name);
    }
}

function iterateKeys() {
    return this.list_keys()[Symbol.iterator]();
}

function* iterateItems() {
    for (let i = 0; i < this.get_n_items(); i++)
        yield this.get_item(i);
}

// The class of the list has no name here: its prototype is known by an object.
function makeItemsIterable(type, name) {
    const original = type.prototype[name];
    type.prototype[name] = function (...args) {
        const items = original.apply(this, args);
        Object.getPrototypeOf(items)[Symbol.iterator] ??= iterateItems;
        return items;
    };
}

function _init() {
    const Bs = this;

    for (const name of ['run_in_thread', 'run_in_thread_async']) {
        checkBefore(Bs.BackingStore.prototype, name, function (func) {
            checkFunction(func, this);
        });
    }
    checkBefore(Bs.Save.prototype, 'set_commit_func', function (func) {
        checkFunction(func, this.store);
    });
    checkBefore(Bs.BackingStore, 'new', backing => checkBacking(backing, null));
    checkBefore(Bs.Pool, 'new_with_codec', (store, codec) => checkCodec(codec, store));
    checkProperties(Bs.BackingStore,
        ({backing, main_context: context, mainContext = context}) => checkBacking(backing, mainContext));
    checkProperties(Bs.Pool, ({codec, store}) => checkCodec(codec, store));

    for (const name of ['register_all', 'register_all_finish', 'follow', 'follow_finish'])
        makeItemsIterable(Bs.Pool, name);
    for (const type of [Bs.KeySet, Bs.TrackedPath])
        type.prototype[Symbol.iterator] = iterateKeys;

    for (const name of Object.keys(Bs)) {
        const type = Bs[name];
        if (typeof type !== 'function' || !type.prototype)
            continue;
        promisifyAll(type);
        promisifyAll(type.prototype);
        if (typeof type.prototype.get_item === 'function' && typeof type.prototype.get_n_items === 'function')
            type.prototype[Symbol.iterator] = iterateItems;
    }
}
