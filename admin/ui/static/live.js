// Keeps a page up to date: the server sends what has changed of its main part.
// Without this script the pages can be read and used all the same.
"use strict";
(function () {
  const main = document.getElementById("main");
  const part = document.getElementById("live");
  const bar = document.querySelector(".bar");
  const pulse = document.getElementById("pulse");
  const held = document.getElementById("held");
  const pause = document.getElementById("pause");
  const asOf = document.querySelector(".foot time");
  if (!main.dataset.live || !window.EventSource) return;

  // silence is after which time without a word a connection counts as broken: the
  // server says something every 15 seconds. rest is how long a pointer that does
  // not move holds back what would move the rows under it.
  // From more than most open streams on, pages take turns.
  const silence = 40000, rest = 10000, mostDelay = 30000, most = 4, turn = 5000;

  let source = null;    // the open stream
  let again = null;     // the timer of the next try
  let delay = 1000;     // until the next try; it grows
  let heard = 0;        // when something came last
  let latest = null;    // the newest page as it came, whole
  let waiting = false;  // latest is not shown yet
  let paused = false;
  let live = false;
  let ahead = Date.parse(asOf.dateTime) - Date.now(); // the server's clock, compared to ours

  // ---- what is said in the header

  function clock() { return asOf.textContent.slice(11); }

  function say(state, words) {
    live = state === "live";
    bar.dataset.state = state;
    if (pulse.textContent !== words) pulse.textContent = words; // it is read aloud
  }

  function lost(why) { say("lost", "Not up to date: this is how it stood at " + clock() + ". " + why); }

  // ---- times

  function short(ms) {
    const s = Math.floor(ms / 1000), m = Math.floor(s / 60), h = Math.floor(m / 60);
    if (s < 0) return "0s";
    if (s < 60) return s + "s";
    if (m < 60) return m + "m";
    if (h < 48) return h + "h " + String(m % 60).padStart(2, "0") + "m";
    return Math.floor(h / 24) + "d";
  }

  function age(time) {
    const off = Date.now() + ahead - Date.parse(time.dateTime);
    const words = short("until" in time.dataset ? -off : off);
    if (time.textContent !== words) time.textContent = words;
  }

  function ages() { for (const time of part.querySelectorAll("time[data-age], time[data-until]")) age(time); }

  // ---- changes: what stays as it is keeps its element, and with it focus,
  // selection, scroll position and what was opened

  // A form's fields are properties of it by their names, so attributes are asked for.
  function key(node) { return node.nodeType === 1 ? node.getAttribute("data-part") || node.getAttribute("id") || "" : ""; }

  function blank(node) { return node && node.nodeType === 3 && !node.data.trim(); }

  function alike(a, b) { return a && a.nodeType === b.nodeType && a.nodeName === b.nodeName && key(a) === key(b); }

  function change(have, want) {
    if (have.nodeType !== 1) {
      if (have.data !== want.data) have.data = want.data;
      return;
    }
    if (have.hasAttribute("data-keep") || have.isEqualNode(want)) return;
    for (const { name, value } of Array.from(want.attributes)) {
      if (have.getAttribute(name) !== value) have.setAttribute(name, value);
    }
    for (const { name } of Array.from(have.attributes)) {
      if (!want.hasAttribute(name) && !(name === "open" && have.tagName === "DETAILS")) have.removeAttribute(name);
    }
    if (have.tagName === "TIME" && ("age" in want.dataset || "until" in want.dataset)) age(have);
    else children(have, want);
  }

  function children(have, want) {
    const wanted = new Set(Array.from(want.children, key)), known = new Map();
    for (const c of have.children) if (key(c)) known.set(key(c), c);
    let at = have.firstChild;
    const forget = () => { const next = at.nextSibling; at.remove(); at = next; };
    for (const w of want.childNodes) {
      while (at && (key(at) && !wanted.has(key(at)) || blank(at) && w.nodeType === 1)) forget();
      const named = key(w) && known.get(key(w));
      if (named && alike(named, w)) {
        known.delete(key(w));
        while (at && at !== named && !key(at)) forget();
        if (at === named) at = at.nextSibling; else have.insertBefore(named, at);
        change(named, w);
      } else if (alike(at, w)) {
        const c = at;
        at = at.nextSibling;
        change(c, w);
      } else {
        have.insertBefore(document.importNode(w, true), at);
      }
    }
    while (at) forget();
  }

  // take makes a page of what came and of what we have of it already.
  function take(html) {
    const page = document.createElement("template");
    page.innerHTML = html;
    for (const same of page.content.querySelectorAll("[data-same]")) {
      const had = latest && latest.querySelector('[data-part="' + CSS.escape(same.dataset.part) + '"]');
      if (had) same.replaceWith(had);
    }
    latest = page.content;
    waiting = true;
  }

  function show() {
    waiting = false;
    const focused = part.contains(document.activeElement);
    children(part, latest);
    ages();
    if (focused && !part.contains(document.activeElement)) main.focus({ preventScroll: true });
  }

  // ---- somebody at work in the page: nothing may move under their hands

  let pressed = false, over = false, moved = 0;

  function busy() {
    if (paused || pressed || over && Date.now() - moved < rest) return true;
    const chosen = document.getSelection();
    return Boolean(chosen && !chosen.isCollapsed && part.contains(chosen.anchorNode));
  }

  function settle() {
    const still = busy();
    if (waiting && !still) show();
    const words = waiting && !paused && live ? "changes wait for you" : "";
    if (held.textContent !== words) held.textContent = words;
  }

  function released() { setTimeout(() => { pressed = false; settle(); }, 0); } // the click comes first

  document.addEventListener("pointerdown", e => { pressed = part.contains(e.target); });
  for (const name of ["pointerup", "pointercancel", "dragend"]) document.addEventListener(name, released);
  document.addEventListener("pointermove", e => {
    if (pressed && e.buttons === 0) released();
    over = e.pointerType !== "touch" && e.target.nodeType === 1 && Boolean(e.target.closest("#live tbody, #live li, #live a, #live button, #live summary"));
    moved = Date.now();
  });
  document.documentElement.addEventListener("pointerleave", () => { over = false; settle(); });
  document.addEventListener("selectionchange", settle);

  // ---- our other pages. A browser has six connections to a host over HTTP/1.1, for
  // all its tabs and windows: pages that are looked at beside each other tell each
  // other that they are there, and where there are too many each asks now and then.

  const me = String(Math.random()), others = new Map();
  const channel = window.BroadcastChannel ? new BroadcastChannel("webhooks-dashboard") : null;

  function tell(here) { if (channel) channel.postMessage({ me, here }); }

  function crowded() {
    for (const [other, at] of others) if (Date.now() - at > 3 * turn) others.delete(other);
    return others.size >= most;
  }

  if (channel) channel.onmessage = ({ data }) => {
    if (!data.here) { others.delete(data.me); return; }
    const known = others.has(data.me);
    others.set(data.me, Date.now());
    if (!known && source) tell(true);
    if (source && live && crowded()) rests();
  };

  // rests lets others have the connection for a while.
  function rests() {
    close();
    again = setTimeout(open, turn * (0.8 + 0.4 * Math.random()));
  }

  // ---- the stream

  function close() {
    clearTimeout(again);
    again = null;
    if (source) source.close();
    source = null;
  }

  function retry(why) {
    close();
    lost(why);
    again = setTimeout(open, delay * (0.8 + 0.4 * Math.random()));
    delay = Math.min(2 * delay, mostDelay);
  }

  function open() {
    close();
    if (paused || document.hidden) return;
    heard = Date.now();
    tell(true);
    source = new EventSource(main.dataset.live + "?page=" + encodeURIComponent(main.dataset.page));
    // An answer that is no stream ends the browser's own tries, so all of them are ours.
    source.onerror = () => retry("The connection is broken; it is tried again.");
    source.onmessage = event => hear(JSON.parse(event.data));
  }

  function hear(message) {
    heard = Date.now();
    delay = 1000;
    if (message.trouble) { lost(message.trouble); return; }
    ahead = Date.parse(message.now) - heard;
    asOf.dateTime = message.now;
    asOf.textContent = new Date(message.now).toISOString().slice(0, 19).replace("T", " ") + " UTC";
    say("live", "Live");
    if (message.html) take(message.html);
    settle();
    if (crowded()) rests();
  }

  setInterval(() => {
    if (source && Date.now() - heard > silence) retry("Nothing has come for a while; it is tried again.");
    if (live) ages();
    settle();
  }, 1000);
  setInterval(() => { if (source || again) tell(true); }, turn);

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    if (paused) { close(); tell(false); say("paused", "Paused: this is how it stood at " + clock() + "."); settle(); } else { delay = 1000; open(); }
  });

  // A page that is not looked at takes no connection.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) { delay = 1000; open(); return; }
    close();
    tell(false);
    if (live) say("resting", "");
  });
  window.addEventListener("pagehide", () => { close(); tell(false); });
  window.addEventListener("pageshow", event => { if (event.persisted) open(); });
  window.addEventListener("online", () => { if (!source) open(); });
  open();
})();
