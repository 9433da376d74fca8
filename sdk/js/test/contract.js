// The interfaces of the contract for native tests: `import 'miqro:..'` finds them here.
import { register } from 'node:module';

const source = `
export const world = globalThis.miqroWorld ??= {};
const call = (name) => (...parameters) => world[name](...parameters);
export const publish = call('publish'), request = call('request'), subscribe = call('subscribe'), unsubscribe = call('unsubscribe');
export const currentMessage = () => world.message;
export const every = call('every'), after = call('after'), cancel = call('cancel'), remaining = call('remaining');
export const due = () => world.due ?? [];
export const log = call('log'), me = call('me');
export const get = (...key) => (key.length ? world.state.get(key[0]) : JSON.stringify(world.config));
export const set = (key, value) => void world.state.set(key, value);
const remove = (key) => void world.state.delete(key);
export { remove as delete };
export const keys = (prefix) => [...world.state.keys()].filter((key) => key.startsWith(prefix)).sort();
`;
const hooks = `
export async function resolve(specifier, context, next) {
  return specifier.startsWith('miqro:') ? { url: 'miqro:contract', shortCircuit: true } : next(specifier, context);
}
export async function load(url, context, next) {
  return url === 'miqro:contract' ? { format: 'module', source: ${JSON.stringify(source)}, shortCircuit: true } : next(url, context);
}
`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
