/* SPDX-License-Identifier: Apache-2.0 */
/* The page of egress serve: asks the admin API how things stand, and shows it. Text from the API
 * goes into the page by textContent only. Behind page_text.js and page_plot.js in /page.js. */

const POLL_MS = 2000, POLL_HIDDEN_MS = 20000, WAIT_MS = 10000;
const PAGE = 50, RUNNING_MAX = 25, EMPTY_MAX = 20;
const STATES = ["ready", "waiting", "running", "stored", "failed", "dead"];
const RETRYABLE = ["failed", "dead", "waiting"];
const ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/;

const $ = (id) => document.getElementById(id);
const view = { state: "", prefix: "", cursors: [""], job: "" }; // what the list and the details show
let status = null, statusAt = 0, before = null; // the latest answers, and when they came
let failures = 0, timer = 0, telling = 0, wanted = 0, turn = 0;

/* ---- the API ---- */

class Refused extends Error {}

async function api(path, body) {
  const headers = { accept: "application/json" };
  const token = sessionStorage.getItem("egress-token");
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) {
    headers["x-egress-request"] = "1";
    headers["content-type"] = "application/json";
  }
  const answer = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    redirect: "error",
    signal: AbortSignal.timeout(WAIT_MS),
  });
  if (answer.status === 401) {
    askForToken(token);
    throw new Refused("the daemon wants a token");
  }
  const json = await answer.json().catch(() => null);
  if (answer.status === 404) return null;
  if (!answer.ok || !json) {
    throw new Error(`the daemon answered ${answer.status}${json?.message ? `: ${json.message}` : ""}`);
  }
  return json;
}

function askForToken(wrong) {
  if ($("token").open) return;
  put($("token-why"), wrong ? "The one that was given is not right." : "");
  $("token").showModal();
}

const reason = (error) => (error.message.startsWith("the daemon") ? error.message : "the daemon does not answer");

/* A button's request: it says what came of it, and shows how things stand after it. */
async function act(button, path, body, done) {
  button.disabled = true;
  try {
    tell(done((await api(path, body)) || {}));
  } catch (error) {
    tell(`That did not work: ${reason(error)}.`);
  }
  button.disabled = false;
  if (document.activeElement === document.body && !button.hidden) button.focus();
  poll();
}

function retried(answer) {
  if (answer.retried > 0) return `${plural(answer.retried, "job is", "jobs are")} tried again.`;
  return answer.unknown > 0 ? "The daemon does not know that job." : "There was nothing to retry.";
}

/* ---- what stands first ---- */

const unfinished = (jobs) => jobs.ready + jobs.waiting + jobs.running;

/* Is anything about to be lost? The worst first. */
function verdict(s) {
  const jobs = s.jobs,
    open = unfinished(jobs),
    near = s.near_expiry;
  const soonest = s.soonest_expiry;
  const soon = soonest ? `The soonest of them ${left(soonest) > 0 ? "expires" : "expired"} ${until(soonest)}.` : "";
  if (near.jobs > 0)
    return [
      "bad",
      "!",
      `${plural(near.jobs, "output expires", "outputs expire")} within ${span(near.within_s * 1000)} and ${near.jobs === 1 ? "is" : "are"} not stored yet`,
      s.paused ? `${soon} Nothing is fetched: it is paused.` : soon,
    ];
  if (jobs.dead > 0)
    return [
      "bad",
      "!",
      `${plural(jobs.dead, "job was", "jobs were")} given up`,
      `${jobs.dead === 1 ? "Its output is" : "Their outputs are"} lost when the Platform deletes ${jobs.dead === 1 ? "it, unless the job is" : "them, unless the jobs are"} retried.`,
    ];
  if (s.draining)
    return ["warn", "!", "The daemon is ending", `What is under way is finished or kept: ${nJobs(jobs.running)}.`];
  if (s.paused)
    return [
      "warn",
      "!",
      "Paused",
      open
        ? `${plural(open, "job waits", "jobs wait")}, and nothing is fetched. ${soon}`
        : "New jobs are taken in, and nothing is fetched.",
    ];
  if (!open && !jobs.stored && !jobs.failed)
    return ["idle", "…", "Nothing has come in yet", "Jobs appear here as webhooks name them."];
  const failed = jobs.failed ? ` ${nJobs(jobs.failed)} failed for good.` : "";
  if (!open)
    return [
      "good",
      "✓",
      "Nothing is about to be lost",
      `Nothing is left to do: ${plural(jobs.stored, "job is", "jobs are")} stored.${failed}`,
    ];
  return [
    "good",
    "✓",
    "Nothing is about to be lost",
    `${plural(open, "job is", "jobs are")} on the way. ${soon}${failed}`,
  ];
}

