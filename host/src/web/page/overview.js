// The host at a glance.

import { Chart, Status, Tile, html } from './ui.js';
import { count, failures, micros, rate, seconds } from './format.js';
import { durations, rateOf, rates, store } from './store.js';

const total = (services, figure) => services.reduce((sum, service) => sum + (figure(service) ?? 0), 0);

/** Services that a person should look at, and why. */
function troubled(services) {
  const reason = ({ status, activity, dead_letters: letters }) => {
    if (status === 'failed' || status === 'waiting') return `is ${status}`;
    if (!activity) return 'is in a long call';
    if (letters) return `has ${letters} dead letters`;
    if (activity.dropped) return `has dropped ${activity.dropped} messages`;
    return null;
  };
  return services.map((service) => [service, reason(service)]).filter(([, why]) => why);
}

export function Overview() {
  const { broker, services, uptime_s: uptime, version, log_lines_lost: lost, spans_lost: spans } = store.snapshot;
  const running = services.filter((service) => service.status === 'running').length;
  const failed = total(services, (service) => failures(service.activity));
  const letters = total(services, (service) => service.dead_letters);
  const waiting = total(services, (service) => service.activity?.waiting);
  const troubles = troubled(services);
  return html`<div>
    <h1>Overview</h1>
    <div class="tiles">
      <${Tile} label="Broker" value=${broker.connected ? 'connected' : 'not connected'} kind=${broker.connected ? 'good' : 'bad'} />
      <${Tile} label="Services running" value=${`${running} of ${services.length}`} kind=${running === services.length ? 'good' : 'warn'} />
      <${Tile} label="Calls a second" value=${rate(rateOf(''))} />
      <${Tile} label="Failed calls" value=${count(failed)} kind=${failed ? 'warn' : ''} />
      <${Tile} label="Dead letters" value=${count(letters)} kind=${letters ? 'bad' : ''} />
      <${Tile} label="Waiting messages" value=${count(waiting)} />
      <${Tile} label="Up for" value=${seconds(uptime)} />
      <${Tile} label="Version" value=${version} />
    </div>
    <div class="panels">
      <section class="panel"><h2>Calls and failures a second</h2>
        <${Chart} label="Calls and failures a second" series=${[['calls', '--accent'], ['failures', '--bad']]} data=${rates('', ['calls', 'failures'])} />
      </section>
      <section class="panel"><h2>Slowest p99 in ms</h2>
        <${Chart} label="Slowest p99 in milliseconds" series=${[['p99', '--warn']]} data=${durations('')} />
      </section>
      <section class="panel"><h2>Broker</h2>
        <dl>
          <dt>Address</dt><dd>${broker.address}</dd>
          <dt>Client</dt><dd>${broker.client_id}</dd>
          <dt>Connections</dt><dd>${count(broker.connections)}</dd>
          ${broker.reason && html`<dt>Reason</dt><dd class="bad">${broker.reason}</dd>`}
          ${broker.quarantined.length > 0 && html`<dt>Not subscribed</dt><dd class="bad">${broker.quarantined.join(', ')}</dd>`}
          ${lost > 0 && html`<dt>Lost log lines</dt><dd class="warn">${count(lost)}</dd>`}
          ${spans > 0 && html`<dt>Lost spans of traces</dt><dd class="warn">${count(spans)}</dd>`}
        </dl>
      </section>
      <section class="panel"><h2>Services to look at</h2>
        ${troubles.length === 0
          ? html`<p class="good">none</p>`
          : html`<ul>${troubles.slice(0, 20).map(([service, why]) => html`<li key=${service.name}>
              <a href=${`#/service/${encodeURIComponent(service.name)}`}>${service.name}</a> ${why} (<${Status} service=${service} />)</li>`)}</ul>`}
        ${troubles.length > 20 && html`<p class="dim">and ${troubles.length - 20} more</p>`}
        <p class="dim">The longest of all calls: ${micros(Math.max(0, ...services.map((service) => service.activity?.messages.p99_us ?? 0)))} (p99)</p>
      </section>
    </div>
  </div>`;
}
