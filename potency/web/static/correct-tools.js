// What pointers and keys mean: tools, zoom and pan by wheel, fingers and keys; each gesture becomes one operation.
"use strict";
import { newKey } from "./correct-send.js";
import { outlined } from "./correct-mask.js";

const THIN = 0.4;  // px of the image between two points that are kept
const MOST = 3900;  // points of a stroke
const FAR = 12;  // px of the screen after which a second finger no longer makes a stroke a pinch
const ERASER = 5;  // the button that the other end of a stylus is
export const KEYS = { v: "select", b: "draw", n: "new", e: "erase", s: "split", m: "merge", h: "pan" };
const round = (value) => Math.round(value * 100) / 100;

export class Tools {
  // does(operation) takes what was done; told(tool, radius) hears of changes; fresh() gives the number of a new cell.
  constructor(view, { does, told, fresh }) {
    Object.assign(this, { view, does, told, fresh, tool: "select", radius: 6, over: false, stroke: null, pointers: new Map() });
    const { stage } = view;
    for (const kind of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) stage.addEventListener(kind, (event) => this[kind](event));
    stage.addEventListener("pointerleave", () => { view.cursor = null; view.draw(); });
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      view.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0018)), ...this.at(event));
    }, { passive: false });
    addEventListener("pagehide", () => this.finish());
  }

  choose(tool) {
    this.finish();
    this.tool = tool;
    this.view.stage.dataset.using = tool;
    if (tool !== "merge") this.view.select(this.view.selected);
    this.told(tool, this.radius);
  }

  size(radius) {
    this.radius = Math.min(200, Math.max(0.5, radius));
    if (this.view.cursor?.radius) this.view.cursor.radius = this.radius;
    this.view.draw();
    this.told(this.tool, this.radius);
  }

  at(event) {
    const box = this.view.stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  place(event) { return this.view.inImage(...this.at(event)).map(round); }

  pointerdown(event) {
    if (event.target.closest("button, a") || this.resting(event)) return;
    const { view } = this, [x, y] = this.at(event);
    view.stage.focus({ preventScroll: true });
    try { view.stage.setPointerCapture(event.pointerId); } catch { /* a pointer that is gone already */ }
    this.pointers.set(event.pointerId, [x, y]);
    if (this.pointers.size === 2) { this.drop(); return; }  // two fingers: zoom and pan
    if (this.pointers.size > 2) return;
    event.preventDefault();
    const place = this.place(event), label = view.mask.at(...place);
    const rubs = event.pointerType === "pen" && event.button === ERASER;
    const pan = event.button === 1 || event.button === 2 || this.tool === "pan" || this.held;
    if (pan) { this.stroke = { kind: "pan" }; return; }
    if (event.button !== 0 && !rubs) return;
    if (rubs) { this.stroke = { kind: "erase", points: [place] }; this.trace(); return; }
    if (this.tool === "select") { view.select(label); this.stroke = { kind: "pan", still: true }; return; }
    if (this.tool === "merge") { this.stroke = { kind: "merge", label }; return; }  // at its end: it may be a pinch
    if (this.tool === "draw" && label) view.select(label);
    if (this.tool === "split") view.select(label || view.selected);
    this.stroke = { kind: this.tool, points: [place], from: [x, y] };
    this.trace();
  }

  // Whether a touch means nothing: a hand that rests beside a stylus, or a finger more on a stroke that is well begun.
  resting(event) {
    if (event.pointerType === "pen") {
      if (!this.pen && this.pointers.size) { this.drop(); this.pointers.clear(); }
      this.pen = event.pointerId;
      return false;
    }
    const [first] = this.pointers.values(), from = this.stroke?.points && this.stroke.from;
    const begun = first && from && Math.hypot(first[0] - from[0], first[1] - from[1]) > FAR;
    return event.pointerType === "touch" && (this.pen !== undefined || Boolean(begun));
  }

  pointermove(event) {
    if (event.pointerType === "touch" && !this.pointers.has(event.pointerId)) return;
    const { view, stroke } = this, [x, y] = this.at(event), before = this.pointers.get(event.pointerId);
    const brush = ["draw", "erase"].includes(this.tool) && event.pointerType !== "touch";
    view.cursor = { x, y, radius: brush ? this.radius : 0 };
    if (this.pointers.size === 2 && before) {
      const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      const far = (one) => Math.hypot(one[0] - other[0], one[1] - other[1]);
      view.pan((x - before[0]) / 2, (y - before[1]) / 2);  // what lies between the fingers goes with them
      view.zoom(far([x, y]) / Math.max(1, far(before)), (x + other[0]) / 2, (y + other[1]) / 2);
      this.pointers.set(event.pointerId, [x, y]);
      return;
    }
    if (before) this.pointers.set(event.pointerId, [x, y]);
    if (stroke?.kind === "pan" && before) view.pan(x - before[0], y - before[1]);
    else if (stroke?.points && before) {
      for (const one of event.getCoalescedEvents?.() ?? [event]) this.go(this.place(one));
      this.trace();
    } else view.draw();
  }

  go(place) {
    const { points } = this.stroke, last = points[points.length - 1];
    if (Math.hypot(place[0] - last[0], place[1] - last[1]) >= THIN && points.length < MOST) points.push(place);
  }

  pointerup(event) {
    if (event.pointerId === this.pen) this.pen = undefined;
    if (this.pointers.delete(event.pointerId) && !this.pointers.size) this.finish();
  }

  pointercancel(event) {
    if (event.pointerId === this.pen) this.pen = undefined;
    if (this.pointers.delete(event.pointerId)) this.finish();
  }

  // Shows a stroke while it is drawn: the brush paints, a line is a line.
  trace() {
    const { view, stroke } = this;
    view.line = stroke.kind === "split" || stroke.kind === "new" ? stroke.points : [];
    if (stroke.kind === "draw" || stroke.kind === "erase") {
      stroke.label ??= stroke.kind === "erase" ? 0 : view.selected || this.fresh();
      stroke.mask ??= view.mask;
      stroke.log ??= [];
      view.mask.log = stroke.mask === view.mask ? stroke.log : null;
      const box = view.mask.does({ ...this.operation(stroke), points: stroke.points.slice(-8) });
      view.mask.log = null;
      if (box) view.repaint(box);
    } else view.draw();
  }

  operation(stroke) {
    const common = { points: stroke.points, radius: this.radius };
    if (stroke.kind === "erase") return { kind: "erase", label: 0, ...common };
    if (stroke.kind === "split") return { kind: "split", label: this.view.selected, points: stroke.points };
    const fresh = stroke.kind === "new" || !this.view.selected;
    const label = stroke.kind === "new" ? this.fresh() : stroke.label;
    return { kind: "draw", label, fresh, over: this.over, fill: stroke.kind === "new" && outlined(stroke.points), ...common };
  }

  // The end of a gesture: it becomes an operation, wherever the pointer is by now.
  finish() {
    const { stroke, view } = this;
    this.stroke = null;
    view.line = [];
    if (stroke?.kind === "merge") { this.merge(stroke.label); return; }
    if (!stroke?.points) { view.draw(); return; }
    if (stroke.kind === "split") {
      const label = this.crossed(stroke.points) || view.selected;
      if (label) this.send({ kind: "split", label, points: stroke.points });
      else view.draw();
      return;
    }
    const operation = this.operation(stroke);
    this.send(operation);
    if (operation.kind === "draw") view.select(operation.label);
  }

  // The cell that a line runs through most.
  crossed(points) {
    const count = new Map();
    for (let k = 0; k + 1 < points.length; k++) {
      const [[x0, y0], [x1, y1]] = [points[k], points[k + 1]], steps = Math.max(1, Math.ceil(Math.hypot(x1 - x0, y1 - y0) * 2));
      for (let n = 0; n < steps; n++) {
        const label = this.view.mask.at(x0 + (x1 - x0) * n / steps, y0 + (y1 - y0) * n / steps);
        if (label) count.set(label, (count.get(label) ?? 0) + 1);
      }
    }
    return [...count].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 0;
  }

  drop() {  // a stroke that turned out to be two fingers
    const { stroke, view } = this;
    this.stroke = null;
    view.line = [];
    if (!stroke?.points) return;
    if (stroke.log && stroke.mask === view.mask && !stroke.patched) {
      view.mask.restore(stroke.log);
      view.repaint(view.mask.clipped(stroke.points.map(([x, y]) => [x - view.mask.left, y - view.mask.top]), this.radius));
    } else if (stroke.log) this.told("dropped", this.radius);  // the mask changed under it: it is loaded again
    else view.draw();
  }

  merge(label) {
    const { view } = this;
    if (!label) return;
    if (!view.selected || view.selected === label) { view.select(label); return; }
    this.send({ kind: "merge", label: view.selected, other: label });
  }

  send(operation) { this.does({ key: newKey(), ...operation }); }

  remove() {
    if (this.view.selected) this.send({ kind: "delete", label: this.view.selected });
  }

  name(name) {
    if (this.view.selected) this.send({ kind: "class", label: this.view.selected, name });
  }

  // The next cell in order, for those who choose by keys.
  step(by) {
    const all = this.view.mask.numbers();
    if (!all.length) return;
    const at = all.indexOf(this.view.selected), label = all[at < 0 ? 0 : (at + by + all.length) % all.length];
    this.view.select(label);
    this.view.show(label);
  }
}
