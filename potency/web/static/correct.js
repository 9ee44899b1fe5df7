// The editor of a mask: puts image, outlines, tools and the sender together, and says where things stand.
"use strict";
import { Mask } from "./correct-mask.js";
import { Sender, newKey, outside } from "./correct-send.js";
import { KEYS, Tools } from "./correct-tools.js";
import { View } from "./correct-view.js";

const editor = document.getElementById("editor"), told = JSON.parse(editor.dataset.told);
const path = `/correct/${told.correction}/${told.item}`;
const $ = (name) => editor.querySelector(`[data-${name}]`);
let fresh = 1, view, tools, sender, undo = told.undo, redo = told.redo, corner = { x: 0, y: 0 };

const loadMask = async ({ x, y } = corner) => {
  const answer = await fetch(`${path}/mask?x=${x}&y=${y}`);
  if (!answer.ok) throw await answer.json();
  const labels = new Uint32Array(await answer.arrayBuffer()), head = (name) => Number(answer.headers.get(name));
  return [new Mask(labels, head("x-width"), head("x-height"), x, y), head("x-revision")];
};
const loadPicture = async ({ x, y } = corner) => {
  const image = new Image();
  image.src = `${path}/picture?x=${x}&y=${y}&channel=${$("channel")?.value ?? -1}`;
  await image.decode();
  return image;
};

const say = (state, fault, count) => {
  const line = $("saved"), box = $("fault"), strokes = `${count} ${count === 1 ? "change" : "changes"}`;
  editor.dataset.state = state;
  line.textContent = {
    saved: "All changes saved", saving: "Saving ...", away: `${strokes} kept here; trying again`,
    out: `${strokes} kept in this browser`, conflict: `${strokes} not on the newer mask`, refused: "Not saved",
  }[state];
  box.replaceChildren();
  if (!fault) { box.hidden = true; return; }
  const add = (tag, text, act) => {
    const made = document.createElement(tag);
    made.textContent = text;
    if (act) { made.type = "button"; made.addEventListener("click", act); }
    box.append(made);
    return made;
  };
  add("strong", state === "out" ? `${outside(fault)} ${strokes} of yours ${count === 1 ? "is" : "are"} kept in this browser.` : fault.what);
  if (state === "out") {
    const link = add("a", "Log in (opens another page)");
    Object.assign(link, { href: "/enter", target: "_blank", className: "button main" });
    add("button", "I have logged in: send", () => sender.again());
  } else {
    if (fault.where) add("span", fault.where);
    if (fault.mend) add("span", fault.mend);
  }
  if (state === "conflict") {
    add("button", `Load the newer mask and put my ${strokes} on it`, () => settle(true)).className = "main";
    add("button", "Load the newer mask without them", () => settle(false));
  }
  if (state === "refused") add("button", "Load the mask as it is saved", () => settle(false)).className = "main";
  if (state === "saved") add("button", "Close", () => { box.hidden = true; });
  box.hidden = false;
};

const settle = async (wanted) => {
  try {
    const [mask, revision] = await loadMask();
    view.take(mask);
    for (const one of sender.settle(revision, wanted)) view.repaint(mask.does(one) ?? undefined);
  } catch (fault) { say("conflict", fault.what ? fault : { what: "the mask cannot be loaded", mend: "try again" }, sender.held.length); }
};

const saved = (answer, waiting) => {
  ({ undo, redo } = answer);
  fresh = Math.max(fresh, answer.fresh);
  view.classes = answer.classes;
  if (tools.stroke) tools.stroke.patched = true;
  const selected = answer.renamed[view.selected] ?? view.selected;
  for (const patch of answer.patches) view.repaint(view.mask.patch(patch));
  for (const one of waiting) view.repaint(view.mask.does(one) ?? undefined);
  if (selected !== view.selected) view.select(selected);
  if (view.names.length) view.repaint();
  refresh();
};

const does = (operation) => {
  if (operation.kind === "draw" && operation.fresh) fresh = Math.max(fresh, operation.label + 1);
  const box = view.mask.does(operation);
  if (box) view.repaint(box);
  if (operation.kind === "class") view.classes[operation.label] = operation.name;
  undo += 1;
  sender.add(operation);
  refresh();
};
const back = (kind) => {
  if (kind === "undo" ? !undo : !redo) return;
  sender.add({ key: newKey(), kind });
};

const refresh = () => {
  const all = view.mask.numbers();
  $("cells").textContent = `${all.length} ${all.length === 1 ? "cell" : "cells"}`;
  const there = all.includes(view.selected);
  $("selected").textContent = there ? `Cell ${view.selected}${view.classes[view.selected] ? `: ${view.classes[view.selected]}` : ""}` : "No cell selected";
  editor.querySelectorAll("[data-does]").forEach((button) => {
    const name = button.dataset.does;
    if (name === "undo") button.disabled = !undo;
    if (name === "redo") button.disabled = !redo;
    if (name === "delete") button.disabled = !there;
    if (button.dataset.class !== undefined) button.disabled = !there;
  });
};

const acts = {
  undo: () => back("undo"), redo: () => back("redo"), delete: () => tools.remove(), fit: () => view.fit(),
  closer: () => view.zoom(1.4), farther: () => view.zoom(1 / 1.4), smaller: () => tools.size(tools.radius / 1.25),
  larger: () => tools.size(tools.radius * 1.25), next: () => tools.step(1), before: () => tools.step(-1),
  class: (button) => tools.name(button.dataset.class),
  outlines: () => { view.outlines = !view.outlines; editor.querySelector("[data-does=outlines]").setAttribute("aria-pressed", view.outlines); view.repaint(); },
  done: () => $("done")?.requestSubmit(), skip: () => $("skip")?.requestSubmit(),
};
const SHORT = { Delete: "delete", Backspace: "delete", "0": "fit", "+": "closer", "=": "closer", "-": "farther", "[": "smaller", "]": "larger", ".": "next", ",": "before", o: "outlines" };

