// Calls to the server. The token stands in the page's own address and goes with every call as a header.

const TOKEN = new URLSearchParams(location.search).get("token") ?? "";
const PATIENCE_MS = 10_000;

export class Unreachable extends Error {}

export class Refused extends Error {
  constructor(status, content) {
    super(content?.error ?? `answer ${status}`);
    this.status = status;
    this.content = content;
  }
}

async function call(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, {
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: options.keepalive ? undefined : AbortSignal.timeout(PATIENCE_MS),
      ...options,
      headers: { "X-Attune-Token": TOKEN, ...options.headers },
    });
  } catch {
    throw new Unreachable();
  }
  if (answer.ok) return answer;
  throw new Refused(answer.status, await answer.json().catch(() => null));
}

export async function list() {
  return (await call("/api/list")).json();
}

export async function item(key) {
  return (await call(`/api/items/${key}`)).json();
}

/** The frames of an item as images of their own size. */
export async function frames(state, columns) {
  const sheet = await (await call(`/api/items/${state.key}/frames.png`)).blob();
  const { width, height } = state;
  return Promise.all(
    Array.from({ length: state.frames }, (_, k) =>
      createImageBitmap(sheet, (k % columns) * width, Math.floor(k / columns) * height, width, height),
    ),
  );
}

export async function save(key, content, leaving = false) {
  const body = JSON.stringify(content);
  const headers = { "Content-Type": "application/json" };
  return (await call(`/api/items/${key}`, { method: "PUT", headers, body, keepalive: leaving })).json();
}