function showVerdict([level, sign, text, more]) {
  const changed = $("verdict").dataset.level !== level;
  $("verdict").dataset.level = level;
  put($("verdict-sign"), sign);
  put($("verdict-text"), text);
  put($("verdict-more"), more);
  if (changed) say(`${text}. ${more}`);
  document.title = sign === "✓" || sign === "…" ? "egress" : `${sign} ${text} – egress`;
}

function showTop(s) {
  put($("target"), [s.platform, s.destination].filter(Boolean).join(" → "));
  $("link").dataset.level = s.draining || s.paused ? "warn" : "good";
  put($("link"), s.draining ? "ending" : s.paused ? "paused" : "working");
  $("pause").hidden = s.draining;
  put($("pause"), s.paused ? "Resume" : "Pause");
}

function showTiles(s) {
  const tiles = STATES.map((name) => [name, s.jobs[name], name === "dead" && s.jobs.dead ? "bad" : ""]);
  put($("near"), number(s.near_expiry.jobs));
  put($("near-within"), `expire within ${span(s.near_expiry.within_s * 1000)}`);
  $("near-tile").dataset.level = s.near_expiry.jobs ? "bad" : "";
  sync(
    $("tiles"),
    tiles,
    ([name]) => name,
    ([name]) => {
      const button = make(
        "button",
        { type: "button", class: "tile" },
        make("b"),
        make("span", { class: "state", "data-state": name }, name),
      );
      button.addEventListener("click", () => look({ state: view.state === name ? "" : name }));
      return button;
    },
    (button, [name, n, level]) => {
      put(button.firstChild, n.toLocaleString("en"));
      button.dataset.level = level;
      button.setAttribute("aria-pressed", String(view.state === name));
    },
  );
}

/* ---- running ---- */

function rate(job) {
  const old = before && before.jobs.get(job.id);
  const ms = before ? statusAt - before.at : 0;
  return old !== undefined && ms > 0 && job.received >= old ? ((job.received - old) * 1000) / ms : 0;
}

function showRunning(s) {
  const list = s.running.slice(0, RUNNING_MAX);
  sync(
    $("running"),
    list,
    (job) => job.id,
    (job) =>
      make(
        "li",
        {},
        make(
          "div",
          { class: "line" },
          make("a", { href: `#job=${encodeURIComponent(job.id)}`, class: "mono" }, job.id),
          make("span"),
        ),
        make("progress", { "aria-label": `Progress of ${job.id}` }),
        make("div", { class: "line soft" }, make("span"), make("span")),
      ),
    (li, job) => {
      const [first, bar, last] = li.children;
      putTime(first.lastChild, job.expires, (iso) =>
        left(iso) > 0 ? `expires ${until(iso)}` : `expired ${until(iso)}`,
      );
      first.lastChild.className = isNear(job.expires) ? "soon" : "soft";
      if (job.size > 0) {
        bar.max = job.size;
        bar.value = Math.min(job.received, job.size);
      } else bar.removeAttribute("value");
      const part = job.size > 0 ? ` of ${bytes(job.size)}, ${Math.floor((100 * job.received) / job.size)} %` : "";
      put(last.firstChild, job.moving || job.received ? `${bytes(job.received)}${part}` : "waits for its turn");
      const speed = rate(job),
        tries = job.attempts ? `try ${job.attempts + 1}` : "";
      put(last.lastChild, [speed ? `${bytes(speed)}/s` : "", tries].filter(Boolean).join(" · "));
    },
  );
  const more = s.running.length - list.length;
  $("running-none").hidden = list.length > 0 && more === 0;
  put($("running-none"), more ? `And ${number(more)} more.` : "Nothing is under way.");
}

