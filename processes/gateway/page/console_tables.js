// Tables that are filled anew again and again: a row stays the same element, so that its button keeps the focus.
//
// Owns: which columns each table has, and its elements. Every value is text: nothing of an answer becomes markup.
// Refuses to know: how anything is asked for, and what a button does.

import { ago, failureWords, memory, seconds } from "./console_words.js";
import { reasonWords, stateWords } from "./job_words.js";
import { count } from "./texts.js";

const WORKER_PREFIX = "worker-";
const NOT_CONNECTED = {
  STARTING: "starting",
  RUNNING: "starting",
  BACKOFF: "starting",
  EXITED: "starting",
  STOPPING: "stopping",
  STOPPED: "stopped",
  FATAL: "fatal",
};
const CAN_RESTART = ["ready", "busy"];

/** A table: its columns are {title, of: row → text, kind?}; kind is a class, or "state" or "action". */
class Table {
  #body;
  #columns;
  #empty;
  #rows = new Map(); // key → its row's element

  constructor(table, columns, empty) {
    this.#columns = columns;
    this.#empty = empty;
    const head = document.createElement("thead");
    const titles = document.createElement("tr");
    for (const { title, kind } of columns) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = title;
      if (kind === "number") cell.className = kind;
      titles.append(cell);
    }
    head.append(titles);
    this.#body = document.createElement("tbody");
    table.replaceChildren(head, this.#body);
  }

  /** Show rows in their order; each has a `key` of its own. */
  show(rows) {
    const keys = new Set(rows.map(({ key }) => key));
    for (const [key, element] of this.#rows) {
      if (!keys.has(key)) { element.remove(); this.#rows.delete(key); }
    }
    this.#sayEmpty(rows.length === 0);
    rows.forEach((row, index) => {
      const element = this.#rows.get(row.key) ?? this.#add(row.key);
      this.#columns.forEach((column, at) => fill(element.cells[at], column, row));
      if (this.#body.children[index] !== element) this.#body.insertBefore(element, this.#body.children[index] ?? null);
    });
  }

  #add(key) {
    const element = document.createElement("tr");
    for (const { kind } of this.#columns) {
      const cell = element.insertCell();
      if (kind) cell.className = kind;
    }
    this.#rows.set(key, element);
    return element;
  }

  #sayEmpty(is_empty) {
    this.#body.querySelector("[data-empty]")?.remove();
    if (!is_empty) return;
    const cell = this.#body.insertRow().insertCell();
    cell.parentElement.dataset.empty = "";
    cell.colSpan = this.#columns.length;
    cell.className = "quiet";
    cell.textContent = this.#empty;
  }
}

/** Write a value into its cell, and leave alone what is the same. */
function fill(cell, { of, kind, title, act }, row) {
  const text = String(of(row) ?? "–");
  if (kind === "action") {
    const button = cell.firstElementChild ?? cell.appendChild(makeButton(() => act(row.key)));
    button.setAttribute("aria-label", `${text} ${row.key}`);
    button.setAttribute("aria-disabled", String(text !== title)); // not disabled, which would take the focus away
    button.textContent = text;
  } else if (kind === "state") {
    cell.dataset.state = row.state;
    if (!cell.firstElementChild) cell.append(makeDot(), document.createElement("span"));
    if (cell.lastElementChild.textContent !== text) cell.lastElementChild.textContent = text;
  } else if (cell.textContent !== text) {
    cell.textContent = text;
  }
}

function makeButton(pressed) {
  const button = document.createElement("button");
  button.type = "button";
  button.addEventListener("click", () => { if (button.getAttribute("aria-disabled") !== "true") pressed(); });
  return button;
}

function makeDot() {
  const dot = document.createElement("span");
  dot.className = "dot";
  dot.setAttribute("aria-hidden", "true");
  return dot;
}

// ---------------------------------------------------------------- which tables there are

/** The table of workers: those that are connected, and those that only supervisord knows of. */
export class Workers {
  #table;

