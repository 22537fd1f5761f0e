// Answers on their way: each is kept in the browser until the server has said what became of it, so that neither a dropped
// connection nor a closed tab loses one. They are sent one at a time, in order; sending one again is harmless, since the server
// knows each by its lease.

const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 15_000;

export class Outbox {
  #name;
  #send;
  #changed;
  #memory = [];
  #running = null;
  #pause = FIRST_PAUSE;
  #timer = null;

  // name: of whose answers these are. send: async entry → true once the server has it, false where it is to be sent again.
  // changed: called with the number of waiting entries and whether the server was reached last.
  constructor(name, send, changed) {
    this.#name = name;
    this.#send = send;
    this.#changed = changed;
    addEventListener("online", () => this.pump());
  }

  get entries() {
    try {
      return JSON.parse(localStorage.getItem(this.#name) ?? "[]");
    } catch {
      return this.#memory; // storage is switched off: then a closed tab does lose what was not sent
    }
  }

  #keep(entries) {
    this.#memory = entries;
    try {
      localStorage.setItem(this.#name, JSON.stringify(entries));
    } catch {
      // see above
    }
  }

  add(entry) {
    this.#keep([...this.entries, { ...entry, id: `${Date.now()}-${Math.random()}` }]);
    this.pump();
  }

  // Take the last entry back if it has not been sent; undefined where there is none.
  takeBack() {
    const entries = this.entries;
    if (entries.length === 0 || (this.#running && entries.length === 1)) return undefined;
    const last = entries.pop();
    this.#keep(entries);
    this.#changed(entries.length, true);
    return last;
  }

  // Send what waits; resolves when nothing does, or when the server cannot be reached.
  pump() {
    clearTimeout(this.#timer);
    this.#running ??= this.#drain().finally(() => { this.#running = null; });
    return this.#running;
  }

  async #drain() {
    for (let [entry] = this.entries; entry; [entry] = this.entries) {
      if (!(await this.#send(entry))) {
        this.#changed(this.entries.length, false);
        this.#timer = setTimeout(() => this.pump(), this.#pause);
        this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
        return;
      }
      this.#pause = FIRST_PAUSE;
      // By its id: another tab of the same person may have sent it too, and what follows it is not to be lost.
      this.#keep(this.entries.filter((other) => other.id !== entry.id));
      this.#changed(this.entries.length, true);
    }
  }
}