/* ---- the list ---- */

const changed = (job) => job.ended || job.claimed || job.received;

function happened(job) {
  if (job.error)
    return job.state === "waiting" && job.next_try
      ? `next try ${until(job.next_try)}: ${job.error.message}`
      : job.error.message;
  if (job.state === "stored" && job.objects?.length) return job.objects.map((object) => object.location).join(", ");
  return job.attempts ? plural(job.attempts, "failed try", "failed tries") : "";
}

function makeRow(job) {
  const cell = (name, label) => make("span", { role: "cell", class: name, ...(label && { "data-label": label }) });
  return make(
    "div",
    { class: "row", role: "row" },
    make("span", { role: "cell" }, make("a", { class: "mono", href: `#job=${encodeURIComponent(job.id)}` }, job.id)),
    make("span", { role: "cell" }, make("span", { class: "state" })),
    cell("soft"),
    cell("", "expires"),
    cell(""),
    cell("what"),
  );
}

function showRow(row, job) {
  const [, state, at, expires, size, what] = row.children;
  state.firstChild.dataset.state = job.state;
  put(state.firstChild, job.state);
  putTime(at, changed(job), ago);
  putTime(expires, job.expires, until);
  expires.className = job.state !== "stored" && job.state !== "failed" && isNear(job.expires) ? "soon" : "soft";
  put(size, job.state === "stored" ? bytes(job.bytes) : "");
  put(what, happened(job));
  what.title = what.textContent;
}

function nothingToList() {
  if (view.prefix && !ID.test(view.prefix)) return "Ids of jobs have letters, digits, - and _ only.";
  if (view.prefix) return `No ${view.state ? `${view.state} ` : ""}job has an id that begins with “${view.prefix}”.`;
  return view.state ? `No job is ${view.state}.` : "No job has come in yet.";
}

async function loadList() {
  const query = new URLSearchParams({ limit: String(PAGE) }),
    ticket = ++wanted;
  if (view.state) query.set("state", view.state);
  if (view.prefix) query.set("prefix", view.prefix);
  const after = view.cursors[view.cursors.length - 1];
  if (after) query.set("after", after);
  let list = { jobs: [], next: null };
  for (let n = 0; n < EMPTY_MAX && (!view.prefix || ID.test(view.prefix)); n++) {
    list = await api(`/api/jobs?${query}`);
    if (ticket !== wanted) return; // asked for something else meanwhile
    if (list.jobs.length > 0 || !list.next) break;
    query.set("after", list.next); // a page may be empty though others follow
  }
  sync($("rows"), list.jobs, (job) => job.id, makeRow, showRow);
  $("rows-none").hidden = list.jobs.length > 0;
  put($("rows-none"), nothingToList());
  $("pages").hidden = view.cursors.length === 1 && !list.next;
  $("older").disabled = !list.next;
  $("older").dataset.next = list.next || "";
  $("newer").disabled = view.cursors.length === 1;
  put($("page-number"), `Page ${view.cursors.length}`);
  put($("jobs-title"), view.state ? `Jobs: ${view.state}` : "Jobs");
  $("retry-dead").hidden = !(view.state === "dead" && list.jobs.length > 0);
}

/* Another filter, from its first page; the address keeps it. */
function look(change) {
  Object.assign(view, change, { cursors: [""] });
  const hash = new URLSearchParams();
  for (const name of ["state", "prefix"]) if (view[name]) hash.set(name, view[name]);
  history.replaceState(null, "", hash.size ? `#${hash}` : location.pathname);
  if (status) showTiles(status);
  refreshList();
}

function refreshList() {
  loadList().then(() => say(`${$("jobs-title").textContent}: ${$("rows").childElementCount} shown`), lost);
}

