// The form of a new reader study: shows what belongs to the chosen kind of answer and number of rounds.
"use strict";
(() => {
  const form = document.getElementById("study");
  const told = (name) => form.querySelector(`[name=${name}]:checked`)?.value;
  const truth = form.elements.truth, classes = form.elements.classes, model = form.elements.model;
  let own = false;  // whether somebody has typed classes
  const shown = () => {
    for (const part of form.querySelectorAll("[data-kind]")) part.hidden = part.dataset.kind !== told("kind");
    for (const part of form.querySelectorAll("[data-rounds]")) part.hidden = part.dataset.rounds !== told("rounds");
    classes.required = told("kind") === "class";
  };
  classes.addEventListener("input", () => { own = true; });
  truth.addEventListener("change", () => {
    const chosen = truth.selectedOptions[0];
    if (!own && chosen.dataset.classes) classes.value = chosen.dataset.classes;
    if (chosen.dataset.number && !chosen.dataset.classes) form.querySelector("[name=kind][value=number]").checked = true;
    shown();
  });
  model.addEventListener("change", () => {
    if (!own && !classes.value && model.selectedOptions[0].dataset.classes) classes.value = model.selectedOptions[0].dataset.classes;
  });
  form.addEventListener("change", shown);
  addEventListener("pageshow", shown);
  shown();
})();
