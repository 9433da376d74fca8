// One service: figures, limits, grants, dead letters, versions, calls and log lines, and its commands.

import * as api from './api.js';
import { Deploy, Shadow } from './deploy.js';
import { Chart, Component, Confirm, Status, Stream, Tile, html } from './ui.js';
import { Call, Line } from './rows.js';
import { bytes, count, failures, list, micros, rate, seconds, short } from './format.js';
import { durations, mayOperate, rateOf, rates, store } from './store.js';

/** Indents JSON; other text stays as it is. */
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function Subscriptions({ activity }) {
  const qos = (one) => (one.granted_qos == null ? 'not confirmed' : one.granted_qos < one.requested_qos ? `${one.granted_qos} (asked for ${one.requested_qos})` : one.granted_qos);
  return html`<section class="panel"><h2>Subscriptions</h2><table>
    <thead><tr><th>Filter</th><th>Granted QoS</th></tr></thead>
    <tbody>${activity.subscriptions.map((one) => html`<tr key=${one.filter}><td>${one.filter}</td><td class=${one.granted_qos == null ? 'warn' : ''}>${qos(one)}</td></tr>`)}</tbody>
  </table></section>`;
}

function Timers({ activity }) {
  return html`<section class="panel"><h2>Timers</h2><table>
    <thead><tr><th>Timer</th><th>Every</th><th>Due in</th></tr></thead>
    <tbody>${activity.scheduled.map((timer) => html`<tr key=${timer.name}><td>${timer.name}</td><td>${timer.period_s == null ? 'once' : seconds(timer.period_s)}</td><td>${seconds(timer.due_in_s)}</td></tr>`)}</tbody>
  </table>${activity.scheduled.length === 0 && html`<p class="dim">none</p>`}</section>`;
}

function Limits({ service }) {
  const { used, faults } = service.activity ?? { used: {}, faults: {} };
  const shown = (key) => (used[key] == null ? '' : key === 'memory' || key === 'state' ? bytes(used[key]) : count(used[key]));
  const text = (value) => (typeof value === 'object' ? JSON.stringify(value) : String(value));
  return html`<section class="panel"><h2>Limits</h2><div class="scroll"><table>
    <thead><tr><th>Limit</th><th class="number">Allowed</th><th class="number">Used</th><th class="number">Exceeded</th></tr></thead>
    <tbody>${Object.entries(service.configured.limits).map(([key, allowed]) => html`<tr key=${key}><td>${key}</td><td class="number">${text(allowed)}</td>
      <td class="number">${shown(key)}</td><td class="number bad">${faults[key.replaceAll('_', '-')] ?? ''}</td></tr>`)}</tbody>
  </table></div></section>`;
}

function Grants({ service }) {
  const { used, refused } = service.activity?.grants ?? { used: {}, refused: [] };
  const text = (value) => (typeof value === 'object' ? `${value.path} as ${value.guest}${value.write ? ', to write' : ''}` : value);
  const rows = Object.entries(service.configured.grants).flatMap(([kind, entries]) => entries.map((entry) => [kind, text(entry)]));
  return html`<section class="panel"><h2>Grants</h2>
    <table><thead><tr><th>Kind</th><th>Granted</th><th>Used</th></tr></thead>
      <tbody>${rows.map(([kind, entry]) => html`<tr key=${kind + entry}><td>${kind}</td><td>${entry}</td><td>${used[kind] ? (used[kind].includes(entry) ? 'yes' : 'no') : ''}</td></tr>`)}</tbody></table>
    ${rows.length === 0 && html`<p class="dim">none</p>`}
    ${refused.length > 0 && html`<h2>Refused</h2><ul class="bad">${refused.map((line) => html`<li key=${line}><code>${line}</code></li>`)}</ul>`}
  </section>`;
}

function DeadLetters({ letters, act }) {
  return html`<section class="panel"><h2>Dead letters</h2>
    ${letters.length === 0
      ? html`<p class="dim">none</p>`
      : html`<div class="row"><button disabled=${!mayOperate()} onClick=${() => act({ command: 'replay' })}>Replay all</button></div>
        <div class="scroll"><table><thead><tr><th>Given up</th><th>Topic</th><th>Reason</th><th></th></tr></thead>
        <tbody>${letters.map((letter) => html`<tr key=${letter.id}><td>${letter.at}</td><td>${letter.topic}</td><td>${letter.reason}</td>
          <td><button class="loses" disabled=${!mayOperate()} onClick=${() => act({ command: 'delete-letter', letter: letter.id }, `Delete the message on ${letter.topic} for good?`)}>Delete</button></td></tr>`)}</tbody></table></div>`}
  </section>`;
}

