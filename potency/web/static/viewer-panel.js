// The controls beside an image: channels with their contrast, time and plane, and what lies over it.
"use strict";

export function panel(viewer, side, make) {
  let count = 0;
  const row = (label, control, told) => {
    control.id = `v${Math.random().toString(36).slice(2)}${count++}`;
    return make("p", { className: "line" }, make("label", { textContent: label, htmlFor: control.id }), control, ...(told ? [told] : []));
  };
  const range = (value, least, most, step, act) => {
    const made = make("input", { type: "range", min: least, max: most, step, value });
    made.addEventListener("input", () => act(+made.value));
    return made;
  };
  // A slider with a word before it for the eye; its own label says more.
  const slider = (word, control, ...told) => make("p", { className: "line" }, make("span", { className: "word", textContent: word, data: { "aria-hidden": "true" } }), control, ...told);
  // What a screen reader says in the place of the number of a slider, which counts from 0 or has many digits.
  const spoken = (control, text) => control.setAttribute("aria-valuetext", text);
  const short = (value) => `${+value.toPrecision(4)}`;

  // How long after the first time; nothing where the file does not say it.
  const since = (seconds) => {
    const [length, unit] = seconds < 100 ? [1, "s"] : seconds < 6000 ? [60, "min"] : [3600, "h"];
    return seconds ? `, ${+(seconds / length).toFixed(1)} ${unit}` : "";
  };

  const axis = (name, title, total) => {
    const told = make("output");
    const slider = range(viewer[name], 0, total - 1, 1, (value) => viewer.step(name, value - viewer[name]));
    slider.dataset.axis = name;
    const say = () => { slider.value = viewer[name]; told.textContent = `${viewer[name] + 1} of ${total}${name === "t" ? since(viewer.t * viewer.facts.interval) : ""}`; spoken(slider, told.textContent); };
    slider.addEventListener("moved", say);
    say();
    return row(title, slider, told);
  };

  const channel = (one) => {
    const on = make("input", { type: "checkbox", checked: one.on });
    on.addEventListener("change", () => { one.on = on.checked; viewer.redraw(); });
    const colour = make("input", { type: "color", value: `#${one.colour}`, data: { "aria-label": `Colour of ${one.name}` } });
    colour.addEventListener("input", () => { one.colour = colour.value.slice(1); viewer.redraw(); });
    const step = Math.max((one.most - one.least) / 500, 1e-9), low = make("output"), high = make("output");
    const dark = range(one.low, one.least, one.most, step, (value) => { one.low = Math.min(value, one.high - step); said(); });
    const bright = range(one.high, one.least, one.most, step, (value) => { one.high = Math.max(value, one.low + step); said(); });
    const write = () => { for (const [out, value, control] of [[low, one.low, dark], [high, one.high, bright]]) { out.textContent = short(value); spoken(control, out.textContent); } };
    const said = () => { write(); viewer.redraw(); };
    write();
    dark.setAttribute("aria-label", `${one.name}: what is black`);
    bright.setAttribute("aria-label", `${one.name}: what is bright`);
    const head = make("p", { className: "line" }, make("label", { className: "named" }, on, make("span", { textContent: one.name, title: one.name })), ...(viewer.facts.colour ? [] : [colour]));
    return make("div", { className: "channel" }, head, slider("Dark", dark, low), slider("Bright", bright, high));
  };

  const layer = (one, number) => {
    const on = make("input", { type: "checkbox", checked: one.on });
    on.addEventListener("change", () => { one.on = on.checked; viewer.styled(one); });
    const clear = range(one.opacity, 0, 1, 0.05, (value) => { one.opacity = value; spoken(clear, percent()); viewer.styled(one); });
    const percent = () => `${Math.round(100 * one.opacity)} %`;
    spoken(clear, percent());
    clear.setAttribute("aria-label", `${one.title}: how opaque`);
    const parts = [make("p", { className: "line" }, make("label", { className: "named" }, on, make("span", { textContent: one.title, title: one.title }))), slider("Opacity", clear)];
    if (one.styles.length > 1) {
      const pick = make("select", { data: { "aria-label": `${one.title}: how drawn` } });
      for (const [value, words] of [["outline", "outlines"], ["area", "areas"], ["class", "areas by class"]])
        if (one.styles.includes(value)) pick.append(make("option", { value, textContent: words, selected: value === one.style }));
      pick.addEventListener("change", () => viewer.styled(one, pick.value));
      parts.push(pick);
    }
    if (one.classes.length) {
      const key = make("ul", { className: "key" });
      one.classes.forEach((name, place) => key.append(make("li", { className: `hue${place % 8}`, textContent: name })));
      parts.push(key);
    }
    if (one.ends.length) {
      const [against, speaks] = one.ends.map((text) => make("span", { textContent: text }));
      parts.push(make("p", { className: "ends" }, make("i", { data: { "aria-hidden": "true" } }), against, speaks));
    }
    const where = [["t", "time", viewer.facts.frames], ["z", "plane", viewer.facts.planes]].filter(([axis, , total]) => total > 1 && (one[axis] ?? null) !== null);
    if (where.length) {
      const go = make("button", { type: "button", className: "plain small", textContent: "Go there" });
      go.addEventListener("click", () => where.forEach(([axis]) => viewer.step(axis, one[axis] - viewer[axis])));
      parts.push(make("p", { className: "hint" }, `Of ${where.map(([axis, word, total]) => `${word} ${one[axis] + 1} of ${total}`).join(", ")} only. `, go));
    }
    if (one.about) parts.push(make("p", { className: "hint", textContent: one.about }));
    if (one.kind === "map" && one.fails.length) parts.push(make("p", { className: "warn", data: { role: "note" } }, make("strong", { textContent: "This map fails its check" }), `: ${one.fails.join("; ")}. Do not read it.`));
    else if (one.says.length) parts.push(make("p", { className: "good", textContent: "It passes its checks." }));
    if (one.says.length) parts.push(make("details", {}, make("summary", { textContent: "How far to believe this map" }), make("ul", {}, ...one.says.map((text) => make("li", { textContent: text })))));
    return make("div", { className: "layer", data: { "data-layer": number } }, ...parts);
  };

  const { frames, planes } = viewer.facts, made = [];
  if (planes > 1) made.push(axis("z", "Plane", planes));
  if (frames > 1) made.push(axis("t", "Time", frames));
  if (made.length) made.unshift(make("h3", { textContent: "Where" }));
  if (viewer.layers.length) made.push(make("h3", { textContent: "Overlays" }), ...viewer.layers.map(layer));
  const again = make("button", { type: "button", className: "plain small", textContent: "Reset channels" });
  again.addEventListener("click", () => { viewer.channels = viewer.facts.channels.map((one) => ({ ...one })); panel(viewer, side, make); viewer.redraw(); });
  made.push(make("h3", { textContent: viewer.channels.length > 1 ? "Channels" : "Contrast" }), ...viewer.channels.map(channel), again);
  side.replaceChildren(...made);
}
