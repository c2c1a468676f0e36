// Saving by itself: to the server at least every second while something changes, even in the middle of a stroke, and
// to this browser's own store at once, from where it is recovered when the server could not be reached in time.

import * as api from "./api.js";

const EVERY_MS = 500; // from the start of one save to that of the next
const JOURNAL_MS = 200;
const LONGEST_WAIT_MS = 8000; // between attempts
const MOST_UNDER_WAY = 4; // saves whose answers have not come
const KEEPALIVE_LIMIT = 60_000; // bytes that browsers send for a page that is closing
const WRITER = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");

let sequence = 0; // of this page's saves, of all items

const journalName = (annotator, key) => `attune-paint:${annotator}:${key}`;

export function readJournal(annotator, key) {
  try {
    const kept = JSON.parse(localStorage.getItem(journalName(annotator, key)));
    return kept && Array.isArray(kept.strokes) ? kept : null;
  } catch {
    return null;
  }
}

export function dropJournal(annotator, key) {
  try {
    localStorage.removeItem(journalName(annotator, key));
  } catch {
    // A browser that keeps nothing has nothing to drop.
  }
}

/** Whether one list of operations begins with another. */
export function beginsWith(all, first) {
  const same = (one, other) => JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
  return first.length <= all.length && first.every((operation, i) => same(operation, all[i]) || grown(operation, all[i]));
}

/** Whether a stroke is an earlier moment of another one. */
function grown(early, late) {
  if (early.kind !== "stroke" || late.kind !== "stroke" || early.points.length > late.points.length) return false;
  const cut = { ...late, points: late.points.slice(0, early.points.length) };
  if (late.times_ms) cut.times_ms = late.times_ms.slice(0, early.points.length);
  return JSON.stringify(sorted(early)) === JSON.stringify(sorted(cut));
}

function sorted(operation) {
  return Object.fromEntries(Object.entries(operation).sort(([one], [other]) => (one < other ? -1 : 1)));
}

/** What a painting says, for comparing: a label that is open is none. */
function plain({ strokes, labels, seconds }) {
  const given = Object.entries(labels ?? {}).filter(([, value]) => value != null);
  return JSON.stringify([strokes.map(sorted), sorted(Object.fromEntries(given)), seconds]);
}

/**
 * Saves one painting. `status` is saved, waiting, saving, offline, conflict or refused; an event `status` tells of a
 * change.
 */
export class Saver extends EventTarget {
  #saved = 0; // revision
  #sent = -1; // revision
  #left = -1; // revision that was sent when the page was left
  #underWay = 0;
  #timer = null;
  #lastStart = -Infinity;
  #failures = 0;
  #journalTimer = null;
  #keep = false;

