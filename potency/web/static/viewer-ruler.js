// The ruler of the viewer: two clicks on an image, and how far apart they are.
"use strict";

export class Ruler {
  constructor(viewer, button) {
    Object.assign(this, { viewer, button, on: false, ends: [] });
    const { osd, lines } = viewer;
    this.ground = lines.cloneNode();  // tracks are drawn anew all the time, so it has a ground of its own
    this.line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    this.line.setAttribute("class", "ruler");
    this.ground.append(this.line);
    lines.after(this.ground);
    button.setAttribute("aria-pressed", "false");
    osd.addHandler("canvas-click", (event) => { if (this.on && event.quick) this.clicked(event.position); });
    osd.addHandler("canvas-double-click", (event) => { if (this.on) event.preventDefaultAction = true; });
    osd.canvas.addEventListener("pointermove", (event) => {
      if (!this.on || this.ends.length !== 1) return;
      const box = osd.canvas.getBoundingClientRect();
      this.drawn([this.ends[0], this.at(new OpenSeadragon.Point(event.clientX - box.left, event.clientY - box.top))]);
    });
  }

  turn(on = !this.on) {
    if (on === this.on) return;
    this.on = on;
    this.ends = [];
    this.button.setAttribute("aria-pressed", String(on));
    this.say(on ? "Click one end, then the other. Escape ends measuring." : "");
    this.drawn();
  }

  at(position) { return this.viewer.image.viewerElementToImageCoordinates(position); }
  say(text) { this.viewer.status.textContent = text; }

  clicked(position) {
    this.ends = [...(this.ends.length === 2 ? [] : this.ends), this.at(position)];
    this.drawn();
    if (this.ends.length < 2) return;
    const long = this.ends[0].distanceTo(this.ends[1]), { um } = this.viewer.facts, px = `${long.toFixed(1)} px`;
    this.say(`${um ? `${+(long * um).toPrecision(3)} µm (${px})` : px}. Click for another one; Escape ends measuring.`);
  }

  drawn(ends = this.ends) {
    const places = ends.map((end) => this.viewer.image.imageToViewerElementCoordinates(end));
    this.line.setAttribute("points", places.map(({ x, y }) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" "));
  }
}
