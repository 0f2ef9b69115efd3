/**
 * How do the page's edits reach the server, each exactly once, and the server's reach the page?
 *
 * One websocket carries both. Every operation has a number, 1, 2, 3 … for this page's `client` name, and stays in the
 * queue until the server has answered it; after a lost connection the page says hello, hears how far the journal got,
 * and sends the rest again in order. The answers come in the order of the box's revisions.
 */

import { Mirror } from "./mirror.js";
import { isEmpty } from "./raster.js";

/** @typedef {import("./raster.js").Region} Region */
/** @typedef {import("./raster.js").Triple} Triple */
/** @typedef {{op: string, number: number, box: number} & Record<string, any>} Operation */
/** @typedef {Record<string, any>} Message */

/**
 * What the page does about what arrives.
 * @typedef {object} Listener
 * @property {(mirror: Mirror, region: Region) => void} painted part of the mirror's view may have changed
 * @property {(head: Message, mirror: Mirror | null) => void} showing another box, or the volume, or the same one again
 * @property {(message: Message) => void} told heads, notes and refusals
 * @property {() => void} state what waits, or whether there is a connection, has changed
 */

const KEPT = "rondel";
const FIRST_WAIT = 200;
const LONGEST_WAIT = 3000;
const SILENCE = 30000;
const HEADER = 36;
const WHOLE = 2;

export class Sync {
  /**
   * @param {string} url of the websocket
   * @param {Listener} listener
   * @param {{socket?: (url: string) => WebSocket, storage?: Storage, missing?: string[]}} [options]
   */
  constructor(url, listener, options = {}) {
    this.url = url;
    this.listener = listener;
    this.missing = options.missing ?? [];
    this.storage = options.storage ?? sessionStorage;
    this.open = options.socket ?? ((/** @type {string} */ target) => new WebSocket(target));
    /** @type {WebSocket | null} */
    this.socket = null;
    /** @type {Mirror | null} null while a whole volume is shown, or nothing yet */
    this.mirror = null;
    /** @type {Message | null} what the server said last about what is shown */
    this.head = null;
    /** @type {string | null} */
    this.person = null;
    /** @type {number | null} what this page asked to see, for a server that forgot */
    this.box = null;
    this.greeted = false;
    this.wait = FIRST_WAIT;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.watch = undefined;
    const kept = this.#take();
    this.client = kept.client;
    this.next = kept.next;
    this.queue = kept.queue;
  }

  /** How many operations wait for their answer. */
  get unsaved() {
    return this.queue.length;
  }

  get connected() {
    return this.greeted;
  }

  connect() {
    const socket = this.open(this.url);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.hello();
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = () => this.#lost(socket);
  }

  /**
   * Send an operation, and again until it is answered.
   * @param {string} op
   * @param {Record<string, any>} [fields]
   * @param {number} [box]
   * @returns {number} its number
   */
  operate(op, fields = {}, box = this.head?.id ?? 0) {
    const number = this.next++;
    const operation = { ...fields, type: "op", op, client: this.client, number, box };
    this.queue.push(operation);
    if (this.greeted) this.#send(operation);
    this.#changed();
    return number;
  }

  /** Lift the pointer and send the stroke, unless it missed the box altogether. */
  finishStroke() {
    const { mirror } = this;
    if (mirror && isEmpty(mirror.liveRegion)) {
      mirror.cancel();
      return this.#changed();
    }
    const done = mirror?.finish(this.next);
    if (!mirror || !done) return;
    const { stroke, region, crc } = done;
    this.operate("paint", { ...stroke, crc, region: [...region.start, ...region.stop] }, mirror.id);
  }

  /**
   * Send what may be lost; returns false where there is no connection.
   * @param {Message} message
   */
  tell(message) {
    if (this.greeted) this.#send(message);
    return this.greeted;
  }

  /** Keep what waits for the next page of this tab. A duplicated tab must not find it, so it is kept only on leaving. */
  keep() {
    this.storage.setItem(KEPT, JSON.stringify({ client: this.client, next: this.next, queue: this.queue }));
  }

  /** Go back on `keep`: the page was not left after all. */
  unkeep() {
    this.storage.removeItem(KEPT);
  }

