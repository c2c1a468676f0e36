// The page: which item is shown, what its controls do.

import * as api from "./api.js";
import { commandOf, describe, isTaken, nameButtons } from "./commands.js";
import { Painting, gap } from "./painting.js";
import { Saver, dropJournal, readJournal } from "./saver.js";
import { Stage } from "./stage.js";
import { Timeline } from "./timeline.js";

const $ = (id) => document.getElementById(id);
const LONGEST_LOOK_MS = 30_000; // without any action, after which the painter is taken to be away
const WORDS = {
  saved: "Saved",
  waiting: "Saving …",
  saving: "Saving …",
  offline: "Not saved: no connection, trying again",
  conflict: "Not saved: changed elsewhere",
  refused: "Not saved",
};

const overview = await api.list().catch(fail);
const savers = new Map(); // by item, while it is shown or unsaved
let saver = null;
let images = [];
let k = 0;
let playing = null;
let looked = performance.now();
let acted = performance.now();
let away = false; // whether the page is hidden
let opening = 0;

const settings = {
  size: 8,
  strength: 0.6,
  opacity: 0.65,
  onion: false,
  removing: false,
  resize(by) {
    const grown = Math.max(1, Math.round(this.size * 0.1)) * by;
    set("size", Math.min(60, Math.max(2, this.size + grown)));
  },
};

const stage = new Stage($("stage"), settings, {
  stroke: (point, other) => {
    pause();
    saver.painting.begin(brush(other), point);
  },
  zoomed: (zoom) => ($("zoom-value").textContent = `${Math.round(100 * zoom)} %`),
});
const timeline = new Timeline($("timeline"), (chosen) => go(chosen));

function brush(other) {
  return { frame: k, add: settings.removing === other, radius: settings.size, strength: settings.strength };
}

function fail(error) {
  $("question").textContent =
    error.status === 403
      ? "This link is not valid any more. Open the page by the link that attune paint has printed last."
      : "The program does not answer. Start attune paint again and open the link that it prints.";
  throw error;
}

// --- Items

function drawList() {
  const done = overview.items.filter((item) => item.state === "done").length;
  $("progress").max = overview.items.length;
  $("progress").value = done;
  $("progress-text").textContent = `${done} of ${overview.items.length} done`;
  overview.items.forEach((item, number) => {
    const button = $("list").children[number].firstElementChild;
    button.dataset.state = item.state;
    const [name, state] = button.children;
    name.textContent = `${number + 1}`;
    state.textContent = { new: "not begun", begun: "begun", done: "done" }[item.state];
    if (item.key === saver?.painting.key) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  });
}

function makeList() {
  for (const item of overview.items) {
    const entry = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    const [name, state, what] = ["b", "small", "span"].map((tag) => document.createElement(tag));
    what.textContent = `${item.task} · ${item.variable}`;
    button.append(name, state, what);
    button.addEventListener("click", () => open(item.key));
    entry.append(button);
    $("list").append(entry);
  }
}

async function saverOf(key) {
  if (savers.has(key)) return savers.get(key);
  const state = await api.item(key);
  const made = new Saver(new Painting(state), overview.annotator, () => saver === made && look());
  const kept = readJournal(overview.annotator, key);
  made.addEventListener("status", drawSaved);
  made.addEventListener("saved", ({ detail }) => {
    overview.items.find((item) => item.key === key).state = detail.state;
    drawList();
  });
  made.painting.addEventListener("change", () => {
    if (saver === made) drawPainting();
  });
  savers.set(key, made);
  if (kept && made.recover(kept)) toast("Recovered what was not saved when the page was closed.");
  return made;
}

