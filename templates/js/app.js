// {{name}}: answers messages, and publishes a greeting every ten seconds.
import { config, every, on, publish, state } from 'miqro-sdk';

import { greeting } from './greeting.js';

export * from 'miqro-sdk/service';

on('echo', (payload) => publish('echo_response', payload));

every('10s', function greet() {
  const count = state.get('count', 0) + 1;
  state.set('count', count);
  publish('greeting', greeting(config().greeting ?? 'hello', count));
});
