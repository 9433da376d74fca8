// Values as text. Nothing here makes markup: the results become text nodes.

export const count = (value) => (value == null ? '-' : Number(value).toLocaleString('en'));

export const rate = (value) => (value == null ? '-' : value >= 100 ? value.toFixed(0) : value.toFixed(1));

export function bytes(value) {
  if (value == null) return '-';
  if (value < 1024) return `${value} B`;
  if (value < 1024 * 1024) return `${(value / 1024).toFixed(0)} KiB`;
  return `${(value / 1024 / 1024).toFixed(1)} MiB`;
}

export function micros(value) {
  if (!value) return '-';
  if (value < 1e3) return `${value.toFixed(0)} µs`;
  if (value < 1e6) return `${(value / 1e3).toFixed(1)} ms`;
  return `${(value / 1e6).toFixed(1)} s`;
}

export function seconds(value) {
  if (value == null) return '-';
  if (value < 120) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  if (value < 7200) return `${Math.floor(value / 60)} min`;
  if (value < 172800) return `${Math.floor(value / 3600)} h`;
  return `${Math.floor(value / 86400)} d`;
}

export const list = (values) => (values.length ? values.join(', ') : 'none');

export const short = (version) => (version ? version.slice(0, 12) : '-');

export const failures = (activity) =>
  activity ? activity.messages.failures + activity.timers.failures + activity.other.failures : null;

export const payload = (message) =>
  message.payload != null ? message.payload : `0x${message.payload_hex}`;

export const clock = (milliseconds) => new Date(milliseconds).toISOString().slice(11, 23);
