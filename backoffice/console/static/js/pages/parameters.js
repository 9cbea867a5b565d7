// Rules of the market with the days on which they hold.

import { call, get } from "../api.js";
import { lineChart } from "../chart.js";
import { h } from "../dom.js";
import { filters, form } from "../form.js";
import { day } from "../format.js";
import { announce, card, heading } from "../parts.js";
import { go } from "../router.js";
import { may, session } from "../session.js";
import { rowsTable } from "../table.js";
import { t } from "../texts.js";

const shownValue = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));

const columns = (name) => [
  name ? { label: t("parameters.name"), kind: "code", cell: (row) => row.name } : null,
  { label: t("parameters.scope"), cell: (row) => row.scope || "–" },
  { label: t("parameters.value"), kind: "number long", cell: (row) => shownValue(row.value) },
  { label: t("parameters.from"), cell: (row) => day(row.valid_from) },
  { label: t("parameters.to"), cell: (row) => (row.valid_to ? day(row.valid_to) : t("parameters.open_end")) },
  { label: t("parameters.source"), kind: "long", cell: (row) => row.source },
].filter(Boolean);

export async function parametersPage(_, query) {
  const on = query.on || session().business_date;
  const { items } = await get("/parameters", { on });
  const wanted = (query.text || "").toLowerCase();
  const rows = items.filter((row) => `${row.name} ${row.scope} ${row.source}`.toLowerCase().includes(wanted));
  const fields = [
    { name: "text", label: t("parameters.text"), value: query.text, max: 100 },
    { name: "on", label: t("parameters.on"), kind: "date", value: on },
  ];
  return {
    title: t("parameters.title"),
    node: h("div", {}, heading(t("parameters.title")), h("p", { class: "lead" }, t("parameters.lead")),
      filters(fields, (values) => go("/parameters", values)),
      rowsTable({ caption: t("parameters.caption", { n: rows.length }), rows, columns: columns(true), href: (row) => `#/parameters/${encodeURIComponent(row.name)}` })),
  };
}

// A value over time, when it is a number and has changed at least once.
function course(name, rows) {
  const points = rows.map((row) => ({ label: row.valid_from, value: Number(row.value), text: shownValue(row.value) }))
    .sort((one, other) => (one.label < other.label ? -1 : 1));
  if (points.length < 2 || points.some((point) => !Number.isFinite(point.value))) return null;
  return lineChart({ title: t("parameters.course", { name }), heads: [t("parameters.from"), t("parameters.value")], points, steps: true });
}

export async function parameterPage({ name }) {
  const found = await get("/parameters", { name });
  const rows = found.items.filter((row) => row.name === name);
  const scopes = [...new Set(rows.map((row) => row.scope))];
  const newest = rows[rows.length - 1];
  const textual = typeof newest?.value === "string";
  const propose = newest && typeof newest.value !== "object" && may("POST", "/parameters/{name}/values") ? card(t("parameters.propose"), h("p", { class: "hint" }, t("parameters.propose.words")), form({
    fields: [
      ...(scopes.length > 1 ? [{ name: "scope", label: t("parameters.scope"), kind: "select", options: scopes.map((scope) => [scope, scope || t("parameters.all")]), none: t("parameters.all") }] : []),
      { name: "value", label: t("parameters.value"), kind: textual ? "text" : "number", required: true, value: newest.value },
      { name: "valid_from", label: t("parameters.from"), kind: "date", required: true },
      { name: "source", label: t("parameters.source"), kind: "textarea", required: true, max: 500, hint: t("parameters.source.hint") },
    ],
    label: t("parameters.ask"),
    submit: (values, key) => call("POST", `/parameters/${encodeURIComponent(name)}/values`, { body: { scope: newest.scope, ...values }, key }),
    done: (approval) => {
      announce(t("asked"));
      go(`/approvals/${approval.approval_id}`);
    },
  })) : null;
  return {
    title: name,
    node: h("div", {}, heading(name), scopes.map((scope) => course(scope ? `${name} (${scope})` : name, rows.filter((row) => row.scope === scope))),
      rowsTable({ caption: t("parameters.history"), rows, columns: columns(false) }), propose),
  };
}
