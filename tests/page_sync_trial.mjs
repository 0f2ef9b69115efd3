// Lets the page's half of the protocol run against a server that lives in the same process, over lines that are slow and
// break. Prints what came of it as JSON. Usage: node page_sync_trial.mjs VIEWER_FOLDER SEED OPERATIONS
const [, , viewer, seed, operations] = process.argv;
const { Sync } = await import(`${viewer}/sync.js`);
const { crcOf, paintStroke, strokeRegion, weights, whole } = await import(`${viewer}/raster.js`);

const SHAPE = [4, 12, 14];
const SPACING = [20, 5, 5];
const W = weights(SPACING);
const BOX = { id: 3, shape: SHAPE, spacing: SPACING };

let state = Number(seed) >>> 0;
function random() {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
const below = (n) => Math.floor(random() * n);

// Time is a queue of what will happen.
let now = 0;
let timers = [];
globalThis.setTimeout = (act, after = 0) => {
  const timer = { at: now + after, act };
  timers.push(timer);
  return timer;
};
globalThis.clearTimeout = (timer) => (timers = timers.filter((one) => one !== timer));
function tick() {
  timers.sort((a, b) => a.at - b.at);
  const next = timers.shift();
  if (!next) return false;
  now = Math.max(now, next.at);
  next.act();
  return true;
}

const server = { voxels: new Uint8Array(SHAPE[0] * SHAPE[1] * SHAPE[2]), revision: 0, done: new Map(), order: [], lines: new Set() };

class Line {
  constructor() {
    this.readyState = 0;
    this.inbound = this.outbound = 0;
    setTimeout(() => {
      if (this.readyState) return;
      this.readyState = 1;
      server.lines.add(this);
      this.onopen();
    }, 20 + below(200));
  }
  send(text) {
    this.outbound = Math.max(this.outbound, now) + below(60);
    setTimeout(() => this.readyState === 1 && receive(this, JSON.parse(text)), this.outbound - now);
  }
  deliver(data) {
    this.inbound = Math.max(this.inbound, now) + below(60);
    setTimeout(() => this.readyState === 1 && this.onmessage({ data }), this.inbound - now);
  }
  close() {
    this.cut();
  }
  cut() {
    if (this.readyState === 3) return;
    this.readyState = 3;
    server.lines.delete(this);
    setTimeout(() => this.onclose(), below(400));
  }
}

function block(kind, number, region) {
  const [z, y, x] = region.start;
  const size = region.stop.map((v, i) => v - region.start[i]);
  const bytes = new Uint8Array(36 + size[0] * size[1] * size[2]);
  new Int32Array(bytes.buffer, 0, 9).set([kind, server.revision, number, z, y, x, ...size]);
  let at = 36;
  for (let k = z; k < region.stop[0]; k++) for (let j = y; j < region.stop[1]; j++) for (let i = x; i < region.stop[2]; i++) {
    bytes[at++] = server.voxels[(k * SHAPE[1] + j) * SHAPE[2] + i];
  }
  return bytes.buffer;
}

function receive(line, message) {
  if (message.type === "hello") {
    line.client = message.client;
    const acked = Math.max(0, ...(server.done.get(message.client) ?? []));
    line.deliver(JSON.stringify({ type: "box", ...BOX, origin: [0, 0, 0], serial: "s", acked, revision: server.revision, classes: [] }));
    return line.deliver(block(2, 0, whole(SHAPE)));
  }
  if (message.type !== "op") return;
  const done = server.done.get(message.client) ?? new Set();
  server.done.set(message.client, done);
  if (done.has(message.number)) return answer(line, message, null);
  done.add(message.number);
  server.order.push([message.client, message.number]);
  const stroke = message.op === "paint" ? message : { ...message, points: [[2, 6, 7]], radius: 6, plane: null };
  const region = strokeRegion(SHAPE, W, stroke);
  const before = server.voxels.slice();
  paintStroke(server.voxels, SHAPE, W, stroke);
  if (random() < 0.05) server.voxels[((region.start[0] * SHAPE[1]) + region.start[1]) * SHAPE[2] + region.start[2]] = 3;
  const changed = server.voxels.some((v, k) => v !== before[k]);
  if (changed) server.revision++;
  answer(line, message, region);
  if (changed) for (const other of server.lines) if (other !== line && other.client) other.deliver(block(1, 0, region));
}

function answer(line, { number, op, crc }, region) {
  if (region && !(op === "paint" && crc === crcOf(server.voxels, SHAPE, region))) return line.deliver(block(1, number, region));
  line.deliver(JSON.stringify({ type: "ack", number, revision: server.revision }));
}

function page(name) {
  const listener = { painted() {}, showing() {}, told() {}, state() {} };
  const stored = new Map();
  const storage = { getItem: (key) => stored.get(key) ?? null, setItem: (key, v) => stored.set(key, v), removeItem: (key) => stored.delete(key) };
  return { name, sync: new Sync("ws://here", listener, { socket: () => new Line(), storage }), storage, sent: 0, listener };
}

const pages = [page("ann"), page("bob")];
for (const { sync } of pages) sync.connect();

/** Own voxels that no later stroke of anybody covers must stay as they were painted, from the press on. */
let undone = 0;
function stroke(one) {
  const { mirror } = one.sync;
  if (!mirror?.ready) return false;
  const at = [below(SHAPE[0]), below(SHAPE[1]), below(SHAPE[2])];
  const brush = { value: below(4), radius: 0.5 + below(4), plane: random() < 0.5 ? 0 : null, only: random() < 0.3 ? below(3) : null };
  mirror.start(brush, at);
  let points = 1 + below(4);
  const seen = () => brush.only === null && mirror.at(at) !== brush.value;
  const go = () => {
    if (one.sync.mirror !== mirror || !mirror.live) return;
    if (seen()) undone++;
    if (points-- > 0) {
      mirror.extend([below(SHAPE[0]), below(SHAPE[1]), below(SHAPE[2])]);
      return void setTimeout(go, below(30));
    }
    one.sync.finishStroke();
    one.sent++;
  };
  go();
  return true;
}

let left = Number(operations);
let cuts = 0;
let reloads = 0;
function happen() {
  const one = pages[below(2)];
  const chance = random();
  if (chance < 0.7 && !one.sync.mirror?.live && stroke(one)) left--;
  else if (chance < 0.8 && one.sync.head && !one.sync.mirror?.live) (one.sync.operate("fill", { value: below(4), only: null }), one.sent++, left--);
  else if (chance < 0.9 && one.sync.socket) (one.sync.socket.cut(), cuts++);
  else if (chance < 0.93 && !one.sync.mirror?.live) {
    one.sync.keep();
    one.sync.socket?.cut();
    one.sync.socket = null;
    one.sync = new Sync("ws://here", one.listener, { socket: () => new Line(), storage: one.storage });
    one.sync.connect();
    reloads++;
  }
  if (left > 0) setTimeout(happen, below(120));
}
happen();
let steps = 0;
while (tick() && steps++ < 2_000_000);

const same = (a, b) => a.length === b.length && a.every((v, k) => v === b[k]);
const orders = pages.map(({ sync }) => server.order.filter(([client]) => client === sync.client).map(([, number]) => number));
console.log(JSON.stringify({
  cuts, reloads, undone, revision: server.revision,
  unsaved: pages.map(({ sync }) => sync.unsaved),
  views: pages.map(({ sync }) => same(sync.mirror.view, server.voxels) && same(sync.mirror.base, server.voxels)),
  sent: pages.map(({ sent }) => sent),
  saved: orders.map((numbers) => numbers.length),
  ordered: orders.map((numbers) => numbers.every((number, k) => number === k + 1)),
}));