async function open(key) {
  const turn = ++opening;
  pause();
  look();
  saver?.painting.finish();
  saver?.flush();
  try {
    const next = await saverOf(key);
    const pictures = await api.frames(next.painting, overview.columns);
    if (turn !== opening) return;
    for (const [other, one] of savers) if (one !== next && one.isClean) savers.delete(other);
    saver = next;
    images = pictures;
  } catch (error) {
    if (turn === opening) toast(error.status ? `The snippet cannot be shown: ${error.message}` : "No connection; try again.");
    return;
  }
  k = 0;
  looked = acted = performance.now();
  const { painting } = saver;
  const number = overview.items.findIndex((item) => item.key === key);
  $("question").textContent = `Snippet ${number + 1}, ${painting.task}: where do you look to judge “${painting.variable}”?`;
  $("scrub").max = painting.frames;
  sessionStorage.setItem("attune-paint-item", key);
  stage.show(painting, images);
  timeline.show(painting, images);
  makeLabels();
  drawList();
  drawSaved();
  go(0);
  $("list").children[number].scrollIntoView({ block: "nearest", inline: "center" });
}

function neighbour(step) {
  const number = overview.items.findIndex((item) => item.key === saver?.painting.key) + step;
  if (number >= 0 && number < overview.items.length) open(overview.items[number].key);
  else toast(step > 0 ? "This was the last snippet." : "This is the first snippet.");
}

// --- Frames

function go(wanted) {
  if (!saver) return;
  look();
  const { painting } = saver;
  if (painting.live && wanted !== k) painting.finish();
  k = Math.min(painting.frames - 1, Math.max(0, wanted));
  stage.k = k;
  $("scrub").value = k + 1;
  $("scrub").setAttribute("aria-valuetext", `Frame ${k + 1} of ${painting.frames}`);
  $("frame-number").textContent = `${k + 1} / ${painting.frames}`;
  drawPainting();
}

/** Count the time since the last look for the frame that was shown. */
function look() {
  if (away) return;
  const now = performance.now();
  const until = Math.min(now, acted + LONGEST_LOOK_MS);
  if (saver && until > looked) saver.painting.spend(k, (until - looked) / 1000);
  looked = now;
}

/** The painter does something. What came before is counted first, else being away would count in full. */
function act() {
  look();
  acted = performance.now();
}

function play() {
  playing = setInterval(() => go((k + 1) % saver.painting.frames), overview.frame_ms);
  $("play").textContent = "Pause";
  $("play").setAttribute("aria-pressed", "true");
}

function pause() {
  clearInterval(playing);
  playing = null;
  $("play").textContent = "Play";
  $("play").setAttribute("aria-pressed", "false");
}

// --- What is shown

function drawPainting() {
  if (!saver) return;
  stage.draw();
  const { painting } = saver;
  if (!painting.live) timeline.draw(k);
  const enable = (command, able) => (document.querySelector(`[data-command=${command}]`).disabled = !able);
  enable("undo", painting.operations.length);
  enable("redo", painting.undone.length);
  if (!painting.live) {
    enable("copy", k > 0 && painting.isPainted(k - 1));
    enable("clear", painting.isPainted(k));
    enable("interpolate", gap(painting, k));
  }
  for (const input of $("labels").querySelectorAll("input")) {
    input.checked = String(painting.labels[input.name.slice(6)] ?? "") === input.value;
  }
}

function drawSaved() {
  const all = [...savers.values()];
  const worst = ["conflict", "refused", "offline", "saving", "waiting"].find((status) => all.some((one) => one.status === status)) ?? "saved";
  const reason = all.find((one) => one.status === worst)?.reason;
  $("saved").dataset.status = worst;
  const words = WORDS[worst] + (reason ? `: ${reason}` : "");
  if ($("saved-text").textContent !== words) $("saved-text").textContent = words;
  $("notice").hidden = saver?.status !== "conflict";
  if (saver?.status === "conflict") {
    $("notice-text").textContent =
      "This snippet was saved by another window meanwhile, with other paint than this one has. Which shall stay? The other is kept among the earlier versions if it was saved.";
  }
}

