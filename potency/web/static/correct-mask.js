// The label image in the browser: what a hand draws shows at once, as the server will compute it; patches set it right.
"use strict";

const middle = (value) => Math.ceil(value - 0.5);
const LEAST = 3;  // points of a line that has an inside

export class Mask {
  // labels: Uint32Array, row by row, of a part of the image that begins at left, top.
  constructor(labels, width, height, left, top) {
    Object.assign(this, { labels, width, height, left, top });
  }

  at(x, y) {
    const column = Math.floor(x) - this.left, row = Math.floor(y) - this.top;
    return column < 0 || row < 0 || column >= this.width || row >= this.height ? 0 : this.labels[row * this.width + column];
  }

  // Does what it can of an operation: draw, erase, merge, delete; a cut is the server's. Gives the box that changed.
  does(operation) {
    const { kind, label, other } = operation;
    if (kind === "draw") return this.each(operation, (i) => { if (operation.over || !this.labels[i]) this.set(i, label); });
    if (kind === "erase") return this.each(operation, (i) => { if (!label || this.labels[i] === label) this.set(i, 0); });
    if (kind === "merge" || kind === "delete") {
      const [from, to] = kind === "merge" ? [other, label] : [label, 0];
      for (let i = 0; i < this.labels.length; i++) if (this.labels[i] === from) this.labels[i] = to;
      return { left: 0, top: 0, right: this.width, bottom: this.height };
    }
    return null;
  }

  // While `log` is a list, what was there before is added to it: [place, label] for each pixel that changes.
  set(i, label) {
    if (this.labels[i] === label) return;
    this.log?.push(i, this.labels[i]);
    this.labels[i] = label;
  }

  // Takes what a log tells back, last first.
  restore(log) { for (let k = log.length - 2; k >= 0; k -= 2) this.labels[log[k]] = log[k + 1]; }

  each(operation, change) {
    const points = operation.points.map(([x, y]) => [x - this.left, y - this.top]);
    if (!points.length) return null;
    return operation.fill ? this.inside(points, change) : this.swept(points, operation.radius, change);
  }

  // The pixels whose middles lie within a distance of a line; the same arithmetic as on the server.
  swept(points, radius, change) {
    const dirty = this.clipped(points, radius);
    for (let k = 0; k < Math.max(1, points.length - 1); k++) {
      const [x0, y0] = points[k], [x1, y1] = points[Math.min(k + 1, points.length - 1)];
      const box = this.clipped([[x0, y0], [x1, y1]], radius), dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy;
      for (let row = box.top; row < box.bottom; row++) for (let column = box.left; column < box.right; column++) {
        const x = column + 0.5, y = row + 0.5;
        const along = length ? Math.min(1, Math.max(0, ((x - x0) * dx + (y - y0) * dy) / length)) : 0;
        if ((x - x0 - along * dx) ** 2 + (y - y0 - along * dy) ** 2 <= radius * radius) change(row * this.width + column);
      }
    }
    return dirty;
  }

  inside(points, change) {
    const box = this.clipped(points, 0);
    for (let row = box.top; row < box.bottom; row++) {
      const y = row + 0.5, crossed = [];
      points.forEach(([x0, y0], k) => {
        const [x1, y1] = points[(k + 1) % points.length];
        if ((y0 > y) !== (y1 > y)) crossed.push(x0 + (y - y0) * (x1 - x0) / (y1 - y0));
      });
      for (let column = box.left; column < box.right; column++) {
        let odd = false;
        for (const x of crossed) if (column + 0.5 < x) odd = !odd;
        if (odd) change(row * this.width + column);
      }
    }
    return box;
  }

  clipped(points, radius) {
    const xs = points.map((p) => p[0]), ys = points.map((p) => p[1]);
    const fit = (value, most) => Math.min(most, Math.max(0, value));
    return {
      left: fit(middle(Math.min(...xs) - radius), this.width), top: fit(middle(Math.min(...ys) - radius), this.height),
      right: fit(Math.floor(Math.max(...xs) + radius - 0.5) + 1, this.width),
      bottom: fit(Math.floor(Math.max(...ys) + radius - 0.5) + 1, this.height),
    };
  }

  // A patch of the server: pairs of a label and how often it comes, in pixels of the whole image.
  patch({ top, left, height, width, runs }) {
    let at = 0;
    for (let k = 0; k < runs.length; k += 2) for (let n = runs[k + 1]; n > 0; n--, at++) {
      const row = top + Math.floor(at / width) - this.top, column = left + at % width - this.left;
      if (row >= 0 && column >= 0 && row < this.height && column < this.width) this.labels[row * this.width + column] = runs[k];
    }
    return this.clipped([[left - this.left, top - this.top], [left + width - this.left, top + height - this.top]], 0.5);
  }

  numbers() {
    const found = new Set();
    let last = 0;  // most pixels are what the one before was: a set of millions is not asked about each
    for (const label of this.labels) if (label !== last) { last = label; if (label) found.add(label); }
    return [...found].sort((a, b) => a - b);
  }

  // The middle of a cell, in pixels of the whole image.
  centre(label) {
    let count = 0, x = 0, y = 0;
    for (let i = 0; i < this.labels.length; i++) if (this.labels[i] === label) { count++; x += i % this.width; y += Math.floor(i / this.width); }
    return count ? [this.left + x / count + 0.5, this.top + y / count + 0.5] : null;
  }
}

export const outlined = (points) => points.length >= LEAST;
