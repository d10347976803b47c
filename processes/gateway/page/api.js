// Asking the appliance: one way for every request of the page.
//
// Owns: the API key that goes with a request, and what a refusal says to a person.
// Refuses to know: what is asked for, and every element but the key's field.

import { t } from "./texts.js";

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
export function ask(path, options = {}) {
  return sendAs(path, { ...options, headers: withKey(options.headers) });
}

/** As ask, but with nothing added: as another program sends it. */
export async function sendAs(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RefusedError(t("error.unreachable"));
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

/** As ask, for an answer in JSON. */
export async function askJson(path, options) {
  return readJson(await ask(path, options));
}

/** As askJson, for a POST of much; `tell` is called with the share of it that is sent, 0 to 1. */
export async function sendJson(path, { headers, body }, tell) {
  const answer = await upload(path, headers, body, tell);
  if (!answer.ok) throw await refusal(answer);
  return readJson(answer);
}

/** POST a body by the older way, since fetch doesn't tell how much of it is sent. */
function upload(path, headers, body, tell) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.responseType = "blob";
    for (const [name, value] of Object.entries(withKey(headers))) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", ({ loaded, total }) => tell(loaded / total));
    request.addEventListener("load", () => resolve(answerOf(request)));
    request.addEventListener("error", () => reject(new RefusedError(t("error.unreachable"))));
    request.send(body);
  });
}

/** What fetch would have returned. */
function answerOf(request) {
  const lines = request.getAllResponseHeaders().trim().split("\r\n");
  const headers = lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
  return new Response(request.response, { status: request.status, headers });
}

function withKey(headers = {}) {
  const key = apiKey();
  return key ? { Authorization: `Bearer ${key}`, ...headers } : headers;
}

async function readJson(answer) {
  try {
    return await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RefusedError(t("error.answer_broken_off"));
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
  let message = t("error.foreign_answer");
  try {
    message = (await answer.json()).error.message;
  } catch {
    // Not our error shape (a proxy's page, say): the status is all there is to tell.
  }
  const wait_s = answer.headers.get("Retry-After");
  if (wait_s) message += ` ${t("error.wait", { wait_s })}`;
  const id = answer.headers.get("X-Request-ID");
  const { status } = answer;
  message += ` (${id ? t("error.status_and_request", { status: String(status), id }) : t("error.status", { status: String(status) })})`;
  return new RefusedError(message, answer.status);
}
