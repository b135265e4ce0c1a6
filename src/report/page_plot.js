/* SPDX-License-Identifier: Apache-2.0 */
/* Throughput over time, as two plots and a slider that reads them. */

const plot = { slots: [], from: 0, step: 1 };

/* The last hour, or since the start, but ten minutes at least. Slots that are not told are zeros. */
function readPlot(s) {
  const step = s.throughput.slot_s || 10;
  const end = Math.floor(Date.parse(s.now) / 1000 / step) * step;
  const age = (Date.parse(s.now) - Date.parse(s.started || s.now)) / 1000;
  const n = Math.ceil(Math.min(3600, Math.max(600, age)) / step);
  const told = new Map(s.throughput.slots.map((slot) => [Date.parse(slot.began) / 1000, slot]));
  const follows = plot.slots.length === 0 || $("plot-at").value === $("plot-at").max;
  plot.step = step;
  plot.from = end - (n - 1) * step;
  plot.slots = Array.from(
    { length: n },
    (_, i) => told.get(plot.from + i * step) || { bytes: 0, stored: 0, failed: 0 },
  );
  $("plot-at").max = String(n - 1);
  if (follows) $("plot-at").value = String(n - 1);
}

function drawBytes(width, peak) {
  const svg = $("plot-bytes"),
    n = plot.slots.length,
    x = (i) => ((i * width) / n).toFixed(1);
  const y = (slot) => (108 - (104 * slot.bytes) / (peak || 1)).toFixed(1);
  svg.replaceChildren();
  for (const line of [4, 56]) shape(svg, "line", { class: "grid", x1: 0, x2: width, y1: line, y2: line });
  const path = plot.slots.map((slot, i) => `L${x(i)} ${y(slot)}L${x(i + 1)} ${y(slot)}`).join("");
  shape(svg, "path", { class: "area", d: `M0 108${path}L${width} 108` });
}

function drawJobs(width, peak) {
  const svg = $("plot-jobs"),
    n = plot.slots.length,
    bar = Math.max(1, (width / n) * 0.7);
  svg.replaceChildren();
  plot.slots.forEach((slot, i) => {
    const at = { x: ((i + 0.15) * width) / n, width: bar };
    const up = (34 * slot.stored) / peak,
      down = (34 * slot.failed) / peak;
    if (up) shape(svg, "rect", { class: "stored", ...at, y: 36 - Math.max(1.5, up), height: Math.max(1.5, up) });
    if (down) shape(svg, "rect", { class: "failed", ...at, y: 37, height: Math.min(18, Math.max(2, down)) });
  });
  shape(svg, "line", { class: "base", x1: 0, x2: width, y1: 36.5, y2: 36.5 });
}

function showHere() {
  const i = Number($("plot-at").value),
    slot = plot.slots[i];
  if (!slot) return;
  const x = ((i + 0.5) * 720) / plot.slots.length;
  const when = new Date((plot.from + i * plot.step) * 1000).toLocaleTimeString();
  const text = `${when}: ${bytes(slot.bytes / plot.step)}/s, ${slot.stored} stored, ${slot.failed} failed`;
  put($("plot-here"), text);
  $("plot-at").setAttribute("aria-valuetext", text);
  for (const svg of [$("plot-bytes"), $("plot-jobs")]) {
    svg.querySelector(".here")?.remove();
    if (i < plot.slots.length - 1) shape(svg, "line", { class: "here", x1: x, x2: x, y1: 0, y2: 110 });
  }
}

function showPlot(s) {
  readPlot(s);
  const peak = Math.max(...plot.slots.map((slot) => slot.bytes));
  const jobs = Math.max(...plot.slots.map((slot) => Math.max(slot.stored, slot.failed)));
  const sum = (name) => plot.slots.reduce((total, slot) => total + slot[name], 0);
  drawBytes(720, peak);
  drawJobs(720, jobs || 1);
  put($("plot-peak"), peak ? `peak ${bytes(peak / plot.step)}/s` : "");
  put($("plot-jobs-peak"), jobs ? `peak ${jobs} in ${plot.step} s` : "");
  put($("plot-from"), `${span(plot.slots.length * plot.step * 1000)} ago`);
  put(
    $("plot-sum"),
    `In all of it ${bytes(sum("bytes"))}, ${nJobs(sum("stored"))} stored, ${number(sum("failed"))} failed.`,
  );
  showHere();
}