  /** @returns {{client: string, next: number, queue: Operation[]}} */
  #take() {
    const kept = this.storage.getItem(KEPT);
    this.storage.removeItem(KEPT);
    return kept ? JSON.parse(kept) : { client: randomName(), next: 1, queue: [] };
  }

  /** Ask what is shown, and say what of Neuroglancer is missing. */
  hello() {
    const { client, person, box, missing } = this;
    this.#send({ type: "hello", client, person, box, missing });
  }

  /** @param {Message} message */
  #send(message) {
    if (this.socket?.readyState === 1) this.socket.send(JSON.stringify(message));
  }

  /** @param {WebSocket} socket */
  #lost(socket) {
    if (socket !== this.socket) return;
    this.greeted = false;
    this.socket = null;
    this.#changed();
    setTimeout(() => this.connect(), this.wait);
    this.wait = Math.min(LONGEST_WAIT, this.wait * 1.5);
  }

  /** A connection that answers nothing for long is given up; sending again does no harm. */
  #changed() {
    clearTimeout(this.watch);
    if (this.queue.length && this.greeted) this.watch = setTimeout(() => this.#giveUp(), SILENCE);
    this.listener.state();
  }

  #giveUp() {
    const { socket } = this;
    if (!socket) return;
    socket.close();
    this.#lost(socket);
  }

  /** @param {string | ArrayBuffer} data */
  #receive(data) {
    if (typeof data !== "string") return this.#block(data);
    const message = JSON.parse(data);
    if (message.type === "box" || message.type === "view") return this.#show(message);
    if (message.type === "ack") return this.#acknowledged(message.number, message.revision);
    if (message.type === "refused") {
      this.#answered(message.number);
      this.mirror?.drop(message.number);
    } else if (this.head && message.type === "heads") {
      this.head = { ...this.head, ...message, type: this.head.type };
    }
    this.listener.told(message);
  }

  /**
   * The server says what is shown, and how many of our operations the journal holds: the rest is sent (again).
   * @param {Message} head
   */
  #show(head) {
    const again = this.head?.type === head.type && this.head?.id === head.id;
    this.head = head;
    this.box = head.type === "box" ? head.id : null;
    this.queue = this.queue.filter((operation) => operation.number > head.acked);
    this.next = Math.max(this.next, head.acked + 1);
    if (head.type !== "box") this.mirror = null;
    else if (!again || !this.mirror) this.mirror = this.#mirror(head);
    const first = !this.greeted;
    this.greeted = true;
    this.wait = FIRST_WAIT;
    if (first) for (const operation of this.queue) this.#send(operation);
    this.listener.showing(head, this.mirror);
    this.#changed();
  }

  /** @param {Message} head */
  #mirror(head) {
    /** @type {Mirror} */
    const mirror = new Mirror(head.id, head.shape, head.spacing, (region) => this.listener.painted(mirror, region));
    for (const operation of this.queue) {
      if (operation.op === "paint" && operation.box === head.id) mirror.waiting.set(operation.number, strokeOf(operation));
    }
    return mirror;
  }

  /** @param {ArrayBuffer} data */
  #block(data) {
    const { mirror } = this;
    const [kind, revision, number, z, y, x, nz, ny, nx] = new Int32Array(data, 0, HEADER / 4);
    const values = new Uint8Array(data, HEADER);
    const elsewhere = this.queue.some((waits) => waits.number === number && waits.box !== mirror?.id);
    if (mirror && !elsewhere) {
      if (kind === WHOLE) this.#load(mirror, revision, values);
      else if (mirror.ready && revision > mirror.revision + 1) return this.hello();
      else if (mirror.ready && revision >= mirror.revision) {
        mirror.patch(revision, { start: [z, y, x], stop: [z + nz, y + ny, x + nx] }, values);
      }
      mirror.drop(number);
    }
    if (number) this.#answered(number);
  }

  /**
   * The whole box holds every stroke that the journal knows by now: only those still in the queue are painted over it.
   * @param {Mirror} mirror
   * @param {number} revision
   * @param {Uint8Array} values
   */
  #load(mirror, revision, values) {
    const queued = new Set(this.queue.map((operation) => operation.number));
    for (const number of [...mirror.waiting.keys()]) if (!queued.has(number)) mirror.waiting.delete(number);
    mirror.load(revision, values);
  }

  /**
   * @param {number} number
   * @param {number} revision
   */
  #acknowledged(number, revision) {
    const { mirror } = this;
    const operation = this.queue.find((waits) => waits.number === number);
    const here = mirror && operation && operation.box === mirror.id && mirror.ready;
    if (here && revision > mirror.revision + 1) return this.hello();
    if (here && revision === mirror.revision + 1) mirror.accept(number, revision);
    else mirror?.drop(number);
    this.#answered(number);
    this.listener.told({ type: "ack", number, op: operation?.op });
  }

  /** @param {number} number */
  #answered(number) {
    this.queue = this.queue.filter((operation) => operation.number !== number);
    this.#changed();
  }
}

/**
 * @param {Operation} operation
 * @returns {import("./raster.js").Stroke}
 */
function strokeOf({ points, radius, plane, value, only }) {
  return { points, radius, plane, value, only };
}

function randomName() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
