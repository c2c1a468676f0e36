// The picture with its paint: drawing it, and turning pointers into strokes. Frame coordinates are pixels of the frame;
// view coordinates are CSS pixels of the canvas.

const MOST_ZOOM = 8;
const [FIRST, MIDDLE, SECOND, ERASER] = [0, 1, 2, 5]; // of PointerEvent.button; 3 and 4 go back and forward in browsers
const BUTTONS = [FIRST, MIDDLE, SECOND, ERASER];

/** Colours of the values 0, 1/255 ... 1, as red, green and blue one after the other. */
export function colours(ofValue) {
  return Uint8ClampedArray.from({ length: 3 * 256 }, (_, i) => ofValue(Math.floor(i / 3) / 255)[i % 3]);
}

// From violet for a little paint to yellow for much: colours that neither skin nor toys have.
const STEPS = [[86, 30, 200], [168, 20, 190], [232, 50, 130], [252, 140, 70], [250, 240, 60]];
const PAINT = colours((value) => {
  const at = Math.min(3.999, 4 * value);
  const [low, high] = [STEPS[Math.floor(at)], STEPS[Math.floor(at) + 1]];
  return low.map((one, i) => one + (high[i] - one) * (at % 1));
});
const BEFORE = colours(() => [70, 180, 255]);
const AFTER = colours(() => [90, 220, 130]);

