// The viewer: an image as tiles in OpenSeadragon, what lies over it, a scale bar, and what is under the pointer.
"use strict";
import { panel } from "./viewer-panel.js";
import { Ruler } from "./viewer-ruler.js";

const make = (name, facts = {}, ...inside) => {
  const { data, ...rest } = facts, made = Object.assign(document.createElement(name), rest);
  for (const [key, value] of Object.entries(data ?? {})) made.setAttribute(key, value);
  made.append(...inside);
  return made;
};

const icon = (path) => {
  const names = "http://www.w3.org/2000/svg", made = document.createElementNS(names, "svg"), line = document.createElementNS(names, "path");
  for (const [key, value] of [["viewBox", "0 0 16 16"], ["width", "16"], ["height", "16"], ["aria-hidden", "true"]]) made.setAttribute(key, value);
  for (const [key, value] of [["d", path], ["fill", "none"], ["stroke", "currentColor"], ["stroke-width", "1.8"]]) line.setAttribute(key, value);
  made.append(line);
  return made;
};

// OpenSeadragon would put a style element into the page, which the page's policy refuses; its one rule is in viewer.css.
if (!document.querySelector("style[data-openseadragon-mobile-css]")) {
  const mark = document.createElementNS("urn:potency", "style");
  mark.setAttribute("data-openseadragon-mobile-css", "true");
  document.head.append(mark);
}

// Okabe and Ito's colours, light enough for a dark image: colour-blind eyes tell them apart.
const HUES = ["#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#4c9fd6"];

class Viewer {
  constructor(box) {
    this.box = box;
    this.kept = {};  // of layers by name: on, opacity, style, from one image to the next
    this.stage = make("div", { className: "stage" });
    this.bar = make("div", { className: "scale", data: { "aria-hidden": "true" } }, make("i"), make("span"));
    this.said = make("div", { className: "said", data: { "aria-live": "off" } });
    this.status = make("p", { className: "status", data: { role: "status" } });
    this.lines = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.lines.setAttribute("class", "lines");
    this.lines.setAttribute("aria-hidden", "true");
    this.side = make("div", { className: "panel" });
    const button = (label, act, ...inside) => make("button", { type: "button", title: label, onclick: act, data: { "aria-label": label } }, ...inside);
    const measure = button("Ruler: measure a distance by two clicks", () => this.ruler.turn(), icon("M2 5h12v6H2zM5 5v3M8 5v3M11 5v3"));
    const tools = make("div", { className: "tools" },
      button("Larger", () => this.zoom(1.6), icon("M8 2v12M2 8h12")), button("Smaller", () => this.zoom(1 / 1.6), icon("M2 8h12")),
      button("All of it", () => this.osd.viewport.goHome(), icon("M2 3h12v10H2zM5 6h6v4H5z")),
      button("1:1, a pixel of the file is a pixel of the screen", () => this.actual(), "1:1"),
      button("Fill the screen", () => this.fill(), icon("M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4")), measure);
    this.frame = make("div", { className: "framed" }, this.stage, this.lines, this.bar, this.said, this.status, tools);
    box.replaceChildren(this.frame, this.side);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.osd = OpenSeadragon({
      element: this.stage, drawer: "canvas", showNavigationControl: false, animationTime: still ? 0 : 0.5, blendTime: 0, imageLoaderLimit: 4,
      maxZoomPixelRatio: 24, minZoomImageRatio: 0.7, visibilityRatio: 0.4, gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      preserveImageSizeOnResize: true, tileRetryMax: 2, tileRetryDelay: 1500,
    });
    this.osd.canvas.setAttribute("role", "application");
    this.ruler = new Ruler(this, measure);
    for (const event of ["animation", "open", "resize", "update-viewport"]) this.osd.addHandler(event, () => this.moved());
    this.osd.addHandler("canvas-key", (event) => this.key(event));
    this.osd.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.osd.canvas.addEventListener("pointerdown", (event) => this.point(event));
    // A finger leaves when it is lifted: what it pointed at stays to be read.
    this.osd.canvas.addEventListener("pointerleave", (event) => { if (event.pointerType === "touch") return; this.asked = null; this.said.replaceChildren(); });
  }

