// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// A gallery: imports folders of photos, and shows them in a grid, large and zoomed.
//
//   gjs -m gallery.js LIBRARY MIB [FOLDER...]
//
// The photos are kept in the directory LIBRARY. Two pools of MIB mebibytes hold the
// textures on the screen: one of thumbnails, one of whole pictures. Each FOLDER is
// imported. Pictures are decoded by a codec in C, on threads beside this one.

import Bs from 'gi://Bs?version=1';
import BsGtk from 'gi://BsGtk?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import GObject from 'gi://GObject';
import Gtk from 'gi://Gtk?version=4.0';
import System from 'system';

// Bs needs none of this.
Gio._promisify(Gio.File.prototype, 'enumerate_children_async', 'enumerate_children_finish');
Gio._promisify(Gio.File.prototype, 'load_bytes_async', 'load_bytes_finish');
Gio._promisify(Gio.FileEnumerator.prototype, 'next_files_async', 'next_files_finish');

const NORMAL = GLib.PRIORITY_DEFAULT;
const THUMBNAIL = 256;
const MIB = 1024 * 1024;
const GARBAGE = 16 * MIB;

// Errors of what a user has ended are none.
function report(error) {
    if (!error.matches?.(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED) && !error.matches?.(Bs.Error, Bs.Error.CLOSED))
        printerr(error.message);
}

