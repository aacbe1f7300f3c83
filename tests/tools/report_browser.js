// A report in a browser: drawn, with decisions that tell their reason, without errors and without a network.
//
//     node report_browser.js FOLDER-OF-PLAYWRIGHT CHROMIUM REPORT uplot|still
"use strict";
const path = require("path");
const { pathToFileURL } = require("url");

const [folder, chromium, report, charts] = process.argv.slice(2);
const playwright = require(path.resolve(folder));

function require_that(condition, words) {
	if (!condition) throw new Error(words);
}

// How many colors has the canvas? A blank one has one.
function colorsOf(canvas) {
	const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
	const colors = new Set();
	for (let i = 0; i < data.length; i += 4) colors.add(data.slice(i, i + 4).join());
	return colors.size;
}

// Words that lie upon each other, or stick out of the window, cannot be read.
function overflow() {
	return document.documentElement.scrollWidth - innerWidth;
}

async function open(browser, options, faults) {
	const context = await browser.newContext({ viewport: { width: 1160, height: 900 }, ...options });
	const page = await context.newPage();
	page.on("console", (message) => faults.push(`console: ${message.text()}`));
	page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
	page.on("request", (request) => {
		if (request.url() !== pathToFileURL(report).href) faults.push(`request: ${request.url()}`);
	});
	await page.goto(pathToFileURL(report).href);
	return page;
}

async function look(browser, colorScheme, faults) {
	const page = await open(browser, { colorScheme }, faults);
	const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
	const lightness = Number(/\d+/.exec(background)[0]);
	require_that(lightness < 60 === (colorScheme === "dark"), `${colorScheme}: the page is ${background}`);
	require_that(await page.evaluate(overflow) <= 0, `${colorScheme}: wider than the window`);
	const map = page.locator("#map canvas");
	require_that(await map.evaluate(colorsOf) > 3, `${colorScheme}: the map is blank`);
	await map.hover({ position: { x: 10, y: 10 } });
	require_that(/^superslab 0x[0-9a-f]+\nunit \d+: /.test(await page.locator("#tip").textContent()),
		"the map does not tell of its units");

	if (charts === "uplot") {
		const canvases = page.locator(".chart canvas");
		require_that(await canvases.count() >= 5, `${await canvases.count()} charts`);
		for (const canvas of await canvases.all())
			require_that(await canvas.evaluate(colorsOf) > 3, `${colorScheme}: a chart is blank`);
		const mark = page.locator(".chart .mark").first();
		await mark.hover();
		const words = await page.locator("#tip").textContent();
		require_that(/bundle_width 32 → 64\nhakmem ctl/.test(words), `a decision says: ${words}`);
		const chart = await page.locator(".chart .u-over").first().boundingBox();
		await page.mouse.move(chart.x + chart.width / 3, chart.y + chart.height / 2);
		require_that(/ s: .*B/.test(await page.locator("figcaption .now").first().textContent()), "no values under the pointer");
	} else {
		require_that(await page.locator(".chart svg path").count() >= 5, "no still charts");
		require_that(/bundle_width 32 to 64: hakmem ctl/.test(await page.locator("svg .mark title").first().textContent()),
			"a decision says nothing");
	}

	const frames = page.locator("#flame .frame");
	require_that(await frames.count() >= 3, `${await frames.count()} frames in the flame graph`);
	const leaf = page.locator("#flame .frame", { hasText: "grow_the_heap" }).first();
	await leaf.hover();
	require_that(/^grow_the_heap\n.*B, .* % of what is live/.test(await page.locator("#tip").textContent()),
		"a frame does not tell what it has");
	await leaf.click();
	const all = await frames.first().boundingBox(), wide = await page.locator("#flame .frame",
		{ hasText: "grow_the_heap" }).first().boundingBox();
	require_that(Math.abs(all.width - wide.width) < 2, "a click does not widen");
	await page.locator("#flame .tool", { hasText: "allocated" }).click();
	require_that(await frames.count() >= 3, "no flame graph of what was allocated");
	await page.context().close();
}

async function lookWithoutScript(browser, faults) {
	const page = await open(browser, { javaScriptEnabled: false }, faults);
	for (const words of ["Size classes", "hakmem ctl", "bundle_width", "resident memory of the process", "grow_the_heap"])
		require_that(await page.locator(`section:visible:has-text("${words}")`).count() > 0, `without a script: no '${words}'`);
	require_that(await page.locator(".chart svg:visible").count() >= 5, "without a script: no charts");
	await page.context().close();
}

(async () => {
	const faults = [];
	const browser = await playwright.chromium.launch({
		executablePath: chromium,
		args: [...(process.getuid() === 0 ? ["--no-sandbox"] : []), "--disable-dev-shm-usage"],
	});
	try {
		await look(browser, "light", faults);
		await look(browser, "dark", faults);
		await lookWithoutScript(browser, faults);
	} finally {
		await browser.close();
	}
	require_that(faults.length === 0, faults.join("\n"));
	console.log("passed");
})().catch((error) => {
	console.error(`FAILED: ${error.message}`);
	process.exit(1);
});
