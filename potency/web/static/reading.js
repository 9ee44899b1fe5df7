// One reader before one image after the other: keys, time that counts only while an image is seen, answers kept at once.
"use strict";
(() => {
  const desk = document.getElementById("desk");
  if (!desk) return;
  const by = (id) => document.getElementById(id);
  const path = desk.dataset.path, asksSure = desk.dataset.confidence === "1", number = desk.dataset.number === "1";
  const DOUBLE = 250;  // ms after a change in which a second press of the same key is no answer
  const image = by("image"), classes = [...document.querySelectorAll("#classes [data-answer]")];
  const pictures = new Map();  // of the image shown and the next one, so that the next is there at once
  let turn = null, busy = true, paused = false, picked = null, changed = 0, failed = null;
  let spent = 0, since = null;  // ms before this image, and since when it is seen

  const store = (code, value) => { try { value === null ? sessionStorage.removeItem(code) : sessionStorage.setItem(code, value); } catch { /* private window */ } };
  const kept = (code) => { try { return Number(sessionStorage.getItem(code)) || 0; } catch { return 0; } };
  const stop = () => { if (since !== null) { spent += performance.now() - since; since = null; } if (turn?.showing) store(`read-${turn.showing}`, spent); };
  const go = () => { if (since === null && turn && !busy && !paused && !document.hidden) since = performance.now(); };
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : go()));
  addEventListener("pagehide", stop);
  const say = (text) => { by("told").textContent = text; };

  const asked = async (where, body, again = false) => {
    const answered = await fetch(where, { method: body ? "POST" : "GET", body, headers: { Accept: "application/json", "X-CSRF-Token": session.csrf() } });
    const told = await answered.json().catch(() => ({}));
    if (answered.status === 403 && !again && await session.renewed()) return asked(where, body, true);
    if (!answered.ok) throw Object.assign(new Error(told.what ?? `the server answered ${answered.status}`), { told, status: answered.status });
    return told;
  };
  const fetched = async (what, code) => {
    const key = `${what}/${code}`;
    if (!pictures.has(key)) pictures.set(key, (async () => {
      const answered = await fetch(`${path}/${key}`);
      if (!answered.ok) throw Object.assign(new Error("the image cannot be fetched"), { status: answered.status });
      return URL.createObjectURL(await answered.blob());
    })().catch((fault) => { pictures.delete(key); throw fault; }));
    return pictures.get(key);
  };
  const forget = () => {
    for (const [key, made] of pictures) if (![turn.showing, turn.next].includes(key.split("/")[1])) { pictures.delete(key); made.then(URL.revokeObjectURL, () => {}); }
  };

  const model = async () => {
    const told = turn.model;
    if (!by("says") || !told) return;
    const sure = told.probability === null ? "" : `\u00a0${Math.round(100 * told.probability)}\u00a0%`;
    by("said").textContent = told.error || `${told.answer}${sure}`;
    by("unlike").hidden = !told.unlike;
    by("bars").replaceChildren(...Object.entries(told.probabilities).map(([name, share]) => {
      const row = document.createElement("div"), term = document.createElement("dt"), cell = document.createElement("dd"), bar = document.createElement("meter");
      term.textContent = name;
      bar.max = 1; bar.value = share; bar.setAttribute("aria-label", `${name}, ${Math.round(100 * share)} per cent`);
      cell.append(bar, ` ${Math.round(100 * share)} %`);
      row.append(term, cell);
      return row;
    }));
    by("map").hidden = !told.map;
    if (told.map) by("map").querySelector("img").src = await fetched("map", turn.showing);
  };
  const show = async (next) => {
    const code = next.showing;
    if (next.stage !== "reading") { location.reload(); return; }
    turn = next;
    unpick();
    by("count").textContent = `Image ${turn.done + 1} of ${turn.of}`;
    by("bar").value = turn.done;
    by("back").disabled = !turn.back;
    spent = kept(`read-${code}`);
    image.src = await fetched("picture", code);
    await image.decode().catch(() => {});
    await model();
    if (number) { by("value").value = ""; by("value").focus({ preventScroll: true }); }
    changed = performance.now();
    busy = false;
    desk.dataset.showing = code;
    go();
    forget();
    if (turn.next) fetched("picture", turn.next).catch(() => {});
  };
  const attempt = async (what) => {  // whatever goes wrong is said and can be tried again; nothing is lost meanwhile
    busy = true;
    stop();
    try { await what(); by("fault").hidden = true; failed = null; }
    catch (fault) {
      const { told = {}, status } = fault;
      if (status === 400 && turn) { busy = false; go(); say(`${fault.message}. ${told.mend ?? ""}`); by("value")?.select(); return; }
      failed = what;
      by("what").textContent = status === 401 ? "You are logged out. Log in again in another tab, then try again here: your answer is still here." : status ? `${fault.message}. ${told.mend ?? ""}` : "The connection broke. Your answer is still here.";
      by("fault").hidden = false;
      by("retry").focus();
    }
  };
  const unpick = () => { picked = null; classes.forEach((one) => one.classList.remove("picked")); if (by("sure")) by("sure").hidden = true; };
  const wrong = (word) => {
    const value = Number(word.replace(",", ".")), { low, high } = desk.dataset;
    const out = !Number.isFinite(value) || (low !== "" && value < Number(low)) || (high !== "" && value > Number(high));
    return out ? `${word} is not a number${low === "" ? "" : ` from ${Number(low)}`}${high === "" ? "" : ` to ${Number(high)}`}` : "";
  };
  const choose = (word) => {
    if (busy || paused || performance.now() - changed < DOUBLE) return;
    if (number && word !== "" && wrong(word)) { say(wrong(word)); by("value").select(); return; }
    if (asksSure && word !== "") {
      picked = word;
      changed = performance.now();
      classes.forEach((one) => one.classList.toggle("picked", one.dataset.answer === word));
      by("sure").hidden = false;
      say(`${word}: how sure are you?`);
      return;
    }
    send(word, null);
  };
  const sure = (level) => { if (picked !== null && !busy && performance.now() - changed >= DOUBLE) send(picked, level); };
  const send = (word, level) => {
    stop();
    const showing = turn.showing, seconds = spent / 1000;
    attempt(async () => {
      const body = new FormData();
      body.set("showing", showing);
      body.set("answer", word);
      body.set("seconds", seconds.toFixed(2));
      if (level) body.set("confidence", level);
      const told = await asked(`${path}/answer.json`, body);
      store(`read-${showing}`, null);
      await show(told.turn);
      say(told.taken ? `kept: ${word || "cannot tell"}` : "this image was answered before, in another tab");
    });
  };
  const back = () => {
    if (busy || !turn.back) return;
    attempt(async () => {
      const told = await asked(`${path}/back.json`, new FormData());
      await show(told.turn);
      say(told.taken ? "taken back: answer this image again" : "only the last answer can be taken back, once");
    });
  };
  const pause = () => {
    paused = !paused;
    by("pause").setAttribute("aria-pressed", String(paused));
    by("veil").hidden = !paused;
    image.classList.toggle("veiled", paused);
    if (paused) stop(); else { changed = performance.now(); go(); }
  };
  const near = () => { const on = by("frame").classList.toggle("near"); by("near").setAttribute("aria-pressed", String(on)); };

  desk.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (event.target === image) near();
    if (!button) return;
    if (button.dataset.answer !== undefined) choose(button.dataset.answer);
    else if (button.dataset.sure) sure(button.dataset.sure);
    else ({ back, pause, near, unpick, retry: () => failed && attempt(failed) })[button.id]?.();
  });
  by("number")?.addEventListener("submit", (event) => { event.preventDefault(); event.stopPropagation(); if (by("value").value.trim()) choose(by("value").value.trim()); });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const typing = event.target.matches?.("input, textarea, select");
    if (event.key === "Escape") { unpick(); return; }
    if (event.key === "p") { event.preventDefault(); pause(); return; }
    if (event.key === "z") { event.preventDefault(); near(); return; }
    if (event.key === "Backspace" && !(typing && event.target.value)) { event.preventDefault(); back(); return; }
    if (typing || !/^[0-9]$/.test(event.key)) return;
    if (picked !== null) { if ("12345".includes(event.key)) sure(event.key); return; }
    const button = event.key === "0" ? classes.at(-1) : classes[Number(event.key) - 1];
    if (button && (event.key === "0" || button.dataset.answer)) choose(button.dataset.answer);
  });
  attempt(async () => show((await asked(`${path}.json`)).turn));
})();
