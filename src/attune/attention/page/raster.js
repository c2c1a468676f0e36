// How operations become a map. The definition is in strokes.py; numbers here are doubles as there, and both are held
// against tests/attention/data/strokes_golden.json. A map is a list of frames, each a Float64Array of height x width.

const REACH = 4; // radii at which the brush ends
const THINNING = 0.25; // radii between points that are kept

export function emptyMap(frames, height, width) {
  return Array.from({ length: frames }, () => new Float64Array(height * width));
}

/** The map after one more operation; frames that it does not change are shared with the old map. */
export function applied(map, operation, height, width) {
  const changed = map.slice();
  switch (operation.kind) {
    case "stroke": {
      const line = new Line(operation.radius, height, width);
      for (const point of operation.points) line.to(point);
      changed[operation.frame] = line.paintedOn(map[operation.frame], operation);
      break;
    }
    case "clear":
      changed[operation.frame] = new Float64Array(height * width);
      break;
    case "copy":
      changed[operation.frame] = map[operation.source].slice();
      break;
    case "interpolate":
      for (let k = operation.first + 1; k < operation.last; k++) {
        const w = (k - operation.first) / (operation.last - operation.first);
        const [one, other] = [map[operation.first], map[operation.last]];
        changed[k] = one.map((value, i) => (1 - w) * value + w * other[i]);
      }
      break;
    default:
      throw new Error(`unknown operation ${operation.kind}`);
  }
  return changed;
}

export function rasterise(operations, frames, height, width) {
  return operations.reduce((map, one) => applied(map, one, height, width), emptyMap(frames, height, width));
}

/** A stroke's line while it grows: squared distances to all of it but the last segment, whose end still moves. */
export class Line {
  constructor(radius, height, width) {
    this.radius = radius;
    this.height = height;
    this.width = width;
    this.kept = null; // the point kept last
    this.end = null;
    this.nearest = new Float64Array(height * width).fill(Infinity);
    this.box = [width, height, 0, 0]; // left, top, right, bottom of what the line may reach
  }

  to(point) {
    if (this.kept === null) {
      this.kept = point;
    } else if (this.end !== null) {
      const [dx, dy] = [this.end[0] - this.kept[0], this.end[1] - this.kept[1]];
      const gap = THINNING * this.radius;
      if (dx * dx + dy * dy >= gap * gap) {
        this.#measure(this.nearest, this.kept, this.end);
        this.kept = this.end;
      }
    }
    this.end = this.moved ? point : null;
    this.moved = true;
  }

  /** A copy of a frame with this line on it. */
  paintedOn(frame, { add, strength }) {
    const nearest = this.nearest.slice();
    this.#measure(nearest, this.kept, this.end ?? this.kept);
    const painted = frame.slice();
    const farthest = (REACH * this.radius) ** 2;
    const scale = 2 * this.radius * this.radius;
    const [left, top, right, bottom] = this.box;
    for (let row = top; row < bottom; row++) {
      for (let i = row * this.width + left; i < row * this.width + right; i++) {
        if (nearest[i] > farthest) continue;
        const brush = strength * Math.exp(-nearest[i] / scale);
        painted[i] = Math.min(1, Math.max(0, add ? painted[i] + brush : painted[i] - brush));
      }
    }
    return painted;
  }

  #measure(nearest, a, b) {
    const reach = REACH * this.radius;
    const left = this.#within(Math.floor(Math.min(a[0], b[0]) - reach - 0.5), this.width);
    const right = this.#within(Math.ceil(Math.max(a[0], b[0]) + reach + 0.5), this.width);
    const top = this.#within(Math.floor(Math.min(a[1], b[1]) - reach - 0.5), this.height);
    const bottom = this.#within(Math.ceil(Math.max(a[1], b[1]) + reach + 0.5), this.height);
    const box = this.box;
    this.box = [Math.min(box[0], left), Math.min(box[1], top), Math.max(box[2], right), Math.max(box[3], bottom)];
    const [vx, vy] = [b[0] - a[0], b[1] - a[1]];
    const squared = vx * vx + vy * vy;
    for (let row = top; row < bottom; row++) {
      const y = row + (0.5 - a[1]);
      for (let column = left; column < right; column++) {
        const x = column + (0.5 - a[0]);
        const t = squared ? Math.min(1, Math.max(0, (x * vx + y * vy) / squared)) : 0;
        const d2 = (x - t * vx) ** 2 + (y - t * vy) ** 2;
        const i = row * this.width + column;
        if (d2 < nearest[i]) nearest[i] = d2;
      }
    }
  }

  #within(value, limit) {
    return Math.min(limit, Math.max(0, value));
  }
}
