// Keeps a page up to date: the server sends its main part whenever it has changed.
// Without this script the pages can be read and used all the same.
"use strict";
(function () {
  const main = document.getElementById("main");
  const part = document.getElementById("live");
  const pulse = document.getElementById("pulse");
  if (!main.dataset.live || !window.EventSource) return;

  let waiting = null; // what came while somebody was at work in the page

  // busy tells whether a change would take something out of somebody's hands.
  function busy() {
    const at = document.activeElement;
    if (at && part.contains(at) && /^(INPUT|SELECT|TEXTAREA)$/.test(at.tagName)) return true;
    const chosen = document.getSelection();
    return Boolean(chosen && !chosen.isCollapsed && part.contains(chosen.anchorNode));
  }

  // place names an element by where it stands, to find it again afterwards.
  function place(element) {
    const steps = [];
    for (let e = element; e && e !== part; e = e.parentElement) {
      if (!e.parentElement) return null;
      steps.unshift(Array.prototype.indexOf.call(e.parentElement.children, e));
    }
    return steps;
  }

  function find(steps) {
    let e = part;
    for (const step of steps) e = e && e.children[step];
    return e;
  }

  function show(html) {
    const at = document.activeElement;
    const focus = at && part.contains(at) ? [place(at), at.tagName, at.getAttribute("href")] : null;
    const open = Array.from(part.querySelectorAll("details[open]"), place);
    const scrolled = Array.from(part.querySelectorAll("pre, .scroll"), e => [place(e), e.scrollTop, e.scrollLeft]);
    const form = part.querySelector("form.search");
    const values = form ? Array.from(form.elements, e => e.value) : null;
    part.innerHTML = html;
    for (const steps of open) { const e = find(steps); if (e && e.tagName === "DETAILS") e.open = true; }
    for (const [steps, top, left] of scrolled) { const e = find(steps); if (e) { e.scrollTop = top; e.scrollLeft = left; } }
    const next = part.querySelector("form.search");
    if (values && next && next.elements.length === values.length) values.forEach((v, i) => { next.elements[i].value = v; });
    if (focus) {
      const e = find(focus[0]);
      if (e && e.tagName === focus[1] && e.getAttribute("href") === focus[2]) e.focus({ preventScroll: true });
      else {
        const same = focus[2] && Array.from(part.querySelectorAll("a")).find(a => a.getAttribute("href") === focus[2]);
        if (same) same.focus({ preventScroll: true });
      }
    }
    const time = document.querySelector(".foot time");
    const now = new Date();
    time.dateTime = now.toISOString();
    time.textContent = now.toISOString().slice(0, 19).replace("T", " ") + " UTC";
  }

  function settle() {
    if (waiting !== null && !busy()) { const html = waiting; waiting = null; show(html); }
  }

  const source = new EventSource(main.dataset.live + "?page=" + encodeURIComponent(main.dataset.page));
  source.onopen = () => { pulse.hidden = false; pulse.textContent = "live"; pulse.classList.remove("lost"); };
  source.onerror = () => { pulse.hidden = false; pulse.textContent = "not up to date; connecting"; pulse.classList.add("lost"); };
  source.onmessage = event => { waiting = event.data; settle(); };
  document.addEventListener("focusout", () => setTimeout(settle, 0));
  document.addEventListener("selectionchange", settle);
})();
