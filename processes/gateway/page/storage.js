// What this browser remembers: the choices of the form, and its jobs.
//
// Owns: the browser's storage and its form. Some browsers are set to forbid it; the page works without.
// Refuses to know: what the choices mean, and what became of the jobs.
//
// Without keys in force the id of a job is the right to it, so it is kept here and nowhere else.

const KEY_ITEM = "api-key";
const ADMIN_KEY_ITEM = "admin-key";
const CHOICES_ITEM = "choices";
const JOBS_ITEM = "jobs";
const LANGUAGE_ITEM = "language";
const DRAFT_ITEM = "draft";
const MOST_JOBS = 100;

function keep(use) {
  try {
    return use();
  } catch {
    return null;
  }
}

function read(item) {
  return keep(() => JSON.parse(localStorage.getItem(item)));
}

function write(item, value) {
  keep(() => localStorage.setItem(item, JSON.stringify(value)));
}

export function rememberKey(key) {
  keep(() => sessionStorage.setItem(KEY_ITEM, key)); // until the tab is closed
}

export function recallKey() {
  return keep(() => sessionStorage.getItem(KEY_ITEM)) ?? "";
}

/** The console's key is another item, so that a key for speech is never tried on it; nothing forgets it. */
export function rememberAdminKey(key) {
  keep(() => (key ? sessionStorage.setItem(ADMIN_KEY_ITEM, key) : sessionStorage.removeItem(ADMIN_KEY_ITEM)));
}

export function recallAdminKey() {
  return keep(() => sessionStorage.getItem(ADMIN_KEY_ITEM)) ?? "";
}

export function rememberChoices(choices) {
  write(CHOICES_ITEM, choices);
}

export function recallChoices() {
  return read(CHOICES_ITEM) ?? {};
}

/** The language of the page, as in "en"; nothing before one was chosen. */
export function recallLanguage() {
  return read(LANGUAGE_ITEM);
}

export function rememberLanguage(language) {
  write(LANGUAGE_ITEM, language);
}

/** The text that this tab's page had when it was left; only once. */
export function takeDraft() {
  return keep(() => {
    const draft = sessionStorage.getItem(DRAFT_ITEM);
    sessionStorage.removeItem(DRAFT_ITEM);
    return draft;
  });
}

export function leaveDraft(text) {
  keep(() => sessionStorage.setItem(DRAFT_ITEM, text));
}

/** The jobs of this browser, the newest first: id, title, and where the listener stopped, in seconds. */
export function recallJobs() {
  const jobs = read(JOBS_ITEM);
  return Array.isArray(jobs) ? jobs : [];
}

/** What is remembered of a job; nothing is known of others'. */
export function recallJob(id) {
  return recallJobs().find((job) => job.id === id) ?? { id, title: "", at_s: 0 };
}

/** Remember a job, or something new of it. */
export function rememberJob(id, news = {}) {
  const jobs = recallJobs(); // anew each time: another tab may have written
  const known = jobs.find((job) => job.id === id);
  if (known && !Object.keys(news).length) return;
  if (known) Object.assign(known, news);
  else jobs.unshift({ id, title: "", at_s: 0, ...news });
  write(JOBS_ITEM, jobs.slice(0, MOST_JOBS));
}

export function forgetJob(id) {
  write(JOBS_ITEM, recallJobs().filter((job) => job.id !== id));
}
