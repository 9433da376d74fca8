// All services as a table that can be filtered and sorted.

import { Component, Status, html } from './ui.js';
import { bytes, count, failures, micros, rate, short } from './format.js';
import { rateOf, store } from './store.js';

/** Rows that are drawn at most; the filter finds the others. */
const ROWS = 300;

const COLUMNS = [
  ['Service', (service) => service.name, (service) => html`<a href=${`#/service/${encodeURIComponent(service.name)}`}>${service.name}</a>`],
  ['Status', (service) => service.status, (service) => html`<${Status} service=${service} />`],
  ['Calls/s', (service) => rateOf(service.name) ?? -1, (service) => rate(rateOf(service.name)), 'number'],
  ['p99', (service) => service.activity?.messages.p99_us ?? -1, (service) => micros(service.activity?.messages.p99_us), 'number'],
  ['Failures', (service) => failures(service.activity) ?? -1, (service) => count(failures(service.activity)), 'number'],
  ['Waiting', (service) => service.activity?.waiting ?? -1, (service) => count(service.activity?.waiting), 'number'],
  ['Memory', (service) => service.activity?.used.memory ?? -1, (service) => bytes(service.activity?.used.memory), 'number wide'],
  ['Dead letters', (service) => service.dead_letters ?? -1, (service) => count(service.dead_letters), 'number wide'],
  ['Version', (service) => service.version ?? '', (service) => html`<code>${short(service.version)}</code>`, 'wide'],
  ['Last fault', (service) => service.activity?.last_fault?.kind ?? '', (service) => service.activity?.last_fault?.kind ?? '-', 'wide'],
];

export class Services extends Component {
  state = { filter: '', column: 0, isDown: false };

  sort(column) {
    const isDown = this.state.column === column ? !this.state.isDown : COLUMNS[column][3]?.startsWith('number') ?? false;
    this.setState({ column, isDown });
  }

  render(_, { filter, column, isDown }) {
    const wanted = filter.toLowerCase();
    const found = store.snapshot.services.filter((service) => service.name.toLowerCase().includes(wanted) || service.status.includes(wanted));
    const key = COLUMNS[column][1];
    found.sort((one, other) => (key(one) < key(other) ? -1 : key(one) > key(other) ? 1 : 0) * (isDown ? -1 : 1));
    return html`<div>
      <h1>Services</h1>
      <div class="row">
        <label>Filter <input type="search" value=${filter} onInput=${(event) => this.setState({ filter: event.target.value })} /></label>
        <span class="dim">${found.length} of ${store.snapshot.services.length}</span>
      </div>
      <div class="scroll"><table>
        <thead><tr>${COLUMNS.map(([label, , , kind = ''], index) => html`<th key=${label} class=${kind}
          aria-sort=${index === column ? (isDown ? 'descending' : 'ascending') : 'none'}>
          <button onClick=${() => this.sort(index)}>${label}${index === column ? (isDown ? ' ↓' : ' ↑') : ''}</button></th>`)}</tr></thead>
        <tbody>${found.slice(0, ROWS).map((service) => html`<tr key=${service.name}>
          ${COLUMNS.map(([label, , cell, kind = '']) => html`<td key=${label} class=${kind}>${cell(service)}</td>`)}</tr>`)}</tbody>
      </table></div>
      ${found.length > ROWS && html`<p class="dim">${found.length - ROWS} more: use the filter</p>`}
    </div>`;
  }
}