const keyed = (event) => {
  if (event.target.matches("input:not([type=range]):not([type=checkbox]), select, textarea")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key, order = event.ctrlKey || event.metaKey;
  let act = null;
  if (order && key === "z") act = event.shiftKey ? acts.redo : acts.undo;
  else if (order && key === "y") act = acts.redo;
  else if (order && key === "Enter") act = acts.done;
  else if (order || event.altKey) return;
  else if (key === " " && event.target === view.stage) { tools.held = true; act = () => {}; }
  else if (KEYS[key]) act = () => tools.choose(KEYS[key]);
  else if (/^[1-9]$/.test(key) && view.names[key - 1]) act = () => tools.name(view.names[key - 1]);
  else if (SHORT[key]) act = acts[SHORT[key]];
  else if (key.startsWith("Arrow") && event.target === view.stage) {
    const by = event.shiftKey ? 200 : 50;
    act = () => view.pan({ ArrowLeft: by, ArrowRight: -by }[key] ?? 0, { ArrowUp: by, ArrowDown: -by }[key] ?? 0);
  } else if (key === "Escape") act = () => view.select(0);
  if (!act) return;
  event.preventDefault();
  act();
};

const wire = () => {
  editor.querySelectorAll("[data-does]").forEach((button) => button.addEventListener("click", () => acts[button.dataset.does](button)));
  editor.querySelectorAll("[data-tool]").forEach((button) => button.addEventListener("click", () => tools.choose(button.dataset.tool)));
  addEventListener("keydown", keyed);
  addEventListener("keyup", (event) => { if (event.key === " ") tools.held = false; });
  $("radius").addEventListener("input", (event) => tools.size(Number(event.target.value)));
  $("over").addEventListener("change", (event) => { tools.over = event.target.checked; });
  const light = () => { view.below.style.filter = `brightness(${$("light").value}) contrast(${$("contrast").value})`; };
  $("light").addEventListener("input", light);
  $("contrast").addEventListener("input", light);
  const tried = (show) => async (event) => {
    try { await show(event); } catch { say(sender.stopped || "saved", { what: "this cannot be shown now", mend: "see that the server runs and that you are logged in, then choose it again" }, sender.queue.length + sender.held.length); }
  };
  $("channel")?.addEventListener("change", tried(async () => { view.picture = await loadPicture(); view.draw(true); }));
  $("part")?.addEventListener("change", tried(async (event) => {
    const [x, y] = event.target.value.split(",").map(Number);
    const [picture, [mask]] = await Promise.all([loadPicture({ x, y }), loadMask({ x, y })]);
    corner = { x, y };
    view.picture = picture;
    view.take(mask);
    view.fit();
    refresh();
  }));
  // What waits to be sent goes first, so that "done" means what is seen.
  for (const form of [$("done"), $("skip")]) form?.addEventListener("submit", async (event) => {
    if (!sender.queue.length && !sender.busy && !sender.held.length) return;
    event.preventDefault();
    event.stopPropagation();
    if (sender.stopped) { $("fault").scrollIntoView(); return; }
    for (let n = 0; n < 100 && (sender.queue.length || sender.busy) && !sender.stopped; n++) await new Promise((good) => setTimeout(good, 50));
    if (!sender.queue.length && !sender.stopped) form.requestSubmit();
  });
  addEventListener("focus", look);
  addEventListener("pageshow", (event) => { if (event.persisted) look(); });
};

// Another tab may have changed the mask meanwhile: where nothing of ours waits, the newer one is simply shown.
const look = async () => {
  if (sender.queue.length || sender.busy || sender.held.length || sender.stopped || tools.stroke) return;
  try {
    const now = await (await fetch(path + ".json")).json();
    if (now.item?.revision > sender.base && !sender.queue.length && !sender.busy && !tools.stroke) {
      const [mask, revision] = await loadMask();
      Object.assign(view, { classes: now.item.classes });
      ({ undo, redo } = now);
      fresh = Math.max(fresh, now.fresh);
      sender.base = revision;
      view.take(mask);
      refresh();
    }
  } catch { /* away for a moment: the next change tells */ }
};

const begin = async () => {
  const [picture, [mask, revision]] = await Promise.all([loadPicture(), loadMask()]);
  const stage = $("stage");
  fresh = told.fresh;
  view = new View(stage, picture, mask, () => refresh());
  Object.assign(view, { classes: told.classes, names: told.names });
  if (view.names.length) view.repaint();
  sender = new Sender(path, told.item, revision, { saved, state: say });
  tools = new Tools(view, {
    does, fresh: () => fresh,
    told: (tool, radius) => {
      if (tool === "dropped") { loadMask().then(([newer]) => { view.take(newer); sender.queue.forEach((one) => view.repaint(newer.does(one) ?? undefined)); }); return; }
      editor.querySelectorAll("[data-tool]").forEach((button) => button.setAttribute("aria-pressed", button.dataset.tool === tool));
      $("radius").value = radius;
      $("hint").textContent = editor.querySelector(`[data-tool=${tool}]`)?.title ?? "";
    },
  });
  tools.choose("select");
  wire();
  refresh();
  say("saved", null, 0);
  await sender.left();
  for (const one of sender.queue) view.repaint(view.mask.does(one) ?? undefined);
  editor.dataset.ready = "1";
};
export const now = () => ({ view, tools, sender });  // for those who look from outside: tests, the console of a browser
begin().catch((fault) => say("refused", fault.what ? fault : { what: "the image cannot be shown", where: "this page", mend: "load the page again" }, 0));
