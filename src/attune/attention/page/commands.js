// Every command of the page once: its keys, its words in the help, what it does. Buttons name theirs in data-command.

export const COMMANDS = {
  play: { keys: [" "], shown: "Space", help: "Play or pause" },
  back: { keys: ["ArrowLeft", ","], shown: "←", help: "Frame before" },
  forward: { keys: ["ArrowRight", "."], shown: "→", help: "Next frame" },
  first: { keys: ["Home"], shown: "Home", help: "First frame" },
  last: { keys: ["End"], shown: "End", help: "Last frame" },
  smaller: { keys: ["q", "["], shown: "Q, [", help: "Smaller brush" },
  larger: { keys: ["e", "]"], shown: "E, ]", help: "Larger brush" },
  weaker: { keys: ["Shift+q", "{"], shown: "Shift Q, {", help: "Weaker brush" },
  stronger: { keys: ["Shift+e", "}"], shown: "Shift E, }", help: "Stronger brush" },
  tool: { keys: ["x"], shown: "X", help: "Add or remove with the first button" },
  undo: { keys: ["Ctrl+z", "u"], shown: "Ctrl Z", help: "Undo" },
  redo: { keys: ["Ctrl+Shift+z", "Ctrl+y", "Shift+u"], shown: "Ctrl Shift Z", help: "Redo" },
  copy: { keys: ["c"], shown: "C", help: "Copy the previous frame's paint" },
  interpolate: { keys: ["i"], shown: "I", help: "Fill between painted frames" },
  clear: { keys: ["Delete", "Backspace"], shown: "Del", help: "Clear this frame" },
  onion: { keys: ["o"], shown: "O", help: "Onion skin" },
  hide: { keys: ["h"], shown: "H", help: "Hide or show the paint" },
  fainter: { keys: ["9"], shown: "9", help: "Paint less opaque" },
  denser: { keys: ["0"], shown: "0", help: "Paint more opaque" },
  zoomIn: { keys: ["+", "="], shown: "+", help: "Zoom in" },
  zoomOut: { keys: ["-"], shown: "−", help: "Zoom out" },
  fit: { keys: ["z"], shown: "Z", help: "Whole picture" },
  panLeft: { keys: ["Shift+ArrowLeft"], shown: "Shift ← → ↑ ↓", help: "Move the picture" },
  panRight: { keys: ["Shift+ArrowRight"] },
  panUp: { keys: ["Shift+ArrowUp"] },
  panDown: { keys: ["Shift+ArrowDown"] },
  brushUp: { keys: ["w"], shown: "W A S D", help: "Move the brush (Shift: further)" },
  brushLeft: { keys: ["a"] },
  brushDown: { keys: ["s"] },
  brushRight: { keys: ["d"] },
  brushUpFar: { keys: ["Shift+w"] },
  brushLeftFar: { keys: ["Shift+a"] },
  brushDownFar: { keys: ["Shift+s"] },
  brushRightFar: { keys: ["Shift+d"] },
  dab: { keys: ["f"], shown: "F", help: "Paint at the brush; hold it and move to draw" },
  erase: { keys: ["g"], shown: "G", help: "The same, removing" },
  label1: { keys: ["1"], shown: "1, 2 …", help: "Your label of the first, second … behaviour" },
  label2: { keys: ["2"] },
  label3: { keys: ["3"] },
  label4: { keys: ["4"] },
  previous: { keys: ["PageUp", "p"], shown: "P", help: "Snippet before" },
  next: { keys: ["PageDown", "n"], shown: "N", help: "Next snippet" },
  save: { keys: ["Ctrl+s"], shown: "Ctrl S", help: "Save now, and keep the version before" },
  help: { keys: ["?"], shown: "?", help: "This help" },
};

const BY_KEY = new Map(Object.entries(COMMANDS).flatMap(([name, { keys }]) => keys.map((key) => [key, name])));

/** The command of a keyboard event, or undefined. */
export function commandOf(event) {
  const altGr = event.getModifierState("AltGraph"); // some systems tell it as Ctrl and Alt, and need it for [ ] { }
  if (event.altKey && !altGr) return undefined;
  const letter = event.key.length === 1 && event.key.toLowerCase() !== event.key.toUpperCase();
  const named = event.key.length > 1;
  const key = letter ? event.key.toLowerCase() : event.key;
  const shift = event.shiftKey && (letter || named) ? "Shift+" : "";
  const ctrl = event.metaKey || (event.ctrlKey && !altGr) ? "Ctrl+" : "";
  return BY_KEY.get(`${ctrl}${shift}${key}`);
}

/** Whether a control that has the focus needs a key for itself. */
export function isTaken(event) {
  const { target } = event;
  if (event.ctrlKey || event.metaKey) return false;
  if (target.matches("button, summary")) return event.key === " " || event.key === "Enter";
  if (target.matches("input[type=range], input[type=radio]")) return /^(Arrow|Home|End|Page)/.test(event.key) || (event.key === " " && target.type === "radio");
  return target.matches("input[type=checkbox]") && event.key === " ";
}

export function describe(list) {
  for (const { shown, help } of Object.values(COMMANDS)) {
    if (!shown) continue;
    const term = document.createElement("dt");
    const key = document.createElement("kbd");
    key.textContent = shown;
    term.append(key);
    const meaning = document.createElement("dd");
    meaning.textContent = help;
    list.append(term, meaning);
  }
}

export function nameButtons() {
  for (const button of document.querySelectorAll("button[data-command]")) {
    const { shown, help, keys } = COMMANDS[button.dataset.command];
    button.title = `${help} (${shown})`;
    button.setAttribute("aria-keyshortcuts", keys.map((key) => key.replace("Ctrl", "Control").replace(/^ $/, "Space")).join(" "));
  }
}
