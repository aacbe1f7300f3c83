// node shoot.js CHROMIUM REPORT.html TOP.txt: pictures of both, in this folder.
"use strict";
const fs = require("fs");
const path = require("path");
const { pathToFileURL } = require("url");
const playwright = require("../../build/node/node_modules/playwright-core");

const [chromium, report, top] = process.argv.slice(2);
const here = (name) => path.join(__dirname, name);

async function shootReport(browser, colorScheme, name, prepare) {
	const page = await browser.newPage({ viewport: { width: 1120, height: 820 }, colorScheme });
	await page.goto(pathToFileURL(report).href);
	await prepare(page);
	await page.screenshot({ path: here(name) });
	await page.close();
}

// The last look of `top`: bold and faint lines as the terminal shows them.
function terminal(text) {
	const escape = (s) => s.replace(/[<>&]/g, (c) => `&#${c.charCodeAt(0)};`);
	const looks = text.replace(/\r/g, "").split(/(?=\x1b\[1m\/)/);
	const lines = looks[looks.length - 1].trimEnd().split("\n").map((line) => {
		const look = line.includes("\x1b[1m") ? "bold" : line.includes("\x1b[2m") ? "faint" : "plain";
		return `<div class="${look}">${escape(line.replace(/\x1b\[[0-9;]*m/g, "")) || " "}</div>`;
	});
	return `<!DOCTYPE html><meta charset="utf-8"><style>
		body { margin: 0; padding: 14px 18px; background: #1b212b; color: #d5dbe5; width: max-content;
		       font: 13px/1.35 "DejaVu Sans Mono", monospace; white-space: pre; }
		.bold { font-weight: bold; color: #fff; } .faint { color: #95a1b3; }</style>${lines.join("")}`;
}

async function shootTop(browser) {
	const page = await browser.newPage({ viewport: { width: 400, height: 200 } });
	await page.setContent(terminal(fs.readFileSync(top, "utf8")));
	await page.locator("body").screenshot({ path: here("top.png") });
}

(async () => {
	const browser = await playwright.chromium.launch({
		executablePath: chromium, args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
	await shootReport(browser, "light", "report.png", async (page) => {
		const marks = page.locator(".chart").first().locator(".mark");
		await marks.nth(Math.floor(await marks.count() / 2)).hover();
	});
	await shootReport(browser, "dark", "report-dark.png", (page) =>
		page.locator("#profile").evaluate((e) => scrollTo(0, e.getBoundingClientRect().top + scrollY - 300)));
	await shootTop(browser);
	await browser.close();
})();
