/** Write MQTT services for MIQRO host in JavaScript and TypeScript. */

/** A value to publish: text and bytes as they are, `true` and `false` as 1 and 0, nothing as an empty payload, the rest as JSON. */
export type Value = Uint8Array | string | number | boolean | object | null | undefined;
/** Quality of service. */
export type Qos = 0 | 1 | 2;
/** A span of time: text such as `10s`, `1m30s` or `500ms`, or a number of milliseconds. */
export type Span = string | number;

/** The types of payloads that a handler may ask for. */
export interface Payloads {
  bytes: Uint8Array;
  text: string;
  number: number;
  boolean: boolean;
  json: any;
}

/** Properties that travel with a message (MQTT 5). */
export interface Properties {
  responseTopic?: string;
  correlationData?: Uint8Array;
  contentType?: string;
  /** Seconds. */
  messageExpiry?: number;
  utf8?: boolean;
  userProperties?: [string, string][];
}

/** An error of the host. Its text says what was refused and what would allow it. */
export class HostError extends Error {
  kind: 'invalid-topic' | 'denied' | 'invalid-property' | 'limit' | 'unavailable' | 'timed-out' | 'invalid' | 'invalid-key';
}

export interface HandlerOptions<As extends keyof Payloads = 'bytes'> {
  qos?: Qos;
  /** Whether the filter is a full one instead of one below the base topic. */
  global?: boolean;
  /** The type of the payload. One that cannot be read is a warning in the log, and the handler is not called. */
  as?: As;
}

/** Has a function handle messages. It gets the payload and the matches of the wildcards. */
export function on<As extends keyof Payloads = 'bytes'>(
  filter: string,
  run: (payload: Payloads[As], ...matches: string[]) => void,
  options?: HandlerOptions<As>,
): void;
/** Has a function run now (after `delay`) and in each period. Returning `false` ends it. */
export function every(period: Span, run: (count: number) => unknown, options?: { delay?: Span; name?: string }): void;
/** Has a function run when a timer of this name is due. `+` in the name matches one level, which the function gets. */
export function onTimer(name: string, run: (...matches: string[]) => void): void;
/** Has a function run when the service starts, after the subscriptions. */
export function onStart(run: () => void): void;
export function onStop(run: () => void): void;
export function onConnected(run: (sessionPresent: boolean) => void): void;
export function onDisconnected(run: () => void): void;
/** Has a function run for each message that was published with QoS 1 or 2, when its outcome is known. */
export function onDelivered(run: (token: number, outcome: { name: 'delivered' | 'timed-out' | 'refused'; reason?: string }) => void): void;
/** Has a function run when the section of the service has changed. An error refuses the change. */
export function onConfigChanged(run: () => void): void;
/** Has a function return what the next version of the service takes over. */
export function onSave(run: () => Value): void;
/** Has a function take over the data that the former version has saved. */
export function onLoad(run: (saved: Uint8Array) => void): void;
/** Has a function handle messages that no handler takes. */
export function onOther(run: (payload: Uint8Array, topic: string) => void): void;

export interface PublishOptions {
  qos?: Qos;
  retain?: boolean;
  /** Whether the topic is a full one instead of one below the base topic. */
  global?: boolean;
  /** Whether to leave the message out when nothing changed: `true`, or in this span of time. */
  onlyIfChanged?: boolean | Span;
  properties?: Properties;
}

/** Publishes when the call succeeds. With QoS 1 and 2 the returned token names the message in `onDelivered`. */
export function publish(topic: string, value: Value, options?: PublishOptions): number | undefined;
/** Publishes a value as JSON, also a text or a number. */
export function publishJson(topic: string, value: unknown, options?: PublishOptions): number | undefined;
/** Publishes one message for each key, below `topic`; objects in it level by level. */
export function publishJsonKeys(value: object, topic?: string, options?: PublishOptions): void;
/** Publishes a request and waits for its answer. It is sent at once, and stays sent when the call fails later. */
export function request(
  topic: string,
  value: Value,
  options?: { deadline?: Span; global?: boolean; properties?: Properties },
): { payload: Uint8Array; properties?: Properties };
/** Subscribes when the call succeeds. */
export function subscribe(filter: string, options?: { qos?: Qos; global?: boolean }): void;
export function unsubscribe(filter: string, options?: { global?: boolean }): void;

/** The message being handled; `undefined` outside of a handler. */
export function currentMessage():
  | { topic: string; relative: boolean; qos: Qos; retain: boolean; dup: boolean; attempt: number; properties?: Properties }
  | undefined;
/** The section of the service in `miqro.yml`, without the keys that are for the host. */
export function config<T = Record<string, any>>(): T;
/** The identity of the service. */
export function me(): { name: string; baseTopic: string; discoveryPrefix: string };

type Write = (message: unknown, fields?: Record<string, unknown>) => void;
/** Log lines. They are written at once, even if the call fails later. */
export const log: { trace: Write; debug: Write; info: Write; warn: Write; error: Write };

/** Values by key that outlive the service and the host, as JSON. Changes are kept when the call succeeds. */
export const state: {
  get<T = any>(key: string): T | undefined;
  get<T>(key: string, otherwise: T): T;
  set(key: string, value: unknown): void;
  getBytes(key: string): Uint8Array | undefined;
  setBytes(key: string, bytes: Uint8Array): void;
  delete(key: string): void;
  /** The keys that begin with `prefix`, in the order of their bytes. */
  keys(prefix?: string): string[];
};

/** Timers by name; `onTimer` names the functions for them. */
export const timers: {
  every(name: string, period: Span, delay?: Span): void;
  after(name: string, delay: Span): void;
  cancel(name: string): void;
  /** Milliseconds until the timer is due; `undefined`: there is none. */
  remaining(name: string): number | undefined;
  due(): { name: string; count: number }[];
};

/** The text of a payload; throws a TypeError for bytes that are not UTF-8. */
export function text(payload: Uint8Array): string;
/** A payload as another type; throws when it is not of that type. */
export function decode<As extends keyof Payloads>(payload: Uint8Array, as: As): Payloads[As];
/** The payload of a value. */
export function encode(value: Value): Uint8Array;
/** JSON, with floats rounded to `json_float_precision` of the section. */
export function toJson(value: unknown): string;
