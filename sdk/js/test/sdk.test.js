// The SDK natively: registration, payloads, errors, timers. The component is tested by the host's tests.
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import * as sdk from '../index.js';
import { decodeText, encodeText } from '../bytes.js';
import { captures, clear, milliseconds } from '../registry.js';
import * as service from '../service.js';

const world = (globalThis.miqroWorld ??= {});
const bytes = (text) => new TextEncoder().encode(text);
let published;

beforeEach(() => {
  clear();
  sdk.forgetConfig();
  published = [];
  Object.assign(world, {
    config: {}, state: new Map(), message: undefined, due: [], lines: [], filters: [], set: [], cancelled: [],
    publish: (topic, payload, options) => void published.push([topic, decodeText(payload), options]),
    subscribe: (filter, options) => void world.filters.push([filter, options]),
    every: (...timer) => void world.set.push(timer),
    after: (...timer) => void world.set.push(timer),
    cancel: (name) => void world.cancelled.push(name),
    remaining: () => 5n,
    log: (level, message) => void world.lines.push([level, message]),
  });
});

test('handlers get the payload and the matches of wildcards', () => {
  const got = [];
  sdk.on('lamp/+/#', (...all) => got.push(all));
  sdk.on('number', (value) => got.push(value), { as: 'number' });
  sdk.on('json', (value) => got.push(value), { as: 'json', qos: 2 });
  service.start();
  assert.deepEqual(world.filters.map(([filter, { qos }]) => [filter, qos]), [['lamp/+/#', 'at-least-once'], ['number', 'at-least-once'], ['json', 'exactly-once']]);
  service.handle('lamp/kitchen/set/now', bytes('x'));
  service.handle('number', bytes('2.5'));
  service.handle('json', bytes('{"a": 1}'));
  assert.deepEqual(got, [[bytes('x'), 'kitchen', 'set/now'], 2.5, { a: 1 }]);
});

test('a payload that cannot be read is a warning', () => {
  sdk.on('number', () => assert.fail('called'), { as: 'number' });
  for (const payload of ['', 'nan', '1e999', 'x']) service.handle('number', bytes(payload));
  service.handle('number', new Uint8Array([0xff]));
  assert.equal(world.lines.filter(([level]) => level === 'warn').length, 5);
});

test('deep JSON is refused before it overflows the stack', () => {
  assert.deepEqual(sdk.decode(bytes(`${'['.repeat(200)}${']'.repeat(200)}`), 'json').length, 1);
  assert.deepEqual(sdk.decode(bytes(`["${'[{'.repeat(5000)}\\""]`), 'json'), [`${'[{'.repeat(5000)}"`]);
  assert.equal(sdk.decode(bytes(`[${'[],'.repeat(5000)}[]]`), 'json').length, 5001);
  for (const deep of ['['.repeat(10000), '{"a":'.repeat(201)]) {
    assert.throws(() => sdk.decode(bytes(deep), 'json'), /at most 200 levels/);
  }
});

test('every kind of value publishes', () => {
  const values = [bytes('b'), 'text', 7, 2.123456, true, false, null, undefined, { a: 1.23456 }, [1, 'x'], 'größe 😀'];
  for (const value of values) sdk.publish('x', value);
  const expected = ['b', 'text', '7', '2.1235', '1', '0', '', '', '{"a":1.2346}', '[1,"x"]', 'größe 😀'];
  assert.deepEqual(published.map(([, payload]) => payload), expected);
  published = [];
  sdk.publishJson('x', 'text');
  sdk.publishJsonKeys({ a: 1, b: { c: true } }, 'top');
  assert.deepEqual(published.map(([topic, payload]) => [topic, payload]), [['x', '"text"'], ['top/a', '1'], ['top/b/c', '1']]);
  for (const value of [NaN, { a: Infinity }, () => 1, Symbol('x')]) assert.throws(() => sdk.publish('x', value));
});

test('options of a publish are those of the contract', () => {
  sdk.publish('x', 1, { qos: 1, retain: true, global: true, onlyIfChanged: '1m', properties: { contentType: 'text/plain' } });
  const [, , options] = published[0];
  assert.deepEqual([options.qos, options.retain, options.global, options.onlyIfChanged], ['at-least-once', true, true, { tag: 'within', val: 60000n }]);
  assert.equal(options.properties.contentType, 'text/plain');
});

