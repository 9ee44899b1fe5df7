// What pages need beside htmx: dropping files, sending them with progress, asking before deleting, light or dark.
"use strict";
(() => {
  const root = document.documentElement;
  const told = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
  if (told) root.dataset.theme = told;
  const csrf = () => document.querySelector("meta[name=csrf]")?.content ?? "";
  // Another session began (logged in again in another tab): its secret is in the page as it is now. Whether it is new.
  const renewed = async () => {
    try {
      const answer = await fetch(location.pathname + location.search, { headers: { Accept: "text/html" } });
      const fresh = answer.ok && new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("meta[name=csrf]")?.content;
      if (!fresh || fresh === csrf()) return false;
      document.querySelector("meta[name=csrf]").content = fresh;
      document.querySelectorAll("input[name=csrf]").forEach((field) => { field.value = fresh; });
      return true;
    } catch { return false; }
  };
  window.session = { csrf, renewed };  // for the scripts of pages

  document.addEventListener("click", (event) => {
    if (event.target.id !== "theme") return;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* private window */ }
  });
  document.addEventListener("htmx:configRequest", (event) => { event.detail.headers["X-CSRF-Token"] = csrf(); });

  // A text is copied by its button. Without https a browser has no clipboard for pages: then it is selected and copied.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]"), from = button && document.getElementById(button.dataset.copy);
    if (!from) return;
    const byhand = () => { getSelection().selectAllChildren(from); return document.execCommand("copy"); };
    const done = await (navigator.clipboard?.writeText(from.textContent).then(() => true, byhand) ?? byhand());
    button.nextElementSibling.textContent = done ? "Copied" : "Not copied: it is selected, copy it with Ctrl+C";
  });

  // A link in a mail or on another page brings no cookie along: who is logged in goes on without being asked.
  if (document.querySelector("form[data-asked]") && document.referrer !== location.href.split("#")[0])
    fetch("/index.json").then((answer) => { if (answer.ok) location.replace(location.href); }, () => {});

  // What is asked again and again and gets no answer says so; with the next answer the words are gone.
  const unheard = ({ detail: { elt, xhr } }) => {
    const line = elt.querySelector(".unheard") ?? document.createElement("p");
    line.className = "banner unheard";
    line.textContent = xhr.status === 401 ? "You are logged out. Load this page again to log in." : xhr.status ? `The server answered ${xhr.status}. Load this page again.` : "The server cannot be reached. It is tried again.";
    elt.append(line);
  };
  for (const kind of ["htmx:sendError", "htmx:responseError"]) document.addEventListener(kind, unheard);

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
  const post = (path, body, moved, again = false) => new Promise((good, bad) => {
    const request = new XMLHttpRequest();
    let last = 0;
    request.open("POST", path);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("X-CSRF-Token", csrf());
    request.upload.onprogress = (event) => { moved?.(event.loaded - last); last = event.loaded; };
    request.onerror = () => bad({ what: "the connection broke", where: "the upload", mend: "check that the server runs, then send it again" });
    request.onload = async () => {
      let told = {};
      try { told = JSON.parse(request.responseText); } catch { /* no JSON: a proxy's page */ }
      if (request.status < 300) good([told, request.getResponseHeader("Location")]);
      else if (request.status === 403 && !again && await renewed()) {
        moved?.(-last);
        if (body.has("csrf")) body.set("csrf", csrf());
        post(path, body, moved, true).then(good, bad);
      } else bad(told.what ? told : { what: `the server answered ${request.status}` });
    };
    request.send(body);
  });
})();