  async show(path, place) {
    if (path !== this.path) {
      this.path = path;
      this.status.textContent = "Opening the image ...";
      try {
        const answer = await fetch(path, { headers: { Accept: "application/json" } }), told = await answer.json();
        if (this.path !== path) return;
        if (!answer.ok) throw told;
        await this.open(told);
      } catch (fault) {
        this.fault(fault);
        return;
      }
    }
    if (place) this.look(place);
  }

  fault(fault) {
    this.osd.close();
    this.side.replaceChildren();
    const lines = [fault.what ?? "the image cannot be shown", fault.mend].filter(Boolean);
    this.status.replaceChildren(...lines.map((text) => make("span", { textContent: text })));
    this.status.setAttribute("role", "alert");
  }

  async open(facts) {
    this.facts = facts;
    this.ruler.turn(false);
    this.t = facts.t;
    this.z = facts.z;
    this.channels = facts.channels.map((one) => ({ ...one }));
    this.layers = facts.overlays.map((one) => ({ opacity: 0.9, style: one.styles[0] ?? "", ...one, ...this.kept[one.name] }));
    this.status.setAttribute("role", "status");
    this.osd.canvas.setAttribute("aria-label", `${facts.name}: arrow keys move, plus and minus zoom, 0 shows all`);
    this.stamp = 0;
    this.osd.world.removeAll();
    this.lines.replaceChildren();
    this.image = await this.added(this.source(facts.ready), 1);
    this.osd.viewport.goHome(true);
    for (const layer of this.layers) await this.lay(layer);
    panel(this, this.side, make);
    if (facts.ready) this.status.textContent = "";
    else this.wait();
    this.moved();
  }

  // Until a large image has been read once, only the finest of its levels come at once.
  source(ready) {
    const f = this.facts;
    return { width: f.width, height: f.height, tileSize: f.tile, minLevel: ready ? 0 : Math.max(0, f.levels - 3), maxLevel: f.levels - 1, getTileUrl: (level, x, y) => this.tile(level, x, y) };
  }

  added(source, opacity, index) {
    return new Promise((good, bad) => this.osd.addTiledImage({ tileSource: source, opacity, index, success: (event) => good(event.item), error: bad }));
  }

  // A large image is read once from end to end; meanwhile its middle is shown, of which few pixels are needed.
  async wait() {
    const path = this.path, at = `/view/${this.facts.set}/${this.facts.file}/ready.json`;
    this.look({ x: this.facts.width / 2, y: this.facts.height / 2, side: 700 }, true);
    for (;;) {
      const answer = await fetch(at), told = await answer.json();
      if (this.path !== path) return;
      if (!answer.ok) { this.fault(told); return; }
      if (told.ready) break;
      this.status.textContent = `Reading this large image for the first time: ${Math.round(100 * told.share)} %. Its middle is shown meanwhile.`;
      await new Promise((next) => setTimeout(next, 700));
    }
    this.status.textContent = "";
    this.facts.ready = true;
    this.image = await this.instead(this.image, this.source(true), 1);
    this.osd.viewport.goHome();
  }

  tile(level, x, y) {
    const on = this.channels.map((one, number) => [one, number]).filter(([one]) => one.on), f = this.facts;
    const of = (name) => on.map(([one]) => one[name]).join(",");
    const query = new URLSearchParams({ c: on.map(([, number]) => number).join(","), t: this.t, z: this.z, low: of("low"), high: of("high"), colour: of("colour"), v: f.stamp });
    return `/view/${f.set}/${f.file}/tile/${level}/${x}_${y}.png?${query}`;
  }

  async lay(layer) {
    if (layer.kind === "tracks") {
      layer.tracks = (await (await fetch(layer.url)).json()).tracks;
      return;
    }
    layer.item = await this.added(this.over(layer), 0);
    this.styled(layer);
  }

