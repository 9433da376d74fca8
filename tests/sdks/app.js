// Calls each function of the SDK by its name in the contract.
import {
  config, currentMessage, log, me, on, onConfigChanged, onConnected, onDelivered, onDisconnected, onLoad, onOther, onSave, onStart, onStop,
  onTimer, publish, request, state, subscribe, timers, unsubscribe,
} from 'miqro-sdk';

export * from 'miqro-sdk/service';

const done = (value) => publish('done', value);

const calls = {
  'messaging.publish': (text) => publish('done', text, { qos: 2, retain: true }),
  'messaging.request': (text) => done(request('ask', text).payload),
  'messaging.subscribe': (filter) => subscribe(filter),
  'messaging.unsubscribe': (filter) => unsubscribe(filter),
  'messaging.current-message': () => done(currentMessage().topic),
  'timers.every': (name) => timers.every(name, '1s'),
  'timers.after': (name) => timers.after(name, '2s'),
  'timers.cancel': (name) => timers.cancel(name),
  'timers.remaining': (name) => done(timers.remaining(name) !== undefined),
  'config.get': () => done(config()),
  'config.me': () => done(me().name),
  'state.get': () => done(state.get('key')),
  'state.set': (text) => state.set('key', Number(text)),
  'state.delete': () => state.delete('key'),
  'state.keys': (prefix) => done(state.keys(prefix).join(',')),
  'log.log': (text) => log.info(text, { field: 1 }),
};

on('call/+', (text, name) => calls[name](text), { as: 'text' });
onOther((payload, topic) => done(topic));
onTimer('+', (name) => done(name));

onStart(() => done('start'));
onStop(() => done('stop'));
onConnected(() => done('connected'));
onDisconnected(() => done('disconnected'));
onDelivered((token) => log.debug('delivered', { token }));
onConfigChanged(() => log.debug('changed'));
onSave(() => 'kept');
onLoad((saved) => done(saved));
