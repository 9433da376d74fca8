// Write MQTT services for MIQRO host in JavaScript and TypeScript; `index.d.ts` documents everything.
//
// The same source runs on QuickJS (componentize-qjs --sync) and on SpiderMonkey (componentize-js).
import * as contractConfig from 'miqro:service/config@0.1.0';
import * as contractLog from 'miqro:service/log@0.1.0';
import * as messaging from 'miqro:service/messaging@0.1.0';
import * as contractState from 'miqro:service/state@0.1.0';
import * as contractTimers from 'miqro:service/timers@0.1.0';

import { decodeText, encodeText } from './bytes.js';
import { events, handlers, isWeb, loops, milliseconds, timers as timerFunctions } from './registry.js';

// SpiderMonkey wants BigInt for u64, QuickJS a number
const u64 = (value) => (isWeb ? BigInt(value) : value);
const QOS = ['at-most-once', 'at-least-once', 'exactly-once'];

/** An error of the host; `kind` is its name in the contract. */
export class HostError extends Error {
  constructor(kind, message) {
    super(message);
    this.name = 'HostError';
    this.kind = kind;
  }
}

function hostError(error) {
  let found = error?.payload ?? error;
  while (found?.tag !== undefined && found.val?.tag !== undefined) found = found.val;
  if (found?.tag === undefined) return error;
  return new HostError(found.tag, found.val === undefined ? 'no answer came in time' : String(found.val));
}

function ask(call) {
  try {
    return call();
  } catch (error) {
    throw hostError(error);
  }
}

// --- the functions of the service

export function on(filter, run, { qos = 1, global = false, as = 'bytes' } = {}) {
  if (!(as in decoders)) throw new TypeError(`expected as: ${Object.keys(decoders).join(', ')}, found ${as}`);
  handlers.push({ filter, run, qos, global, as });
}

export function every(period, run, { delay = 0, name = run.name || `loop-${loops.size + 1}` } = {}) {
  if (loops.has(name)) throw new TypeError(`there are two loops ${name}: give one of them a name`);
  loops.set(name, { period: milliseconds(period), delay: milliseconds(delay), run });
}

export const onTimer = (name, run) => void timerFunctions.push([name, run]);

const event = (name) => (run) => void events.set(name, [...(events.get(name) ?? []), run]);
export const onStart = event('start');
export const onStop = event('stop');
export const onConnected = event('connected');
export const onDisconnected = event('disconnected');
export const onDelivered = event('delivered');
export const onConfigChanged = event('configChanged');
export const onSave = event('save');
export const onLoad = event('load');
export const onOther = event('other');

// --- payloads

let precision;
const floatPrecision = () => (precision ??= Number(config().json_float_precision ?? 4));
/** The section has changed. */
export const forgetConfig = () => void (precision = undefined);

export function toJson(value) {
  const text = JSON.stringify(value, (_, item) => {
    if (typeof item !== 'number' || Number.isInteger(item)) return item;
    if (!Number.isFinite(item)) throw new RangeError(`${item} is not a number that JSON has`);
    return Number(item.toFixed(floatPrecision()));
  });
  if (text === undefined) throw new TypeError(`a ${typeof value} cannot be published`);
  return text;
}

export function encode(value) {
  if (ArrayBuffer.isView(value)) return value instanceof Uint8Array ? value : new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  if (value === undefined || value === null) return new Uint8Array();
  if (typeof value === 'boolean') return encodeText(value ? '1' : '0');
  return encodeText(typeof value === 'string' ? value : toJson(value));
}

const WORDS = { 1: true, true: true, on: true, yes: true, 0: false, false: false, off: false, no: false };
// Levels of JSON that are read. Deeper text would overflow the stack, which ends the instance; no error can be caught then.
const DEEPEST = 200;

/** The value of JSON from a stranger. */
function parse(text) {
  if (text.split('[').length + text.split('{').length > DEEPEST) {
    let depth = 0;
    for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"?|[[\]{}]/gs)) {
      if (token === '[' || token === '{') depth += 1;
      else if (token === ']' || token === '}') depth -= 1;
      if (depth > DEEPEST) throw new RangeError(`expected JSON of at most ${DEEPEST} levels`);
    }
  }
  return JSON.parse(text);
}

