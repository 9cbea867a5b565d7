// Small building blocks of pages.

import { h, unique } from "./dom.js";
import { t, word } from "./texts.js";

export function heading(title, ...actions) {
  return h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, title), h("div", { class: "actions" }, actions));
}

export function link(label, href, kind = "") {
  return h("a", { href, class: kind }, label);
}

export function button(label, onclick, kind = "", more = {}) {
  return h("button", { type: "button", class: `button ${kind}`, onclick, ...more }, label);
}

export function linkButton(label, href, kind = "") {
  return h("a", { href, class: `button ${kind}` }, label);
}

const TONES = {
  open: "wait", asked: "wait", created: "wait", authorised: "wait", waiting: "wait", pending: "wait", planned: "wait",
  correcting: "wait", approved: "good", captured: "good", active: "good", posted: "good", paid: "good", done: "good",
  corrected: "good", accepted: "good", applied: "good", finished: "good", declined: "bad", rejected: "bad",
  refused: "bad", failed: "bad", expired: "bad", given_up: "bad", reversed: "bad", frozen: "bad", stopped: "bad",
  prospect: "wait", on_sale: "good", confirmed: "good", submitted: "wait", running: "wait", held: "wait", "account_state.open": "good",
};

// A state in words; the colour only repeats them.
export function badge(group, state) {
  return h("span", { class: `badge ${TONES[`${group}.${state}`] || TONES[state] || ""}` }, word(group, state));
}

export function card(title, ...children) {
  const id = unique("card");
  return h("section", { class: "card", "aria-labelledby": id }, h("h2", { id }, title), children);
}

// Names and values: [[label, value], …]; what is null is left out.
export function details(rows) {
  const shown = rows.filter((row) => row && row[1] !== null && row[1] !== undefined && row[1] !== "");
  return h("dl", { class: "details" }, shown.map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", {}, value))));
}

export function callout(tone, ...children) {
  return h("div", { class: `callout ${tone}`, role: tone === "bad" ? "alert" : undefined }, children);
}

export function refused(refusal) {
  return callout("bad", h("strong", {}, refusal.message), refusal.detail ? h("p", {}, refusal.detail) : null);
}

export function empty(words) {
  return h("p", { class: "empty" }, words);
}

// Tell something without taking the focus away; read out by screen readers.
export function announce(words, tone = "good") {
  const place = document.getElementById("messages");
  const note = h("div", { class: `message ${tone}` }, words);
  place.append(note);
  setTimeout(() => note.remove(), 6000);
}

// Views of one thing, each with an address of its own: [[name, label, href], …].
export function tabs(label, items, chosen) {
  return h("nav", { class: "tabs", "aria-label": label }, items.map(([name, words, href]) =>
    h("a", { href, "aria-current": name === chosen ? "page" : undefined }, words)));
}

// Do something that is no form, and tell when the API refuses; true when it was done.
export async function attempt(work) {
  try {
    await work();
    return true;
  } catch (refusal) {
    if (refusal.status === undefined) throw refusal;
    announce([refusal.message, refusal.detail].filter(Boolean).join(" · "), "bad");
    return false;
  }
}

// Any JSON of the API as nested names and values.
export function anything(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (Array.isArray(value)) return h("ul", { class: "plain" }, value.map((each) => h("li", {}, anything(each))));
  if (typeof value === "object") {
    if (Object.keys(value).length === 2 && "amount" in value && "currency" in value) {
      return `${value.currency} ${value.amount}`;
    }
    return details(Object.entries(value).map(([name, each]) => [word("member", name), anything(each)]));
  }
  if (typeof value === "boolean") return value ? t("yes") : t("no");
  return String(value);
}
