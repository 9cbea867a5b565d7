// Shortcuts: one key, or "g" and a second one. None counts while somebody types, or with a dialog open.

import { ask } from "./dialog.js";
import { h } from "./dom.js";
import { t } from "./texts.js";

const WAIT_MS = 1500;
let known = [];
let first = "";
let timer = 0;

// [[keys, words, action], …], such as ["g p", "Payments", …].
export function setKeys(list) {
  known = list;
}

export function showKeys() {
  const rows = known.map(([keys, words]) => h("tr", {}, h("td", {}, keys.split(" ").map((key) => h("kbd", {}, key))), h("td", {}, words)));
  return ask(t("keys.title"), h("table", { class: "compact keys" }, h("caption", { class: "hidden" }, t("keys.title")), h("tbody", {}, rows)));
}

function typing(target) {
  return target.closest?.("input, select, textarea, [contenteditable]") || document.querySelector("dialog[open]");
}

window.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || typing(event.target)) return;
  clearTimeout(timer);
  const pressed = first ? `${first} ${event.key}` : event.key;
  const match = known.find(([keys]) => keys === pressed);
  if (match) {
    event.preventDefault();
    first = "";
    match[2]();
  } else {
    first = !first && known.some(([keys]) => keys.startsWith(`${event.key} `)) ? event.key : "";
    timer = setTimeout(() => {
      first = "";
    }, WAIT_MS);
  }
});
