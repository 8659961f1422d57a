// What the page does by itself: it fetches what changed, counts down, and sends answers without leaving. Without it
// everything works with reloading.
(() => {
  "use strict";
  const live = document.querySelector("[data-live]");
  const all = (root, what) => Array.from(root.querySelectorAll(what));

  // Times are shown in the reader's own zone.
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const span = (s) => s < 60 ? s + " s" : s < 3600 ? Math.floor(s / 60) + " min" : Math.floor(s / 3600) + " h";
  function times() {
    for (const t of all(document, "time[data-until]")) {
      const left = Math.round((new Date(t.dateTime) - Date.now()) / 1000);
      t.textContent = clock.format(new Date(t.dateTime)) + (left > 0 ? ", " + (left < 120 ? left + " s" : span(left)) + " left" : ", over");
      t.classList.toggle("soon", left < 60);
    }
    for (const t of all(document, "time[data-ago]")) {
      const ago = Math.round((Date.now() - new Date(t.dateTime)) / 1000);
      t.textContent = ago < 10 ? "just now" : ago < 7200 ? span(ago) + " ago" : day.format(new Date(t.dateTime));
      t.title = new Date(t.dateTime).toLocaleString();
    }
  }

  // A card that changed under somebody's eyes cannot be answered for a moment.
  function hold(card) {
    const buttons = all(card, "[data-act] button");
    for (const b of buttons) b.disabled = true;
    setTimeout(() => { for (const b of buttons) b.disabled = false; count(card); }, 1200);
  }

  // count keeps the number that must be typed to what is ticked, and the button shut until it is.
  function count(card) {
    const ticked = all(card, "input[name=line]").filter((i) => i.type === "hidden" || i.checked);
    const rings = ticked.reduce((n, i) => n + Number(i.dataset.rings || 0), 0);
    const yes = card.querySelector("button[value=yes]"), no = card.querySelector("button[value=no]");
    const ask = card.querySelector(".people"), typed = card.querySelector("input[name=people]");
    if (ask) {
      ask.hidden = rings <= 10;
      ask.querySelector("[data-people]").textContent = rings;
    }
    if (yes) yes.disabled = ticked.length === 0 || (ask && rings > 10 && typed.value.trim() !== String(rings));
    if (no) no.disabled = ticked.length === 0;
  }

  // merge takes a new list of cards over. What is there stays as it is, with what was typed; a line that joins a card is not ticked.
  function merge(from) {
    const cards = live.querySelector("[data-cards]"), next = from.querySelector("[data-cards]");
    if (!cards || !next) return;
    const wanted = new Map(all(next, "[data-card]").map((c) => [c.id, c]));
    for (const old of all(cards, "[data-card]")) {
      const now = wanted.get(old.id);
      if (!now) { old.remove(); continue; }
      wanted.delete(old.id);
      const ids = (c) => all(c, "[data-line]").map((l) => l.dataset.line);
      const before = ids(old), after = ids(now);
      const shape = (c) => all(c, "[data-act] button, [data-act] a").map((b) => b.value || b.className).join();
      if (before.join() === after.join() && shape(old) === shape(now)) continue;
      for (const l of all(now, "[data-line]")) {
        if (before.includes(l.dataset.line)) continue;
        l.classList.add("new");
        const tick = l.querySelector("input[type=checkbox]");
        if (tick) tick.checked = false;
      }
      for (const l of all(old, "[data-line]")) { // what was ticked, and when it was shown, stays
        const same = now.querySelector(`[data-line="${l.dataset.line}"] input[name=line]`), had = l.querySelector("input[name=line]");
        if (!same || !had) continue;
        same.value = had.value;
        if (had.type === "checkbox") same.checked = had.checked;
      }
      const note = old.querySelector("input[name=note]"), typed = now.querySelector("input[name=note]");
      if (note && typed) typed.value = note.value;
      old.replaceWith(now);
      hold(now);
    }
    for (const c of wanted.values()) { // in the order of the list: the newest last, so that nothing moves under a finger
      c.classList.add("fresh");
      cards.append(c);
      count(c);
    }
  }

  function take(html) {
    const from = new DOMParser().parseFromString(html, "text/html");
    merge(from);
    for (const part of ["takes", "empty", "recent"]) {
      const now = from.querySelector(`[data-${part}]`), old = live.querySelector(`[data-${part}]`);
      if (now && old && now.innerHTML !== old.innerHTML) old.replaceWith(now);
    }
    const waiting = from.querySelector("[data-waiting]");
    if (waiting) {
      const n = Number(waiting.dataset.waiting), badge = document.querySelector("[data-count]");
      badge.textContent = n;
      badge.hidden = n === 0;
      document.title = document.title.replace(/^(\(\d+\) )?/, n ? `(${n}) ` : "");
      const old = document.querySelector("body > [data-frozen]"), now = waiting.querySelector("[data-frozen]");
      if (old && now && old.innerHTML !== now.innerHTML) old.replaceWith(now);
    }
    times();
  }

  let fetching = false, again = false;
  async function refresh() {
    if (!live) return;
    if (fetching) { again = true; return; }
    fetching = true;
    try {
      const r = await fetch(live.dataset.live, { headers: { Accept: "text/html" }, redirect: "manual" });
      if (r.type === "opaqueredirect" || r.status === 401) { location.reload(); return; }
      if (r.ok) take(await r.text());
    } catch { /* the stream tells when it is back */ }
    fetching = false;
    if (again) { again = false; refresh(); }
  }

  function listen() {
    const lost = document.querySelector("[data-lost]"), events = new EventSource("/inbox/events");
    let timer = 0;
    events.addEventListener("change", refresh);
    events.onopen = () => { clearTimeout(timer); lost.hidden = true; };
    events.onerror = () => {
      clearTimeout(timer);
      timer = setTimeout(() => { lost.hidden = false; }, 1500);
      if (events.readyState === EventSource.CLOSED) setTimeout(() => { events.close(); refresh().then(listen); }, 3000);
    };
  }

  document.addEventListener("submit", async (e) => {
    const form = e.target;
    if (!form.closest("[data-card]") || !e.submitter) return;
    e.preventDefault();
    const card = form.closest("[data-card]"), told = form.querySelector("[data-told]");
    const data = new URLSearchParams(new FormData(form, e.submitter));
    for (const b of all(form, "button")) b.disabled = true;
    told.hidden = true;
    let fault = "";
    try {
      const r = await fetch(form.action, { method: "POST", body: data, headers: { Accept: "application/json" }, redirect: "error" });
      if (r.status === 401) { location.reload(); return; }
      const said = await r.json();
      fault = said.error || (Array.isArray(said) ? said.map((s) => s.error).filter(Boolean).join("; ") : "");
    } catch {
      fault = "the server did not answer; look again before you do it once more";
    }
    if (fault) {
      told.textContent = fault;
      told.hidden = false;
      for (const b of all(form, "button")) b.disabled = false;
    } else {
      card.classList.add("going");
    }
    refresh();
  });
  document.addEventListener("input", (e) => {
    const card = e.target.closest("[data-card]");
    if (card) count(card);
  });

  // J and K go from card to card, Y and N to its buttons; only Enter presses one.
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName) && e.target.type !== "checkbox") return;
    const cards = all(document, "[data-card]"), at = cards.findIndex((c) => c.contains(document.activeElement));
    const go = (c) => { c.focus(); c.scrollIntoView({ block: "nearest" }); };
    switch (e.key.toLowerCase()) {
      case "j": if (cards.length) go(cards[Math.min(at + 1, cards.length - 1)]); break;
      case "k": if (cards.length) go(cards[Math.max(at - 1, 0)]); break;
      case "y": case "n": {
        const card = cards[Math.max(at, 0)];
        const button = card && card.querySelector(e.key.toLowerCase() === "y" ? "button.yes, a.yes" : "button.no");
        if (button) { button.focus(); e.preventDefault(); }
      }
    }
  });

  for (const c of all(document, "[data-card]")) count(c);
  times();
  setInterval(times, 1000);
  if (live) listen();
})();
