// Forms from descriptions of their fields, with the server's errors at the fields that they name.
//
// A field: {name, label, kind, required, options, hint, value, max}. Names with dots make nested members.
// Kinds: text, password, date, number, money, select, textarea, checks, account, file.

import { newKey } from "./api.js";
import { h, replace, unique } from "./dom.js";
import { typedDecimal } from "./format.js";
import { worded } from "./problems.js";
import { t } from "./texts.js";

function control(field, id, described) {
  const common = {
    id, name: field.name, "aria-describedby": described, "aria-required": field.required ? "true" : undefined,
    autocomplete: field.autocomplete || "off",
  };
  const value = field.value ?? "";
  if (field.kind === "select") {
    const none = field.required && field.value ? [] : [["", field.none ?? t("choose")]];
    return h("select", common, [...none, ...field.options].map(([key, label]) =>
      h("option", { value: key, selected: String(key) === String(value) }, label)));
  }
  if (field.kind === "textarea") return h("textarea", { ...common, rows: 3, maxlength: field.max }, value);
  if (field.kind === "file") return h("input", { ...common, type: "file", accept: field.accept });
  const type = { password: "password", date: "date", number: "number" }[field.kind] || "text";
  const numeric = field.kind === "money" || field.kind === "account";
  return h("input", {
    ...common, type, value, maxlength: field.max, min: field.min, inputmode: field.kind === "money" ? "decimal" : numeric ? "numeric" : undefined,
    class: numeric ? "numeric" : "", autocapitalize: "off", spellcheck: "false",
  });
}

function fieldNode(field) {
  const id = unique("field");
  const error = h("p", { class: "field-error", id: `${id}-error` });
  const hint = field.hint ? h("p", { class: "hint", id: `${id}-hint` }, field.hint) : null;
  const described = hint ? `${id}-hint ${id}-error` : `${id}-error`;
  const mark = field.required ? h("span", { class: "required", "aria-hidden": "true" }, " *") : null;
  if (field.kind === "checks") {
    const boxes = field.options.map(([key, label]) => h("label", { class: "check" },
      h("input", { type: "checkbox", value: key, checked: (field.value || []).includes(key) }), h("span", {}, label)));
    const node = h("fieldset", { class: "field wide", id, "aria-describedby": described, tabindex: "-1" },
      h("legend", {}, field.label, mark), h("div", { class: "checks" }, boxes), hint, error);
    const chosen = () => [...node.querySelectorAll("input:checked")].map((box) => box.value);
    return { field, node, error, input: node, read: chosen };
  }
  const input = control(field, id, described);
  const shown = field.kind === "money" ? h("div", { class: "with-unit" }, input, h("span", { class: "unit" }, field.currency || "CNY")) : input;
  const node = h("div", { class: `field ${field.kind === "textarea" ? "wide" : ""}` },
    h("label", { for: id }, field.label, mark), shown, hint, error);
  return { field, node, error, input, read: () => read(field, input) };
}

function read(field, input) {
  if (field.kind === "file") return input.files[0];
  const text = field.kind === "password" ? input.value : input.value.trim();
  if (field.kind === "money") return text ? { amount: typedDecimal(text), currency: field.currency || "CNY" } : undefined;
  if (field.kind === "account") return typedDecimal(text).toUpperCase() || undefined;
  if (field.kind === "number") return text === "" ? undefined : Number(text);
  return text === "" ? undefined : text;
}

function put(target, name, value) {
  const parts = name.split(".");
  const last = parts.pop();
  for (const part of parts) target = target[part] ??= {};
  target[last] = value;
}

// submit(values, key) sends; confirm(values) may stop it before. The key stays the same until an answer is certain.
export function form({ fields, label, submit, confirm, done, kind = "primary", inline = false }) {
  const made = fields.map(fieldNode);
  const summary = h("div", { class: "form-summary", role: "alert", tabindex: "-1" });
  const send = h("button", { type: "submit", class: `button ${kind}` }, label);
  let key = newKey();
  let busy = false;

  function wrong(each, words) {
    each.error.textContent = words;
    each.input.setAttribute("aria-invalid", "true");
  }

  function clear() {
    replace(summary);
    for (const each of made) {
      each.error.textContent = "";
      each.input.removeAttribute("aria-invalid");
    }
  }

  function missing() {
    const found = made.filter((each) => each.field.required && (each.read() === undefined || each.read().length === 0));
    for (const each of found) wrong(each, t("field.required"));
    found[0]?.input.focus();
    return found.length > 0;
  }

  function told(refusal) {
    const rest = [];
    let first = null;
    for (const error of refusal.fields) {
      const at = made.filter((each) => error.field === each.field.name || error.field.startsWith(`${each.field.name}.`))
        .sort((one, other) => other.field.name.length - one.field.name.length)[0];
      if (at) {
        wrong(at, worded(error.message));
        first ??= at;
      } else {
        rest.push(`${error.field}: ${worded(error.message)}`);
      }
    }
    const words = refusal.fields.length ? rest : [refusal.detail].filter(Boolean);
    const advice = refusal.definite ? null : h("p", {}, t("form.uncertain"));
    replace(summary, h("div", { class: "callout bad" }, h("strong", {}, refusal.message), words.map((line) => h("p", {}, line)), advice));
    (first ? first.input : summary).focus();
  }

  async function sent(event) {
    event.preventDefault();
    if (busy) return;
    clear();
    if (missing()) return;
    const values = {};
    for (const each of made) {
      const value = each.read();
      if (value !== undefined) put(values, each.field.name, value);
    }
    busy = true;
    send.setAttribute("aria-disabled", "true");
    try {
      if (confirm && !(await confirm(values))) return;
      node.setAttribute("aria-busy", "true");
      const answer = await submit(values, key);
      key = newKey();
      await done?.(answer, values);
    } catch (refusal) {
      if (refusal.definite === undefined) throw refusal;
      if (refusal.definite) key = newKey();
      told(refusal);
    } finally {
      busy = false;
      node.removeAttribute("aria-busy");
      send.removeAttribute("aria-disabled");
    }
  }

  const node = h("form", { novalidate: true, onsubmit: sent, class: inline ? "form inline" : "form" },
    summary, h("div", { class: "fields" }, made.map((each) => each.node)), h("div", { class: "form-buttons" }, send));
  return node;
}

// A row of filters above a list; change(values) is called with what is chosen.
export function filters(fields, change) {
  return form({ fields, label: t("search"), kind: "", inline: true, submit: async (values) => change(values) });
}
