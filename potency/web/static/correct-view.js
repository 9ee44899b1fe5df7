// Shows an image with the outlines of its cells, at any zoom: picture below, outlines above, the tool on top.
"use strict";

const GREY = [150, 150, 150];
const APART = [[255, 196, 0], [0, 200, 255], [255, 90, 200], [120, 255, 90], [255, 120, 60], [150, 150, 255], [0, 255, 190], [255, 255, 130], [220, 130, 255]];

export class View {
  constructor(stage, picture, mask, told) {
    Object.assign(this, { stage, picture, mask, told, scale: 1, x: 0, y: 0, outlines: true, filled: true, selected: 0, other: 0, classes: {}, names: [] });
    [this.below, this.above] = stage.querySelectorAll("canvas");
    this.sheet = new OffscreenCanvas(mask.width, mask.height);
    this.paper = this.sheet.getContext("2d");
    this.cursor = null;
    this.line = [];
    new ResizeObserver(() => this.resize()).observe(stage);
    this.repaint();
    this.fit();
  }

  take(mask) {
    this.mask = mask;
    this.repaint();
  }

  resize() {
    const { clientWidth, clientHeight } = this.stage, ratio = devicePixelRatio || 1;
    for (const canvas of [this.below, this.above]) {
      canvas.width = Math.max(1, Math.round(clientWidth * ratio));
      canvas.height = Math.max(1, Math.round(clientHeight * ratio));
    }
    if (!this.moved) this.fit(); else this.draw(true);
  }

  fit() {
    const { clientWidth, clientHeight } = this.stage;
    this.scale = Math.max(0.02, Math.min(clientWidth / this.mask.width, clientHeight / this.mask.height) * 0.98);
    this.x = (clientWidth - this.mask.width * this.scale) / 2;
    this.y = (clientHeight - this.mask.height * this.scale) / 2;
    this.moved = false;
    this.draw(true);
  }

  // Zoom about a point of the stage, which stays where it is.
  zoom(by, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    const scale = Math.min(64, Math.max(0.02, this.scale * by)), ratio = scale / this.scale;
    this.x = x - (x - this.x) * ratio;
    this.y = y - (y - this.y) * ratio;
    this.scale = scale;
    this.moved = true;
    this.draw(true);
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.moved = true;
    this.draw(true);
  }

  show(label) {  // a cell in the middle, where it is out of sight
    const centre = this.mask.centre(label);
    if (!centre) return;
    const [x, y] = this.onStage(centre);
    if (x < 0 || y < 0 || x > this.stage.clientWidth || y > this.stage.clientHeight)
      this.pan(this.stage.clientWidth / 2 - x, this.stage.clientHeight / 2 - y);
  }

  // From the stage to pixels of the whole image, and back.
  inImage(x, y) { return [(x - this.x) / this.scale + this.mask.left, (y - this.y) / this.scale + this.mask.top]; }
  onStage([x, y]) { return [(x - this.mask.left) * this.scale + this.x, (y - this.mask.top) * this.scale + this.y]; }

  select(label, other = 0) {
    if (label === this.selected && other === this.other) return;
    this.selected = label;
    this.other = other;
    this.repaint();
    this.told?.(label);
  }

  colour(label) {
    if (!this.names.length) return APART[(Math.imul(label, 2654435761) >>> 20) % APART.length];
    const place = this.names.indexOf(this.classes[label]);
    return place < 0 ? GREY : APART[place % APART.length];
  }

  repaint(box = { left: 0, top: 0, right: this.mask.width, bottom: this.mask.height }) {
    const { labels, width, height } = this.mask;
    if (this.sheet.width !== width || this.sheet.height !== height) Object.assign(this.sheet, { width, height });
    const left = Math.max(0, box.left - 1), top = Math.max(0, box.top - 1);
    const right = Math.min(width, box.right + 1), bottom = Math.min(height, box.bottom + 1);
    if (right <= left || bottom <= top) return;
    const made = this.paper.createImageData(right - left, bottom - top), data = made.data;
    let at = 0, last = 0, colour = GREY;
    for (let row = top; row < bottom; row++) for (let column = left; column < right; column++, at += 4) {
      const i = row * width + column, label = labels[i];
      if (!label) continue;
      if (label !== last) { colour = this.colour(label); last = label; }
      const edge = (column > 0 && labels[i - 1] !== label) || (column < width - 1 && labels[i + 1] !== label)
        || (row > 0 && labels[i - width] !== label) || (row < height - 1 && labels[i + width] !== label);
      const chosen = label === this.selected || label === this.other;
      [data[at], data[at + 1], data[at + 2]] = chosen && edge ? [255, 255, 255] : colour;
      data[at + 3] = edge ? (this.outlines || chosen ? 255 : 0) : chosen ? 110 : this.outlines && this.filled ? 46 : 0;
    }
    this.paper.putImageData(made, left, top);
    this.draw();
  }

  draw(moved = false) {
    this.due = this.due || moved;
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.layer(this.above, this.sheet);
      if (this.due) this.layer(this.below, this.picture);
      this.due = false;
      this.tool(this.above.getContext("2d"));
    });
  }

  layer(canvas, image) {
    const context = canvas.getContext("2d"), ratio = devicePixelRatio || 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.setTransform(this.scale * ratio, 0, 0, this.scale * ratio, this.x * ratio, this.y * ratio);
    context.imageSmoothingEnabled = this.scale < 1;
    context.drawImage(image, 0, 0, this.mask.width, this.mask.height);
  }

  tool(context) {
    const ratio = devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const ring = (colour, wide, path) => { context.strokeStyle = colour; context.lineWidth = wide; context.beginPath(); path(); context.stroke(); };
    const both = (path) => { ring("#000", 3, path); ring("#fff", 1.2, path); };
    if (this.line.length) both(() => this.line.forEach((point, k) => context[k ? "lineTo" : "moveTo"](...this.onStage(point))));
    if (this.cursor?.radius) both(() => context.arc(this.cursor.x, this.cursor.y, Math.max(1.5, this.cursor.radius * this.scale), 0, 7));
  }
}