  over(layer) {
    return { width: layer.width, height: layer.height, tileSize: 256, minLevel: 0, maxLevel: layer.levels - 1,
      getTileUrl: (level, x, y) => `${layer.url}/${level}/${x}_${y}.png?style=${layer.style}&v=${this.facts.stamp}` };
  }

  // OpenSeadragon's tiles keep the address that they were made with. So where it changes, another image takes the place of
  // the old one, which stays below until it is covered, or goes at once where it would be seen through the new one.
  async instead(old, source, opacity, through) {
    const { world } = this.osd, item = await this.added(source, opacity, world.getIndexOfItem(old) + 1);
    const gone = () => { if (world.getIndexOfItem(old) >= 0) world.removeItem(old); };
    if (through) gone();
    else { item.addOnceHandler("fully-loaded-change", gone); setTimeout(gone, 5000); }
    return item;
  }

  // Called by the panel: something that tiles depend on has changed.
  redraw() {
    clearTimeout(this.later);
    this.later = setTimeout(async () => {
      const any = this.channels.some((one) => one.on);
      if (any) this.image = await this.instead(this.image, this.source(this.facts.ready), 1);
      else this.image.setOpacity(0);
      this.layers.forEach((layer) => this.styled(layer));
      this.moved();
    }, 150);
  }

  async styled(layer, style) {
    if (style) { layer.style = style; layer.item = await this.instead(layer.item, this.over(layer), 0, true); }
    this.kept[layer.name] = { on: layer.on, opacity: layer.opacity, style: layer.style };
    const here = (layer.t ?? this.t) === this.t && (layer.z ?? this.z) === this.z;
    layer.item?.setOpacity(layer.on && here && !this.hidden ? layer.opacity : 0);
    if (layer.tracks) this.moved();
  }

  zoom(by) { this.osd.viewport.zoomBy(by).applyConstraints(); }
  actual() { this.osd.viewport.zoomTo(this.image.imageToViewportZoom(1)).applyConstraints(); }
  fill() { if (document.fullscreenElement) document.exitFullscreen(); else this.box.requestFullscreen?.(); }

  look({ x, y, side }, at_once = false) {
    const near = Math.max(side, 64), rect = this.image.imageToViewportRectangle(x - near, y - near, 2 * near, 2 * near);
    this.osd.viewport.fitBounds(rect, at_once);
  }

  step(axis, by) {
    const count = axis === "z" ? this.facts.planes : this.facts.frames, next = Math.min(Math.max(this[axis] + by, 0), count - 1);
    if (next !== this[axis]) { this[axis] = next; this.redraw(); this.side.querySelector(`[data-axis=${axis}]`)?.dispatchEvent(new CustomEvent("moved")); }
  }

  key(event) {
    const key = event.originalEvent.key, acts = {
      "[": () => this.step("z", -1), "]": () => this.step("z", 1), ",": () => this.step("t", -1), ".": () => this.step("t", 1),
      f: () => this.fill(), m: () => this.ruler.turn(), ...(this.ruler.on && { escape: () => this.ruler.turn(false) }), l: () => { this.hidden = !this.hidden; this.layers.forEach((layer) => this.styled(layer)); },
    };
    if (acts[key.toLowerCase()] && !event.originalEvent.ctrlKey) { acts[key.toLowerCase()](); event.preventDefaultAction = true; event.originalEvent.preventDefault(); }
    if (key.toLowerCase() === "r") event.preventDefaultAction = true;  // nobody means to turn the image
  }

  // The scale bar, sharp pixels when they are large, and tracks.
  moved() {
    if (!this.image) return;
    const zoom = this.image.viewportToImageZoom(this.osd.viewport.getZoom(true));
    if (!(zoom > 0)) return;
    for (let k = 0; k < this.osd.world.getItemCount(); k++) this.osd.drawer.setImageSmoothingEnabled(zoom < 2);
    const um = this.facts.um, most = 140 / zoom * (um ?? 1), ten = 10 ** Math.floor(Math.log10(most));
    const length = [5, 2, 1].map((k) => k * ten).find((one) => one <= most) ?? ten;
    const [line, words] = this.bar.children;
    line.style.width = `${length / (um ?? 1) * zoom}px`;
    words.textContent = um ? (length >= 1000 ? `${length / 1000} mm` : `${+length.toPrecision(3)} µm`) : `${Math.max(1, Math.round(length))} px`;
    this.ruler.drawn();
    this.draw();
  }