function makeLabels() {
  const groups = overview.variables.map((variable, number) => {
    const group = document.createElement("fieldset");
    const legend = document.createElement("legend");
    legend.textContent = variable;
    const choice = document.createElement("div");
    choice.className = "choice";
    for (const [value, words] of [["1", "Yes"], ["0", "No"], ["", "Open"]]) {
      const label = document.createElement("label");
      const input = Object.assign(document.createElement("input"), { type: "radio", name: `label-${variable}`, value });
      const text = document.createElement("span");
      text.textContent = words;
      input.addEventListener("change", () => saver.painting.label(variable, value === "" ? null : Number(value)));
      label.append(input, text);
      choice.append(label);
    }
    group.title = `Key ${number + 1}`;
    group.append(legend, choice);
    return group;
  });
  $("labels").replaceChildren(...groups);
}

let toastTimer = null;
function toast(words) {
  $("toast").textContent = words;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => ($("toast").textContent = ""), 5000);
}

function set(name, value) {
  settings[name] = value;
  const input = $(name);
  if (input.type === "checkbox") input.checked = value;
  else input.value = value;
  const shown = { size: `${value} px`, strength: `${Math.round(100 * value)} %`, opacity: `${Math.round(100 * value)} %` };
  if (shown[name]) $(`${name}-value`).textContent = shown[name];
  stage.draw();
}

function setRemoving(removing) {
  settings.removing = removing;
  document.querySelector(`input[name=tool][value=${removing ? "remove" : "add"}]`).checked = true;
  stage.draw();
}

// --- Commands

let held = null; // the key that draws
let shownOpacity = settings.opacity;

function moveBrush(dx, dy) {
  const step = Math.max(1, settings.size / 4);
  const { width, height } = saver.painting;
  const [x, y] = stage.cursor;
  stage.cursor = [Math.min(width, Math.max(0, x + dx * step)), Math.min(height, Math.max(0, y + dy * step))];
  if (held) saver.painting.extend(stage.cursor);
  stage.draw();
}

function draw(event, other) {
  if (held || saver.painting.live) return;
  pause();
  held = event.key.toLowerCase();
  saver.painting.begin(brush(other), stage.cursor);
}

function cycleLabel(number) {
  const variable = overview.variables[number];
  if (!variable) return;
  const order = [null, 1, 0];
  const value = order[(order.indexOf(saver.painting.labels[variable] ?? null) + 1) % 3];
  saver.painting.label(variable, value);
  toast(`${variable}: ${value === null ? "open" : value ? "yes" : "no"}`);
}

function operate(operation) {
  saver.painting.finish();
  saver.painting.do(operation);
}

/** Undo or redo, and show the frame that it changed. */
function step(direction) {
  const operation = saver.painting[direction]();
  if (operation) go(operation.frame ?? Math.min(operation.last - 1, Math.max(operation.first + 1, k)));
}

