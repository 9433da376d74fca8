// The host's API: the same snapshot, commands and streams as those of the command line. Paths are relative, so that a proxy may
// serve the page below any path.

/** An answer with an error; `status` is that of HTTP. */
export class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

async function request(path, options = {}) {
  const answered = await fetch(path, { credentials: 'same-origin', cache: 'no-store', ...options });
  const body = await answered.json().catch(() => ({ error: `status ${answered.status}` }));
  if (!answered.ok) throw new Refused(answered.status, body.error);
  return body.ok;
}

const post = (path, value) =>
  request(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(value) });

export const snapshot = () => request('api/v1/snapshot');
export const session = () => request('api/v1/session');
export const login = (secrets) => post('api/v1/login', secrets);
export const logout = () => post('api/v1/logout', {});
export const command = (value) => post('api/v1/command', value);

/** Sends a component to be checked. `onProgress` gets the part that was sent, from 0 to 1, which `fetch` does not tell. */
export const upload = (service, component, signature, onProgress) =>
  new Promise((resolve, reject) => {
    const query = new URLSearchParams(signature == null ? { service } : { service, signature });
    const sending = new XMLHttpRequest();
    sending.open('POST', `api/v1/upload?${query}`);
    sending.setRequestHeader('Content-Type', 'application/wasm');
    sending.responseType = 'json';
    sending.upload.onprogress = (event) => onProgress(event.total ? event.loaded / event.total : 1);
    sending.onerror = () => reject(new Refused(0, 'the upload broke off'));
    sending.onload = () => {
      const { status, response } = sending;
      if (status === 200) resolve(response.ok);
      else reject(new Refused(status, response?.error ?? `status ${status}`));
    };
    sending.send(component);
  });

/**
 * Listens to a stream, and begins it again when it ends. Returns a function that ends it. A page that nobody looks at does not listen:
 * browsers open six connections to a host at most, for all their tabs together.
 */
export function listen(name, query, onItem, onBegin = () => {}) {
  const path = `api/v1/stream/${name}?${new URLSearchParams(query)}`;
  let source = null;
  const begin = () => {
    onBegin();
    // after an interruption the browser sends the number of its last log line, and the host goes on behind it
    source = new EventSource(path);
    source.onmessage = (event) => onItem(JSON.parse(event.data));
    source.onerror = () => {
      // the browser tries again by itself, except after an answer of another type
      if (source.readyState === EventSource.CLOSED) setTimeout(onVisible, 3000);
    };
  };
  const end = () => {
    source?.close();
    source = null;
  };
  let isOver = false;
  const onVisible = () => {
    end();
    if (!isOver && !document.hidden) begin();
  };
  document.addEventListener('visibilitychange', onVisible);
  onVisible();
  return () => {
    isOver = true;
    document.removeEventListener('visibilitychange', onVisible);
    end();
  };
}