function Versions({ history, available, act }) {
  return html`<section class="panel"><h2>Versions</h2>
    <p>runs: <code>${short(history.running)}</code>${history.on_probation ? ', on probation' : ''}</p>
    ${available && html`<p>waits in the component file since ${available.since}: <code>${short(available.version)}</code></p>
      <div class="row"><button disabled=${!mayOperate()} onClick=${() => act({ command: 'update' })}>Update to ${short(available.version)}</button></div>`}
    ${history.kept.length > 0 && html`<div class="row">${history.kept.map((version) => html`<button key=${version} class="loses" disabled=${!mayOperate()}
      onClick=${() => act({ command: 'rollback', to: version }, `Go back to version ${short(version)} with the state that it left? Later changes of the state are undone.`)}>Roll back to ${short(version)}</button>`)}</div>`}
    <div class="scroll"><table><thead><tr><th>When</th><th>Version</th><th>What</th><th>Note</th></tr></thead>
      <tbody>${history.events.slice(-20).reverse().map((event, index) => html`<tr key=${index}><td>${event.at}</td><td><code>${short(event.version)}</code></td><td>${event.what}</td><td>${event.note}</td></tr>`)}</tbody></table></div>
  </section>`;
}

function State({ values, read }) {
  return html`<section class="panel"><h2>State</h2>
    <div class="row"><button disabled=${!mayOperate()} onClick=${read}>${values ? 'Read again' : 'Show the stored values'}</button></div>
    ${values && values.length === 0 && html`<p class="dim">none</p>`}
    ${values && values.length > 0 && html`<div class="scroll"><table><thead><tr><th>Key</th><th class="number">Size</th><th>Value</th></tr></thead>
      <tbody>${values.map((value) => html`<tr key=${value.key}><td>${value.key}</td><td class="number">${bytes(value.bytes)}</td>
        <td><pre>${value.hex == null ? pretty(value.text) : value.hex}</pre></td></tr>`)}</tbody></table></div>`}
  </section>`;
}

function Section({ section }) {
  const text = (value) => (typeof value === 'object' ? JSON.stringify(value, null, 2) : String(value));
  return html`<section class="panel"><h2>Configuration</h2><div class="scroll"><table>
    <thead><tr><th>Key</th><th>Value</th></tr></thead>
    <tbody>${Object.entries(section).filter(([key]) => key !== 'limits' && key !== 'grants').map(([key, value]) => html`<tr key=${key}><td>${key}</td><td><pre>${text(value)}</pre></td></tr>`)}</tbody>
  </table></div></section>`;
}

export class Service extends Component {
  state = { letters: [], history: null, section: null, values: null, question: null };

  componentDidMount() {
    this.read();
  }

  componentDidUpdate(before) {
    // dead letters and versions are read again when their figures in the snapshot change
    const now = this.props.service;
    const figures = (service) => `${service?.dead_letters} ${service?.version} ${service?.on_probation} ${service?.versions.kept}`;
    if (figures(before.service) !== figures(now)) this.read();
  }

  async read() {
    const { name } = this.props;
    try {
      const [letters, history, section] = await Promise.all(['letters', 'history', 'section'].map((command) => api.command({ command, service: name })));
      this.setState({ letters, history, section });
    } catch (error) {
      this.props.say(error.message, true);
    }
  }

  /** Reads the stored values: on request only, because each look is in the audit log. */
  async readState() {
    try {
      this.setState({ values: await api.command({ command: 'state', service: this.props.name }) });
    } catch (error) {
      this.props.say(error.message, true);
    }
  }

  act(command, question) {
    if (question) this.setState({ question: { command, question } });
    else this.carryOut(command);
  }

  async carryOut(command) {
    await this.props.run({ ...command, service: this.props.name });
    this.read();
  }

  answer(isYes) {
    const { command } = this.state.question;
    this.setState({ question: null });
    if (isYes) this.carryOut(command);
  }

