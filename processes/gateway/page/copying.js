// Copying a text to where the visitor can paste it from.
//
// Owns: the browser's two ways to copy.
// Refuses to know: what is copied.
//
// navigator.clipboard wants HTTPS or this very machine; on a LAN this page is plain http.

/** Copy a text; returns whether the browser did it. Only in a click or key press will it. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

function copyBySelection(text) {
  const focused = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "hidden";
  field.setAttribute("aria-hidden", "true");
  document.body.append(field);
  field.select();
  const is_copied = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return is_copied;
}