const decoders = {
  bytes: (payload) => payload,
  text: decodeText,
  json: (payload) => parse(decodeText(payload)),
  number: (payload) => {
    const text = decodeText(payload).trim();
    const value = text === '' ? NaN : Number(text);
    if (!Number.isFinite(value)) throw new TypeError(`expected a number, found ${JSON.stringify(text.slice(0, 80))}`);
    return value;
  },
  boolean: (payload) => {
    const word = decodeText(payload).trim().toLowerCase();
    if (!Object.hasOwn(WORDS, word)) throw new TypeError(`expected 1, 0, true, false, on or off, found ${JSON.stringify(word.slice(0, 80))}`);
    return WORDS[word];
  },
};

export const decode = (payload, as) => decoders[as](payload);
export const text = decodeText;

// --- the host

const toHost = (properties) =>
  properties && {
    responseTopic: properties.responseTopic,
    correlationData: properties.correlationData,
    contentType: properties.contentType,
    messageExpiry: properties.messageExpiry,
    utf8: properties.utf8 ?? false,
    userProperties: properties.userProperties ?? [],
  };

export function publish(topic, value, { qos = 0, retain = false, global = false, onlyIfChanged, properties } = {}) {
  const rule =
    onlyIfChanged === undefined || onlyIfChanged === false ? undefined
    : onlyIfChanged === true ? { tag: 'always' }
    : { tag: 'within', val: u64(milliseconds(onlyIfChanged)) };
  const options = { qos: QOS[qos], retain, global, onlyIfChanged: rule, properties: toHost(properties) };
  const payload = encode(value);
  const token = ask(() => messaging.publish(topic, payload, options));
  return token === undefined || token === null ? undefined : Number(token);
}

export const publishJson = (topic, value, options) => publish(topic, toJson(value), options);

export function publishJsonKeys(value, topic = '', options = {}) {
  for (const [key, item] of Object.entries(value)) {
    const below = topic ? `${topic}/${key}` : key;
    if (item && typeof item === 'object' && !Array.isArray(item) && !ArrayBuffer.isView(item)) publishJsonKeys(item, below, options);
    else publish(below, item, options);
  }
}

export function request(topic, value, { deadline = '30s', global = false, properties } = {}) {
  const options = { global, deadline: u64(milliseconds(deadline)), properties: toHost(properties) };
  const payload = encode(value);
  return ask(() => messaging.request(topic, payload, options));
}

export const subscribe = (filter, { qos = 1, global = false } = {}) => ask(() => messaging.subscribe(filter, { qos: QOS[qos], global }));
export const unsubscribe = (filter, { global = false } = {}) => ask(() => messaging.unsubscribe(filter, global));

export function currentMessage() {
  const message = messaging.currentMessage();
  return message ? { ...message, qos: QOS.indexOf(message.qos) } : undefined;
}

export const config = () => JSON.parse(contractConfig.get());
export const me = () => contractConfig.me();

const write = (level) => (message, fields = {}) =>
  contractLog.log(level, String(message), Object.entries(fields).map(([name, value]) => [name, String(value)]));
export const log = { trace: write('trace'), debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };

export const state = {
  get: (key, otherwise) => {
    const bytes = state.getBytes(key);
    return bytes === undefined ? otherwise : JSON.parse(decodeText(bytes));
  },
  set: (key, value) => state.setBytes(key, encodeText(JSON.stringify(value))),
  getBytes: (key) => ask(() => contractState.get(key)) ?? undefined,
  setBytes: (key, bytes) => ask(() => contractState.set(key, bytes)),
  delete: (key) => ask(() => contractState['delete'](key)),
  keys: (prefix = '') => ask(() => contractState.keys(prefix)),
};

export const timers = {
  every: (name, period, delay = 0) => ask(() => contractTimers.every(name, u64(milliseconds(period)), u64(milliseconds(delay)))),
  after: (name, delay) => ask(() => contractTimers.after(name, u64(milliseconds(delay)))),
  cancel: (name) => contractTimers.cancel(name),
  remaining: (name) => {
    const left = contractTimers.remaining(name);
    return left === undefined || left === null ? undefined : Number(left);
  },
  due: () => contractTimers.due().map(({ name, count }) => ({ name, count: Number(count) })),
};
