// Elements that stand in the page more than once.
//
// Owns: making them of templates.
// Refuses to know: what is in them.

/** A template's elements: the outermost, and those within by the names in their data-part. */
export function instantiate(template) {
  const root = document.getElementById(template).content.cloneNode(true).firstElementChild;
  const parts = Object.fromEntries([...root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
  return { root, parts };
}

/** An element of a kind with a text and a class. */
export function element(kind, text, class_name = "") {
  const made = document.createElement(kind);
  made.textContent = text;
  made.className = class_name;
  return made;
}
