// What a plate map needs: the value of the well under the pointer or the focus, and arrow keys from well to well.
"use strict";
(() => {
  const wells = (map) => [...map.querySelectorAll("a[data-at]")];
  // One stop for the tab key a plate, as in a grid; the arrows move within it.
  const ready = () => document.querySelectorAll(".map").forEach((map) =>
    wells(map).forEach((well, number) => well.setAttribute("tabindex", number ? "-1" : "0")));

  const tell = (event) => {
    const well = event.target.closest?.(".map a[data-at]"), readout = document.getElementById("readout");
    if (well && readout) {
      const plate = well.closest(".plate").querySelector("h2").textContent;
      readout.textContent = `${plate}, ${well.getAttribute("aria-label")}`;
    }
  };
  document.addEventListener("pointerover", tell);
  document.addEventListener("focusin", tell);

  const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  document.addEventListener("keydown", (event) => {
    const well = event.target.closest?.(".map a[data-at]"), step = STEPS[event.key];
    if (!well || !step) return;
    event.preventDefault();
    const map = well.closest(".map"), across = Number(map.dataset.columns), there = new Map();
    for (const one of wells(map)) there.set(Number(one.dataset.at), one);
    const most = Math.max(...there.keys());
    let row = Math.floor(Number(well.dataset.at) / across) + step[0], column = Number(well.dataset.at) % across + step[1];
    while (row >= 0 && column >= 0 && column < across && row * across <= most) {  // over the wells without images
      const next = there.get(row * across + column);
      if (next) {
        well.setAttribute("tabindex", "-1");
        next.setAttribute("tabindex", "0");
        next.focus();
        return;
      }
      row += step[0];
      column += step[1];
    }
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    ready();
    // What is shown is where the address leads: a reload, or going back from a well, shows it again.
    const path = event.detail.pathInfo?.finalRequestPath;
    if (path?.startsWith("/plate/")) history.replaceState(null, "", path);
  });
  ready();
})();
