// The page "what is it?": chooses the model that suits chosen images, warns of channels, sorts at once.
"use strict";
(() => {
  // Whether the visitor has chosen a model, here or where a link led from; then nobody else does.
  let own = new URLSearchParams(location.search).has("model");
  document.addEventListener("change", async (event) => {
    const form = event.target.closest?.("form");
    if (event.target.name === "model") own = true;
    if (form?.matches("[data-go]")) form.requestSubmit();
    if (event.target.id !== "set") return;
    let told;
    try {
      const answer = await fetch(`/answer.json?set=${encodeURIComponent(event.target.value)}`);
      if (!answer.ok) return;
      told = await answer.json();
    } catch { return; }  // without an answer the page stays as it was; the job says what does not fit
    for (const place of form.querySelectorAll("[data-misfit]")) {
      place.textContent = told.misfits[place.dataset.misfit] ?? "";
      place.hidden = !place.textContent;
    }
    if (!own) for (const one of form.querySelectorAll("[name=model]")) one.checked = one.value === told.model;
  });
})();