test('whatever is thrown becomes text', () => {
  const cases = [
    [new Error('boom'), 'boom'], ['text', 'text'], [{ payload: { tag: 'denied', val: 'not granted' } }, 'not granted'],
    [{ tag: 'refused', val: { tag: 'limit', val: 'too much' } }, 'too much'], [{ tag: 'timed-out' }, 'no answer came in time'],
  ];
  for (const [thrown, expected] of cases) {
    clear();
    world.publish = () => { throw thrown; };
    sdk.on('x', () => sdk.publish('y', 1));
    assert.throws(() => service.handle('x', bytes('')), (error) => error === expected);
  }
  clear();
  sdk.on('x', () => null.y);
  assert.throws(() => service.handle('x', bytes('')), (error) => typeof error === 'string' && error.startsWith('TypeError: '));
});

test('loops and timers', () => {
  let left = 2;
  sdk.every('1m30s', function count() { return --left > 0; });
  sdk.onTimer('off/+', (lamp) => sdk.publish(lamp, false));
  service.start();
  assert.deepEqual(world.set, [['count', 90000n, 0n]]);
  world.due = [{ name: 'count', count: 1n }];
  service.tick();
  assert.deepEqual(world.cancelled, []);
  service.tick();
  assert.deepEqual(world.cancelled, ['count']);
  world.due = [{ name: 'off/kitchen', count: 1n }];
  service.tick();
  assert.deepEqual(published.map(([topic, payload]) => [topic, payload]), [['kitchen', '0']]);
  world.due = [{ name: 'unknown', count: 1n }];
  service.tick();
  assert.equal(sdk.timers.remaining('x'), 5);
});

test('a call waits for promises, where the engine can', async () => {
  const steps = [];
  const later = async (step) => {
    await null;
    steps.push(step);
  };
  sdk.on('later', () => later('handle'));
  sdk.on('fails', async () => {
    await null;
    throw new TypeError('no such host');
  });
  sdk.every('1s', async function once() {
    await later('loop');
    return false;
  });
  sdk.onTimer('off', () => later('timer'));
  sdk.onStart(() => later('start'));
  sdk.onOther(() => later('other'));

  await service.start();
  await service.handle('later', bytes(''));
  await service.handle('unknown', bytes(''));
  world.due = [{ name: 'once', count: 1n }, { name: 'off', count: 1n }];
  await service.tick();
  assert.deepEqual(steps.sort(), ['handle', 'loop', 'other', 'start', 'timer']);
  assert.deepEqual(world.cancelled, ['once']);
  await assert.rejects(service.handle('fails', bytes('')), (error) => error === 'TypeError: no such host');
});

test('state is JSON by key', () => {
  assert.equal(sdk.state.get('count', 3), 3);
  sdk.state.set('count', { a: 1 });
  assert.deepEqual([sdk.state.get('count'), sdk.state.keys('c')], [{ a: 1 }, ['count']]);
  sdk.state.delete('count');
  assert.equal(sdk.state.get('count'), undefined);
});

test('text is UTF-8 in both directions', () => {
  for (const text of ['', 'a\0b', 'é€😀', 'x'.repeat(10000)]) {
    assert.deepEqual(encodeText(text), bytes(text));
    assert.equal(decodeText(bytes(text)), text);
  }
  assert.deepEqual(encodeText('\ud800'), bytes('\ufffd'));
  for (const wrong of [[0xff], [0xc3], [0xc0, 0x80], [0xe0, 0x80, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0x80]]) {
    assert.throws(() => decodeText(new Uint8Array(wrong)), TypeError);
  }
});

test('filters match as MQTT says', () => {
  const cases = [
    ['a/#', 'a', ['']], ['a/#', 'a/b/c', ['b/c']], ['+', '', ['']], ['+/b', 'a/b', ['a']], ['a/+', 'a', undefined],
    ['#', '$SYS/x', undefined], ['$share/g/a/+', 'a/b', ['b']], ['a', 'a/b', undefined], ['a/b', 'a', undefined],
  ];
  for (const [filter, topic, expected] of cases) assert.deepEqual(captures(filter, topic), expected, `${filter} ${topic}`);
});

test('spans of time', () => {
  assert.deepEqual(['10s', '1m30s', '500ms', '1.5s', 7].map(milliseconds), [10000, 90000, 500, 1500, 7]);
  for (const wrong of ['', '10', 's', '10s!', 'x10s']) assert.throws(() => milliseconds(wrong), TypeError);
});