  /** `look` brings the painting's times up to date. */
  constructor(painting, annotator, look) {
    super();
    this.look = look;
    this.painting = painting;
    this.annotator = annotator;
    this.status = "saved";
    this.reason = "";
    this.theirs = null;
    this.#saved = painting.revision;
    painting.addEventListener("change", () => this.#noticed());
    addEventListener("online", () => this.#failures && this.#plan(0));
  }

  get isClean() {
    return this.painting.revision === this.#saved && !this.#underWay;
  }

  /** Save now; resolves when an attempt has been made. */
  async flush(keep = false) {
    this.#keep ||= keep;
    this.#settle();
    if (this.painting.revision !== this.#saved || keep) await this.#save();
  }

  /** The page may be about to go away: nothing after this is certain to run. */
  leave() {
    this.#settle();
    this.#journal();
    const { revision } = this.painting;
    if (revision === this.#saved || revision === this.#left || this.status === "conflict") return;
    const content = this.#content();
    if (JSON.stringify(content).length < KEEPALIVE_LIMIT) {
      this.#left = revision; // a page that closes is hidden first: once is enough
      const failed = () => {
        this.#left = -1;
        this.#plan(0);
      };
      api.save(this.painting.key, content, true).then((answer) => this.#arrived(answer, revision)).catch(failed);
    } else {
      this.#plan(0);
    }
  }

  /** End a conflict: keep what this page has, or take what is saved. */
  resolve(mine) {
    const theirs = this.theirs;
    this.theirs = null;
    this.#set("waiting");
    if (mine) {
      this.painting.version = theirs.version;
      this.#keep = true;
      this.#plan(0);
    } else {
      this.painting.replace(theirs);
      this.#saved = this.painting.revision;
      dropJournal(this.annotator, this.painting.key);
      this.#set("saved");
    }
  }

  /** Take over what the browser kept of a page that was closed too early; tells whether that is worth a word. */
  recover(kept) {
    const version = this.painting.version;
    const server = this.painting.snapshot();
    if (plain(kept) === plain(server)) {
      dropJournal(this.annotator, this.painting.key); // only the answer was lost
      return false;
    }
    if (kept.version !== version && !beginsWith(kept.strokes, server.strokes)) {
      if (beginsWith(server.strokes, kept.strokes)) {
        dropJournal(this.annotator, this.painting.key);
        return false;
      }
      this.painting.replace({ ...kept, version });
      this.#conflict({ version, ...server });
      return true;
    }
    this.painting.replace({ ...kept, version });
    this.#saved = -1;
    this.#noticed();
    return plain({ ...kept, seconds: 0 }) !== plain({ ...server, seconds: 0 });
  }

  #settle() {
    this.look();
    this.painting.settle();
  }

  #noticed() {
    if (this.painting.revision === this.#saved) return;
    if (this.status === "saved") this.#set("waiting");
    this.#journalTimer ??= setTimeout(() => {
      this.#journalTimer = null;
      this.#journal();
    }, JOURNAL_MS);
    const isNew = this.painting.revision !== this.#sent || !this.#underWay;
    if (isNew && this.#underWay < MOST_UNDER_WAY && this.#timer === null && this.status !== "conflict") {
      this.#plan(Math.max(0, this.#lastStart + EVERY_MS - performance.now()));
    }
  }

  #plan(delay) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#save(), delay);
  }

  async #save() {
    clearTimeout(this.#timer);
    this.#timer = null;
    if (this.status === "conflict") return;
    this.#lastStart = performance.now();
    const revision = this.painting.revision;
    const content = this.#content();
    this.#sent = revision;
    this.#underWay += 1;
    if (this.status !== "offline") this.#set("saving");
    try {
      this.#arrived(await api.save(this.painting.key, content), revision);
    } catch (error) {
      this.#failed(error, content);
    } finally {
      this.#underWay -= 1;
      this.#noticed();
    }
  }

  #content() {
    sequence += 1;
    this.look();
    this.painting.uncounted = 0;
    const { version } = this.painting;
    return { version, writer: WRITER, sequence, kept: this.#keep, ...this.painting.snapshot() };
  }

  #arrived(answer, revision) {
    if (answer.left) return; // a later save of this page says the rest
    this.#failures = 0;
    this.#keep = false;
    this.painting.version = Math.max(this.painting.version, answer.version);
    this.#saved = Math.max(this.#saved, revision);
    if (this.painting.revision === this.#saved) {
      clearTimeout(this.#journalTimer);
      this.#journalTimer = null;
      dropJournal(this.annotator, this.painting.key);
      this.#set("saved");
    } else {
      this.#set("waiting");
    }
    this.dispatchEvent(new CustomEvent("saved", { detail: answer }));
  }

  #failed(error, content) {
    if (this.status === "conflict") return;
    if (error instanceof api.Refused && error.status === 409) {
      const theirs = error.content.now;
      if (beginsWith(content.strokes, theirs.strokes)) {
        this.painting.version = theirs.version; // they are an earlier moment of ours: its answer was lost
        this.#plan(0);
      } else {
        this.#conflict(theirs);
      }
      return;
    }
    this.#failures += 1;
    const offline = error instanceof api.Unreachable || error.status >= 500;
    this.#set(offline ? "offline" : "refused", offline ? "" : error.message);
    this.#plan(Math.min(LONGEST_WAIT_MS, 500 * 2 ** this.#failures));
  }

  #conflict(theirs) {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.theirs = theirs;
    this.#set("conflict");
  }

  #journal() {
    if (this.painting.revision === this.#saved) return;
    this.look();
    const content = { version: this.painting.version, ...this.painting.snapshot() };
    try {
      localStorage.setItem(journalName(this.annotator, this.painting.key), JSON.stringify(content));
    } catch {
      // The browser's store is full or switched off; the server has what was saved.
    }
  }

  #set(status, reason = "") {
    if (status === this.status && reason === this.reason) return;
    Object.assign(this, { status, reason });
    this.dispatchEvent(new Event("status"));
  }
}
