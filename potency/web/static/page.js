// What pages need beside htmx: dropping files, sending them with progress, asking before deleting, light or dark.
"use strict";
(() => {
  const root = document.documentElement;
  const told = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
  if (told) root.dataset.theme = told;
  const csrf = () => document.querySelector("meta[name=csrf]")?.content ?? "";

  document.addEventListener("click", (event) => {
    if (event.target.id !== "theme") return;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* private window */ }
  });
  document.addEventListener("htmx:configRequest", (event) => { event.detail.headers["X-CSRF-Token"] = csrf(); });

  // A form is sent once: a second click while it is on its way does nothing.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.ask && !confirm(form.dataset.ask)) { event.preventDefault(); return; }
    if (form.dataset.sent) { event.preventDefault(); return; }
    if (form.matches("[data-upload]") && chosen(form).length) { event.preventDefault(); send(form); return; }
    form.dataset.sent = "1";
  });
  addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));

  const dropped = new WeakMap();  // of a form: the files dropped or chosen, with the names of their folders
  const chosen = (form) => dropped.get(form) ?? [];
  const take = (form, files) => {
    dropped.set(form, files);
    const bytes = files.reduce((sum, [, file]) => sum + file.size, 0);
    const said = form.querySelector(".chosen");
    if (said) said.textContent = files.length ? `${files.length} ${files.length === 1 ? "file" : "files"}, ${(bytes / 1e6).toFixed(1)} MB: ${files[0][0]}${files.length > 1 ? " ..." : ""}` : "";
    const set = form.querySelector("select[name=set]");
    if (set && files.length) set.value = "";
  };
  document.addEventListener("change", (event) => {
    const form = event.target.closest?.("form");
    if (event.target.matches("[data-upload] select[name=set]") && event.target.value) {
      form.querySelectorAll("input[type=file]").forEach((input) => { input.value = ""; });
      take(form, []);
    }
    if (event.target.type === "file" && form?.matches("[data-upload]"))
      take(form, [...event.target.files].map((file) => [file.webkitRelativePath || file.name, file]));
  });

  const walk = async (entry, path, files) => {
    if (entry.isFile) files.push([path + entry.name, await new Promise((good, bad) => entry.file(good, bad))]);
    else {
      const reader = entry.createReader();
      for (;;) {
        const some = await new Promise((good, bad) => reader.readEntries(good, bad));
        if (!some.length) break;
        for (const one of some) await walk(one, `${path}${entry.name}/`, files);
      }
    }
  };
  // Where files are dropped: in its box, or beside the only one of the page, lest the browser leave the page for a file.
  const boxed = (event) => {
    const every = document.querySelectorAll("[data-drop]"), files = event.dataTransfer?.types.includes("Files");
    return event.target.closest?.("[data-drop]") ?? (files && every.length === 1 ? every[0] : null);
  };
  for (const kind of ["dragenter", "dragover"]) document.addEventListener(kind, (event) => {
    const drop = boxed(event);
    if (drop) { event.preventDefault(); drop.classList.add("over"); }
  });
  document.addEventListener("dragleave", (event) => boxed(event)?.classList.remove("over"));
  document.addEventListener("drop", async (event) => {
    const drop = boxed(event);
    if (!drop) return;
    event.preventDefault();
    drop.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean), files = [];
    const bare = [...event.dataTransfer.files].map((file) => [file.name, file]);  // where there are no folders
    for (const entry of entries) await walk(entry, "", files);
    take(drop.closest("form"), files.length ? files : bare);
  });

  // Files travel in pieces of some number, so that thousands arrive, with progress; then the form is sent with the set.
  const AT_ONCE = 200, MOST = 256e6;
  const send = async (form) => {
    const files = chosen(form), bar = document.createElement("progress"), said = form.querySelector(".chosen");
    form.dataset.sent = "1";
    bar.max = files.reduce((sum, [, file]) => sum + file.size, 0) || 1;
    bar.value = 0;
    bar.setAttribute("aria-label", "uploading");
    said.replaceChildren(bar);
    try {
      let set = "", at = "", gone = 0;
      while (gone < files.length) {
        const body = new FormData();
        let size = 0, count = 0;
        while (gone < files.length && count < AT_ONCE && (count === 0 || size + files[gone][1].size < MOST)) {
          body.append("files", files[gone][1], files[gone][0]);
          size += files[gone++][1].size;
          count++;
        }
        body.append("into", set);
        const title = form.querySelector("[name=title]")?.value ?? "";
        if (title) body.append("title", title);
        if (form.querySelector("[name=strip]")?.checked) body.append("strip", "true");
        [{ set }, at] = await post("/images.json", body, (done) => { bar.value += done; });
      }
      if (form.getAttribute("action") === "/images") { location.href = form.dataset.then ? form.dataset.then + set : at; return; }
      const rest = new FormData(form);
      rest.delete("files");
      rest.set("set", set);
      const [, then] = await post(`${form.getAttribute("action")}.json`, rest);
      location.href = then;
    } catch (fault) {
      delete form.dataset.sent;
      const box = document.createElement("div");
      box.className = "fault";
      box.setAttribute("role", "alert");
      for (const text of [fault.what ?? String(fault), fault.where, fault.mend]) if (text) {
        const line = document.createElement("p");
        line.textContent = text;
        box.append(line);
      }
      said.replaceChildren(box);
    }
  };
  const post = (path, body, moved) => new Promise((good, bad) => {
    const request = new XMLHttpRequest();
    let last = 0;
    request.open("POST", path);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("X-CSRF-Token", csrf());
    request.upload.onprogress = (event) => { moved?.(event.loaded - last); last = event.loaded; };
    request.onerror = () => bad({ what: "the connection broke", where: "the upload", mend: "check that the server runs, then send it again" });
    request.onload = () => {
      let told = {};
      try { told = JSON.parse(request.responseText); } catch { /* no JSON: a proxy's page */ }
      if (request.status < 300) good([told, request.getResponseHeader("Location")]); else bad(told.what ? told : { what: `the server answered ${request.status}` });
    };
    request.send(body);
  });
})();
