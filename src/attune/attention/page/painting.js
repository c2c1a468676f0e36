// One item as the page holds it: operations, labels and times; undo and redo; the map that follows from them.

import { Line, applied, emptyMap, rasterise } from "./raster.js";

const LEAST_S = 0.5; // of time that is worth a save by itself
const REMEMBERED = 60; // maps of earlier moments, so that undo is instant

export class Painting extends EventTarget {
  constructor(state) {
    super();
    Object.assign(this, { key: state.key, task: state.task, variable: state.variable });
    Object.assign(this, { frames: state.frames, height: state.height, width: state.width });
    this.opened = performance.now();
    this.replace(state);
  }

  /** Take over what is saved (or was kept by the browser). */
  replace({ version, strokes, labels, seconds }) {
    this.version = version;
    this.operations = strokes.slice();
    this.undone = [];
    this.labels = { ...labels };
    this.seconds = Array.from({ length: this.frames }, (_, k) => seconds[k] ?? 0);
    this.live = null;
    this.uncounted = 0;
    this.#replay();
    this.revision = 0;
    this.dispatchEvent(new Event("change"));
  }

  get map() {
    return this.maps.at(-1);
  }

  /** A frame's paint with the stroke under way. */
  frame(k) {
    return this.live?.stroke.frame === k ? this.live.line.paintedOn(this.map[k], this.live.stroke) : this.map[k];
  }

  isPainted(k) {
    return this.map[k].some((value) => value > 0.01);
  }

  do(operation) {
    this.operations.push(operation);
    this.undone = [];
    this.maps.push(applied(this.map, operation, this.height, this.width));
    if (this.maps.length > REMEMBERED) this.maps.shift();
    this.#changed();
  }

  undo() {
    if (this.live || !this.operations.length) return null;
    const operation = this.operations.pop();
    this.undone.push(operation);
    if (this.maps.length > 1) this.maps.pop();
    else this.#replay();
    this.#changed();
    return operation;
  }

  redo() {
    if (this.live || !this.undone.length) return null;
    const rest = this.undone.slice(0, -1);
    const operation = this.undone.at(-1);
    this.do(operation);
    this.undone = rest;
    this.dispatchEvent(new Event("change"));
    return operation;
  }

  begin(stroke, point) {
    this.finish();
    const line = new Line(stroke.radius, this.height, this.width);
    this.live = { stroke: { kind: "stroke", ...stroke, points: [], times_ms: [] }, line };
    this.extend(point);
  }

  extend(point) {
    if (!this.live) return;
    const rounded = point.map((value, axis) => {
      const limit = (axis ? this.height : this.width) + 60;
      return Math.round(Math.min(limit, Math.max(-60, value)) * 100) / 100;
    });
    const { stroke, line } = this.live;
    const last = stroke.points.at(-1);
    if (last && Math.hypot(last[0] - rounded[0], last[1] - rounded[1]) < Math.min(0.5, stroke.radius / 8)) return;
    stroke.points.push(rounded);
    stroke.times_ms.push(Math.round(performance.now() - this.opened));
    line.to(rounded);
    this.#changed();
    if (stroke.points.length >= 4000) this.begin({ ...stroke, points: undefined }, rounded);
  }

  finish() {
    if (!this.live) return;
    const { stroke } = this.live;
    this.live = null;
    this.do(stroke);
  }

  cancel() {
    if (!this.live) return;
    this.live = null;
    this.#changed();
  }

  label(variable, value) {
    this.labels[variable] = value;
    this.#changed();
  }

  spend(k, seconds) {
    this.seconds[k] += seconds;
    this.uncounted += seconds;
  }

  /** Make the time since the last snapshot a change that is to be saved; one who has only looked leaves nothing. */
  settle() {
    if (this.uncounted < LEAST_S || (!this.version && this.isUntouched)) return;
    this.uncounted = 0;
    this.revision += 1;
  }

  get isUntouched() {
    return !this.operations.length && !this.live && Object.values(this.labels).every((value) => value == null);
  }

  /** What is to be saved now, the stroke under way included. */
  snapshot() {
    const live = this.live ? [{ ...this.live.stroke, points: this.live.stroke.points.slice() }] : [];
    if (live.length) live[0].times_ms = this.live.stroke.times_ms.slice();
    const seconds = this.seconds.map((value) => Math.round(value * 10) / 10);
    return { strokes: [...this.operations, ...live], labels: { ...this.labels }, seconds };
  }

  #replay() {
    this.maps = this.operations.length
      ? [rasterise(this.operations, this.frames, this.height, this.width)]
      : [emptyMap(this.frames, this.height, this.width)];
  }

  #changed() {
    this.revision += 1;
    this.dispatchEvent(new Event("change"));
  }
}

/** The nearest painted frames around frame k between which there is something to fill, or null. */
export function gap(painting, k) {
  let first = k;
  if (!painting.isPainted(k)) while (first >= 0 && !painting.isPainted(first)) first -= 1;
  let last = k + 1;
  while (last < painting.frames && !painting.isPainted(last)) last += 1;
  return first >= 0 && last < painting.frames && last - first > 1 ? { first, last } : null;
}
