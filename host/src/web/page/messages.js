// Messages as services handle and publish them, and a form to publish one.

import * as api from './api.js';
import { Component, Stream, html } from './ui.js';
import { Call } from './rows.js';
import { mayOperate, store } from './store.js';
import { Topics, Tree } from './topics.js';

const topics = (call) => [call.message?.topic, call.timer, call.notice, call.service, ...call.published.map((message) => message.topic)];

export class Messages extends Component {
  seen = new Topics();
  state = { filter: '', service: '', topic: '', payload: '', qos: '0', retain: false };

  listen(service, onItem, onBegin) {
    const onCall = (item) => {
      this.seen.add(item);
      onItem(item);
    };
    return api.listen('calls', service ? { service } : {}, onCall, onBegin);
  }

  async publish(event) {
    event.preventDefault();
    const { topic, payload, qos, retain } = this.state;
    await this.props.run({ command: 'publish', topic, payload, qos: Number(qos), retain });
  }

  render(_, { filter, service, topic, payload, qos, retain }) {
    const wanted = filter.toLowerCase();
    const wants = ({ call }) => topics(call).some((text) => text?.toLowerCase().includes(wanted));
    const set = (name) => (event) => this.setState({ [name]: event.target.value });
    return html`<div>
      <h1>Messages</h1>
      <div class="row">
        <label>Service <select value=${service} onChange=${set('service')}><option value="">all</option>
          ${store.snapshot.services.map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>
        <label>Filter <input type="search" value=${filter} onInput=${set('filter')} /></label>
      </div>
      <${Stream} key=${service} label="Calls" limit=${300} wants=${wants} row=${({ call }) => html`<${Call} call=${call} showsService />`}
        listen=${(onItem, onBegin) => this.listen(service, onItem, onBegin)} />
      <h2>Topics</h2>
      ${this.seen.seen.size === 0 ? html`<p class="dim">none yet</p>` : html`<${Tree} node=${this.seen.tree()} choose=${(filter) => this.setState({ filter })} />`}
      <h2>Publish</h2>
      <form class="row" onSubmit=${(event) => this.publish(event)}>
        <label>Topic <input required value=${topic} onInput=${set('topic')} /></label>
        <label>Payload <input value=${payload} onInput=${set('payload')} /></label>
        <label>QoS <select value=${qos} onChange=${set('qos')}><option>0</option><option>1</option><option>2</option></select></label>
        <label><input type="checkbox" checked=${retain} onChange=${(event) => this.setState({ retain: event.target.checked })} /> retained</label>
        <button class="main" disabled=${!mayOperate()}>Publish</button>
      </form>
    </div>`;
  }
}
