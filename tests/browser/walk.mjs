// Walks through the pages as a person does, in headless Chromium, and says what is wrong.
//
//     node walk.mjs '{"pages": URL, "otlp": URL, "screenshots": DIR, …}'
//
// The last line printed is a JSON document: the faults, and what was done.
import { mkdir } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { chromium } from "playwright-core";

const task = JSON.parse(process.argv[2]);
const CHROMIUM = process.env.WAYBILL_CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
const DESKTOP = { width: 1280, height: 860 };
const PHONE = { width: 390, height: 844 };
/** How long a page may take to show something, ms. */
const PATIENCE_MS = 20_000;
const faults = [];
const done = { steps: 0, pages: 0, screenshots: 0 };
let now = "at the start";

function check(good, what) {
  if (!good) faults.push(`${now}: ${what}`);
}

function same(came, expected, what) {
  const [a, b] = [JSON.stringify(came), JSON.stringify(expected)];
  check(a === b, `${what}: expected ${b}, came ${a}`);
}

/** One step: a fault in it does not hide those of the others. */
async function step(name, body) {
  now = name;
  done.steps += 1;
  try {
    await body();
  } catch (error) {
    faults.push(`${name}: ${error.message}`);
  }
}

/** A page that reports everything a browser complains about. */
async function open(browser, options, missing = false) {
  const context = await browser.newContext({ viewport: DESKTOP, locale: "ru-RU", ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  page.on("console", (message) => {
    if (missing && message.text().includes("404")) return;
    if (["error", "warning"].includes(message.type())) {
      faults.push(`${now}: the console says: ${message.text()}`);
    }
  });
  page.on("pageerror", (error) => faults.push(`${now}: a script failed: ${error.message}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(task.pages)) faults.push(`${now}: asks for ${request.url()}`);
  });
  page.on("response", (answer) => {
    const bad = answer.status() >= 400 && !missing;
    if (bad) faults.push(`${now}: ${answer.status()} ${answer.url()}`);
    if (answer.request().isNavigationRequest()) done.pages += 1;
  });
  return page;
}

/** The first number of a text; thousands stand apart. */
function number(text) {
  const [digits] = text.match(/\d[\d\s\u00a0\u202f]*/) ?? [];
  return digits === undefined ? null : Number(digits.replace(/\D/g, ""));
}

/** The rows of the board: stage → [total, late, stuck]. */
async function board(page) {
  const rows = await page.$$eval("table.stages tbody tr", (rows) => rows.map((row) => [
    decodeURIComponent(row.querySelector("th a").getAttribute("href").split("/").pop()),
    [...row.querySelectorAll("td")].slice(0, 3).map((cell) => cell.textContent),
  ]));
  return Object.fromEntries(rows.map(([stage, cells]) => [stage, cells.map(number)]));
}

async function equalsTruth(page, expected) {
  const shown = await board(page);
  for (const [stage, counts] of Object.entries(expected)) {
    same(shown[stage], counts, `${stage} (total, late, stuck)`);
  }
}

/** Tells the collector that a stage of an order began. */
async function signal(order_id, stage) {
  const text = (key, value) => ({ key, value: { stringValue: value } });
  const at = `${Date.now()}000000`;
  const span = {
    traceId: randomBytes(16).toString("hex"), spanId: randomBytes(8).toString("hex"),
    name: "order.stage", kind: 1, startTimeUnixNano: at, endTimeUnixNano: at,
    attributes: [text("order.id", order_id), text("order.stage", stage)],
  };
  const body = { resourceSpans: [{
    resource: { attributes: [text("service.name", "mes")] }, scopeSpans: [{ spans: [span] }],
  }] };
  const answer = await fetch(`${task.otlp}/v1/traces`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`the collector answered ${answer.status}`);
}

async function texts(page, selector) {
  return page.$$eval(selector, (found) => found.map((element) => element.textContent.trim()));
}

async function listed(page) {
  return texts(page, "table.orders tbody th a");
}

/** The board: its numbers, its updates, the way to the orders behind a number. */
async function readsBoard(page) {
  await step("the board shows the truth", async () => {
    await page.goto(`${task.pages}/`);
    await equalsTruth(page, task.board);
  });
  await step("the board updates itself and the reader keeps the place", async () => {
    await page.setViewportSize({ width: 1280, height: 400 });
    const link = page.locator(`table.stages a[href="/stages/${task.moved_stage}"]`).first();
    await link.focus();
    await page.evaluate(() => { window.scrollTo(0, 250); window.untouched = true; });
    const place = () => page.evaluate(() => [
      window.untouched, Math.round(window.scrollY), document.activeElement.getAttribute("href"),
    ]);
    const before = await place();
    check(before[1] > 0, "the page scrolls");
    const [total] = (await board(page))[task.moved_stage];
    await signal(task.new_order, task.moved_stage);
    await page.waitForFunction(([stage, total]) => {
      const cell = document.querySelector(`table.stages a[href="/stages/${stage}"]`)
        .closest("tr").querySelector("td");
      return Number(cell.textContent.replace(/\D/g, "")) === total;
    }, [task.moved_stage, total + 1]);
    same(await place(), before, "neither reload, nor scroll, nor focus");
    await page.setViewportSize(DESKTOP);
  });
  await step("the number of stuck orders opens exactly these", async () => {
    await page.goto(`${task.pages}/`);
    const cells = page.locator(`table.stages tr:has(a[href="/stages/${task.stuck_stage}"]) td`);
    await cells.nth(2).locator("a").click();
    await page.waitForURL(/condition=stuck/);
    same((await listed(page)).sort(), [...task.stuck_orders].sort(), "the orders listed");
  });
}

/** One order: found, read, in both languages. */
async function readsOrders(page) {
  await step("the search box forgives", async () => {
    const asked = ` № ${task.examples.stuck.toLowerCase().replaceAll("-", " - ")}  `;
    await page.fill("#q", asked);
    await page.press("#q", "Enter");
    await page.waitForURL(`**/orders/${task.examples.stuck}`);
    same((await page.textContent("h1")).trim(), task.examples.stuck, "the order");
  });
  await step("the stuck order's page says it all", async () => {
    const sentence = (await page.textContent(".sentence")).trim();
    check(sentence.length > 20 && /[а-я]/i.test(sentence), `a Russian sentence: ${sentence}`);
    check((await page.getAttribute("article.order", "class")).includes("is-stuck"), "is stuck");
    const calls = await page.textContent(".calls");
    check(calls.includes("CalculationOverOneHour"), `on-call was called: ${calls}`);
    const stages = await texts(page, ".visits tbody code.raw");
    check(stages.includes("SUBMITTED") && stages.at(-1) === "CALCULATION_RUNNING",
      `the history: ${stages}`);
    const spans = await page.locator("table.waterfall tbody tr").count();
    same(spans, task.stuck_spans, "the number of spans");
    check((await page.textContent(".tell")).length > 100, "a text for the customer");
  });
  await step("the fine order called nobody", async () => {
    await page.goto(`${task.pages}/orders/${task.examples.fine}`);
    check((await page.getAttribute("article.order", "class")).includes("is-fine"), "is fine");
    check(await page.locator(".calls .quiet").count() === 1, "nobody was called");
  });
  await step("the language is switched and remembered", async () => {
    await page.click(`header .switch a[hreflang="en"]`);
    same(await page.getAttribute("html", "lang"), "en", "the language");
    same(new URL(page.url()).pathname, `/orders/${task.examples.fine}`, "the page");
    await page.goto(`${task.pages}/`);
    same(await page.getAttribute("html", "lang"), "en", "the language of the next page");
    check((await page.textContent("main")).includes("In production"), "English stages");
  });
}

async function withoutScripts(browser) {
  const page = await open(browser, { javaScriptEnabled: false });
  await step("without JavaScript: the board", async () => {
    await page.goto(`${task.pages}/`);
    const rows = await page.locator("table.stages tbody tr").count();
    check(rows >= Object.keys(task.board).length, `${rows} stages`);
    await page.locator(`table.stages a[href="/stages/${task.moved_stage}"]`).first().click();
    await page.waitForURL(`**/stages/${task.moved_stage}`);
  });
  await step("without JavaScript: list, search, order", async () => {
    const first = await page.locator("table.orders tbody th a").first().textContent();
    await page.fill("#q", first.trim().toLowerCase());
    await page.press("#q", "Enter");
    await page.waitForURL("**/orders/**");
    same((await page.textContent("h1")).trim(), first.trim(), "the order");
  });
  await page.context().close();
}

async function screenshots(browser) {
  await mkdir(task.screenshots, { recursive: true });
  const places = {
    board: "/",
    stage: "/stages/MANUFACTURING_STARTED",
    "stage-stuck": `/stages/${task.stuck_stage}?condition=stuck`,
    "order-fine": `/orders/${task.examples.fine}`,
    "order-late": `/orders/${task.examples.late}`,
    "order-stuck": `/orders/${task.examples.stuck}`,
    "orders-stuck": "/orders?condition=stuck",
    "orders-lost": "/orders?condition=lost_in_handover",
    sources: "/sources",
    search: "/search?q=ORD-2026",
    "search-nothing": "/search?q=no-such-order",
    "order-missing": "/orders/ORD-2026-0",
  };
  for (const [device, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
    for (const colorScheme of ["light", "dark"]) {
      for (const lang of ["ru", "en"]) {
        const page = await open(browser, { viewport, colorScheme, locale: lang }, true);
        for (const [name, path] of Object.entries(places)) {
          await step(`${name} ${lang} ${colorScheme} ${device}`, async () => {
            await page.goto(task.pages + path);
            const wide = await page.evaluate(
              () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
            );
            check(wide <= 0, `the page is ${wide} px wider than the screen`);
            const path_ = `${task.screenshots}/${name}-${lang}-${colorScheme}-${device}.png`;
            await page.screenshot({ path: path_, fullPage: true });
            done.screenshots += 1;
          });
        }
        await page.context().close();
      }
    }
  }
}

const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS, headless: true });
try {
  const page = await open(browser, {});
  await readsBoard(page);
  await readsOrders(page);
  await page.context().close();
  await withoutScripts(browser);
  await screenshots(browser);
} finally {
  await browser.close();
}
console.log(JSON.stringify({ faults, ...done }));