export class Stage {
  constructor(canvas, settings, { stroke, zoomed }) {
    Object.assign(this, { canvas, settings, zoomed, startStroke: stroke });
    this.context = canvas.getContext("2d");
    this.heat = document.createElement("canvas");
    this.painting = null;
    this.images = [];
    this.k = 0;
    this.zoom = 1;
    this.centre = [0, 0];
    this.cursor = null; // in frame coordinates
    this.pointers = new Map();
    this.drawing = null; // the pointer that paints
    this.#listen();
    new ResizeObserver(() => this.#resize()).observe(canvas.parentElement);
  }

  show(painting, images) {
    Object.assign(this, { painting, images, k: 0 });
    Object.assign(this.heat, { width: painting.width, height: painting.height });
    this.cursor = [painting.width / 2, painting.height / 2];
    this.fit();
    this.#resize();
  }

  fit() {
    this.zoom = 1;
    if (this.painting) this.centre = [this.painting.width / 2, this.painting.height / 2];
    this.#moved();
  }

  /** Zoom by a factor; the point of the view at x, y stays. */
  zoomBy(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const fixed = this.toFrame(x, y);
    this.zoom = Math.min(MOST_ZOOM, Math.max(1, this.zoom * factor));
    const now = this.toFrame(x, y);
    this.centre = this.centre.map((value, axis) => value + fixed[axis] - now[axis]);
    this.#moved();
  }

  /** Move the picture by CSS pixels. */
  pan(dx, dy) {
    this.centre = [this.centre[0] - dx / this.scale, this.centre[1] - dy / this.scale];
    this.#moved();
  }

  get scale() {
    if (!this.painting) return 1;
    const { width, height } = this.painting;
    return this.zoom * Math.min(this.canvas.clientWidth / width, this.canvas.clientHeight / height);
  }

  toFrame(x, y) {
    const { clientWidth, clientHeight } = this.canvas;
    return [this.centre[0] + (x - clientWidth / 2) / this.scale, this.centre[1] + (y - clientHeight / 2) / this.scale];
  }

  toView(x, y) {
    const { clientWidth, clientHeight } = this.canvas;
    return [(x - this.centre[0]) * this.scale + clientWidth / 2, (y - this.centre[1]) * this.scale + clientHeight / 2];
  }

  draw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      if (this.painting && this.images.length) this.#draw();
    });
  }

  #draw() {
    const { context, canvas, painting, k } = this;
    const ratio = canvas.width / canvas.clientWidth;
    const [left, top] = this.toView(0, 0);
    const [wide, high] = [painting.width * this.scale, painting.height * this.scale];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.images[k], left, top, wide, high);
    const layer = (values, colour, opacity) => {
      paintHeat(this.heat, values, colour, opacity);
      context.drawImage(this.heat, left, top, wide, high);
    };
    if (this.settings.onion) {
      if (k > 0) layer(painting.frame(k - 1), BEFORE, 0.45);
      if (k + 1 < painting.frames) layer(painting.frame(k + 1), AFTER, 0.45);
    }
    layer(painting.frame(k), PAINT, this.settings.opacity);
    if (this.cursor) this.#drawCursor();
  }

  #drawCursor() {
    const { context } = this;
    const [x, y] = this.toView(...this.cursor);
    for (const [radii, alpha] of [[1, 0.95], [2, 0.5]]) {
      for (const [colour, line] of [["0, 0, 0", 3], ["255, 255, 255", 1.25]]) {
        context.beginPath();
        context.arc(x, y, Math.max(1, this.settings.size * radii * this.scale), 0, 2 * Math.PI);
        context.setLineDash(this.settings.removing ? [5, 4] : []);
        context.strokeStyle = `rgba(${colour}, ${alpha * (line > 2 ? 0.4 : 1)})`;
        context.lineWidth = line;
        context.stroke();
      }
    }
    context.setLineDash([]);
  }

  #moved() {
    if (this.painting && this.canvas.clientWidth) {
      const sides = [this.painting.width, this.painting.height];
      const seen = [this.canvas.clientWidth / this.scale, this.canvas.clientHeight / this.scale];
      this.centre = this.centre.map((value, axis) => {
        const half = Math.min(sides[axis], seen[axis]) / 2;
        return Math.min(sides[axis] - half, Math.max(half, value));
      });
    }
    this.zoomed(this.zoom);
    this.draw();
  }

  #resize() {
    const ratio = devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth) return;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.#moved();
  }

  #listen() {
    const { canvas } = this;
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", (event) => this.#up(event, true));
    canvas.addEventListener("pointerleave", () => this.draw());
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    return this.toFrame(event.clientX - box.left, event.clientY - box.top);
  }

  #down(event) {
    if (!this.painting || !BUTTONS.includes(event.button)) return;
    event.preventDefault();
    if (event.pointerType === "touch" && this.#pointersOf("pen").length) return; // the palm of the hand that draws
    if (event.pointerType === "pen") this.#forgetTouches(); // the palm came first
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    this.cursor = this.#at(event);
    if (event.pointerType === "touch" && this.#pointersOf("touch").length > 1) {
      this.#cancelTouch(); // the second finger says that this is no stroke
    } else if (event.button !== MIDDLE && this.drawing === null && !this.painting.live) {
      this.drawing = event.pointerId;
      const other = event.button === SECOND || event.button === ERASER;
      this.startStroke(this.cursor, other);
    }
    this.draw();
  }

  #move(event) {
    if (!this.painting) return;
    const before = this.pointers.get(event.pointerId);
    if (event.pointerType === "touch" && !before) return; // a palm
    if (before) this.pointers.set(event.pointerId, event);
    this.cursor = this.#at(event);
    if (event.pointerId === this.drawing) {
      const events = event.getCoalescedEvents?.() ?? [];
      for (const one of events.length ? events : [event]) this.painting.extend(this.#at(one));
    } else if (event.pointerType === "touch" && this.#pointersOf("touch").length === 2) {
      this.#pinch(before, event);
    } else if (before && event.buttons & 4) {
      this.pan(event.clientX - before.clientX, event.clientY - before.clientY);
    }
    this.draw();
  }

  #pointersOf(type) {
    return [...this.pointers.values()].filter((one) => one.pointerType === type);
  }

  #cancelTouch() {
    if (this.pointers.get(this.drawing)?.pointerType !== "touch") return;
    this.painting.cancel();
    this.drawing = null;
  }

  #forgetTouches() {
    this.#cancelTouch();
    for (const { pointerId } of this.#pointersOf("touch")) this.pointers.delete(pointerId);
  }

  #pinch(before, event) {
    const other = this.#pointersOf("touch").find((one) => one.pointerId !== event.pointerId);
    const distance = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
    const box = this.canvas.getBoundingClientRect();
    const middle = [(event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top];
    this.pan((event.clientX - before.clientX) / 2, (event.clientY - before.clientY) / 2);
    this.zoomBy(distance(event) / distance(before), ...middle);
  }

  #up(event, lost = false) {
    this.pointers.delete(event.pointerId);
    if (event.pointerId !== this.drawing) return;
    this.drawing = null;
    if (lost) this.painting.cancel();
    else this.painting.finish();
    this.draw();
  }

  #wheel(event) {
    event.preventDefault();
    const step = Math.sign(event.deltaY);
    if (!step) return;
    if (event.ctrlKey) {
      const box = this.canvas.getBoundingClientRect();
      this.zoomBy(step < 0 ? 1.2 : 1 / 1.2, event.clientX - box.left, event.clientY - box.top);
    } else {
      this.settings.resize(step < 0 ? 1 : -1);
    }
  }
}

/** Fill a canvas of a frame's size with a map's colours, more opaque where there is more. */
export function paintHeat(canvas, values, colour, opacity) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const bytes = image.data;
  for (let i = 0, at = 0; i < values.length; i++, at += 4) {
    if (values[i] < 0.004) continue;
    const entry = 3 * Math.round(255 * values[i]);
    bytes[at] = colour[entry];
    bytes[at + 1] = colour[entry + 1];
    bytes[at + 2] = colour[entry + 2];
    bytes[at + 3] = 255 * opacity * values[i] ** 0.8;
  }
  context.putImageData(image, 0, 0);
}
