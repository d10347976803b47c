// The progress of a job, as it comes.
//
// Owns: asking again after a break: a restart, a closed laptop.
// Refuses to know: what is shown.

import { ask, askJson, RefusedError } from "./api.js";
import { ENDED } from "./job_words.js";
import { eventsOf } from "./server_events.js";
import { t } from "./texts.js";

const SILENCE_MS = 25_000; // the appliance says something every 10 s
const FIRST_WAIT_MS = 500; // before asking again; twice as long each time
const LONGEST_WAIT_MS = 8_000;
const FINAL_STATUSES = [401, 403, 404];

/**
 * Tell a job to its end, whatever breaks meanwhile.
 *
 * @param {string} id The job.
 * @param {AbortSignal} signal Ends it.
 * @param {(job: object) => void} tell Gets the job whenever something has changed.
 * @param {(error: RefusedError | null) => void} tellBreak Gets what keeps it from knowing more, and null once it does.
 * @returns {Promise<object | null>} The job as it ended, or null after `signal`.
 * @throws {RefusedError} The job is gone, or the appliance wants a key.
 */
export async function follow(id, signal, tell, tellBreak) {
  let wait_ms = FIRST_WAIT_MS;
  while (!signal.aborted) {
    try {
      const job = await askJson(`/v1/jobs/${id}`, { signal });
      if (signal.aborted) return null;
      tellBreak(null);
      if (ENDED.includes(job.state)) return job;
      tell(job);
      if (await listen(id, signal, tell)) continue;
      wait_ms = FIRST_WAIT_MS;
    } catch (error) {
      if (signal.aborted) return null;
      if (FINAL_STATUSES.includes(error.status)) throw error;
      tellBreak(error);
    }
    await pause(wait_ms, signal);
    wait_ms = Math.min(2 * wait_ms, LONGEST_WAIT_MS);
  }
  return null;
}

/** Tell what one stream of events says before the end; whether that has come. */
async function listen(id, signal, tell) {
  const cut = new AbortController();
  const cutNow = () => cut.abort();
  let silence = setTimeout(cutNow, SILENCE_MS);
  signal.addEventListener("abort", cutNow);
  try {
    const answer = await ask(`/v1/jobs/${id}/events`, { signal: cut.signal });
    for await (const jobs of eventsOf(answer.body)) {
      clearTimeout(silence);
      silence = setTimeout(cutNow, SILENCE_MS);
      if (jobs.some((job) => ENDED.includes(job.state))) return true;
      jobs.slice(-1).forEach(tell);
    }
    return false;
  } catch (error) {
    if (error instanceof RefusedError) throw error;
    throw new RefusedError(t("error.asking_again"));
  } finally {
    clearTimeout(silence);
    signal.removeEventListener("abort", cutNow);
    cut.abort();
  }
}

function pause(wait_ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, wait_ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
