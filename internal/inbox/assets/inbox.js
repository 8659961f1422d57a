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

  // A card that changed or moved under somebody's eyes cannot be answered for a moment.
  const shut = new WeakMap(), sending = new WeakSet(); // until when, by performance.now(); whose answer is on its way
  function hold(card) {
    shut.set(card, Math.max(shut.get(card) || 0, performance.now() + 1200));
    count(card);
    setTimeout(count, 1210, card);
  }

  // count keeps the number that must be typed to what is ticked, and the buttons shut until they may be pressed.
  function count(card) {
    const ticked = all(card, "input[name=line]").filter((i) => i.type === "hidden" || i.checked);
    const rings = ticked.reduce((n, i) => n + Number(i.dataset.rings || 0), 0);
    const ask = card.querySelector(".people"), typed = card.querySelector("input[name=people]");
    if (ask) {
      ask.hidden = rings <= 10;
      ask.querySelector("[data-people]").textContent = rings;
    }
    const wait = ticked.length === 0 || shut.get(card) > performance.now();
    const unstated = ask && rings > 10 && typed.value.trim() !== String(rings);
    for (const b of all(card, "[data-act] button")) b.disabled = wait || b.value === "yes" && unstated;
  }

  const lines = (card) => all(card, "[data-line]").map((l) => l.dataset.line);
  const shape = (card) => lines(card) + all(card, "[data-act] button, [data-act] a").map((b) => b.value || b.className);
  const lineOf = (card, id) => card.querySelector(`[data-line="${id}"] input[name=line]`);

  // merge takes a new list of cards over. What is there stays as it is; what changed is taken over with what was ticked and typed.
  function merge(from) {
    const cards = live.querySelector("[data-cards]"), next = from.querySelector("[data-cards]");
    if (!cards || !next) return;
    const there = all(cards, "[data-card]"), places = new Map(), stay = new Set(), passed = new Set();
    for (const c of there) for (const id of lines(c)) places.set(id, c);
    for (const now of all(next, "[data-card]")) {
      // A card whose first line was answered goes on under the name of another.
      const old = there.find((c) => c.id === now.id) || places.get(lines(now).find((id) => places.has(id)));
      if (sending.has(old)) {
        stay.add(old); // what came of it must be told first
      } else if (!old) { // in the order of the list: the newest last, so that nothing moves under a finger
        now.classList.add("fresh");
        cards.append(now);
        count(now);
      } else if (old.id === now.id && shape(old) === shape(now)) {
        stay.add(old);
      } else {
        takeOver(old, now, places);
        old.before(now);
        passed.add(old);
        hold(now);
      }
    }
    for (const c of there) {
      if (passed.has(c)) c.remove();
      else if (!stay.has(c) && !sending.has(c)) leave(c);
    }
  }

  // takeOver carries over when each line was shown, and what was ticked, typed and told. A line that joins is not ticked.
  function takeOver(old, now, places) {
    for (const l of all(now, "[data-line]")) {
      const was = places.get(l.dataset.line), had = was && lineOf(was, l.dataset.line), input = lineOf(now, l.dataset.line);
      if (!input) continue;
      if (had) input.value = had.value;
      input.checked = Boolean(had) && was === old && (had.type === "hidden" || had.checked);
      l.classList.toggle("new", was !== old);
    }
    for (const name of ["note", "people"]) {
      const had = old.querySelector(`input[name=${name}]`), input = now.querySelector(`input[name=${name}]`);
      if (had && input) input.value = had.value;
    }
    const said = old.querySelector("[data-told]:not([hidden])"), told = now.querySelector("[data-told]");
    if (said && told) {
      told.textContent = said.textContent;
      told.hidden = false;
    }
  }

  // leave takes a card away. Where its answer was not taken it stays to say so, and nothing can be pressed on it.
  function leave(card) {
    if (!card.querySelector("[data-told]:not([hidden])")) {
      card.remove();
      return;
    }
    card.removeAttribute("data-card");
    for (const e of all(card, ".left, input, [data-act] > :not([data-told])")) e.remove();
  }

  function take(html) {
    const from = new DOMParser().parseFromString(html, "text/html");
    const top = (c) => c.getBoundingClientRect().top, tops = new Map(all(live, "[data-card]").map((c) => [c, top(c)]));
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
      const old = document.querySelector("body > [data-stopped]"), now = waiting.querySelector("[data-stopped]");
      if (old && now && old.innerHTML !== now.innerHTML) old.replaceWith(now);
    }
    times();
    for (const [c, was] of tops) if (c.isConnected && Math.abs(top(c) - was) > 4) hold(c);
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
    const lost = document.querySelector("[data-lost]"), seen = document.visibilityState === "visible" && live.dataset.live === "/inbox?part";
    const events = new EventSource("/inbox/events?seen=" + Number(seen));
    let timer = 0;
    // The server opens the browser where nobody looks at what waits, so it is told whether somebody does.
    document.addEventListener("visibilitychange", () => { clearTimeout(timer); events.close(); listen(); }, { once: true });
    events.addEventListener("change", refresh);
    events.onopen = () => { clearTimeout(timer); lost.hidden = true; };
    events.onerror = () => {
      clearTimeout(timer);
      timer = setTimeout(() => { lost.hidden = false; }, 1500);
      if (events.readyState === EventSource.CLOSED) setTimeout(() => refresh().then(() => document.dispatchEvent(new Event("visibilitychange"))), 3000);
    };
  }

  document.addEventListener("submit", async (e) => {
    const form = e.target;
    if (!form.closest("[data-card]") || !e.submitter) return;
    e.preventDefault();
    const card = form.closest("[data-card]"), told = form.querySelector("[data-told]");
    const data = new URLSearchParams(new FormData(form, e.submitter));
    shut.set(card, Infinity);
    sending.add(card);
    count(card);
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
    sending.delete(card);
    if (fault) {
      told.textContent = fault;
      told.hidden = false;
      shut.delete(card);
      count(card);
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
