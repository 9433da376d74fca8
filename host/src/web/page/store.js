// The last snapshot, and the figures of the ones before it, from which rates and charts are made.

import * as api from './api.js';

/** Samples that are kept of each service. */
const KEPT = 150;

export const store = {
  snapshot: null,
  session: null,
  /** `null` while the host answers. */
  problem: null,
  needsLogin: false,
  /** By service, and '' for the host: `{at, calls, failures, p99}`, the oldest first. */
  samples: new Map(),
};

function note(name, sample) {
  const samples = store.samples.get(name) ?? [];
  const last = samples[samples.length - 1];
  // a host that was started again counts from zero
  if (last && sample.calls < last.calls) samples.length = 0;
  samples.push(sample);
  if (samples.length > KEPT) samples.shift();
  store.samples.set(name, samples);
}

const calls = (activity) => activity.messages.calls + activity.timers.calls;
const failures = (activity) => activity.messages.failures + activity.timers.failures;

function noteAll(snapshot, at) {
  const known = new Set(['']);
  const all = { at, calls: 0, failures: 0, p99: 0 };
  for (const { name, activity } of snapshot.services) {
    known.add(name);
    if (!activity) continue;
    const sample = { at, calls: calls(activity), failures: failures(activity), p99: activity.messages.p99_us };
    note(name, sample);
    all.calls += sample.calls;
    all.failures += sample.failures;
    all.p99 = Math.max(all.p99, sample.p99);
  }
  // while a service is in a long call its figures are missing, and the sum would jump
  if (snapshot.services.every((service) => service.activity)) note('', all);
  for (const name of store.samples.keys()) if (!known.has(name)) store.samples.delete(name);
}

/** Calls a second since the sample before the last one; `null`: not known. */
export function rateOf(name, figure = 'calls') {
  const samples = store.samples.get(name) ?? [];
  if (samples.length < 2) return null;
  const [before, last] = samples.slice(-2);
  return Math.max(0, (last[figure] - before[figure]) / ((last.at - before.at) / 1000));
}

/** Columns for a chart: times in seconds, and rates. */
export function rates(name, figures) {
  const samples = store.samples.get(name) ?? [];
  const columns = [[], ...figures.map(() => [])];
  for (let index = 1; index < samples.length; index += 1) {
    const [before, now] = [samples[index - 1], samples[index]];
    columns[0].push(now.at / 1000);
    figures.forEach((figure, column) => {
      columns[column + 1].push((now[figure] - before[figure]) / ((now.at - before.at) / 1000));
    });
  }
  return columns;
}

/** Columns for a chart of p99 in milliseconds. */
export function durations(name) {
  const samples = store.samples.get(name) ?? [];
  return [samples.map((sample) => sample.at / 1000), samples.map((sample) => sample.p99 / 1000)];
}

/** Reads the snapshot, and again after a while; hosts with many services are asked less often. */
export async function poll(onChange) {
  try {
    if (!store.session) store.session = await api.session();
    const snapshot = await api.snapshot();
    noteAll(snapshot, Date.now());
    Object.assign(store, { snapshot, problem: null, needsLogin: false });
  } catch (error) {
    store.needsLogin = error.status === 401;
    if (store.needsLogin) store.session = null;
    store.problem = store.needsLogin ? null : error.status ? error.message : 'The host does not answer.';
  }
  onChange();
  const services = store.snapshot?.services.length ?? 0;
  if (!store.needsLogin) setTimeout(poll, services > 200 ? 5000 : 1000, onChange);
}

export const mayOperate = () => store.session?.role === 'operate';
