// Classes of images by keys: a digit names the focused image and goes on to the next; every change is saved at once.
"use strict";
import { Sender, newKey, outside } from "./correct-send.js";

const list = document.querySelector(".relabel"), names = JSON.parse(list.dataset.classes), root = list.dataset.path;
const cards = [...list.children], line = document.getElementById("saved"), box = document.getElementById("fault");
const store = `relabelled:${root}`;
let steps = [];  // the images that were changed, the last one last
try { steps = JSON.parse(sessionStorage.getItem(store)) ?? []; } catch { /* private window */ }
const senders = new Map();

const remember = () => { try { sessionStorage.setItem(store, JSON.stringify(steps.slice(-500))); } catch { /* private window */ } };
const show = (card, answer) => {
  const name = answer.classes["0"] ?? "";
  card.dataset.class = name;
  card.dataset.state = name ? "done" : "open";
  card.dataset.revision = answer.revision;
  card.querySelector("select").value = name;
  mark(card);
  const count = cards.filter((one) => one.dataset.state === "done").length - first;
  document.getElementById("done").textContent = document.querySelector(".going progress").value = began + count;
};
const mark = (card) => card.classList.toggle("changed", Boolean(card.dataset.class && card.dataset.said && card.dataset.class !== card.dataset.said));
const began = Number(document.getElementById("done").textContent), first = cards.filter((one) => one.dataset.state === "done").length;

const sender = (card) => {
  const id = card.dataset.item;
  if (!senders.has(id)) senders.set(id, new Sender(`${root}/${id}`, id, Number(card.dataset.revision), {
    saved: (answer) => show(card, answer), state: (state, fault, count) => say(card, state, fault, count),
  }));
  return senders.get(id);
};
const say = (card, state, fault, count) => {
  const waiting = [...senders.values()].reduce((sum, one) => sum + one.queue.length + one.held.length, 0);
  line.textContent = { saved: "Saved.", saving: "Saving ...", out: `${waiting} kept in this browser.`, away: `${waiting} kept here; trying again.` }[state] ?? "Not saved.";
  box.replaceChildren();
  box.hidden = !fault;
  if (!fault) return;
  const add = (tag, text) => { const made = document.createElement(tag); made.textContent = text; box.append(made, " "); return made; };
  add("strong", state === "out" ? `${outside(fault)} What you did is kept in this browser.` : fault.what);
  if (fault.mend && state !== "out") add("span", fault.mend);
  if (state === "out") {
    Object.assign(add("a", "Log in (opens another page)"), { href: "/enter", target: "_blank", className: "button main" });
    add("button", "I have logged in: send").addEventListener("click", () => senders.forEach((one) => one.again()));
  }
  if (state === "conflict" || state === "refused") {
    add("span", card.getAttribute("aria-label"));
    add("button", "Show the class as it is saved").addEventListener("click", async () => {
      const now = await (await fetch(`${root}/${card.dataset.item}.json`)).json();
      sender(card).settle(now.item.revision, false);
      show(card, { classes: now.item.classes, revision: now.item.revision });
      box.hidden = true;
    });
  }
};

const here = () => { const found = document.activeElement.closest?.(".relabel > li"); return found ?? list.querySelector("li.here") ?? cards[0]; };
const go = (card) => {
  if (!card) return;
  list.querySelector("li.here")?.classList.remove("here");
  card.classList.add("here");
  card.focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest" });
};
const following = (card) => cards.slice(cards.indexOf(card) + 1).find((one) => one.dataset.state === "open") ?? cards.find((one) => one.dataset.state === "open");
const give = (card, name) => {
  if (card.dataset.class === name) return;
  steps.push(card.dataset.item);
  remember();
  card.dataset.class = name;
  card.dataset.state = name ? "done" : "open";
  card.querySelector("select").value = name;
  mark(card);
  sender(card).add({ key: newKey(), kind: "class", name });
};
const undo = () => {
  const id = steps.pop(), card = cards.find((one) => one.dataset.item === id);
  remember();
  if (!card) return;
  sender(card).add({ key: newKey(), kind: "undo" });
  go(card);
};
const skip = async (card) => {
  const body = new FormData();
  body.append("state", "skipped");
  body.append("csrf", document.querySelector("meta[name=csrf]")?.content ?? "");
  const answer = await fetch(`${root}/${card.dataset.item}/state.json`, { method: "POST", body });
  if (answer.ok) { card.dataset.state = "skipped"; go(following(card)); } else say(card, "refused", await answer.json(), 0);
};

list.addEventListener("change", (event) => { if (event.target.matches("select")) give(event.target.closest("li"), event.target.value); });
list.addEventListener("click", (event) => { if (!event.target.matches("select, option")) go(event.target.closest("li")); });
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, textarea") || event.altKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key, card = here();
  const order = event.ctrlKey || event.metaKey, selecting = event.target.matches("select");
  if (!card || (order && key !== "z")) return;
  let act = null;
  if (/^[1-9]$/.test(key) && names[key - 1]) act = () => { give(card, names[key - 1]); go(following(card)); };
  else if (key === "u" || (order && key === "z")) act = undo;
  else if (key === "x" && !selecting) act = () => skip(card);
  else if (key === "ArrowRight" && !selecting) act = () => go(cards[cards.indexOf(card) + 1]);
  else if (key === "ArrowLeft" && !selecting) act = () => go(cards[cards.indexOf(card) - 1]);
  if (!act) return;
  event.preventDefault();
  act();
});
cards.forEach(mark);
for (const card of cards) sender(card).left();
cards.find((one) => one.dataset.state === "open")?.classList.add("here");
