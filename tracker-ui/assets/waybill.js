// What the pages do beyond being read: the board updates itself in place, texts are copied.
// Everything works without this file; nothing here decides anything about orders.
"use strict";

/** Makes `now` look like `next`, touching only what differs: focus, selection and scroll stay. */
function morph(now, next) {
  if (now.nodeType === Node.TEXT_NODE) {
    if (now.data !== next.data) now.data = next.data;
    return;
  }
  for (const { name } of [...now.attributes ?? []]) {
    if (!next.hasAttribute(name)) now.removeAttribute(name);
  }
  for (const { name, value } of next.attributes ?? []) {
    if (now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
  const [old, fresh] = [[...now.childNodes], [...next.childNodes]];
  fresh.forEach((node, index) => {
    const match = old[index];
    if (!match) now.append(node);
    else if (match.nodeName === node.nodeName) morph(match, node);
    else match.replaceWith(node);
  });
  old.slice(fresh.length).forEach((node) => node.remove());
}

function liveBoard(board) {
  const { interval_s, fragment, live, paused, pause, resume, stale } = {
    ...board.dataset, interval_s: Number(board.dataset.intervalS),
  };
  const controls = document.getElementById("live");
  const text = document.getElementById("live-text");
  const button = document.getElementById("pause");
  const note = document.getElementById("stale-note");
  const spoken = document.getElementById("announce");
  const announced = () => board.firstElementChild?.dataset.announce ?? "";
  let running = true;
  let heardAt = Date.now();
  let said = announced();

  const show = () => {
    const age_s = Math.round((Date.now() - heardAt) / 1000);
    const lost = running && !document.hidden && age_s > 3 * interval_s;
    board.classList.toggle("is-stale", lost);
    controls.classList.toggle("is-lost", lost);
    note.hidden = !lost;
    if (lost) note.textContent = stale.replace("{age}", String(age_s));
  };
  const update = async () => {
    if (!running || document.hidden) return;
    try {
      const answer = await fetch(fragment, { signal: AbortSignal.timeout(8000) });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!running || !page.querySelector(".board")) return;
      morph(board.querySelector(".board"), page.querySelector(".board"));
      heardAt = Date.now();
      if (announced() !== said) spoken.textContent = said = announced();
    } catch {
      // The note says how old the numbers are; the next round tries again.
    }
  };
  const loop = async () => {
    await update();
    setTimeout(loop, interval_s * 1000);
  };
  button.addEventListener("click", () => {
    running = !running;
    heardAt = Date.now();
    controls.classList.toggle("is-paused", !running);
    text.textContent = running ? live : paused;
    button.textContent = running ? pause : resume;
    update();
    show();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    heardAt = Date.now();
    update();
  });
  controls.hidden = false;
  setInterval(show, 1000);
  setTimeout(loop, interval_s * 1000);
}

function copyButton(button) {
  const label = button.textContent;
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = button.dataset.done;
    setTimeout(() => { button.textContent = label; }, 2000);
  });
}

const board = document.getElementById("board");
if (board) liveBoard(board);
document.querySelectorAll("[data-copy]").forEach(copyButton);
