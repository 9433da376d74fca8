// The exports of the component: `export * from 'miqro-sdk/service'`. Only those that the project's world has are called.
import * as sdk from './index.js';
import { captures, events, handlers, isWeb, loops, timers } from './registry.js';

// errors of the contract are text
function textOf(error) {
  const name = error?.name === 'HostError' || error?.name === 'Error' ? '' : error?.name ? `${error.name}: ` : '';
  return error?.message === undefined ? String(error) : name + error.message;
}

const fail = (error) => {
  throw textOf(error);
};

function answer(run) {
  try {
    return run()?.catch(fail);
  } catch (error) {
    return fail(error);
  }
}

const isPromise = (result) => typeof result?.then === 'function';

// A call waits for promises where the engine can. QuickJS cannot: an error of the promise would be lost.
function settled(results) {
  const pending = results.filter(isPromise);
  if (pending.length === 0) return undefined;
  if (!isWeb) throw new TypeError('a function of the service returned a promise, for which the engine does not wait: use miqro-host build --web');
  return Promise.all(pending).then(() => undefined);
}

const callAll = (name, ...parameters) => settled((events.get(name) ?? []).map((run) => run(...parameters)));

export const start = () =>
  answer(() => {
    for (const { filter, qos, global } of handlers) sdk.subscribe(filter, { qos, global });
    for (const [name, { period, delay }] of loops) sdk.timers.every(name, period, delay);
    return callAll('start');
  });

function read(handler, payload) {
  try {
    return { value: sdk.decode(payload, handler.as) };
  } catch (error) {
    // trying again would not help
    sdk.log.warn(`a payload cannot be read: ${error.message}`, { filter: handler.filter });
    return undefined;
  }
}

export const handle = (topic, payload) =>
  answer(() => {
    const mixed = handlers.some((handler) => handler.global);
    const global = mixed && sdk.currentMessage()?.relative === false;
    const results = [];
    let handled = false;
    for (const handler of handlers) {
      const found = handler.global === global ? captures(handler.filter, topic) : undefined;
      if (found === undefined) continue;
      handled = true;
      const payloadRead = read(handler, payload);
      if (payloadRead) results.push(handler.run(payloadRead.value, ...found));
    }
    return handled ? settled(results) : callAll('other', payload, topic);
  });

function runDue({ name, count }) {
  const loop = loops.get(name);
  if (loop) {
    const end = (result) => void (result === false && sdk.timers.cancel(name));
    const result = loop.run(count);
    return isPromise(result) ? result.then(end) : end(result);
  }
  const found = timers.map(([filter, run]) => [captures(filter, name), run]).find(([matches]) => matches);
  if (found) return found[1](...found[0]);
  return sdk.log.debug('no function for a timer', { timer: name });
}

export const tick = () => answer(() => settled(sdk.timers.due().map(runDue)));

export const stop = () => answer(() => callAll('stop'));
export const connected = (sessionPresent) => answer(() => callAll('connected', sessionPresent));
export const disconnected = () => answer(() => callAll('disconnected'));
export const delivered = (token, outcome) => answer(() => callAll('delivered', Number(token), { name: outcome.tag, reason: outcome.val }));
export const configChanged = () =>
  answer(() => {
    sdk.forgetConfig();
    return callAll('configChanged');
  });
export const save = () => {
  for (const run of events.get('save') ?? []) return sdk.encode(run());
  return new Uint8Array();
};
export const load = (saved) => answer(() => callAll('load', saved));
