// What was, as plots need it: requests of the history by minute, and how many utterances waited.
//
// Owns: what is kept of the past, how much of it, and the figures of each minute.
// Refuses to know: elements, and how anything is asked for.
//
// The history is the appliance's, so its times are the appliance's clock; looks are this page's.

const MINUTE_MS = 60_000;
const MINUTES = 30;
const MOST_REQUESTS = 2_000; // of the history; the oldest go first
const MOST_LOOKS = 900; // half an hour of one every 2 s
const FAILURES = ["failed", "expired"]; // as the status counts them; who left has neither succeeded nor failed

export class Past {
  #requests = new Map(); // id → {at_ms, state, ttfa_s}
  #looks = []; // [at_ms, how many waited]

  /** Whether a request of the history is known already. */
  knows(id) {
    return this.#requests.has(id);
  }

  /** Take requests of the history, in any order; what has ended meanwhile takes the place of what ran. */
  take(rows) {
    for (const { id, accepted_at, state, ttfa_s } of rows) {
      this.#requests.set(id, { at_ms: Date.parse(accepted_at), state, ttfa_s });
    }
    const ids = [...this.#requests.keys()].sort((one, other) => one - other);
    for (const id of ids.slice(0, Math.max(0, ids.length - MOST_REQUESTS))) this.#requests.delete(id);
  }

  /** Note how many utterances wait now. */
  look(at_ms, waiting) {
    this.#looks.push([at_ms, waiting]);
    if (this.#looks.length > MOST_LOOKS) this.#looks.shift();
  }

  get looks() {
    return this.#looks;
  }

  /** The last half hour by minutes, the oldest first: {at_ms, completed, failed, p50_s, p90_s}; no figure is null. */
  minutes(now_ms) {
    const first = Math.floor(now_ms / MINUTE_MS) - MINUTES + 1;
    const minutes = Array.from({ length: MINUTES }, (_, index) => ({
      at_ms: (first + index) * MINUTE_MS,
      completed: 0,
      failed: 0,
      ttfa_s: [],
    }));
    for (const { at_ms, state, ttfa_s } of this.#requests.values()) {
      const minute = minutes[Math.floor(at_ms / MINUTE_MS) - first];
      if (!minute) continue;
      if (state === "completed") minute.completed += 1;
      if (FAILURES.includes(state)) minute.failed += 1;
      if (ttfa_s !== null) minute.ttfa_s.push(ttfa_s);
    }
    return minutes.map(({ ttfa_s, ...counts }) => {
      ttfa_s.sort((one, other) => one - other);
      return { ...counts, p50_s: percentile(ttfa_s, 0.5), p90_s: percentile(ttfa_s, 0.9) };
    });
  }
}

/** The smallest value that at least a share of the values doesn't exceed, as the gateway has it. */
function percentile(ascending, share) {
  return ascending.length ? ascending[Math.ceil(share * ascending.length) - 1] : null;
}