  draw() {
    const shown = this.layers.filter((layer) => layer.tracks);
    if (!shown.length) return;
    const names = "http://www.w3.org/2000/svg", made = [];
    for (const layer of shown) if (layer.on && !this.hidden) for (const track of layer.tracks) {
      const past = track.points.filter(([t]) => t <= this.t && t > this.t - 20);
      if (!past.length) continue;
      const line = document.createElementNS(names, "polyline"), colour = HUES[(2 * track.id) % HUES.length];
      line.setAttribute("points", past.map(([, y, x]) => { const at = this.image.imageToViewerElementCoordinates(new OpenSeadragon.Point(x + 0.5, y + 0.5)); return `${at.x.toFixed(1)},${at.y.toFixed(1)}`; }).join(" "));
      line.setAttribute("stroke", colour);
      line.setAttribute("opacity", layer.opacity);
      made.push(line);
    }
    this.lines.replaceChildren(...made);
  }

  point(event) {
    if (!this.image || !this.facts) return;
    const box = this.osd.canvas.getBoundingClientRect();
    const at = this.image.viewerElementToImageCoordinates(new OpenSeadragon.Point(event.clientX - box.left, event.clientY - box.top));
    const x = Math.floor(at.x), y = Math.floor(at.y), f = this.facts;
    if (x < 0 || y < 0 || x >= f.width || y >= f.height) { this.asked = null; this.said.replaceChildren(); return; }
    const key = `${x},${y},${this.t},${this.z}`;
    if (key === this.asked) return;
    this.asked = key;
    clearTimeout(this.asking);
    this.asking = setTimeout(async () => {
      const query = new URLSearchParams({ x, y, t: this.t, z: this.z, job: f.job });
      const answer = await fetch(`/view/${f.set}/${f.file}/at.json?${query}`).catch(() => null);
      if (answer?.ok && this.asked === key) this.tell(await answer.json());
    }, 80);
  }

  tell(found) {
    const place = this.facts.um ? `${(found.x * this.facts.um).toFixed(1)}, ${(found.y * this.facts.um).toFixed(1)} µm` : `${found.x}, ${found.y} px`;
    const values = found.values.map((value, k) => `${this.facts.channels.length > 1 ? this.facts.channels[k].name + " " : ""}${+value.toPrecision(5)}`).join(" · ");
    const made = [make("p", { textContent: `${place}: ${values}` })];
    for (const object of found.objects) {
      const list = make("dl");
      for (const [what, value] of object.facts) list.append(make("dt", { textContent: what }), make("dd", { textContent: value }));
      made.push(make("p", {}, make("strong", { textContent: object.number ? `${object.layer} ${object.number}` : object.layer })), list);
    }
    this.said.replaceChildren(...made);
  }
}

const viewers = new Map();
const begin = () => {
  for (const box of document.querySelectorAll("[data-viewer]")) if (!viewers.has(box)) {
    const made = new Viewer(box);
    viewers.set(box, made);
    made.show(box.dataset.viewer);
  }
};
begin();
document.addEventListener("htmx:afterSettle", begin);
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-look]"), viewer = [...viewers.values()].find((one) => one.box.isConnected);
  if (!link || !viewer || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const { look, x, y, side } = link.dataset;
  document.querySelectorAll("a[data-look][aria-current]").forEach((one) => one.removeAttribute("aria-current"));
  link.setAttribute("aria-current", "true");
  viewer.box.scrollIntoView({ block: "nearest" });
  viewer.show(look, x ? { x: +x, y: +y, side: +side } : null);
});
