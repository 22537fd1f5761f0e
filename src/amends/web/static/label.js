// One task a screen: shows it, takes the answer, goes on at once. The answer travels by the outbox; the next task, and its picture,
// are there before they are needed. While the page is open and looked at, the leases of its tasks are renewed; left, they lapse.

import { Outbox } from "./outbox.js";
import { Viewer } from "./viewer.js";

const AHEAD = 2;
const SEEK_SECONDS = 2;
const page = document.getElementById("label");
const { order, annotator, kind, renew, timed } = page.dataset;
const base = `/label/${order}`;
const part = (name) => document.querySelector(`[data-part="${name}"]`);

let tasks = []; // the first is the one on the screen
let remembered = []; // leases to go on with: of this page before it was loaded anew, or of one that was closed
let past = []; // tasks answered or skipped here, for undo
const settled = new Set(); // their leases: an answer of the server that was under way meanwhile does not bring them back
let shown = null;
let shownAt = 0;
let viewers = [];
let answer = null;
let isFetching = false;
let retryTimer = null;

async function post(path, body) {
  const response = await fetch(`${base}/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify(body),
  });
  if (response.status === 401) location.reload(); // signed out meanwhile
  const told = response.headers.get("content-type")?.includes("json") ? await response.json() : {};
  return { isOk: response.ok, status: response.status, body: told };
}

const outbox = new Outbox(`amends:${order}:${annotator}`, send, (waiting, isReached) => {
  const line = part("connection");
  line.hidden = waiting === 0 || isReached;
  line.textContent = waiting ? `No connection. ${waiting} ${waiting === 1 ? "answer is" : "answers are"} kept here and sent when it is back.` : "";
});

// True once the server has said what became of the entry.
async function send(entry) {
  let said;
  try {
    said = await post(entry.path, entry.body);
  } catch {
    return false;
  }
  // 401: whoever comes in again, on the page that is being loaded, sends it then.
  if (said.status >= 500 || said.status === 429 || said.status === 401) return false;
  if (said.isOk) {
    progress(said.body);
    if (!said.body.recorded) announce("That task had gone back to the others before the answer came; it was not counted.");
  } else {
    announce(said.body.detail ?? "The answer was not taken.");
  }
  return true;
}

async function fetchTasks(isForced = false) {
  if (isFetching || (tasks.length >= AHEAD && isForced !== true)) return;
  isFetching = true;
  clearTimeout(retryTimer);
  let said = null;
  const held = [...new Set([...tasks.map((task) => task.lease_id), ...remembered])];
  try {
    said = await post("tasks", { held, wanted: AHEAD });
  } catch {
    // the connection is gone; what is on the screen can still be answered
  }
  isFetching = false;
  if (said === null || said.status >= 500 || said.status === 429) {
    retryTimer = setTimeout(fetchTasks, 2_000);
    if (tasks.length === 0) showNothing("offline");
    return;
  }
  if (!said.isOk) return showNothing("refused", said.body.detail);
  remembered = [];
  const lost = new Set(held.filter((id) => !said.body.held.includes(id)));
  const known = new Set([...tasks.map((task) => task.lease_id), ...outbox.entries.map((entry) => entry.body.lease_id), ...settled]);
  const fresh = said.body.tasks.filter((task) => !known.has(task.lease_id));
  tasks = [...tasks.filter((task) => !lost.has(task.lease_id)), ...fresh];
  fresh.forEach(prefetch);
  page.dataset.ahead = String(tasks.length);
  progress(said.body);
  if (tasks.length === 0) {
    showNothing(said.body.state);
    if (["waiting", "paused", "created"].includes(said.body.state)) retryTimer = setTimeout(fetchTasks, 3_000);
  } else if (shown?.lease_id !== tasks[0].lease_id) {
    show(tasks[0]);
  }
}

function prefetch(task) {
  for (const medium of task.media) if (medium.kind === "image") new Image().src = medium.url;
}

function show(task) {
  viewers.forEach((viewer) => viewer.close());
  viewers = [];
  shown = task;
  shownAt = performance.now();
  answer = task.previous ?? null;
  if (timed === "yes") post("leases", { lease_ids: [task.lease_id] }).catch(() => {});
  part("nothing").hidden = true;
  part("task").hidden = false;
  part("context").replaceChildren(...context(task));
  const isCompare = kind === "compare";
  const media = task.media.map((medium, index) => exhibit(medium, isCompare ? `${index + 1}` : "", index === 0 && kind === "locate"));
  part("media").classList.toggle("beside", isCompare);
  part("media").replaceChildren(...media);
  part("answers").replaceChildren(...answers(task));
  part("undo").disabled = past.length === 0 && !(Number(page.dataset.mine) > 0);
  const first = kind === "free_text" ? part("answers").querySelector("textarea") : kind === "locate" ? null : page;
  if (first) first.focus({ preventScroll: true });
  else viewers[0]?.focus();
  announce(`Task ${(Number(page.dataset.mine) || 0) + 1}.`);
}

function context(task) {
  const pieces = [];
  if (task.context) pieces.push(element("p", { className: "said", textContent: task.context }));
  if (task.sentence) pieces.push(element("p", { className: "said sentence", textContent: task.sentence }));
  if (task.media_context.length) {
    const row = element("div", { className: "references" });
    row.append(...task.media_context.map((medium) => exhibit(medium, "Reference", false)));
    pieces.push(row);
  }
  return pieces;
}

function exhibit(medium, title, takesPoints) {
  const figure = element("figure", { className: `exhibit ${medium.kind}` });
  if (title) figure.append(element("figcaption", { textContent: title }));
  if (medium.kind === "image") {
    const viewer = new Viewer({
      src: medium.url, alt: medium.name || "Picture", points: takesPoints ? answer ?? [] : null, changed: listPoints,
    });
    viewers.push(viewer);
    figure.append(viewer.element);
  } else if (medium.kind === "text") {
    figure.append(element("blockquote", { textContent: medium.text, tabIndex: 0 }));
  } else if (medium.kind === "other") {
    figure.append(element("a", { href: medium.url, textContent: medium.name || "Open the file", download: "" }));
  } else {
    const player = element(medium.kind, { src: medium.url, controls: true, preload: "metadata" });
    player.setAttribute("aria-label", medium.name || medium.kind);
    if (medium.kind === "video") player.playsInline = true;
    figure.append(player);
  }
  return figure;
}

function answers(task) {
  if (kind === "free_text") return freeText(task);
  if (kind === "locate") return locating();
  return task.options.map((option, index) => {
    const button = element("button", { type: "button", className: "option" });
    if (index < 9) button.append(element("kbd", { textContent: String(index + 1) }));
    button.append(element("span", { textContent: option.text }));
    button.setAttribute("aria-pressed", String(JSON.stringify(task.previous ?? null) === JSON.stringify(option.answer)));
    button.addEventListener("click", () => submit(option.answer));
    return button;
  });
}

function freeText(task) {
  const field = element("textarea", { value: task.previous ?? "", rows: 3, maxLength: 10_000 });
  field.setAttribute("aria-label", "Your answer");
  const button = element("button", { type: "button", className: "primary", textContent: "Submit" });
  const check = () => { button.disabled = field.value.trim() === ""; };
  field.addEventListener("input", check);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !button.disabled) button.click();
  });
  button.addEventListener("click", () => submit(field.value.trim()));
  check();
  return [field, button];
}

function locating() {
  const list = element("ol", { className: "points" });
  list.dataset.part = "points";
  const button = element("button", { type: "button", className: "primary", textContent: "Submit" });
  button.dataset.part = "submit";
  button.addEventListener("click", () => submit(viewers[0].points));
  queueMicrotask(() => listPoints(viewers[0]?.points ?? []));
  return [list, button];
}

function listPoints(points) {
  const list = part("points");
  if (!list) return;
  list.replaceChildren(...points.map((point, index) => {
    const button = element("button", { type: "button", textContent: `${index + 1}: ${Math.round(point.x * 100)} %, ${Math.round(point.y * 100)} % ✕` });
    button.setAttribute("aria-label", `Take point ${index + 1} away`);
    button.addEventListener("click", () => {
      viewers[0].setPoints(points.filter((_, other) => other !== index));
      viewers[0].focus();
    });
    const item = element("li", {});
    item.append(button);
    return item;
  }));
  part("submit").textContent = points.length ? `Submit ${points.length} ${points.length === 1 ? "point" : "points"}` : "Set a point first";
  part("submit").disabled = points.length === 0;
}

function submit(given) {
  finish("answers", { answer: given }, given);
}

function finish(path, more, given) {
  if (!shown) return;
  const task = tasks.shift();
  page.dataset.ahead = String(tasks.length);
  const body = { lease_id: task.lease_id, seq: task.seq, elapsed_ms: Math.round(performance.now() - shownAt), ...more };
  past.push({ ...task, previous: given });
  settled.add(task.lease_id);
  shown = null;
  outbox.add({ path, body });
  if (tasks.length) show(tasks[0]);
  else showNothing("loading");
  // The server hands out no more than it must: it is asked when it knows that one of them is done.
  outbox.pump().then(fetchTasks);
}

async function undo() {
  const unsent = outbox.takeBack();
  if (unsent) {
    const index = past.findIndex((task) => task.lease_id === unsent.body.lease_id);
    if (index >= 0) return bring(past.splice(index, 1)[0]);
    remembered.push(unsent.body.lease_id); // kept since before the page was loaded anew: the server knows the task
    await fetchTasks(true);
    const task = tasks.find((one) => one.lease_id === unsent.body.lease_id);
    return task ? bring(task) : announce("That task has gone back to the others.");
  }
  await outbox.pump();
  let said;
  try {
    said = await post("undo", {});
  } catch {
    return announce("No connection: nothing was undone.");
  }
  if (!said.isOk) return announce(said.body.detail ?? "There is nothing to undo.");
  progress(said.body);
  past = past.filter((task) => task.seq !== said.body.task.seq);
  bring(said.body.task);
}

// Put a task before the others and on the screen.
function bring(task) {
  settled.delete(task.lease_id);
  tasks = [task, ...tasks.filter((other) => other.lease_id !== task.lease_id)];
  show(task);
}

function showNothing(state, detail) {
  shown = null;
  const texts = {
    loading: ["One moment…", ""],
    offline: ["No connection", "What you answered is kept. This page goes on by itself when the connection is back."],
    waiting: ["Nothing for you at the moment", "The tasks that are left are with others. If one comes back, it appears here."],
    done: ["Done. Thank you!", "Every task that is for you has its answer."],
    paused: ["The order is paused", "This page goes on by itself when it runs again."],
    created: ["The order has not begun", "This page goes on by itself when it runs."],
    completed: ["Done. Thank you!", "Every task of the order has its answers."],
    cancelled: ["The order was cancelled", "There is nothing left to do."],
    failed: ["The order has failed", "There is nothing left to do."],
    refused: ["This did not work", detail ?? ""],
  };
  const [title, text] = texts[state] ?? texts.waiting;
  part("task").hidden = true;
  part("nothing").hidden = false;
  part("nothing").replaceChildren(element("h2", { textContent: title }), element("p", { textContent: text }));
  announce(title);
}

function progress(told) {
  if (told.total === undefined) return;
  page.dataset.mine = told.mine;
  const meter = part("meter");
  meter.max = Math.max(told.total, 1);
  meter.value = told.done;
  part("counts").textContent = `${told.done} of ${told.total} tasks done, ${told.mine} answered by you`;
}

function announce(text) {
  part("said").textContent = text;
}

function element(name, properties) {
  return Object.assign(document.createElement(name), properties);
}

// Renewing: only of a page that somebody looks at

async function renewLeases() {
  if (document.visibilityState !== "visible" || tasks.length === 0) return;
  // Where there is a time limit it runs from the moment at which a task is on the screen.
  const before = tasks.filter((task) => timed === "no" || task !== shown).map((task) => task.lease_id);
  if (before.length === 0) return;
  let said;
  try {
    said = await post("leases", { lease_ids: before });
  } catch {
    return;
  }
  if (!said.isOk) return;
  const lost = new Set(before.filter((id) => !said.body.held.includes(id)));
  if (lost.size === 0) return;
  tasks = tasks.filter((task) => !lost.has(task.lease_id));
  if (shown && lost.has(shown.lease_id)) {
    shown = null;
    announce("The task on the screen had gone back to the others; here is another.");
    if (tasks.length) show(tasks[0]);
  }
  fetchTasks();
}

setInterval(renewLeases, Number(renew) * 1_000);
document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") renewLeases().then(fetchTasks); });
addEventListener("online", fetchTasks);

// Keys

const skipping = document.getElementById("skipping");
part("skip").addEventListener("click", () => skipping.showModal());
part("undo").addEventListener("click", undo);
skipping.querySelector("form").addEventListener("submit", (event) => {
  if (event.submitter?.value !== "skip") return;
  const form = new FormData(event.target);
  const reason = form.get("reason") === "other" ? form.get("other") || "other" : form.get("reason");
  finish("skips", { reason }, null);
  event.target.reset();
});

// The one that has the focus, else the first.
function player() {
  return document.activeElement.matches("video, audio") ? document.activeElement : page.querySelector("video, audio");
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || skipping.open) return;
  if (event.target.matches("input, textarea, select")) return;
  const key = event.key.toLowerCase();
  if (key === "u") undo();
  else if (key === "s" && shown) skipping.showModal();
  else if (key === "p") player()?.[player().paused ? "play" : "pause"]();
  else if (["arrowleft", "arrowright"].includes(key) && player()) player().currentTime += key === "arrowleft" ? -SEEK_SECONDS : SEEK_SECONDS;
  else if (key === "enter" && kind === "locate" && shown && !event.target.matches("button, a, summary")) part("submit").click();
  else if (/^[1-9]$/.test(key) && shown && kind !== "locate") part("answers").querySelectorAll("button.option")[Number(key) - 1]?.click();
  else if (["+", "=", "-", "0"].includes(key) && viewers.length) {
    for (const viewer of viewers) key === "0" ? viewer.fit() : viewer.zoom(key === "-" ? 0.8 : 1.25);
  } else return;
  event.preventDefault();
});

// A page that is left leaves its tasks to the next one in this browser; where there is none, their leases lapse.

const left = `amends:left:${order}:${annotator}`;

addEventListener("pagehide", () => {
  try {
    if (tasks.length) localStorage.setItem(left, JSON.stringify(tasks.map((task) => task.lease_id)));
  } catch {
    // storage is switched off
  }
});
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

try {
  remembered = JSON.parse(localStorage.getItem(left) ?? "[]");
  localStorage.removeItem(left);
} catch {
  // storage is switched off
}
outbox.pump().then(fetchTasks);
