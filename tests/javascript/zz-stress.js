import Bs from 'gi://Bs?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';
import {until} from './promises.js';
import {assert, assertEqual, bytes, list, run, test, text} from './tap.js';
const D=0;
for (const ctx of [false,true]) test('stress '+ctx, async dir => {
  const b=Bs.FileBacking.new(dir.get_child('s'));
  const store = ctx ? Bs.BackingStore.new_in_context(b, GLib.MainContext.default()) : Bs.BackingStore.new(b);
  const pool=Bs.Pool.new(store, 500);
  const tracked=await store.track_path_async(dir.get_child('k'),D,null);
  const end=Date.now()+12000; let n=0;
  async function work() {
    const items=[];
    while (Date.now()<end) { n++;
      const op=Math.floor(Math.random()*9);
      if (op<2||!items.length) { const c=`${Math.random()}`.repeat(5); items.push([pool.insert(bytes(c)),c]); }
      const i=Math.floor(Math.random()*items.length); const [it,c]=items[i];
      const cancellable = Math.random()<0.1 ? new Gio.Cancellable() : null;
      if (cancellable) GLib.idle_add(0,()=>{cancellable.cancel(); return false;});
      try {
      if (op==2) await it.persist_async(tracked,D,cancellable);
      else if (op==3) assertEqual(text(await it.load_async(D,cancellable)), c);
      else if (op==4) await store.delete_persisted_async(tracked,it.key,D,cancellable);
      else if (op==5) await store.sync_async(tracked,D,cancellable);
      else if (op==6) await pool.trim_async(100,D,cancellable);
      else if (op==7) { for (const k of tracked.list_keys().slice(0,2)) try { await (await pool.register_async(tracked,k,D,null)).load_async(D,cancellable);} catch(e) { if (!e.matches(Bs.Error,Bs.Error.NOT_FOUND)) throw e;} }
      else if (op==8) { it.replace(bytes(c+'x')); items[i]=[it,c+'x']; if (items.length>20) items.splice(0,15); if (Math.random()<0.05) System.gc(); }
      } catch (e) { if (!e.matches?.(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED)) throw e; }
    }
  }
  await Promise.all(Array.from({length:50},work));
  printerr(n);
  await until(()=>{System.gc(); return pool.n_items===0;});
  await store.wait_finished_async(D,null);
  await store.close_async(D,null);
});
run();
