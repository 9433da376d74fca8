// The functions of a service, topic filters and spans of time.

/** The engine has the Web's interfaces, and a call waits for its promises: SpiderMonkey, not QuickJS. */
export const isWeb = typeof TextEncoder !== 'undefined';

export const handlers = [];
export const loops = new Map();
export const timers = [];
export const events = new Map();

/** Forgets everything: for tests. */
export function clear() {
  handlers.length = timers.length = 0;
  loops.clear();
  events.clear();
}

/** The matches of the wildcards of `filter`: a level for each `+`, the remainder for `#`; `undefined`: it does not match. */
export function captures(filter, topic) {
  if (filter.startsWith('$share/')) filter = filter.split('/').slice(2).join('/');
  if (topic.startsWith('$') && (filter[0] === '+' || filter[0] === '#')) return undefined;
  const wanted = filter.split('/');
  const levels = topic.split('/');
  const found = [];
  for (const [place, level] of wanted.entries()) {
    if (level === '#') return [...found, levels.slice(place).join('/')];
    if (place >= levels.length || (level !== '+' && level !== levels[place])) return undefined;
    if (level === '+') found.push(levels[place]);
  }
  return wanted.length === levels.length ? found : undefined;
}

const UNITS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };

/** A span of time in milliseconds: text such as `10s`, `1m30s` or `500ms`, or a number of milliseconds. */
export function milliseconds(span) {
  if (typeof span === 'number') return Math.round(span);
  const parts = [...String(span).matchAll(/(\d+(?:\.\d+)?)(ms|[dhms])\s*/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join('') !== span) {
    throw new TypeError(`expected a span of time such as 10s, 1m30s or 500ms, found ${JSON.stringify(span)}`);
  }
  return Math.round(parts.reduce((sum, [, number, unit]) => sum + Number(number) * UNITS[unit], 0));
}