function turnTo(page) {
  view.cursors = page;
  refreshList();
  $("jobs").scrollIntoView();
}

/* ---- one job ---- */

function showDetails(id, answer) {
  const job = answer?.job;
  put($("details-title"), id);
  put(
    $("details-state"),
    job ? "" : "The journal has no such job: it never came in, or was forgotten long after its end.",
  );
  if (job) $("details-state").replaceChildren(make("span", { class: "state", "data-state": job.state }, job.state));
  $("details-error").hidden = !job?.error;
  put($("details-error"), job?.error ? `${job.error.name}: ${job.error.message}` : "");
  const time = (iso, relative) => iso && `${local(iso)} (${relative(iso)})`;
  facts(
    $("details-facts"),
    job
      ? [
          ["Received", `${time(job.received, ago)}, ${job.origin === "sync" ? "found by sync" : "by a webhook"}`],
          ["Last tried", time(job.claimed, ago)],
          ["Next try", time(job.next_try, until)],
          ["Ended", time(job.ended, ago)],
          ["Output expires", time(job.expires, until)],
          ["Failed tries", job.attempts ? String(job.attempts) : null],
          ["Size", job.state === "stored" ? `${bytes(job.bytes)} (${number(job.bytes)} bytes)` : null],
        ]
      : [],
  );
  const objects = job?.objects || [];
  $("details-objects-part").hidden = objects.length === 0;
  sync(
    $("details-objects"),
    objects,
    (object) => String(object.key),
    () => make("li", {}, make("code"), make("span", { class: "soft" })),
    (li, object) => {
      put(li.firstChild, String(object.location ?? object.key));
      put(li.lastChild, typeof object.size === "number" ? ` ${bytes(object.size)}` : "");
    },
  );
  const entries = answer?.history || [];
  $("details-history-part").hidden = entries.length === 0;
  sync(
    $("details-history"),
    entries.map((entry, i) => ({ ...entry, i })),
    (entry) => `${entry.i} ${entry.at} ${entry.what}`,
    (entry) =>
      make(
        "li",
        {},
        make("b", {}, entry.what),
        " ",
        make("time", { datetime: entry.at, class: "soft" }, local(entry.at)),
        entry.text ? make("p", { class: "wrong" }, entry.text) : "",
      ),
    () => {},
  );
  $("details-retry").hidden = !RETRYABLE.includes(job?.state);
  put($("details-retry"), job?.state === "waiting" ? "Try now" : "Retry");
}

async function loadDetails() {
  const id = view.job;
  if (!id) return;
  const answer = ID.test(id) ? await api(`/api/jobs/${encodeURIComponent(id)}`) : null;
  if (id !== view.job) return;
  showDetails(id, answer);
  if (!$("details").open) $("details").showModal();
}

/* ---- the rounds ---- */

function lost(error) {
  if (error instanceof Refused) return;
  failures++;
  document.body.classList.add("stale");
  $("link").dataset.level = "bad";
  put($("link"), "offline");
  const why = reason(error).replace("the", "The");
  put(
    $("offline"),
    `${why}. ${status ? `What stands below is from ${new Date(statusAt).toLocaleTimeString()}. ` : ""}Still trying.`,
  );
  $("offline").hidden = false;
  const past = status ? `Before: ${verdict(status)[2]}.` : "Is egress serve running?";
  showVerdict(["idle", "?", "How things stand is not known", past]);
}

function found() {
  if (failures) say("The daemon answers again.");
  failures = 0;
  document.body.classList.remove("stale");
  $("offline").hidden = true;
}

