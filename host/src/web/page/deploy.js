// Deployments of one service: a component is dropped or chosen, checked by the host, and takes over or runs as a shadow.

import * as api from './api.js';
import { Component, html } from './ui.js';
import { Message } from './rows.js';
import { bytes, list, short } from './format.js';
import { mayOperate } from './store.js';

const SIGNATURE = '.minisig';

/** The result of a check. */
function Report({ report }) {
  const needs = report.grants.map(({ key, import: name, granted }) => `${key} for ${name}${granted ? ', granted' : ', not granted'}`);
  const problems = [report.obstacle && `It cannot be deployed: ${report.obstacle}.`, report.failure && `It does not start on trial, without network and effects: ${report.failure}`];
  return html`<div>
    <dl>
      <dt>Version</dt><dd><code>${short(report.version)}</code>, ${bytes(report.bytes)}${report.made_for ? `, made for ${report.made_for}` : ''}</dd>
      <dt>Imports</dt><dd>${list(report.imports)}</dd>
      <dt>Serves</dt><dd>${list(report.serves)}</dd>
      <dt>Calls</dt><dd>${list(report.calls)}</dd>
      <dt>Subscriptions</dt><dd>${list(report.subscriptions)}</dd>
      <dt>Grants that it may need</dt><dd>${list(needs)}</dd>
    </dl>
    ${problems.map((problem) => problem && html`<p key=${problem} class="bad" role="alert">${problem}</p>`)}
    ${report.differences.length > 0 && html`<ul class="warn">${report.differences.map((difference) => html`<li key=${difference}>${difference}</li>`)}</ul>`}
    ${report.running && report.differences.length === 0 && html`<p class="good">It has everything that the running version has.</p>`}
  </div>`;
}

/** Takes a component file, with its signature where the host wants one. */
export class Deploy extends Component {
  /** `sent`: the part of the file that was sent, from 0 to 1; `null`: nothing is being sent. */
  state = { sent: null, name: '', report: null, problem: null, isOver: false };

  async send(files) {
    const all = [...files];
    const signature = all.find((file) => file.name.endsWith(SIGNATURE));
    const component = all.find((file) => file !== signature);
    if (!component) return;
    this.setState({ sent: 0, name: component.name, report: null, problem: null });
    try {
      const text = signature ? await signature.text() : null;
      const report = await api.upload(this.props.service.name, component, text, (sent) => this.setState({ sent }));
      this.setState({ sent: null, report });
    } catch (error) {
      this.setState({ sent: null, problem: error.message });
    }
  }

  onDrop(event) {
    event.preventDefault();
    this.setState({ isOver: false });
    if (mayOperate() && this.state.sent == null) this.send(event.dataTransfer.files);
  }

  onOver(event, isOver) {
    event.preventDefault();
    this.setState({ isOver });
  }

  render({ service, act }, { sent, name, report, problem, isOver }) {
    const canRun = mayOperate() && report && !report.obstacle;
    const runs = report && report.version === service.version;
    return html`<section class="panel"><h2>New version</h2>
      <div class=${`drop ${isOver ? 'over' : ''}`} onDragOver=${(event) => this.onOver(event, true)} onDragLeave=${(event) => this.onOver(event, false)} onDrop=${(event) => this.onDrop(event)}>
        <label>Component file, with its signature where the host wants one
          <input type="file" multiple accept=".wasm,${SIGNATURE}" disabled=${!mayOperate() || sent != null}
            onChange=${(event) => { this.send(event.target.files); event.target.value = ''; }} /></label>
      </div>
      ${sent != null && html`<p role="status">${sent < 1 ? `Sending ${name}` : `The host checks ${name}`} <progress value=${sent} max="1" /></p>`}
      ${problem && html`<p class="bad" role="alert">${name} is refused: ${problem}</p>`}
      ${report && html`<h3>${name}</h3><${Report} report=${report} />`}
      ${runs && html`<p class="good">This version runs.</p>`}
      ${report && !runs && html`<div class="row">
        <button class="main" disabled=${!canRun} onClick=${() => act({ command: 'deploy', version: report.version })}>Take over</button>
        <button disabled=${!mayOperate()} onClick=${() => act({ command: 'start-shadow', version: report.version })}>Run as a shadow</button>
      </div>`}
    </section>`;
  }
}

/** A call in which the publishes differ. */
const Difference = ({ difference }) => html`<div role="listitem">for ${difference.call}
  ${difference.running.map((message, index) => html`<div key=${index} class="bad">− <${Message} message=${message} /></div>`)}
  ${difference.new.map((message, index) => html`<div key=${index} class="good">+ <${Message} message=${message} /></div>`)}
  ${difference.failure && html`<div class="bad">+ failed: ${difference.failure}</div>`}
</div>`;

/** How often the comparison of a shadow is read, in milliseconds. */
const PERIOD = 2000;

/** The shadow of a service, while there is one. */
export class Shadow extends Component {
  state = { shadow: null };

  componentDidMount() {
    this.poll();
  }

  componentWillUnmount() {
    this.hasGone = true;
    clearTimeout(this.timer);
  }

  async poll() {
    try {
      if (!document.hidden) {
        const { shadow } = await api.command({ command: 'shadow', service: this.props.name });
        this.setState({ shadow });
      }
    } catch {
      // the frame of the page says that the host does not answer
    }
    if (!this.hasGone) this.timer = setTimeout(() => this.poll(), PERIOD);
  }

  render({ act }, { shadow }) {
    if (!shadow) return null;
    const { calls, agreed, faults, skipped, differences } = shadow.comparison;
    return html`<section class="panel"><h2>Shadow</h2>
      <p>Version <code>${short(shadow.version)}</code> handles copies of the messages since ${shadow.since}: <b>${agreed} of ${calls} calls agreed</b>, ${faults} faults, ${skipped} not compared.
        ${shadow.by_command ? '' : ' It takes over at the end of swap.shadow.'}</p>
      <div class="row">
        <button class="main" disabled=${!mayOperate()} onClick=${() => act({ command: 'deploy', version: shadow.version })}>Promote</button>
        <button disabled=${!mayOperate()} onClick=${() => act({ command: 'stop-shadow' })}>Stop the shadow</button>
      </div>
      ${differences.length > 0 && html`<p class="dim">− published by the running version, + by the shadow</p>
        <div class="lines" role="list" aria-label="Differences" tabindex="0">${differences.map((one, index) => html`<${Difference} key=${index} difference=${one} />`)}</div>`}
    </section>`;
  }
}
