// Operates the page of a running host in Chromium: node page.mjs PLAYWRIGHT URL FOLDER STEP [FILES]. Prints nothing when everything is as expected.
// The services are `echo` and `chain` (relays), and `faulty`, which gives up messages at once. Pictures go into FOLDER;
// FILES is a folder with components to send.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const [playwright, base, folder, step, files] = process.argv.slice(2);
const { chromium } = createRequire(path.join(playwright, 'index.js'))('playwright-core');

const READ = 'read-0123456789abcdef';
const PASSWORD = 'correct horse battery staple';
const OPERATE = 'operate-0123456789abcdef';

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

/** A page with everything that it complains about: errors, refusals of the content security policy, and dialogs. */
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 700 }, ...options });
  context.setDefaultTimeout(60000);
  const page = await context.newPage();
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error.stack ?? error)));
  page.on('console', (message) => {
    const isExpected = /status of (401|409)|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|ERR_ABORTED/.test(message.text());
    if (message.type() === 'error' && !isExpected) complaints.push(message.text());
  });
  page.on('dialog', (dialog) => complaints.push(`dialog: ${dialog.message()}`));
  await page.goto(base);
  return { page, complaints };
}

async function logIn(page, token) {
  await page.getByLabel('Password or token').fill(token);
  await page.getByRole('button', { name: 'Log in' }).click();
}

/** Publishes as the page does. */
const publish = (page, topic) =>
  page.evaluate(
    (command) => fetch('api/v1/command', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(command) }),
    { command: 'publish', topic, payload: 'x' },
  );

const picture = (page, name) => page.screenshot({ path: path.join(folder, `${name}.png`), fullPage: true });

