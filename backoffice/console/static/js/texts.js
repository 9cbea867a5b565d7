// Words in the user's language. Keys are the same in every file of texts/; a test compares them with what is used here.

const KEPT = "office.language";
export const LANGUAGES = { zh: "中文", en: "English" };

let texts = {};
let current = "zh";

export function language() {
  return current;
}

export function locale() {
  return current === "zh" ? "zh-CN" : "en-GB";
}

function wanted() {
  const kept = localStorage.getItem(KEPT);
  if (kept in LANGUAGES) return kept;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export async function load(name = wanted()) {
  const response = await fetch(`/static/texts/${name}.json`);
  texts = await response.json();
  current = name;
  document.documentElement.lang = name === "zh" ? "zh-CN" : "en";
}

export async function choose(name) {
  localStorage.setItem(KEPT, name);
  await load(name);
}

// The text of a key; {name} in it is filled from `values`.
export function t(key, values = {}) {
  const text = texts[key];
  if (text === undefined) return key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

// The word for a value of the API, such as a state; one that has none is shown as it came.
export function word(group, value) {
  if (value === null || value === undefined || value === "") return "";
  return texts[`${group}.${value}`] ?? String(value);
}
