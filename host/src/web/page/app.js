// The frame around the pages: navigation, login, and reports of commands. The address after `#` says which page is shown.

import { render } from './vendor/preact.mjs';
import * as api from './api.js';
import { Component, html } from './ui.js';
import { Graph } from './graph.js';
import { Log } from './log.js';
import { Messages } from './messages.js';
import { Overview } from './overview.js';
import { Service } from './service.js';
import { Services } from './services.js';
import { poll, store } from './store.js';

const PAGES = [
  ['', 'Overview', Overview],
  ['services', 'Services', Services],
  ['messages', 'Messages', Messages],
  ['flow', 'Flow', Graph],
  ['log', 'Log', Log],
];

class Login extends Component {
  state = { name: '', secret: '', problem: null };

  async submit(event) {
    event.preventDefault();
    const { name, secret } = this.state;
    try {
      store.session = await api.login(name ? { name, password: secret } : { token: secret });
      this.props.onLogin();
    } catch (error) {
      this.setState({ problem: error.message });
    }
  }

  render(_, { name, secret, problem }) {
    return html`<form class="login" onSubmit=${(event) => this.submit(event)}>
      <h1>MIQRO host</h1>
      <label for="name">Name (none for a token)</label>
      <input id="name" autocomplete="username" autofocus value=${name} onInput=${(event) => this.setState({ name: event.target.value })} />
      <label for="secret">Password or token</label>
      <input id="secret" type="password" autocomplete="current-password" required value=${secret} onInput=${(event) => this.setState({ secret: event.target.value })} />
      <button class="main">Log in</button>
      ${problem && html`<p class="bad" role="alert">${problem}</p>`}
    </form>`;
  }
}

class App extends Component {
  state = { path: location.hash, toast: null };

  componentDidMount() {
    addEventListener('hashchange', () => this.setState({ path: location.hash }));
    this.poll();
  }

  poll() {
    poll(() => this.setState({}));
  }

  say(text, isBad = false) {
    clearTimeout(this.timer);
    this.setState({ toast: { text, isBad } });
    this.timer = setTimeout(() => this.setState({ toast: null }), 8000);
  }

  async run(command) {
    try {
      this.say(String(await api.command(command)));
    } catch (error) {
      this.say(error.message, true);
      if (error.status === 401) {
        store.needsLogin = true;
        this.setState({});
      }
    }
  }

  async logOut() {
    try {
      await api.logout();
      Object.assign(store, { session: null, snapshot: null, needsLogin: true });
      this.setState({});
    } catch (error) {
      this.say(error.message, true);
    }
  }

  page(path) {
    const run = (command) => this.run(command);
    const say = (text, isBad) => this.say(text, isBad);
    const [page, name] = path.replace(/^#\/?/, '').split('/');
    if (page === 'service') {
      const wanted = decodeURIComponent(name ?? '');
      const service = store.snapshot.services.find((one) => one.name === wanted);
      return html`<${Service} key=${wanted} name=${wanted} service=${service} run=${run} say=${say} />`;
    }
    const [, , Page] = PAGES.find(([known]) => known === page) ?? PAGES[0];
    return html`<${Page} run=${run} say=${say} />`;
  }

  render(_, { path, toast }) {
    if (store.needsLogin) return html`<main><${Login} onLogin=${() => this.poll()} /></main>`;
    const current = path.replace(/^#\/?/, '').split('/')[0];
    return html`<div>
      <header>
        <strong>MIQRO host</strong>
        <nav aria-label="Pages">${PAGES.map(([page, label]) => html`<a key=${page} href=${`#/${page}`}
          aria-current=${page === current || (page === 'services' && current === 'service') ? 'page' : null}>${label}</a>`)}</nav>
        ${store.session?.name && html`<span class="dim">${store.session.name} (${store.session.role})</span><button onClick=${() => this.logOut()}>Log out</button>`}
      </header>
      <main>
        ${store.problem && html`<p class="bad" role="alert">${store.problem} The figures below are not up to date.</p>`}
        ${store.snapshot ? this.page(path) : !store.problem && html`<p>Loading</p>`}
      </main>
      <div aria-live="polite">${toast && html`<div class=${`toast ${toast.isBad ? 'bad' : ''}`}>${toast.text}</div>`}</div>
    </div>`;
  }
}

render(html`<${App} />`, document.getElementById('app'));
