// The page's texts: which language they are in, and how they are found.
//
// Owns: the choice of the language, plurals, numbers, the texts of elements that name theirs in data-t.
// Refuses to know: what the texts say (texts_en.js, texts_pl.js), and texts that are to be spoken (samples.js).
//
// The language stands for as long as the page is open: whoever chooses another one opens the page anew.
// The console has its words in English, and only a page that says `data-translated` is in another language.

import { recallLanguage } from "./storage.js";
import { EN } from "./texts_en.js";
import { PL } from "./texts_pl.js";

const TABLES = { en: EN, pl: PL };
const FIRST = "en"; // of visitors whose browser asks for none of these

function primary(tag) {
  return tag.split("-")[0].toLowerCase();
}

function chosen() {
  if (!("translated" in document.documentElement.dataset)) return FIRST;
  return [recallLanguage(), primary(navigator.language)].find((each) => each in TABLES) ?? FIRST;
}

/** The language of the page, as in "en". */
export const LANGUAGE = chosen();
/** As the visitor's browser writes dates in that language. */
export const DATES = navigator.languages.find((tag) => primary(tag) === LANGUAGE) ?? LANGUAGE;

const table = TABLES[LANGUAGE];
const plurals = new Intl.PluralRules(LANGUAGE);

/** A whole number, as 1,234. */
export function count(number) {
  return number.toLocaleString(LANGUAGE);
}

/** A number with so many places behind the point. */
export function decimal(number, places) {
  const options = { minimumFractionDigits: places, maximumFractionDigits: places };
  return number.toLocaleString(LANGUAGE, options);
}

/** Whether there is a text of that name. */
export function hasText(name) {
  return Object.hasOwn(table, name);
}

/** The text of a name, with values in the place of {names}; `n` decides between singular and plurals. */
export function t(name, values = {}) {
  const entry = table[name];
  const text = typeof entry === "string" ? entry : entry[plurals.select(values.n)];
  return text.replace(/\{(\w+)\}/g, (_, each) => (typeof values[each] === "number" ? count(values[each]) : values[each]));
}

/** Fill in the texts of all elements below one: data-t for what stands in it, data-t-NAME for an attribute. */
export function translate(root) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const [data, attribute] of [["tLabel", "aria-label"], ["tPlaceholder", "placeholder"], ["tContent", "content"]]) {
    const name = data.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`);
    for (const element of root.querySelectorAll(`[data-${name}]`)) element.setAttribute(attribute, t(element.dataset[data]));
  }
  for (const template of root.querySelectorAll("template")) translate(template.content);
}

/** The name of a language, for example "Polish"; `fallback` where the browser knows none. */
export function languageName(language, fallback) {
  try {
    const name = languageNames.of(language);
    return name === Intl.getCanonicalLocales(language)[0] ? fallback : name; // the tag itself: it knows none
  } catch {
    return fallback; // not a well-formed tag
  }
}

const languageNames = new Intl.DisplayNames([LANGUAGE], { type: "language" });
