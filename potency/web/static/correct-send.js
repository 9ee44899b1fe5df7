// Sends what a hand did, one request after the other, and keeps it in the browser until the server has it on its disk.
"use strict";

const SOON = 1500, LATE = 20000;  // ms until it is tried again
const AT_ONCE = 200;  // changes that one request carries
const random = () => [...crypto.getRandomValues(new Uint8Array(8))].map((n) => n.toString(16).padStart(2, "0")).join("");
export const newKey = random;
// Why nothing can be sent: nobody is logged in, or somebody who may not change this.
export const outside = (fault) => (fault.status === 401 ? "You are logged out." : "You are logged in as somebody else, or may no longer change this.");

export class Sender {
  // told: { saved(answer), state(name, fault, count) }; the states are saved, saving, away, out, conflict, refused.
  constructor(path, item, revision, told) {
    Object.assign(this, { path, item, base: revision, told, queue: [], held: [], busy: false, wait: SOON, timer: 0 });
    this.mine = `correct:${item}:${random()}`;
    this.stopped = "";
    addEventListener("beforeunload", (event) => { if (this.bare) event.preventDefault(); });
    addEventListener("focus", () => { if (this.stopped === "out" || this.stopped === "away") this.again(); });
  }

  add(operation) {
    this.queue.push(operation);
    this.keep();
    if (this.stopped === "conflict") { this.held.push(this.queue.pop()); this.keep(); }
    if (this.stopped) this.told.state(this.stopped, this.fault, this.queue.length + this.held.length);
    this.flush();
  }

  keep() {
    const operations = [...this.held, ...this.queue];
    this.bare = false;
    try {
      if (operations.length) localStorage.setItem(this.mine, JSON.stringify({ base: this.base, operations }));
      else localStorage.removeItem(this.mine);
    } catch { this.bare = true; }  // no room, or a private window: nothing is kept beyond this page
  }

  // What an earlier page of this browser could not send: it is sent now; what no longer fits is offered.
  async left() {
    let names = [];
    try { names = Object.keys(localStorage).filter((name) => name.startsWith(`correct:${this.item}:`) && name !== this.mine); } catch { /* none */ }
    for (const name of names) {
      while (this.busy) await new Promise((good) => setTimeout(good, 50));
      if (this.stopped && this.stopped !== "conflict") return;  // they stay where they are for a later page
      let kept = null;
      try { kept = JSON.parse(localStorage.getItem(name)); } catch { /* not ours */ }
      localStorage.removeItem(name);
      if (!kept?.operations?.length) continue;
      if (this.stopped) this.held.push(...kept.operations);  // offered with those that did not fit
      else {
        this.base = kept.base;
        this.queue.unshift(...kept.operations);
      }
      this.keep();
      await this.flush();
    }
  }

  async flush() {
    if (this.busy || this.stopped || !this.queue.length) return;
    this.busy = true;
    this.told.state("saving", null, this.queue.length);
    const sent = this.queue.slice(0, AT_ONCE);
    try {
      const answer = await this.post(this.base, sent);
      this.queue.splice(0, sent.length);
      this.wait = SOON;
      this.done(answer, sent.length);
    } catch (fault) { this.failed(fault, sent.length); }
    this.busy = false;
    if (this.queue.length) await this.flush();
  }

  done(answer) {
    this.base = answer.revision;
    for (const one of this.queue) {
      one.label = answer.renamed[one.label] ?? one.label;
      one.other = answer.renamed[one.other] ?? one.other;
    }
    this.keep();
    this.told.saved(answer, this.queue);
    if (!this.queue.length && !this.stopped) this.told.state("saved", answer.refused[0] ?? null, 0);
  }

  failed(fault, count) {
    if (fault.status === 409) {
      this.held.push(...this.queue.splice(0));
      this.keep();
      this.stop("conflict", fault);
    } else if (fault.status === 401 || fault.status === 403) this.stop("out", fault);
    else if (fault.status >= 400 && fault.status < 500 && fault.status !== 429 && fault.status !== 408) {
      this.queue.splice(0, count);
      this.keep();
      this.stop("refused", fault);
    } else {
      this.stop("away", fault);
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.again(), this.wait);
      this.wait = Math.min(LATE, this.wait * 2);
    }
  }

  stop(state, fault) {
    this.stopped = state;
    this.fault = fault;
    this.told.state(state, fault, this.queue.length + this.held.length);
  }

  again() {
    clearTimeout(this.timer);
    if (this.stopped !== "conflict") this.stopped = "";
    this.flush();
  }

  // After the newer mask was loaded: the strokes that were made on the older one are put on it, or thrown away.
  settle(revision, wanted) {
    const held = this.held.splice(0).filter((one) => one.kind !== "undo" && one.kind !== "redo");
    this.base = revision;
    this.stopped = "";
    if (wanted) this.queue.unshift(...held.map((one) => ({ ...one, key: random() })));
    this.keep();
    if (this.queue.length) this.flush(); else this.told.state("saved", null, 0);
    return this.queue;
  }

  async post(base, operations, renewed = false) {
    const body = JSON.stringify({ base, operations });
    let answer;
    try {
      answer = await fetch(this.path + "/edits.json", {
        method: "POST", keepalive: body.length < 60000, body,  // more than 64 kB may not outlive its page
        headers: { "Content-Type": "application/json", Accept: "application/json", "X-CSRF-Token": session.csrf() },
      });
    } catch { throw { status: 0, what: "the server cannot be reached", where: "this page", mend: "nothing is lost: it is tried again by itself" }; }
    let told = {};
    try { told = await answer.json(); } catch { /* a proxy's page */ }
    if (answer.ok) return told;
    if ((answer.status === 403 || answer.status === 401) && !renewed && await session.renewed()) return this.post(base, operations, true);
    throw { status: answer.status, what: told.what ?? `the server answered ${answer.status}`, where: told.where, mend: told.mend };
  }
}
