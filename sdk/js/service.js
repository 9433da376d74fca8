// The exports of the component: `export * from 'miqro-sdk/service'`. Only those that the project's world has are called.
import * as sdk from './index.js';
import { captures, events, handlers, loops, timers } from './registry.js';

// errors of the contract are text
function answer(run) {
  try {
    return run();
  } catch (error) {
    const name = error?.name === 'HostError' || error?.name === 'Error' ? '' : error?.name ? `${error.name}: ` : '';
    throw error?.message === undefined ? String(error) : name + error.message;
  }
}

const callAll = (name, ...parameters) => {
  for (const run of events.get(name) ?? []) run(...parameters);
};

export const start = () =>
  answer(() => {
    for (const { filter, qos, global } of handlers) sdk.subscribe(filter, { qos, global });
    for (const [name, { period, delay }] of loops) sdk.timers.every(name, period, delay);
    callAll('start');
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
    let handled = false;
    for (const handler of handlers) {
      const found = handler.global === global ? captures(handler.filter, topic) : undefined;
      if (found === undefined) continue;
      handled = true;
      const payloadRead = read(handler, payload);
      if (payloadRead) handler.run(payloadRead.value, ...found);
    }
    if (!handled) callAll('other', payload, topic);
  });

export const tick = () =>
  answer(() => {
    for (const { name, count } of sdk.timers.due()) {
      const loop = loops.get(name);
      if (loop) {
        if (loop.run(count) === false) sdk.timers.cancel(name);
        continue;
      }
      const found = timers.map(([filter, run]) => [captures(filter, name), run]).find(([matches]) => matches);
      if (found) found[1](...found[0]);
      else sdk.log.debug('no function for a timer', { timer: name });
    }
  });

export const stop = () => answer(() => callAll('stop'));
export const connected = (sessionPresent) => answer(() => callAll('connected', sessionPresent));
export const disconnected = () => answer(() => callAll('disconnected'));
export const delivered = (token, outcome) => answer(() => callAll('delivered', Number(token), { name: outcome.tag, reason: outcome.val }));
export const configChanged = () =>
  answer(() => {
    sdk.forgetConfig();
    callAll('configChanged');
  });
export const save = () => {
  for (const run of events.get('save') ?? []) return sdk.encode(run());
  return new Uint8Array();
};
export const load = (saved) => answer(() => callAll('load', saved));
