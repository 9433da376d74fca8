// Parts that several pages use.

import { Component, h } from './vendor/preact.mjs';
import htm from './vendor/htm.mjs';
import uPlot from './vendor/uplot.mjs';

export const html = htm.bind(h);
export { Component };

export const Tile = ({ label, value, kind = '' }) =>
  html`<div class="tile"><span class="dim">${label}</span><b class=${kind}>${value}</b></div>`;

const STATUS = { running: 'good', starting: 'warn', waiting: 'warn', failed: 'bad', stopped: 'dim' };

export const Status = ({ service }) => html`<span class=${STATUS[service.status] ?? ''}>
  ${service.status}${service.on_probation ? ', on probation' : ''}${service.available ? ', update' : ''}${service.activity?.enabled === false ? ', off' : ''}
</span>`;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const DAY = 86400;

/** The times that a chart shows: the last minute while there is one sample at most, which uPlot widens to a thousand days. */
const spread = (_, first, last) => (first == null || first === last || last - first > DAY ? [Date.now() / 1000 - 60, Date.now() / 1000] : [first, last]);

/** A chart over time. `series`: label and name of a colour for each column behind the times. */
export class Chart extends Component {
  componentDidMount() {
    this.make();
    this.observer = new ResizeObserver(() => this.plot.setSize(this.size()));
    this.observer.observe(this.place);
    this.scheme = matchMedia('(prefers-color-scheme: dark)');
    this.onScheme = () => {
      this.plot.destroy();
      this.make();
    };
    this.scheme.addEventListener('change', this.onScheme);
  }

  size() {
    return { width: Math.max(this.place.clientWidth, 200), height: 180 };
  }

  make() {
    const axis = { stroke: colour('--dim'), grid: { stroke: colour('--line'), width: 1 }, ticks: { stroke: colour('--line') } };
    const lines = this.props.series.map(([label, name]) => ({ label, stroke: colour(name), width: 2, points: { show: false } }));
    const options = { ...this.size(), series: [{}, ...lines], axes: [axis, { ...axis, size: 55 }], scales: { x: { range: spread }, y: { range: (_, __, most) => [0, most || 1] } } };
    this.plot = new uPlot(options, this.props.data, this.place);
  }

  componentDidUpdate() {
    this.plot.setData(this.props.data);
  }

  componentWillUnmount() {
    this.observer.disconnect();
    this.scheme.removeEventListener('change', this.onScheme);
    this.plot.destroy();
  }

  shouldComponentUpdate(next) {
    return next.data !== this.props.data;
  }

  render() {
    return html`<div role="img" aria-label=${this.props.label} ref=${(place) => (this.place = place)}></div>`;
  }
}

/** Asks before something is lost. */
export class Confirm extends Component {
  componentDidMount() {
    this.dialog.showModal();
  }

  render({ question, onAnswer }) {
    return html`<dialog ref=${(dialog) => (this.dialog = dialog)} onClose=${() => onAnswer(this.dialog.returnValue === 'yes')}>
      <form method="dialog">
        <p>${question}</p>
        <div class="row"><button value="yes" class="loses">Yes</button><button value="no">No</button></div>
      </form>
    </dialog>`;
  }
}

/** A list of the last lines of a stream. It is drawn at most once a frame, and holds still while it is paused. */
export class Stream extends Component {
  state = { items: [], isPaused: false };
  waiting = [];
  key = 0;

  componentDidMount() {
    this.end = this.props.listen(
      (item) => this.add(item),
      () => {
        if (this.props.startsAgain) this.setState({ items: [] });
      },
    );
  }

  componentWillUnmount() {
    this.end();
    cancelAnimationFrame(this.frame);
  }

  add(item) {
    if (this.state.isPaused) return;
    this.key += 1;
    this.waiting.push({ ...item, key: this.key });
    if (this.waiting.length > this.props.limit) this.waiting.shift();
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = null;
    const items = [...this.state.items, ...this.waiting].slice(-this.props.limit);
    this.waiting = [];
    const list = this.list;
    const isAtEnd = !list || list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    this.setState({ items }, () => {
      if (isAtEnd && this.list) this.list.scrollTop = this.list.scrollHeight;
    });
  }

  render({ row, wants = () => true, label }, { items, isPaused }) {
    const shown = items.filter((item) => item.lost || wants(item));
    return html`<div>
      <div class="row">
        <button aria-pressed=${String(isPaused)} onClick=${() => this.setState({ isPaused: !isPaused })}>${isPaused ? 'Continue' : 'Pause'}</button>
        <button onClick=${() => this.setState({ items: [] })}>Clear</button>
        <span class="dim">${shown.length} shown</span>
      </div>
      <div class="lines" role="log" aria-label=${label} tabindex="0" ref=${(list) => (this.list = list)}>
        ${shown.map((item) => html`<div key=${item.key}>${item.lost ? html`<span class="bad">${item.lost} were lost here: too many a second, or this page is too slow</span>` : row(item)}</div>`)}
      </div>
    </div>`;
  }
}
