// A picture of the messages that flow between services, drawn from the calls that happen while it is shown: topics on the left and on
// the right, services between them, and numbers of messages on the edges.

import * as api from './api.js';
import { Component, html } from './ui.js';

/** Topics and services that are drawn at most; the busiest ones stay. */
const DRAWN = 40;
const ROW = 34;
const WIDTH = 1000;
const BOX = 250;

export class Graph extends Component {
  state = { edges: new Map(), lost: 0 };

  componentDidMount() {
    this.edges = new Map();
    this.lost = 0;
    this.end = api.listen('calls', {}, (item) => this.note(item));
    this.timer = setInterval(() => this.setState({ edges: new Map(this.edges), lost: this.lost }), 1000);
  }

  componentWillUnmount() {
    this.end();
    clearInterval(this.timer);
  }

  note({ call, lost }) {
    if (lost) {
      this.lost += lost;
      return;
    }
    const add = (from, to, kind) => {
      const key = JSON.stringify([from, to, kind]);
      this.edges.set(key, (this.edges.get(key) ?? 0) + 1);
      // a service with a topic for each message would fill the memory
      if (this.edges.size > 2000) this.edges.delete(this.edges.keys().next().value);
    };
    if (call.message) add(call.message.topic, call.service, 'in');
    for (const message of call.published) add(call.service, message.topic, 'out');
  }

  render(_, { edges, lost }) {
    const all = [...edges].map(([key, number]) => [...JSON.parse(key), number]);
    const drawn = all.sort((one, other) => other[3] - one[3]).slice(0, DRAWN);
    const place = (names) => new Map([...new Set(names)].sort().map((name, index) => [name, index]));
    const from = place(drawn.filter((edge) => edge[2] === 'in').map((edge) => edge[0]));
    const to = place(drawn.filter((edge) => edge[2] === 'out').map((edge) => edge[1]));
    const services = place(drawn.map((edge) => (edge[2] === 'in' ? edge[1] : edge[0])));
    const height = Math.max(from.size, to.size, services.size, 1) * ROW + 10;
    const middle = (places, name) => (height * (places.get(name) + 0.5)) / places.size;
    const columns = [0, (WIDTH - BOX) / 2, WIDTH - BOX];
    const node = (places, column, kind) => (name) => html`<g key=${kind + column + name} class=${kind}>
      <title>${name}</title><rect x=${columns[column]} y=${middle(places, name) - 12} width=${BOX} height="24" />
      <text x=${columns[column] + 8} y=${middle(places, name) + 5}>${name.length > 34 ? `${name.slice(0, 33)}…` : name}</text></g>`;
    const edge = ([one, other, kind, number]) => {
      const [x1, y1, x2, y2] = kind === 'in'
        ? [BOX, middle(from, one), columns[1], middle(services, other)]
        : [columns[1] + BOX, middle(services, one), columns[2], middle(to, other)];
      const bend = (x1 + x2) / 2;
      return html`<g key=${kind + one + other}><path d=${`M${x1} ${y1}C${bend} ${y1} ${bend} ${y2} ${x2} ${y2}`} stroke-width=${1 + Math.min(5, Math.log10(number))} />
        <text x=${x1 + (x2 - x1) / 4} y=${y1 + (y2 - y1) * 0.16 - 5} text-anchor="middle">${number}</text></g>`;
    };
    return html`<div>
      <h1>Flow</h1>
      <p class="dim">Messages since this page was opened: topics that services handle, the services, and topics that they publish on.
        ${all.length > DRAWN && ` The ${DRAWN} busiest of ${all.length} are drawn.`}${lost > 0 && ` ${lost} calls were not seen.`}</p>
      ${drawn.length === 0
        ? html`<p>No message was handled yet.</p>`
        : html`<div class="scroll"><svg class="graph" viewBox=${`0 0 ${WIDTH} ${height}`} width="100%" role="img" aria-label="Flow of messages between services">
            ${drawn.map(edge)}
            ${[...from.keys()].map(node(from, 0, 'topic'))}${[...services.keys()].map(node(services, 1, 'service'))}${[...to.keys()].map(node(to, 2, 'topic'))}
          </svg></div>`}
    </div>`;
  }
}
