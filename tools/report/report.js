/* Draws over a report's still charts what can be looked into: charts with their decisions, the map of
 * superslabs, the flame graph. Everything is in the element #data. Text from there becomes text, never HTML. */
"use strict";
(() => {
	const data = JSON.parse(document.getElementById("data").textContent);
	const tip = document.getElementById("tip");
	const dark = matchMedia("(prefers-color-scheme: dark)");
	const BYTES = 0, PERCENT = 2, KNOB = 3; /* units of charts */

	const color = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

	function make(parent, tag, className, text) {
		const e = document.createElement(tag);
		if (className) e.className = className;
		if (text !== undefined) e.textContent = text;
		parent.append(e);
		return e;
	}

	/* ---- words */

	function scaled(n, step, units) {
		let u = 0;
		for (; Math.abs(n) >= step && u + 1 < units.length; u++) n /= step;
		return (u === 0 || n >= 99.95 ? Math.round(n) : n.toFixed(1)) + units[u];
	}

	const sizeText = (n) => scaled(n, 1024, [" B", " KiB", " MiB", " GiB", " TiB", " PiB"]);
	const countText = (n) => scaled(n, 1000, ["", " k", " M", " G", " T", " P"]);

	function valueText(unit, n) {
		if (n === null || n === undefined) return "-";
		if (unit === BYTES) return sizeText(n);
		if (unit === PERCENT) return +n.toFixed(2) + " %";
		return unit === KNOB ? String(n) : countText(n);
	}

	/* Digits as the distance of two labels needs them. */
	function timeText(s, step = 0.1) {
		if (s < 60 || step < 1) return +s.toFixed(step < 1 ? 1 : 0) + " s";
		const two = (n) => String(Math.floor(n)).padStart(2, "0");
		return s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` :
			`${Math.floor(s / 3600)}:${two(s / 60 % 60)}:${two(s % 60)}`;
	}

	function decisionText(d) {
		const which = d.class > 0 ? `${d.name}[${d.class}]` : d.name;
		return `${timeText(d.time)}: ${which} ${d.from} → ${d.to}\n${d.why}`;
	}

	/* ---- the tip: beside the pointer or the element, inside the window */

	function showTip(text, x, y) {
		tip.textContent = text;
		tip.hidden = false;
		tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - tip.offsetWidth - 6)) + "px";
		tip.style.top = (y + 18 + tip.offsetHeight > innerHeight ? y - tip.offsetHeight - 8 : y + 18) + "px";
	}

	function hideTip() {
		tip.hidden = true;
	}

	function giveTip(element, text) {
		element.addEventListener("mousemove", (e) => showTip(text(), e.clientX, e.clientY));
		element.addEventListener("mouseleave", hideTip);
		element.addEventListener("focus", () => {
			const box = element.getBoundingClientRect();
			showTip(text(), box.left, box.top);
		});
		element.addEventListener("blur", hideTip);
	}

	/* ---- charts */

	/* Marks near each other are one, and tell of all. */
	function placeMarks(u, decisions) {
		const NEAR = 7;
		for (const old of u.over.querySelectorAll(".mark")) old.remove();
		let last = null;
		for (const d of decisions) {
			const x = u.valToPos(d.time, "x");
			if (x < 0 || x > u.over.clientWidth) continue;
			if (last !== null && x - last.x < NEAR) {
				last.decisions.push(d);
				continue;
			}
			const mark = make(u.over, "button", "mark");
			const group = last = { x, decisions: [d] };
			mark.type = "button";
			mark.style.left = x + "px";
			mark.setAttribute("aria-label", decisionText(d));
			giveTip(mark, () => {
				const more = group.decisions.length - 8;
				return group.decisions.slice(0, 8).map(decisionText).join("\n") +
					(more > 0 ? `\nand ${more} more` : "");
			});
		}
	}

	/* The values under the pointer, beside the chart's title. */
	function sayValues(chart, caption, index) {
		const old = caption.querySelector(".now"), say = old || make(caption, "span", "now");
		const values = chart.series.map((s) => valueText(chart.unit, s.values[index]));
		say.textContent = index === null || index === undefined ? "" :
			`${timeText(data.times[index])}: ${values.join(", ")}`;
	}

	function chartOptions(chart, element, decisions) {
		const grid = { stroke: color("line"), width: 1 };
		const axis = { stroke: color("faint"), grid, ticks: grid, font: "11px system-ui, sans-serif" };
		const step = chart.unit === KNOB ? uPlot.paths.stepped({ align: 1 }) : undefined;
		return {
			width: element.clientWidth,
			height: chart.unit === KNOB ? 84 : 180,
			cursor: { sync: { key: "hakmem" }, points: { size: 6 } },
			scales: { x: { time: false }, y: { range: (u, low, high) => [0, high > 0 ? high * 1.06 : 1] } },
			legend: { show: false },
			axes: [
				{ ...axis, size: 30, values: (u, splits, index, space, step) => splits.map((s) => timeText(s, step)) },
				{ ...axis, size: 76, space: chart.unit === KNOB ? 13 : 34,
				  incrs: chart.unit === BYTES ? Array.from({ length: 56 }, (x, i) => 2 ** i) : undefined,
				  values: (u, splits) => splits.map((v) => valueText(chart.unit, v)) },
			],
			series: [
				{},
				...chart.series.map((s, i) => ({
					stroke: color("s" + i), width: 1.5, paths: step, points: { show: false },
					fill: i === 0 && chart.series.length === 1 ? color("s0") + "22" : undefined,
				})),
			],
			hooks: {
				draw: [(u) => placeMarks(u, decisions)],
				setCursor: [(u) => sayValues(chart, element.previousElementSibling, u.cursor.idx)],
			},
		};
	}

	const drawn = [];

	function drawChart(element) {
		const chart = data.charts[Number(element.dataset.chart)];
		const decisions = data.decisions.filter((d) => chart.knob < 0 || d.knob === chart.knob);
		element.replaceChildren();
		drawn.push(new uPlot(chartOptions(chart, element, decisions),
			[data.times, ...chart.series.map((s) => s.values)], element));
	}

	function drawCharts() {
		if (typeof uPlot === "undefined") return; /* the still ones stay */
		while (drawn.length > 0) drawn.pop().destroy();
		for (const element of document.querySelectorAll(".chart")) drawChart(element);
	}

	/* ---- the map of superslabs: one is a cell of 8 by 4 units */

	const UNITS = 32, ACROSS = 8, UNIT = 6, CELL = ACROSS * UNIT + 5, CELL_HEIGHT = UNITS / ACROSS * UNIT + 5;

	function unitColors() {
		const free = color("back"), dirty = color("cached"), live = color("live");
		return { free, dirty, absent: color("line"),
			 fill: (n) => `color-mix(in srgb, ${live} ${20 + Math.round(n / 15 * 80)}%, ${free})` };
	}

	function colorOfUnit(colors, [, present, dirty, fill], u) {
		const n = parseInt(fill[u], 16);
		if (!(present >>> u & 1)) return colors.absent;
		if (n > 0) return colors.fill(n);
		return dirty >>> u & 1 ? colors.dirty : colors.free;
	}

	function wordsOfUnit([base, present, dirty, fill], u) {
		const n = parseInt(fill[u], 16);
		const state = !(present >>> u & 1) ? "not mapped" : n > 0 ? `${Math.round(n / 15 * 100)} % full` :
			dirty >>> u & 1 ? "free, still in memory" : "free, given back";
		return `superslab 0x${base}\nunit ${u}: ${state}`;
	}

	function drawMap() {
		const parent = document.getElementById("map"), slabs = data.superslabs;
		parent.replaceChildren();
		if (slabs.length === 0) return;
		const colors = unitColors(), scale = make(parent, "div", "scale");
		for (const [words, c] of [["given back", colors.free], ["free, in memory", colors.dirty],
			["a little used", colors.fill(1)], ["half", colors.fill(7)], ["full", colors.fill(15)]]) {
			const key = make(scale, "span");
			make(key, "i").style.background = c;
			key.append(words);
		}
		const columns = Math.max(1, Math.min(slabs.length, Math.floor(parent.clientWidth / CELL)));
		const canvas = make(parent, "canvas"), ratio = devicePixelRatio || 1;
		const width = columns * CELL, height = Math.ceil(slabs.length / columns) * CELL_HEIGHT;
		canvas.width = width * ratio;
		canvas.height = height * ratio;
		canvas.style.width = width + "px";
		canvas.style.height = height + "px";
		const pen = canvas.getContext("2d");
		pen.scale(ratio, ratio);
		slabs.forEach((s, i) => {
			const left = i % columns * CELL, top = Math.floor(i / columns) * CELL_HEIGHT;
			pen.fillStyle = colors.absent;
			pen.fillRect(left, top, ACROSS * UNIT + 1, UNITS / ACROSS * UNIT + 1);
			for (let u = 0; u < UNITS; u++) {
				pen.fillStyle = colorOfUnit(colors, s, u);
				pen.fillRect(left + u % ACROSS * UNIT + 1, top + Math.floor(u / ACROSS) * UNIT + 1,
					     UNIT - 1, UNIT - 1);
			}
		});
		canvas.addEventListener("mousemove", (e) => {
			const column = Math.floor(e.offsetX / CELL), row = Math.floor(e.offsetY / CELL_HEIGHT);
			const x = Math.floor(e.offsetX % CELL / UNIT), y = Math.floor(e.offsetY % CELL_HEIGHT / UNIT);
			const s = slabs[row * columns + column];
			if (s && x < ACROSS && y < UNITS / ACROSS) showTip(wordsOfUnit(s, y * ACROSS + x), e.clientX, e.clientY);
			else hideTip();
		});
		canvas.addEventListener("mouseleave", hideTip);
	}

	/* ---- the flame graph: [name, live, allocated, children]; callers below, a click widens */

	const LIVE = 1, CHILDREN = 3, ROW = 20, MIN_PIXELS = 1;
	const flame = { by: LIVE, zoom: [] }; /* from the root's child to what is widened */

	function hueOf(name) {
		let hash = 0;
		for (const c of name) hash = (hash * 31 + c.codePointAt(0)) >>> 0;
		return 12 + hash % 44;
	}

	function drawFrame(graph, node, path, left, width, depth, total) {
		const name = path.length === 0 ? "all" : data.functions[node[0]];
		const box = make(graph, "button", "frame", width > 30 ? name : "");
		box.type = "button";
		box.style.left = left + "px";
		box.style.width = Math.max(width - 1, 1) + "px";
		box.dataset.depth = depth;
		if (path.length === 0) box.classList.add("root");
		else box.style.background = `hsl(${hueOf(name)} 85% 66%)`;
		box.setAttribute("aria-label", name);
		giveTip(box, () => `${name}\n${sizeText(node[flame.by])}, ${(node[flame.by] / total * 100).toFixed(1)} % ` +
			(flame.by === LIVE ? "of what is live" : "of what was allocated"));
		box.addEventListener("click", () => {
			flame.zoom = path;
			hideTip();
			drawFlame();
		});
		return box;
	}

	function drawBranch(graph, node, path, left, width, depth, total) {
		const box = drawFrame(graph, node, path, left, width, depth, total);
		const zoomed = flame.zoom[path.length];
		let deepest = depth, at = left;
		box.style.top = depth * ROW + "px";
		const children = zoomed !== undefined && path.every((n, i) => n === flame.zoom[i]) ? [zoomed] :
			node[CHILDREN].filter((c) => c[flame.by] > 0).sort((a, b) => b[flame.by] - a[flame.by]);
		for (const child of children) {
			const part = child === zoomed ? width : width * child[flame.by] / node[flame.by];
			if (part >= MIN_PIXELS)
				deepest = Math.max(deepest, drawBranch(graph, child, [...path, child], at, part, depth + 1, total));
			at += part;
		}
		return deepest;
	}

	function drawFlame() {
		const parent = document.getElementById("flame");
		if (!parent || !data.flame) return;
		parent.replaceChildren();
		const tools = make(parent, "div", "tools");
		for (const [by, words] of [[LIVE, "live"], [LIVE + 1, "allocated"]]) {
			const button = make(tools, "button", "tool", words);
			button.type = "button";
			button.setAttribute("aria-pressed", String(flame.by === by));
			button.addEventListener("click", () => {
				flame.by = by;
				flame.zoom = [];
				drawFlame();
			});
		}
		make(tools, "span", "faint", "callers above what they call; a click widens");
		const graph = make(parent, "div", "graph"), total = data.flame[flame.by];
		if (total > 0)
			graph.style.height = (drawBranch(graph, data.flame, [], 0, parent.clientWidth, 0, total) + 1) * ROW + "px";
		else
			graph.textContent = "nothing was sampled";
	}

	/* ---- all */

	function drawAll() {
		drawCharts();
		drawMap();
		drawFlame();
	}

	let waiting = 0, lastWidth = innerWidth;
	addEventListener("resize", () => {
		if (innerWidth === lastWidth) return;
		lastWidth = innerWidth;
		clearTimeout(waiting);
		waiting = setTimeout(drawAll, 150);
	});
	dark.addEventListener("change", drawAll);
	drawAll();
	document.documentElement.dataset.drawn = "yes";
})();