const steps = {
  async login() {
    const { page, complaints } = await open();
    await logIn(page, 'wrong');
    await page.getByRole('alert').getByText('expected a token').waitFor();
    assert.equal(await page.getByRole('heading', { name: 'Overview' }).count(), 0);
    await page.getByLabel('Password or token').fill(OPERATE);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    await page.getByText('anna (operate)').waitFor();
    const [cookie] = await page.context().cookies();
    assert.equal(cookie.name, '__Host-miqro');
    assert.deepEqual([cookie.httpOnly, cookie.secure, cookie.sameSite], [true, true, 'Strict']);
    assert.equal(await page.evaluate('document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)'), '{}{}');
    await page.reload();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByLabel('Password or token').waitFor();
    await page.reload();
    await page.getByLabel('Name').fill('otto');
    await logIn(page, 'correct horse battery stable');
    await page.getByRole('alert').getByText('password of one of web.users').waitFor();
    await logIn(page, PASSWORD);
    await page.getByText('otto (read)').waitFor();
    assert.deepEqual(complaints, []);
  },

  async pages() {
    const { page, complaints } = await open();
    await logIn(page, OPERATE);
    await page.getByText('3 of 3').waitFor();
    await page.locator('.uplot canvas').first().waitFor();
    // messages, so that there are rates
    const rate = page.locator('.tile', { hasText: 'Calls a second' }).getByText(/[1-9]/);
    for (let seen = 0; seen < 3 || (await rate.count()) === 0; seen += 1) {
      const answered = page.waitForResponse(/snapshot/);
      await publish(page, 'in/echo');
      await answered;
    }
    await picture(page, 'overview');

    await page.getByRole('link', { name: 'Services' }).click();
    await page.getByRole('heading', { name: 'Services', exact: true }).waitFor();
    assert.deepEqual(await page.locator('tbody a').allTextContents(), ['chain', 'echo', 'faulty']);
    await page.getByRole('button', { name: 'Service' }).click();
    assert.deepEqual(await page.locator('tbody a').allTextContents(), ['faulty', 'echo', 'chain']);
    await picture(page, 'services');
    await page.getByLabel('Filter').fill('ech');
    assert.deepEqual(await page.locator('tbody a').allTextContents(), ['echo']);
    await page.locator('tbody a').focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'echo' }).waitFor();
    await page.getByRole('cell', { name: 'in/+', exact: true }).waitFor();
    await page.getByText('Base topic').waitFor();
    await page.getByRole('cell', { name: 'state_keys', exact: true }).waitFor();
    assert.deepEqual(complaints, []);
  },

  async messages() {
    const { page, complaints } = await open();
    await logIn(page, OPERATE);
    const markup = '<img src=x onerror="alert(1)"><script>alert(2)</script>';
    await page.getByRole('link', { name: 'Messages' }).click();
    await page.getByRole('log', { name: 'Calls' }).waitFor();
    await page.getByLabel('Topic').fill(`in/echo`);
    await page.getByLabel('Payload').fill(markup);
    await page.getByRole('button', { name: 'Publish' }).click();
    await page.getByText(`published ${markup.length} bytes on in/echo`).waitFor();
    // the page begins to listen at some time
    const shown = page.getByRole('log').getByText(markup).first();
    while ((await shown.count()) === 0) await page.getByRole('button', { name: 'Publish' }).click();
    await page.getByLabel('Topic').fill(`in/<img src=x onerror="alert(3)">`);
    await page.getByRole('button', { name: 'Publish' }).click();
    await page.getByRole('log').getByText('in/<img src=x onerror="alert(3)">').first().waitFor();
    assert.equal(await page.locator('main img, main script').count(), 0);
    const topics = page.locator('ul.tree');
    await topics.getByRole('button', { name: '<img src=x onerror="alert(3)">' }).waitFor();
    await topics.getByRole('button', { name: 'echo', exact: true }).click();
    assert.equal(await page.getByLabel('Filter').inputValue(), 'in/echo');
    assert.equal(await page.locator('main img, main script').count(), 0);
    await picture(page, 'messages');

    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByRole('button', { name: 'Clear' }).click();
    await page.getByText('0 shown').waitFor();
    await page.getByLabel('Topic').fill('no/wild+card');
    await page.getByRole('button', { name: 'Publish' }).click();
    await page.locator('.toast.bad').waitFor();

    await page.getByRole('link', { name: 'Flow' }).click();
    // the page begins to listen at some time
    const service = page.locator('svg.graph .service', { hasText: 'echo' });
    while ((await service.count()) === 0) {
      await publish(page, 'in/echo');
    }
    await page.locator('svg.graph .service', { hasText: 'chain' }).waitFor();
    await page.locator('svg.graph .topic', { hasText: 'in/echo' }).waitFor();
    await picture(page, 'flow');
    assert.deepEqual(complaints, []);
  },

  async commands() {
    const { page, complaints } = await open();
    await logIn(page, OPERATE);
    await page.goto(`${base}#/service/faulty`);
    await page.getByRole('heading', { name: 'faulty' }).waitFor();
    // two messages were given up before
    const letters = page.locator('section', { has: page.getByRole('heading', { name: 'Dead letters' }) });
    await letters.getByRole('button', { name: 'Delete' }).nth(1).waitFor();
    await page.getByText('the guest returned an error: told to fail').first().waitFor();
    await picture(page, 'service');
    await letters.getByRole('button', { name: 'Delete' }).first().click();
    await page.getByRole('dialog').getByRole('button', { name: 'No' }).click();
    assert.equal(await letters.getByRole('button', { name: 'Delete' }).count(), 2);
    await letters.getByRole('button', { name: 'Delete' }).first().click();
    await page.getByRole('dialog').getByRole('button', { name: 'Yes' }).click();
    await page.locator('.toast', { hasText: 'is deleted' }).waitFor();
    await letters.getByRole('button', { name: 'Delete' }).nth(1).waitFor({ state: 'detached' });
    await letters.getByRole('button', { name: 'Replay all' }).click();
    await page.locator('.toast', { hasText: '1 messages are handled again' }).waitFor();
    await page.getByRole('log', { name: 'Calls' }).getByText('failed (refused)').first().waitFor();
    await page.getByRole('log', { name: 'Log lines' }).getByText('is given up').first().waitFor();

    await page.getByRole('button', { name: 'Restart' }).click();
    await page.locator('.toast', { hasText: 'was started again' }).waitFor();
    await page.getByRole('button', { name: 'Switch off' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Yes' }).click();
    await page.getByRole('button', { name: 'Switch on' }).click();
    await page.getByRole('button', { name: 'Switch off' }).waitFor();

    await page.getByRole('link', { name: 'Log' }).click();
    await page.getByLabel('Level').selectOption('error');
    await page.getByRole('log').getByText('is given up').first().waitFor();
    await page.getByRole('log').getByText('INFO').first().waitFor({ state: 'detached' });
    await picture(page, 'log');
    assert.deepEqual(complaints, []);
  },

  async versions() {
    const { page, complaints } = await open();
    await logIn(page, OPERATE);
    await page.goto(`${base}#/service/probe`);
    const state = page.locator('section', { has: page.getByRole('heading', { name: 'State', exact: true }) });
    await state.getByRole('button', { name: 'Show the stored values' }).click();
    await state.getByRole('row', { name: 'count' }).getByText('2', { exact: true }).waitFor();
    const configuration = page.locator('section', { has: page.getByRole('heading', { name: 'Configuration' }) });
    await configuration.getByRole('row', { name: 'data_topic' }).getByText('service/probe/').waitFor();

    const versions = page.locator('section', { has: page.getByRole('heading', { name: 'Versions' }) });
    await versions.getByText('swapped').waitFor();
    await versions.getByRole('button', { name: 'Roll back to' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Yes' }).click();
    await page.locator('.toast', { hasText: 'runs again' }).waitFor();
    await versions.getByText('put back').waitFor();
    await versions.getByRole('button', { name: 'Roll back to' }).waitFor({ state: 'detached' });
    await state.getByRole('button', { name: 'Read again' }).click();
    await state.getByRole('row', { name: 'count' }).getByText('1', { exact: true }).waitFor();
    await picture(page, 'versions');
    await versions.getByRole('button', { name: 'Update to' }).click();
    await page.locator('.toast', { hasText: /version [0-9a-f]{12} runs$/ }).waitFor();
    await versions.getByRole('button', { name: 'Update to' }).waitFor({ state: 'detached' });
    assert.deepEqual(complaints, []);
  },

  async deploy() {
    const { page, complaints } = await open();
    await logIn(page, OPERATE);
    await page.goto(`${base}#/service/probe`);
    const panel = page.locator('section', { has: page.getByRole('heading', { name: 'New version' }) });
    const input = panel.getByLabel('Component file');

    await input.setInputFiles(path.join(files, 'notes.txt'));
    await panel.getByRole('alert').getByText('notes.txt is refused').waitFor();
    assert.equal(await panel.getByRole('button', { name: 'Take over' }).count(), 0);
    await input.setInputFiles(path.join(files, 'broken.wasm'));
    await panel.getByRole('alert').getByText('It does not start on trial').waitFor();
    await panel.getByRole('button', { name: 'Take over' }).click();
    await page.locator('.toast.bad', { hasText: 'does not start' }).waitFor();

    const dropped = await page.evaluateHandle((text) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(atob(text), (character) => character.charCodeAt(0))], 'next.wasm'));
      return data;
    }, readFileSync(path.join(files, 'next.wasm')).toString('base64'));
    await panel.locator('.drop').dispatchEvent('drop', { dataTransfer: dropped });
    await panel.getByText('It has everything that the running version has').waitFor();
    await picture(page, 'deploy');
    await panel.getByRole('button', { name: 'Run as a shadow' }).click();
    await page.locator('.toast', { hasText: 'runs as a shadow' }).waitFor();

    const shadow = page.locator('section', { has: page.getByRole('heading', { name: 'Shadow' }) });
    // the shadow begins between two messages, and the page asks for it every two seconds
    while ((await shadow.getByText('another').count()) === 0) {
      const asked = page.waitForResponse((answered) => answered.request().postData()?.includes('"shadow"'));
      await publish(page, 'service/probe/work');
      await asked;
    }
    await shadow.getByText('the message on service/probe/work').first().waitFor();
    await picture(page, 'shadow');
    await shadow.getByRole('button', { name: 'Promote' }).click();
    await page.locator('.toast', { hasText: 'runs, and is in' }).waitFor();
    await panel.getByText('This version runs').waitFor();
    await shadow.waitFor({ state: 'detached' });
    const versions = page.locator('section', { has: page.getByRole('heading', { name: 'Versions' }) });
    await versions.getByRole('row', { name: 'shadowed' }).getByText('the running version published service/probe/worked').waitFor();
    assert.deepEqual(complaints, []);
  },

  async reader() {
    const { page, complaints } = await open({ colorScheme: 'dark', viewport: { width: 390, height: 800 } });
    await logIn(page, READ);
    await page.getByText('reader (read)').waitFor();
    await picture(page, 'overview-dark-phone');
    for (const place of ['', 'services', 'service/echo', 'messages', 'flow', 'log']) {
      await page.goto(`${base}#/${place}`);
      await page.locator('h1').waitFor();
      const wide = await page.evaluate('document.documentElement.scrollWidth');
      assert.ok(wide <= 390, `${place} is ${wide} pixels wide`);
    }
    const back = await page.evaluate('getComputedStyle(document.body).backgroundColor');
    assert.equal(back, 'rgb(17, 22, 28)');
    await page.goto(`${base}#/service/echo`);
    assert.ok(await page.getByRole('button', { name: 'Restart' }).isDisabled());
    assert.ok(await page.getByRole('button', { name: 'Switch off' }).isDisabled());
    assert.ok(await page.getByRole('button', { name: 'Show the stored values' }).isDisabled());
    assert.ok(await page.getByLabel('Component file').isDisabled());
    await picture(page, 'service-dark-phone');
    assert.deepEqual(complaints, []);
  },

  /** The host ends when this has printed `ready`, and is started again when it has printed `stopped`. */
  async stopped() {
    const { page, complaints } = await open();
    await logIn(page, OPERATE);
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    console.log('ready');
    await page.getByRole('alert').getByText('The host does not answer').waitFor();
    console.log('stopped');
    // sessions are in memory: the new host asks to log in again
    await logIn(page, OPERATE);
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    assert.deepEqual(complaints, []);
  },
};

try {
  await steps[step]();
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await browser.close();
}
