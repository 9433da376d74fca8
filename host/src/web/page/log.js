// The log, by service and level.

import * as api from './api.js';
import { Component, Stream, html } from './ui.js';
import { Line } from './rows.js';
import { store } from './store.js';

export class Log extends Component {
  state = { service: '', level: 'info', filter: '' };

  render(_, { service, level, filter }) {
    const wanted = filter.toLowerCase();
    const wants = ({ line }) => `${line.service ?? ''} ${line.target} ${line.message}`.toLowerCase().includes(wanted);
    const set = (name) => (event) => this.setState({ [name]: event.target.value });
    return html`<div>
      <h1>Log</h1>
      <div class="row">
        <label>Service <select value=${service} onChange=${set('service')}><option value="">host and all services</option>
          ${store.snapshot.services.map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>
        <label>Level <select value=${level} onChange=${set('level')}>${['error', 'warning', 'info', 'debug', 'trace'].map((name) => html`<option key=${name}>${name}</option>`)}</select></label>
        <label>Filter <input type="search" value=${filter} onInput=${set('filter')} /></label>
      </div>
      <${Stream} key=${`${service} ${level}`} label="Log lines" limit=${1000} startsAgain wants=${wants} row=${({ line }) => html`<${Line} line=${line} />`}
        listen=${(onItem, onBegin) => api.listen('logs', { level, ...(service && { service }) }, onItem, onBegin)} />
    </div>`;
  }
}