const Gallery = GObject.registerClass(class Gallery extends Gtk.Application {
    constructor(library, budget, folders) {
        super({application_id: 'org.example.Gallery', flags: Gio.ApplicationFlags.NON_UNIQUE});
        this.library = library;
        this.folders = folders;
        this.store = Bs.BackingStore.new(Bs.FileBacking.new_temporary());
        this.thumbnails = Bs.Pool.new_with_codec(this.store, BsGtk.TextureCodec.new(THUMBNAIL), budget);
        this.pictures = Bs.Pool.new_with_codec(this.store, BsGtk.TextureCodec.new(0), budget);
        this.cancellable = null;  // of the import under way
        this.garbage = 0;         // bytes of photos that are in the pool, or were
    }

    vfunc_activate() {
        const path = Gio.File.new_for_uri(import.meta.url).get_parent().get_child('gallery.ui').get_path();
        const builder = Gtk.Builder.new_from_file(path);
        for (const name of ['window', 'stack', 'grid', 'view', 'large', 'bar', 'progress'])
            this[name] = builder.get_object(name);
        this.grid.connect('activate', (_grid, position) => this.show(position).catch(report));
        this.addAction('import', () => this.chooseFolder());
        this.addAction('cancel', () => this.cancellable?.cancel());
        this.addAction('back', () => this.showGrid());
        this.addAction('delete', () => this.delete().catch(report));
        this.window.add_action(new Gio.PropertyAction({
            name: 'zoom',
            object: builder.get_object('picture'),
            property_name: 'can-shrink',
            invert_boolean: true,
        }));
        this.set_accels_for_action('win.back', ['Escape']);
        this.set_accels_for_action('win.delete', ['Delete']);
        this.set_accels_for_action('win.zoom', ['z']);
        this.set_accels_for_action('window.close', ['<Control>q']);
        this.window.connect('close-request', () => {
            this.close().catch(report);
            return false;
        });
        this.window.set_application(this);
        this.window.present();
        this.open().catch(error => {
            report(error);
            this.window.close();
        });
    }

    addAction(name, func) {
        const action = Gio.SimpleAction.new(name, null);
        action.connect('activate', func);
        this.window.add_action(action);
    }

    async open() {
        this.tracked = await this.store.track_path_async(this.library, NORMAL, null);
        this.grid.set_model(Gtk.NoSelection.new(await this.thumbnails.follow_async(this.tracked, NORMAL, null)));
        this.scrolled = 0;
        this.grid.get_vadjustment().connect('value-changed', adjustment => this.lookAhead(adjustment));
        this.importFolders().catch(report);
    }

    // The page of the grid that follows the one in sight.
    lookAhead({value, upper, page_size}) {
        const photos = this.grid.model;
        if (!photos)
            return;
        const nItems = photos.get_n_items();
        const first = Math.floor(value / upper * nItems);
        const nInPage = Math.floor(page_size / upper * nItems);
        const following = value >= this.scrolled ? first + nInPage : Math.max(0, first - nInPage);
        this.thumbnails.prefetch(photos, following, nInPage);
        this.scrolled = value;
    }

    // The large view. Its pool is another one, so its items are too.
    async show(position) {
        const thumbnail = this.grid.model.get_item(position);
        this.large.placeholder = thumbnail.try_load_object();
        this.large.item = null;
        this.stack.set_visible_child(this.view);
        this.large.item = await this.pictures.register_async(this.tracked, thumbnail.dup_key(), NORMAL, null);
    }

    showGrid() {
        this.large.item = null;
        this.stack.set_visible_child(this.stack.get_first_child());
    }

    // The photo leaves the grid by itself.
    async delete() {
        const picture = this.large.item;
        if (!picture)
            return;
        this.showGrid();
        await this.store.delete_persisted_async(this.tracked, picture.dup_key(), NORMAL, null);
    }

    chooseFolder() {
        this.chooser = new Gtk.FileChooserNative({
            title: 'Import a folder',
            transient_for: this.window,
            action: Gtk.FileChooserAction.SELECT_FOLDER,
        });
        this.chooser.connect('response', (chooser, response) => {
            if (response === Gtk.ResponseType.ACCEPT) {
                this.folders.push(chooser.get_file());
                this.importFolders().catch(report);
            }
        });
        this.chooser.show();
    }

    // One folder after the other.
    async importFolders() {
        while (this.folders.length && !this.cancellable) {
            this.cancellable = new Gio.Cancellable();
            await this.importFolder(this.folders.shift()).catch(report);
            this.cancellable = null;
            this.bar.revealed = false;
            // Photos of a cancelled import stay.
            await this.store.sync_async(this.tracked, NORMAL, null);
        }
    }

    // One photo after the other.
    async importFolder(folder) {
        const enumerator = await folder.enumerate_children_async(
            'standard::name,standard::content-type', Gio.FileQueryInfoFlags.NONE, NORMAL, this.cancellable);
        const infos = await enumerator.next_files_async(GLib.MAXINT32, NORMAL, this.cancellable);
        const photos = infos.filter(info => info.get_content_type()?.startsWith('image/'));
        this.bar.revealed = true;
        for (const [number, info] of photos.entries()) {
            this.progress.fraction = number / photos.length;
            await this.importPhoto(enumerator.get_child(info));
        }
    }

    async importPhoto(file) {
        const [photo] = await file.load_bytes_async(this.cancellable);
        const item = this.thumbnails.insert(photo);
        await item.persist_async(this.tracked, NORMAL, this.cancellable);
        // The engine does not know how large the bytes are that it holds.
        this.garbage += item.size;
        if (this.garbage > GARBAGE) {
            this.garbage = 0;
            System.gc();
        }
    }

    // The window goes at once; the store finishes what is to be durable.
    async close() {
        this.hold();
        // A widget that JavaScript holds lives on, with its handlers and all that it shows.
        this.large.item = null;
        this.grid.model = null;
        // No frame comes before the store any more.
        this.store.thread_nice = 0;
        if (this.cancellable) {
            this.folders = [];
            this.cancellable.cancel();
            this.store.sync_async(this.tracked, NORMAL, null).catch(report);
        }
        await this.store.close_async(NORMAL, null).catch(report);
        this.release();
    }
});

if (ARGV.length < 2) {
    printerr('Usage: gjs -m gallery.js LIBRARY MIB [FOLDER...]');
    System.exit(2);
}
const [library, budget, ...folders] = ARGV;
BsGtk.init();
new Gallery(Gio.File.new_for_path(library), Number(budget) * MIB,
    folders.map(folder => Gio.File.new_for_path(folder))).run(null);
