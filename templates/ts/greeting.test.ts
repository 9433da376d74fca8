import assert from 'node:assert/strict';
import { test } from 'node:test';

import { greeting } from '../src/greeting';

test('greeting', () => {
  assert.deepEqual(greeting('hi', 3), { text: 'hi', count: 3 });
});