  render({ name, service }, { letters, history, section, values, question }) {
    if (!service) return html`<p class="bad">There is no service ${name}. <a href="#/services">All services</a></p>`;
    const { activity } = service;
    const act = (command, asked) => this.act(command, asked);
    const isOn = activity?.enabled !== false;
    return html`<div>
      <h1>${name} <small><${Status} service=${service} /></small></h1>
      <div class="row">
        <button disabled=${!mayOperate()} onClick=${() => act({ command: 'restart' })}>Restart</button>
        ${isOn
          ? html`<button key="off" class="loses" disabled=${!mayOperate()} onClick=${() => act({ command: 'disable' }, `Switch ${name} off? It then gets no messages.`)}>Switch off</button>`
          : html`<button key="on" disabled=${!mayOperate()} onClick=${() => act({ command: 'enable' })}>Switch on</button>`}
        <label>Log level <select disabled=${!mayOperate()} onChange=${(event) => event.target.value && act({ command: 'log-level', level: event.target.value })}>
          <option value="">as configured</option>${['error', 'warning', 'info', 'debug', 'trace'].map((level) => html`<option key=${level}>${level}</option>`)}</select></label>
        ${!mayOperate() && html`<span class="dim">commands need a token with role: operate</span>`}
      </div>
      ${!activity && html`<p class="warn">The service is in a long call: its figures come when that has ended.</p>`}
      <div class="tiles">
        <${Tile} label="Calls a second" value=${rate(rateOf(name))} />
        <${Tile} label="p99" value=${micros(activity?.messages.p99_us)} />
        <${Tile} label="Messages" value=${count(activity?.messages.calls)} />
        <${Tile} label="Failures" value=${count(failures(activity))} kind=${failures(activity) ? 'warn' : ''} />
        <${Tile} label="Waiting" value=${count(activity?.waiting)} />
        <${Tile} label="On disk" value=${count(activity?.spooled)} />
        <${Tile} label="Dropped" value=${count(activity?.dropped)} kind=${activity?.dropped ? 'bad' : ''} />
        <${Tile} label="Memory" value=${bytes(activity?.used.memory)} />
      </div>
      ${activity?.last_fault && html`<p>Last fault, ${activity.last_fault.at}: <span class="bad">${activity.last_fault.kind}</span> ${activity.last_fault.reason}</p>`}
      <div class="panels">
        <section class="panel"><h2>Calls and failures a second</h2>
          <${Chart} key=${name} label="Calls and failures a second" series=${[['calls', '--accent'], ['failures', '--bad']]} data=${rates(name, ['calls', 'failures'])} /></section>
        <section class="panel"><h2>p99 in ms</h2>
          <${Chart} key=${name} label="p99 in milliseconds" series=${[['p99', '--warn']]} data=${durations(name)} /></section>
        ${activity && html`<${Subscriptions} activity=${activity} />`}
        ${activity && html`<${Timers} activity=${activity} />`}
        <${DeadLetters} letters=${letters} act=${act} />
        <${Shadow} name=${name} act=${act} />
        <${Deploy} service=${service} act=${act} />
        ${history && html`<${Versions} history=${history} available=${service.available} act=${act} />`}
        <${State} values=${values} read=${() => this.readState()} />
        ${section && html`<${Section} section=${section} />`}
        <${Grants} service=${service} />
        <${Limits} service=${service} />
        <section class="panel"><h2>Component</h2><dl>
          <dt>File</dt><dd>${service.component}</dd><dt>Version</dt><dd><code>${service.version}</code></dd>
          <dt>Base topic</dt><dd>${service.configured.base_topic}</dd><dt>Rejected versions</dt><dd>${list(service.versions.refused.map(short))}</dd></dl></section>
      </div>
      <h2>Calls</h2>
      <${Stream} key=${`calls ${name}`} label="Calls" limit=${200} row=${({ call }) => html`<${Call} call=${call} />`} listen=${(onItem, onBegin) => api.listen('calls', { service: name }, onItem, onBegin)} />
      <h2>Log</h2>
      <${Stream} key=${`log ${name}`} label="Log lines" limit=${500} startsAgain row=${({ line }) => html`<${Line} line=${line} />`} listen=${(onItem, onBegin) => api.listen('logs', { service: name }, onItem, onBegin)} />
      ${question && html`<${Confirm} question=${question.question} onAnswer=${(isYes) => this.answer(isYes)} />`}
    </div>`;
  }
}
