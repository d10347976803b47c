// Asking the appliance: one way for every request of the page.
//
// Owns: the API key that goes with a request, and what a refusal says to a person.
// Refuses to know: what is asked for, and every element but the key's field.

/** What the appliance or the network refused, in words for a person. */
export class RefusedError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status; // 0: there was no answer at all
  }
}

/** The API key that was typed, or nothing. */
export function apiKey() {
  return document.getElementById("key").value.trim();
}

/** Fetch a path with the API key, if one was typed; anything but success is a RefusedError. */
export async function ask(path, options = {}) {
  const headers = { ...options.headers };
  const key = apiKey();
  if (key) headers.Authorization = `Bearer ${key}`;
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RefusedError("The appliance can't be reached. Is it running?");
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

/** As ask, for an answer in JSON. */
export async function askJson(path, options) {
  const answer = await ask(path, options);
  try {
    return await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RefusedError("The connection broke off before the answer was complete.");
  }
}

/** Options of a POST with a body in JSON. */
export function posted(body, headers = {}) {
  return {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  };
}

/** Turn an error answer ({"error": {"message", …}}) into a RefusedError. */
async function refusal(answer) {
  let message = "This isn't an answer of the appliance.";
  try {
    message = (await answer.json()).error.message;
  } catch {
    // Not our error shape (a proxy's page, say): the status is all there is to tell.
  }
  const wait_s = answer.headers.get("Retry-After");
  if (wait_s) message += ` Try again in ${wait_s} s.`;
  const id = answer.headers.get("X-Request-ID");
  message += ` (status ${answer.status}${id ? `, request ${id}` : ""})`;
  return new RefusedError(message, answer.status);
}
