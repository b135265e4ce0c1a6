/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and times as text, and what fills elements with it. */
"use strict";

/* ---- text ---- */

const number = (n) => n.toLocaleString("en");
const plural = (n, one, many) => `${number(n)} ${n === 1 ? one : many}`;
const nJobs = (n) => plural(n, "job", "jobs");

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[i]}`;
}

function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  const parts = [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const i = parts.findIndex(([size]) => s >= size);
  if (i < 0) return "0 s";
  const [size, unit] = parts[i],
    next = parts[i + 1];
  const rest = next && i < 2 ? Math.floor((s % size) / next[0]) : 0;
  return `${Math.floor(s / size)} ${unit}${rest ? ` ${rest} ${next[1]}` : ""}`;
}

const now = () => (status ? Date.parse(status.now) + Date.now() - statusAt : Date.now());
const left = (iso) => Date.parse(iso) - now();
const ago = (iso) => `${span(-left(iso))} ago`;
const until = (iso) => (left(iso) > 0 ? `in ${span(left(iso))}` : `${span(-left(iso))} ago`);
const isNear = (iso) => Boolean(iso && status) && left(iso) < status.near_expiry.within_s * 1000;
const local = (iso) => new Date(iso).toLocaleString();

/* ---- elements ---- */

/* Says it only when it is another text: a text that is set again would be read aloud again, and a
 * selection in it be lost. */
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function shape(svg, tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  svg.append(element);
}

function putTime(element, iso, text) {
  put(element, iso ? text(iso) : "");
  element.title = iso ? local(iso) : "";
}

/* The children of a list, one for each item, kept where they are the same: a link keeps its focus. */
function sync(parent, items, key, create, update) {
  const keys = new Set(items.map(key));
  for (const child of [...parent.children]) if (!keys.has(child.dataset.key)) child.remove();
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let at = parent.firstElementChild;
  for (const item of items) {
    let child = old.get(key(item));
    if (!child) {
      child = create(item);
      child.dataset.key = key(item);
    }
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
    update(child, item);
  }
}

function facts(dl, pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== "");
  const key = JSON.stringify(shown);
  if (dl.dataset.key === key) return;
  dl.dataset.key = key;
  dl.replaceChildren(...shown.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

/* To who listens only. */
const say = (text) => put($("said"), text);

/* What came of a button, for eyes and ears. A dialog has a place of its own: the rest is inert. */
function tell(text) {
  const place = $("details").open ? $("details-told") : $("told");
  put(place, text);
  clearTimeout(telling);
  telling = setTimeout(() => [$("told"), $("details-told")].forEach((one) => put(one, "")), 8000);
}
