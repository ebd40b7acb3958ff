/** Headless Chromium with a fresh profile, and tabs that remember what went wrong in them. */

import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { chromium } from 'playwright-core';

const DEADLINE = 30_000;

export class Browser {
  #chromium;

  static async start() {
    const browser = new Browser();
    browser.#chromium = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
    });
    return browser;
  }

  /**
   * Opens an address in a tab that shares nothing with others.
   *
   * @returns {Promise<import('playwright-core').Page & {complaints: string[]}>} `complaints`: console errors,
   *   warnings, uncaught exceptions and breaches of the content security policy, in order
   */
  async open(address, options = {}) {
    const context = await this.#chromium.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    context.setDefaultTimeout(DEADLINE);
    const tab = await context.newPage();
    tab.complaints = [];
    tab.on('pageerror', (error) => tab.complaints.push(String(error.stack ?? error)));
    tab.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) {
        tab.complaints.push(`${message.text()} (${message.location().url})`);
      }
    });
    await tab.goto(address);
    return tab;
  }

  stop() {
    return this.#chromium.close();
  }
}

/** Waits until the page has seen the event with this cursor. */
export function seen(tab, receipt) {
  return tab.locator('[data-figure="cursor"]', { hasText: `${receipt.epoch}:${receipt.seq}` }).waitFor();
}

/** The sequences on the timeline, oldest first. */
export async function sequencesOn(tab) {
  const sequences = await tab.locator('event-timeline [data-seq]').evaluateAll((rows) => rows.map((row) => Number(row.dataset.seq)));
  return sequences.reverse();
}

/** Keeps a picture if SCREENSHOTS_DIR says where. */
export async function picture(tab, name, options = { fullPage: true }) {
  const folder = process.env.SCREENSHOTS_DIR;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await tab.screenshot({ path: path.join(folder, `${name}.png`), ...options });
}
