// This script updates the page, counts down, and sends answers without leaving the page. Without it
// the same works by reloading.
(() => {
  "use strict";
  const live = document.querySelector("[data-live]");
  const all = (root, selector) => Array.from(root.querySelectorAll(selector));

  // Times are in the reader's own zone.
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const span = (s) => s < 60 ? s + " s" : s < 3600 ? Math.floor(s / 60) + " min" : Math.floor(s / 3600) + " h";
  const setText = (e, text) => { if (e.textContent !== text) e.textContent = text; };
  function renderTimes() {
    for (const t of all(document, "time[data-until]")) {
      const left = Math.round((new Date(t.dateTime) - Date.now()) / 1000);
      setText(t, clock.format(new Date(t.dateTime)) + (left > 0 ? ", " + (left < 120 ? left + " s" : span(left)) + " left" : ", expired"));
      t.classList.toggle("soon", left < 60);
    }
    for (const t of all(document, "time[data-ago]")) {
      const ago = Math.round((Date.now() - new Date(t.dateTime)) / 1000);
      setText(t, ago < 10 ? "just now" : ago < 7200 ? span(ago) + " ago" : day.format(new Date(t.dateTime)));
      t.title = new Date(t.dateTime).toLocaleString();
    }
  }

  // heldUntil is when a card can be answered again, by performance.now(). sending are the cards
  // with an answer in flight.
  const heldUntil = new WeakMap(), sending = new WeakSet();

  // hold disables the buttons of a card for a moment. It is used after the card changed or moved
  // while somebody reads it.
  function hold(card) {
    heldUntil.set(card, Math.max(heldUntil.get(card) || 0, performance.now() + 1200));
    updateButtons(card);
    setTimeout(updateButtons, 1210, card);
  }

  // updateButtons computes the number of people from the ticked lines, and disables the buttons
  // that must not be pressed.
  function updateButtons(card) {
    const ticked = all(card, "input[name=line]").filter((i) => i.type === "hidden" || i.checked);
    const recipients = ticked.reduce((n, i) => n + Number(i.dataset.recipients || 0), 0);
    const people = card.querySelector(".people"), typed = card.querySelector("input[name=people]");
    if (people) {
      people.hidden = recipients <= 10;
      setText(people.querySelector("[data-people]"), String(recipients));
    }
    const held = ticked.length === 0 || heldUntil.get(card) > performance.now();
    const unstated = people && recipients > 10 && typed.value.trim() !== String(recipients);
    for (const b of all(card, "[data-actions] button")) b.disabled = held || b.value === "approve" && unstated;
  }

  const linesOf = (card) => all(card, "[data-line]").map((l) => l.dataset.line);
  const shapeOf = (card) => linesOf(card) + all(card, ".departed, [data-actions] button, [data-actions] a").map((b) => b.value || b.className);
  const inputOf = (card, id) => card.querySelector(`[data-line="${id}"] input[name=line]`);

  // mergeCards adds new cards and removes ended ones. A card that did not change stays the same
  // element. A card that changed is replaced, and keeps what was ticked and typed.
  function mergeCards(from) {
    const cards = live.querySelector("[data-cards]"), next = from.querySelector("[data-cards]");
    if (!cards || !next) return;
    const before = all(cards, "[data-card]"), cardOfLine = new Map(), kept = new Set(), replaced = new Set();
    for (const c of before) for (const id of linesOf(c)) cardOfLine.set(id, c);
    for (const card of all(next, "[data-card]")) {
      // A card has the id of its first line. If that line was answered, the card continues with the
      // id of another.
      const old = before.find((c) => c.id === card.id) || cardOfLine.get(linesOf(card).find((id) => cardOfLine.has(id)));
      if (sending.has(old)) {
        kept.add(old); // its result must be shown first
      } else if (!old) { // the newest card is the last, so that no other card moves
        card.classList.add("fresh");
        cards.append(card);
        updateButtons(card);
      } else if (old.id === card.id && shapeOf(old) === shapeOf(card)) {
        kept.add(old);
        old.querySelector("[data-all]").replaceWith(card.querySelector("[data-all]"));
      } else {
        carryOver(old, card, cardOfLine);
        old.before(card);
        carryFocus(old, card);
        replaced.add(old);
        hold(card);
      }
    }
    for (const c of before) {
      if (replaced.has(c)) c.remove();
      else if (!kept.has(c) && !sending.has(c)) removeCard(c);
    }
  }

  // carryOver copies what was ticked, typed, opened and shown, and the stamps, because they say
  // when each line was shown. A line that joins the card is not ticked.
  function carryOver(old, card, cardOfLine) {
    for (const l of all(card, "[data-line]")) {
      const from = cardOfLine.get(l.dataset.line), before = from && inputOf(from, l.dataset.line), input = inputOf(card, l.dataset.line);
      if (!input) continue;
      if (before) input.value = before.value;
      input.checked = Boolean(before) && from === old && (before.type === "hidden" || before.checked);
      l.classList.toggle("new", from !== old);
      const open = from && from.querySelector(`[data-line="${l.dataset.line}"] details[open]`), details = l.querySelector("details");
      if (open && details) details.open = true;
    }
    for (const name of ["note", "people"]) {
      const before = old.querySelector(`input[name=${name}]`), input = card.querySelector(`input[name=${name}]`);
      if (before && input) input.value = before.value;
    }
    const shown = old.querySelector("[data-result]:not([hidden])"), result = card.querySelector("[data-result]");
    if (shown && result) {
      result.textContent = shown.textContent;
      result.hidden = false;
    }
  }

  // carryFocus moves the focus and the cursor from a replaced card to the new one. If they were
  // lost, the next keys would be commands of the page. A button does not get the focus back: the
  // card must be read again.
  function carryFocus(old, card) {
    const focused = document.activeElement;
    if (!focused || !old.contains(focused)) return;
    const line = focused.closest("[data-line]"), root = line ? card.querySelector(`[data-line="${line.dataset.line}"]`) : card;
    const twin = focused.tagName !== "BUTTON" && root && all(root, focused.tagName).find((e) => e.name === focused.name);
    (twin || card).focus({ preventScroll: true });
    if (twin && typeof focused.selectionStart === "number") twin.setSelectionRange(focused.selectionStart, focused.selectionEnd);
  }

  // removeCard removes a card. If it shows why an answer was rejected, it stays without controls.
  function removeCard(card) {
    if (!card.querySelector("[data-result]:not([hidden])")) {
      card.remove();
      return;
    }
    card.removeAttribute("data-card");
    for (const e of all(card, ".left, input, [data-actions] > :not([data-result])")) e.remove();
  }

  // sourceOf returns the HTML of an entry as the server sent it, without stamps: those differ in
  // each rendering, and the one on the page stays valid. It must be called before renderTimes
  // changes the entry.
  const sources = new WeakMap();
  function sourceOf(entry) {
    if (!sources.has(entry)) {
      const copy = entry.cloneNode(true);
      for (const i of all(copy, "input[name=stamp]")) i.setAttribute("value", "");
      sources.set(entry, copy.outerHTML);
    }
    return sources.get(entry);
  }

  // updateList replaces the entries that changed. All others stay the same elements, so that a
  // click, the focus or a selection on them is not lost.
  function updateList(list, next) {
    const before = new Map(Array.from(list.children, (e) => [e.dataset.key, e]));
    const entries = Array.from(next.children, (entry) => {
      const old = before.get(entry.dataset.key);
      if (old && "list" in old.dataset) {
        updateList(old, entry);
        return old;
      }
      return old && sourceOf(old) === sourceOf(entry) ? old : entry;
    });
    for (const e of before.values()) if (!entries.includes(e)) e.remove();
    let at = list.firstElementChild;
    for (const e of entries) {
      if (e === at) at = at.nextElementSibling;
      else list.insertBefore(e, at);
    }
  }

  // update applies a new rendering of the live part.
  function update(html) {
    const from = new DOMParser().parseFromString(html, "text/html");
    for (const e of all(from, "[data-key]")) sourceOf(e);
    const top = (c) => c.getBoundingClientRect().top, tops = new Map(all(live, "[data-card]").map((c) => [c, top(c)]));
    mergeCards(from);
    for (const next of all(from, '[data-list]:not([data-list=""])')) {
      const list = live.querySelector(`[data-list="${next.dataset.list}"]`);
      if (list) updateList(list, next);
    }
    const pending = from.querySelector("[data-pending]");
    if (pending) {
      const n = Number(pending.dataset.pending), badge = document.querySelector("[data-count]");
      setText(badge, String(n));
      badge.hidden = n === 0;
      document.title = document.title.replace(/^(\(\d+\) )?/, n ? `(${n}) ` : "");
      const old = document.querySelector("body > [data-stopped]"), next = pending.querySelector("[data-stopped]");
      if (old && next && old.innerHTML !== next.innerHTML) old.replaceWith(next);
    }
    renderTimes();
    for (const [c, before] of tops) if (c.isConnected && Math.abs(top(c) - before) > 4) hold(c);
  }

  // Another program may have taken the port, and the browser gives the cookie to every program there.
  // So the page sends nothing with a cookie or a stamp before the server proved itself: without a
  // cookie, by a code of a nonce and of this address, under the key that the page was made with.
  // With TLS the browser checks who the server is.
  const { inbox, salt, key } = document.body.dataset, offline = document.querySelector("[data-offline]");
  const overTLS = location.protocol === "https:";
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const fromHex = (text) => Uint8Array.from(text.match(/../g), (digits) => parseInt(digits, 16));
  const toHex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

  // showOffline says why nothing is sent. It hides that for an empty reason.
  function showOffline(why) {
    for (const e of offline.children) e.hidden = e.dataset.why !== why;
    offline.hidden = !why;
  }

  // findFault asks the server for the proof. It returns "silent" if there is no answer, "foreign" if
  // another program answers, and "" if it is the page's own inbox.
  async function findFault() {
    if (overTLS) return "";
    const nonce = toHex(crypto.getRandomValues(new Uint8Array(16)));
    let answer;
    try {
      answer = await fetch(inbox + "/owner?" + new URLSearchParams({ origin: location.origin, salt, nonce }),
        { credentials: "omit", redirect: "error", cache: "no-store", referrerPolicy: "no-referrer", signal: AbortSignal.timeout(5000) });
    } catch { return "silent"; }
    if (answer.status >= 500) return "silent"; // of a proxy
    try {
      const { proof } = await answer.json();
      const secret = await crypto.subtle.importKey("raw", fromHex(key), { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
      if (await crypto.subtle.verify("HMAC", secret, fromHex(proof), new TextEncoder().encode(location.origin + "\0" + nonce))) return "";
    } catch { /* it is no proof */ }
    return "foreign";
  }

  // proven reports whether the server has proved itself now, and says so if not.
  async function proven() {
    const fault = await findFault();
    if (fault || !live) showOffline(fault);
    if (fault && connected()) connect(false);
    return !fault;
  }

  const connected = () => Boolean(stream) && stream.readyState === EventSource.OPEN;
  let stream = null, turn = 0, fetching = false, again = false;

  async function reload() {
    if (await proven()) location.reload();
  }

  // refresh updates the page. It may only be called while the server has proved itself.
  async function refresh() {
    if (fetching) { again = true; return; }
    fetching = true;
    again = false;
    let ok = false;
    try {
      const r = await fetch(live.dataset.live, { headers: { Accept: "text/html" }, redirect: "manual" });
      if (r.type === "opaqueredirect" || r.status === 401) await reload();
      else if (r.ok) update(await r.text());
      ok = r.ok;
    } catch { /* the page is updated after it has connected again */ }
    fetching = false;
    if (again && ok) refresh();
  }

  // connect opens the stream of events after the server proved itself. EventSource would reconnect by
  // itself, with the cookie, so it is closed at its first error. failed is true if the last stream
  // could not be opened: the login may have ended.
  async function connect(failed) {
    const mine = ++turn;
    if (stream) stream.close();
    stream = null;
    for (let n = 0; ; n++) {
      const fault = await findFault();
      if (mine !== turn) return;
      if (!fault) break;
      if (n > 0) showOffline(fault); // a restart is not worth a word
      await wait(1500);
      if (mine !== turn) return;
    }
    if (failed) await refresh();
    if (mine !== turn) return;
    // The server opens the browser if no page of pending requests is visible. So it must know
    // whether this one is.
    const seen = document.visibilityState === "visible" && live.dataset.live === inbox + "?part";
    const events = stream = new EventSource(inbox + "/events?seen=" + Number(seen));
    let opened = false;
    events.addEventListener("change", () => { if (connected()) refresh(); });
    events.onopen = () => { opened = true; showOffline(""); };
    events.onerror = async () => {
      events.close();
      await wait(opened ? 300 : 3000);
      if (mine === turn) connect(!opened);
    };
  }

  // Links and forms of the page wait for the proof as well.
  async function follow(e) {
    const link = e.target.closest("a[href]");
    if (!link || overTLS || link.getAttribute("href").startsWith("#") || e.type === "auxclick" && e.button !== 1) return;
    e.preventDefault();
    if (!await proven()) return;
    if (e.button === 1 || e.ctrlKey || e.metaKey || e.shiftKey) window.open(link.href, "_blank", "noopener");
    else location.assign(link.href);
  }
  document.addEventListener("click", follow);
  document.addEventListener("auxclick", follow);

  document.addEventListener("submit", async (e) => {
    const form = e.target, card = form.closest("[data-card]");
    if (!card && overTLS) return;
    e.preventDefault();
    if (!card) {
      if (!await proven()) return;
      if (e.submitter && e.submitter.name) { // submit() leaves the pressed button out
        const pressed = document.createElement("input");
        Object.assign(pressed, { type: "hidden", name: e.submitter.name, value: e.submitter.value });
        form.prepend(pressed);
      }
      form.submit();
      return;
    }
    if (!e.submitter) return;
    const result = form.querySelector("[data-result]"), data = new URLSearchParams(new FormData(form, e.submitter));
    heldUntil.set(card, Infinity);
    sending.add(card);
    updateButtons(card);
    result.hidden = true;
    let fault = "";
    if (await proven()) {
      try {
        const r = await fetch(form.action, { method: "POST", body: data, headers: { Accept: "application/json" }, redirect: "error" });
        if (r.status === 401) await reload();
        const body = await r.json();
        fault = body.error || (Array.isArray(body) ? body.map((s) => s.error).filter(Boolean).join("; ") : "");
      } catch {
        fault = "the server did not answer; reload the page before you answer again";
      }
    } else {
      fault = "your answer was not sent, because the inbox is not connected; answer again when it is";
    }
    sending.delete(card);
    if (fault) {
      result.textContent = fault;
      result.hidden = false;
      heldUntil.delete(card);
      updateButtons(card);
    } else {
      card.classList.add("going");
    }
    if (connected()) refresh();
  });
  document.addEventListener("input", (e) => {
    const card = e.target.closest("[data-card]");
    if (card) updateButtons(card);
  });

  // J and K move between cards, A and D move to a card's buttons. Only Enter presses a button.
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName) && e.target.type !== "checkbox") return;
    const cards = all(document, "[data-card]"), at = cards.findIndex((c) => c.contains(document.activeElement));
    const select = (c) => { c.focus(); c.scrollIntoView({ block: "nearest" }); };
    switch (e.key.toLowerCase()) {
      case "j": if (cards.length) select(cards[Math.min(at + 1, cards.length - 1)]); break;
      case "k": if (cards.length) select(cards[Math.max(at - 1, 0)]); break;
      case "a": case "d": {
        const card = cards[Math.max(at, 0)];
        const button = card && card.querySelector(`[data-actions] .${e.key.toLowerCase() === "a" ? "primary" : "decline"}`);
        if (button) { button.focus(); e.preventDefault(); }
      }
    }
  });

  for (const e of all(document, "[data-key]")) sourceOf(e);
  for (const c of all(document, "[data-card]")) updateButtons(c);
  renderTimes();
  setInterval(renderTimes, 1000);
  if (live) {
    document.addEventListener("visibilitychange", () => connect(false));
    connect(false);
  }
})();