  /** @param {(name: string) => void} restart called when a worker's button is pressed */
  constructor(table, restart) {
    this.#table = new Table(table, [
      { title: "Worker", of: (worker) => worker.name },
      { title: "State", of: (worker) => worker.state, kind: "state" },
      { title: "Memory", of: (worker) => memory(worker.rss_bytes), kind: "number" },
      { title: "Utterances", of: ({ utterances }) => (utterances === undefined ? null : count(utterances)), kind: "number" },
      { title: "Losses", of: (worker) => worker.losses, kind: "number" },
      { title: "Starts unasked", of: (worker) => worker.restarts, kind: "number" },
      { title: "Last exit", of: (worker) => worker.last_loss ?? worker.last_exit },
      { title: "Process", of: (worker) => worker.pid, kind: "number" },
      { title: "Restart", of: restartWords, kind: "action", act: restart },
    ], "No worker is known.");
  }

  show(connected, programs) {
    const by_name = new Map(programs.filter(({ name }) => name.startsWith(WORKER_PREFIX)).map((each) => [each.name, each]));
    const names = new Set([...by_name.keys(), ...connected.map(({ name }) => name)]);
    this.#table.show([...names].sort().map((name) => {
      const seen = connected.find((each) => each.name === name);
      const program = by_name.get(name);
      const known = program ? { ...program, rss_bytes: null, state: unconnectedState(program) } : {};
      return { key: name, name, ...known, ...seen };
    }));
  }
}

/** What its button says; anything but its column's title where it can't be pressed. */
function restartWords({ state, restart_asked }) {
  if (restart_asked) return "Asked for";
  return CAN_RESTART.includes(state) ? "Restart" : "Not now";
}

function unconnectedState({ held, state }) {
  return held ? "held" : NOT_CONNECTED[state] ?? "unknown";
}

/** The table of the programs that are no workers. */
export class Programs {
  #table;

  constructor(table) {
    this.#table = new Table(table, [
      { title: "Program", of: (program) => program.name },
      { title: "State", of: (program) => program.state.toLowerCase(), kind: "state" },
      { title: "Memory", of: (program) => memory(program.rss_bytes), kind: "number" },
      { title: "Starts unasked", of: (program) => program.restarts, kind: "number" },
      { title: "Hangs", of: (program) => program.hangs, kind: "number" },
      { title: "Last exit", of: (program) => program.last_exit },
      { title: "Process", of: (program) => program.pid, kind: "number" },
    ], "The watchdog has written nothing down.");
  }

  show(programs) {
    const others = programs.filter(({ name }) => !name.startsWith(WORKER_PREFIX));
    this.#table.show(others.map((program) => ({ key: program.name, ...program })));
  }
}

/** The table of jobs, the newest first. */
export class Jobs {
  #table;

  constructor(table) {
    this.#table = new Table(table, [
      { title: "Asked for", of: ({ created_at, now_ms }) => ago(Date.parse(created_at), now_ms) },
      { title: "State", of: (job) => stateWords(job), kind: "state" },
      { title: "Done", of: ({ progress }) => `${Math.floor(100 * progress)} %`, kind: "number" },
      { title: "Title", of: (job) => job.title || null, kind: "words" },
      { title: "Voice", of: (job) => job.voice, kind: "words" },
      { title: "Characters", of: ({ chars }) => count(chars), kind: "number" },
      { title: "Why", of: (job) => reasonWords(job) || null, kind: "words" },
      { title: "Id", of: (job) => job.id },
    ], "None.");
  }

  show(jobs, now_ms) {
    this.#table.show(jobs.map((job) => ({ key: job.id, now_ms, ...job })));
  }
}

/** The table of the requests that failed last. */
export class Failures {
  #table;

  constructor(table) {
    this.#table = new Table(table, [
      { title: "When", of: ({ accepted_at, now_ms }) => ago(Date.parse(accepted_at), now_ms) },
      { title: "Why", of: (request) => request.ended_by, kind: "state" },
      { title: "Voice", of: (request) => request.voice, kind: "words" },
      { title: "Doctor's verdict", of: (request) => request.verdict, kind: "words verdict" },
      { title: "Command", of: (request) => request.command, kind: "words command" },
      { title: "Worker", of: (request) => request.worker || null },
      { title: "Characters", of: ({ chars }) => count(chars), kind: "number" },
      { title: "Took", of: ({ total_s }) => seconds(total_s), kind: "number" },
      { title: "Request id", of: (request) => request.request_id, kind: "words" },
    ], "None is in the history.");
  }

  /** @param {object | null} diagnoses answer of GET /admin/diagnoses, once it is there */
  show(requests, now_ms, diagnoses) {
    this.#table.show(requests.map((request) => ({ key: request.id, now_ms, ...request, ...failureWords(diagnoses, request) })));
  }
}