const ACTIONS = {
  play: () => (playing === null ? play() : pause()),
  back: () => { pause(); go(k - 1); },
  forward: () => { pause(); go(k + 1); },
  first: () => { pause(); go(0); },
  last: () => { pause(); go(saver.painting.frames - 1); },
  smaller: () => settings.resize(-1),
  larger: () => settings.resize(1),
  weaker: () => set("strength", Math.max(0.1, Math.round(10 * settings.strength - 1) / 10)),
  stronger: () => set("strength", Math.min(1, Math.round(10 * settings.strength + 1) / 10)),
  tool: () => setRemoving(!settings.removing),
  undo: () => step("undo"),
  redo: () => step("redo"),
  copy: () => {
    if (k > 0) operate({ kind: "copy", source: k - 1, frame: k });
    else toast("There is no frame before this one.");
  },
  interpolate: () => {
    const found = gap(saver.painting, k);
    if (found) operate({ kind: "interpolate", ...found });
    else toast("Paint a frame before and one after those that are to be filled.");
  },
  clear: () => operate({ kind: "clear", frame: k }),
  onion: () => set("onion", !settings.onion),
  hide: () => {
    if (settings.opacity) shownOpacity = settings.opacity;
    set("opacity", settings.opacity ? 0 : shownOpacity);
  },
  fainter: () => set("opacity", Math.max(0, Math.round(20 * settings.opacity - 2) / 20)),
  denser: () => set("opacity", Math.min(1, Math.round(20 * settings.opacity + 2) / 20)),
  zoomIn: () => stage.zoomBy(1.25),
  zoomOut: () => stage.zoomBy(0.8),
  fit: () => stage.fit(),
  panLeft: () => stage.pan(40, 0),
  panRight: () => stage.pan(-40, 0),
  panUp: () => stage.pan(0, 40),
  panDown: () => stage.pan(0, -40),
  brushUp: () => moveBrush(0, -1),
  brushLeft: () => moveBrush(-1, 0),
  brushDown: () => moveBrush(0, 1),
  brushRight: () => moveBrush(1, 0),
  brushUpFar: () => moveBrush(0, -5),
  brushLeftFar: () => moveBrush(-5, 0),
  brushDownFar: () => moveBrush(0, 5),
  brushRightFar: () => moveBrush(5, 0),
  dab: (event) => draw(event, false),
  erase: (event) => draw(event, true),
  label1: () => cycleLabel(0),
  label2: () => cycleLabel(1),
  label3: () => cycleLabel(2),
  label4: () => cycleLabel(3),
  previous: () => neighbour(-1),
  next: () => neighbour(1),
  save: () => saver.flush(true),
  help: () => $("help").showModal(),
};

function run(command, event) {
  act();
  if (saver || command === "help") ACTIONS[command](event);
}

// --- Wiring

function wire() {
  for (const kind of ["keydown", "pointerdown", "pointermove", "wheel"]) addEventListener(kind, act, { capture: true, passive: true });
  addEventListener("keydown", (event) => {
    if ($("help").open || isTaken(event)) return;
    const command = commandOf(event);
    if (!command) return;
    event.preventDefault();
    run(command, event);
  });
  addEventListener("keyup", (event) => {
    if (held !== event.key.toLowerCase()) return;
    held = null;
    saver.painting.finish();
  });
  addEventListener("blur", () => {
    if (held) saver.painting.finish();
    held = null;
  });
  for (const button of document.querySelectorAll("button[data-command]")) {
    button.addEventListener("click", (event) => run(button.dataset.command, event));
  }
  for (const name of ["size", "strength", "opacity"]) $(name).addEventListener("input", () => set(name, Number($(name).value)));
  $("onion").addEventListener("change", () => set("onion", $("onion").checked));
  for (const input of document.getElementsByName("tool")) {
    input.addEventListener("change", () => setRemoving(input.value === "remove"));
  }
  $("scrub").addEventListener("input", () => { pause(); go(Number($("scrub").value) - 1); });
  $("notice-mine").addEventListener("click", () => saver.resolve(true));
  $("notice-theirs").addEventListener("click", () => saver.resolve(false));
  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : comeBack()));
  addEventListener("pagehide", leave);
}

function leave() {
  for (const one of savers.values()) one.leave(); // the one that is shown looks at the clock
  away = document.hidden;
}

function comeBack() {
  away = false;
  looked = acted = performance.now();
}

/** Save what earlier visits left in this browser for other items of the list. */
async function recoverOthers() {
  for (const { key } of overview.items) {
    if (savers.has(key) || !readJournal(overview.annotator, key)) continue;
    const one = await saverOf(key).catch(() => null);
    if (one?.status === "conflict") savers.delete(key); // shown when the item is opened
    else if (one?.isClean) dropJournal(overview.annotator, key);
  }
}

$("annotator").textContent = overview.annotator;
describe($("keys"));
nameButtons();
makeList();
drawList();
wire();
for (const name of ["size", "strength", "opacity", "onion"]) set(name, settings[name]);
const last = sessionStorage.getItem("attune-paint-item");
const begin = overview.items.find(({ key }) => key === last) ?? overview.items.find(({ state }) => state !== "done") ?? overview.items[0];
await open(begin.key);
await recoverOthers();
