// The topics that services handled or published, as a tree with the last message of each.

import { html } from './ui.js';
import { payload } from './format.js';

/** Topics that are kept: those that were seen longest ago make room. */
const MOST = 2000;

/** The last message of each topic. */
export class Topics {
  seen = new Map();

  add({ call }) {
    if (!call) return;
    for (const message of [call.message, ...call.published]) if (message) this.note(message);
  }

  note(message) {
    // the order of the map is that of the last messages
    this.seen.delete(message.topic);
    this.seen.set(message.topic, message);
    if (this.seen.size > MOST) this.seen.delete(this.seen.keys().next().value);
  }

  /** Nodes by the names of levels: each has the last message of its topic, if there was one, and the levels below. */
  tree() {
    const root = { below: new Map() };
    for (const topic of [...this.seen.keys()].sort()) {
      let node = root;
      for (const level of topic.split('/')) {
        if (!node.below.has(level)) node.below.set(level, { below: new Map() });
        node = node.below.get(level);
      }
      node.last = this.seen.get(topic);
    }
    return root;
  }
}

const Topic = ({ name, last, choose }) => html`<button title="show the messages of ${last.topic}" onClick=${() => choose(last.topic)}>${name}</button> ${payload(last)}`;

function Branch({ level, node, choose, depth }) {
  const name = level || '(empty)';
  const title = node.last ? html`<${Topic} name=${name} last=${node.last} choose=${choose} />` : name;
  if (node.below.size === 0) return html`<li>${title}</li>`;
  return html`<li><details open=${depth < 2}><summary>${title}</summary><${Tree} node=${node} choose=${choose} depth=${depth + 1} /></details></li>`;
}

export const Tree = ({ node, choose, depth = 0 }) =>
  html`<ul class="tree">${[...node.below].map(([level, below]) => html`<${Branch} key=${level} level=${level} node=${below} choose=${choose} depth=${depth} />`)}</ul>`;
