// Server-sent events, read by hand: EventSource can neither POST nor send an API key.
//
// Owns: taking a stream apart into events.
// Refuses to know: what they say.

/**
 * The events of an answer as they come, those that come together in one list.
 *
 * @param {ReadableStream<Uint8Array>} body
 * @yields {object[]} What stands behind `data:`; comments are empty lists.
 * @throws {DOMException | TypeError} As the body's reader: the request was aborted, or the connection broke off.
 */
export async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const events = (waiting + value).split("\n\n");
      waiting = events.pop();
      yield events.map(dataOf).filter(Boolean);
    }
  } finally {
    reader.cancel().catch(() => {}); // who stops listening needn't hear that it was broken off before
  }
}

function dataOf(event) {
  const line = event.split("\n").find((each) => each.startsWith("data: "));
  return line && JSON.parse(line.slice("data: ".length));
}
