// Calls and log lines as rows of a list. Topics, payloads and texts are text nodes.

import { html } from './ui.js';
import { clock, micros, payload } from './format.js';

export const Message = ({ message }) => html`<span><b>${message.topic}</b> <span class="dim">QoS ${message.qos}${message.retain ? ', retained' : ''}, ${message.bytes} bytes</span> ${payload(message)}</span>`;

export function Call({ call, showsService = false }) {
  const trigger = call.message ? html`<${Message} message=${call.message} />` : call.timer != null ? `timer ${call.timer}` : call.notice;
  return html`<div>
    <span class="dim">${clock(call.at_ms)}</span> ${showsService && html`<a href=${`#/service/${encodeURIComponent(call.service)}`}>${call.service}</a>`} ${trigger}
    <span class="dim"> ${micros(call.took_us)}${call.attempt > 1 ? `, attempt ${call.attempt}` : ''}</span>
    ${call.published.map((message, index) => html`<div key=${index}>  → <${Message} message=${message} /></div>`)}
    ${call.further > 0 && html`<div class="dim">  and ${call.further} more</div>`}
    ${call.failure && html`<div class="bad">  failed (${call.failure.kind}): ${call.failure.reason}</div>`}
  </div>`;
}

const LEVELS = { ERROR: 'bad', WARN: 'warn', INFO: 'good' };
const SHOWN = new Set(['timestamp', 'level', 'target', 'message', 'service']);

export function Line({ line }) {
  const others = Object.entries(line).filter(([name]) => !SHOWN.has(name));
  const text = (value) => (typeof value === 'object' ? JSON.stringify(value) : String(value));
  return html`<span>
    <span class="dim">${line.timestamp.slice(11, 23)}</span> <span class=${LEVELS[line.level] ?? 'dim'}>${line.level}</span>
    ${' '}<b>${line.service ?? line.target.replace('miqro_host::', '')}</b> ${line.message}
    ${others.map(([name, value]) => html`<span key=${name} class="dim"> ${name}=${text(value)}</span>`)}
  </span>`;
}
