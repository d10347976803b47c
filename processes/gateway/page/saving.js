// Saving: bytes become a file of the visitor's, under a name that fits.
//
// Owns: names of files, and the browser's way to save.
// Refuses to know: where the bytes come from.

const KEPT_MS = 60_000; // an object URL lives until the browser has surely read it

export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
}

/** A file name from the first words of a text, in any script. */
export function fileStem(text) {
  const words = text.slice(0, 200).match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
  return words.slice(0, 6).join("-").slice(0, 60).toLowerCase() || "speech";
}