function showFigures(s) {
  const w = s.webhooks,
    t = s.transfers;
  facts($("figures"), [
    ["Version", `${s.version}, up for ${s.started ? span(-left(s.started)) : "?"}`],
    [
      "Since the start",
      `${nJobs(t.stored)} stored, ${bytes(t.bytes)}; ${t.already_stored} were there already; ${t.failed} failed, ${t.later} put off, ${t.dead} given up`,
    ],
    [
      "Webhooks",
      `${w.accepted} accepted (${w.known} known before), ${w.unauthorized} unauthorized, ${w.rejected} malformed, ${w.unavailable} refused for want of room`,
    ],
    [
      "Sync",
      [
        `${s.sync.runs} done, ${s.sync.failed} failed, ${nJobs(s.sync.repaired)} found`,
        s.sync.last && `last ${ago(s.sync.last)}`,
        s.sync.next && `next ${until(s.sync.next)}`,
      ]
        .filter(Boolean)
        .join("; "),
    ],
    ["Journal", `${bytes(s.journal.bytes)}, ${plural(s.journal.commits, "commit", "commits")}`],
    [
      "Process",
      `${bytes(s.process.resident_bytes)} of memory, ${s.process.threads} threads, ${s.process.descriptors} descriptors`,
    ],
  ]);
}

async function round(mine) {
  const s = await api("/api/status");
  if (turn !== mine) return;
  if (!s) throw new Error("the daemon answered 404");
  const old = [status, statusAt, before];
  before = status && { at: statusAt, jobs: new Map(status.running.map((job) => [job.id, job.received])) };
  status = s;
  statusAt = Date.now();
  try {
    showVerdict(verdict(s));
    for (const show of [showTop, showTiles, showRunning, showPlot, showFigures]) show(s);
  } catch {
    [status, statusAt, before] = old; // that was no status
    throw new Error("the daemon answered what this page does not understand");
  }
  found();
  delete $("main").dataset.loading;
  await Promise.all([loadList(), loadDetails()]);
}

async function poll() {
  clearTimeout(timer);
  const mine = ++turn;
  await round(mine).catch(lost);
  if (turn !== mine || $("token").open) return; // a later one goes on, or the token's dialog does
  timer = setTimeout(poll, document.hidden ? POLL_HIDDEN_MS : POLL_MS);
}

/* #job=ID opens its details; #state= and #prefix= filter the list. */
function follow() {
  const hash = new URLSearchParams(location.hash.slice(1));
  view.job = hash.get("job") || "";
  if (view.job) return loadDetails().catch(lost);
  if ($("details").open) $("details").close();
  look(filters(hash));
}

function filters(hash) {
  const state = hash.get("state") || "",
    prefix = hash.get("prefix") || "";
  $("search").value = prefix;
  return { state: STATES.includes(state) ? state : "", prefix };
}

function begin() {
  const hash = new URLSearchParams(location.hash.slice(1));
  view.job = hash.get("job") || "";
  Object.assign(view, filters(hash));
  let typing = 0;
  $("search").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => look({ prefix: $("search").value.trim() }), 200);
  });
  $("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address is for what is looked at
    $("jobs").focus();
    $("jobs").scrollIntoView();
  });
  $("older").addEventListener("click", () => turnTo([...view.cursors, $("older").dataset.next]));
  $("newer").addEventListener("click", () => turnTo(view.cursors.slice(0, -1)));
  $("plot-at").addEventListener("input", showHere);
  $("pause").addEventListener("click", () =>
    act($("pause"), status.paused ? "/api/resume" : "/api/pause", {}, (answer) =>
      answer.paused ? "Paused." : "Resumed.",
    ),
  );
  $("sync").addEventListener("click", () =>
    act($("sync"), "/api/sync", {}, (answer) => (answer.started ? "Sync has begun." : "Sync is under way already.")),
  );
  $("retry-dead").addEventListener("click", () => act($("retry-dead"), "/api/retry", { dead: true }, retried));
  $("details-retry").addEventListener("click", () =>
    act($("details-retry"), "/api/retry", { jobs: [view.job] }, retried),
  );
  $("details-close").addEventListener("click", () => $("details").close());
  $("details").addEventListener("close", () => view.job && look({ job: "" }));
  $("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem("egress-token", $("token-text").value);
    $("token-text").value = "";
    $("token").close();
  });
  $("token").addEventListener("close", poll);
  document.addEventListener("visibilitychange", () => document.hidden || poll());
  window.addEventListener("hashchange", follow);
  poll();
}

begin();
