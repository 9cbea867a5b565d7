// Payment rails: what waits for them, their state, and the work list of what does not agree.

import { call, get } from "../api.js";
import { reasonFor } from "../dialog.js";
import { h } from "../dom.js";
import { form } from "../form.js";
import { count, day, moment, money } from "../format.js";
import { announce, anything, badge, button, card, details, heading, linkButton, tabs } from "../parts.js";
import { go } from "../router.js";
import { may, parameterChoices, session } from "../session.js";
import { pagedTable, rowsTable } from "../table.js";
import { t, word } from "../texts.js";

const stateOf = (rail) => (rail.paused ? "paused" : rail.active ? "active" : "off");
const words = (refusal) => [refusal.message, refusal.detail].filter(Boolean).join(" · ");

export async function railsPage() {
  const { items } = await get("/rails");
  return {
    title: t("rails.title"),
    node: h("div", {}, heading(t("rails.title")), rowsTable({
      caption: t("rails.caption"), rows: items, href: (row) => `#/rails/${row.name}`, columns: [
        { label: t("rails.name"), cell: (row) => word("rail", row.name) }, { label: t("state"), cell: (row) => badge("rail_state", stateOf(row)) },
        { label: t("rails.limit"), kind: "number", cell: (row) => money(row.limit) }, { label: t("rails.waiting"), kind: "number", cell: (row) => count(row.waiting) },
        { label: t("rails.given_up"), kind: "number", cell: (row) => count(row.given_up) },
      ],
    })),
  };
}

export async function railPage({ name }) {
  const rail = await get(`/rails/${encodeURIComponent(name)}`);
  const manage = may("PATCH", "/rails/{name}");
  const base = `/rails/${rail.name}`;

  async function change(body) {
    try {
      await call("PATCH", base, { body, version: rail.version });
      announce(t("saved"));
    } catch (refusal) {
      if (refusal.status === undefined) throw refusal;
      announce(words(refusal), "bad");
    }
    go(base);
  }

  async function test() {
    try {
      const found = await call("POST", `${base}/tests`);
      announce(found.reachable && found.signature_taken ? t("rails.test.good", { n: found.milliseconds }) : t("rails.test.bad", { problem: found.problem || t("rails.test.signature") }),
        found.signature_taken ? "good" : "bad");
    } catch (refusal) {
      if (refusal.status === undefined) throw refusal;
      announce(words(refusal), "bad");
    }
  }

  const actions = manage ? [
    button(t("rails.test"), test), button(rail.paused ? t("rails.resume") : t("rails.pause"), () => change({ paused: !rail.paused })),
    linkButton(t("rails.differences"), `#${base}/differences`, "primary"),
  ] : null;
  const orders = manage ? pagedTable({
    caption: t("rails.orders"), plain: true, load: (cursor) => get(`${base}/orders`, { cursor, limit: 20 }), columns: [
      { label: t("rails.reference"), kind: "code", cell: (row) => row.reference }, { label: t("payments.number"), kind: "code", cell: (row) => h("a", { href: `#/payments/${row.payment}` }, row.payment) },
      { label: t("rails.operation"), cell: (row) => word("event_kind", row.operation) }, { label: t("state"), cell: (row) => badge("order_state", row.state) },
      { label: t("rails.attempts"), kind: "number", cell: (row) => row.attempts }, { label: t("rails.next_at"), cell: (row) => moment(row.next_at) }, { label: t("rails.error"), kind: "long", cell: (row) => row.last_error || "–" },
    ],
  }).node : null;
  const settlements = manage ? (await get(`${base}/settlements`)).items : null;
  return {
    title: word("rail", rail.name),
    node: h("div", {}, heading(word("rail", rail.name), actions), card(t("rails.data"), details([
      [t("state"), badge("rail_state", stateOf(rail))], [t("rails.url"), rail.url], [t("rails.limit"), money(rail.limit)],
      [t("rails.account"), String(rail.settlement_account)], [t("rails.give_up"), t("rails.minutes", { n: rail.give_up_minutes })],
    ])), orders ? card(t("rails.orders"), orders) : null,
    settlements ? card(t("rails.settlements"), rowsTable({
      caption: t("rails.settlements"), plain: true, rows: settlements, href: (row) => `#/approvals/${row.approval_id}`, columns: [
        { label: t("day"), cell: (row) => day(row.day) }, { label: t("rails.net"), kind: "number", cell: (row) => money(row.net) }, { label: t("rails.fees"), kind: "number", cell: (row) => money(row.fees) },
        { label: t("state"), cell: (row) => badge("settlement_state", row.state) }, { label: t("approvals.made_at"), cell: (row) => moment(row.made_at) },
      ],
    })) : null),
  };
}

export function differencesPage({ name }, { state = "open" }) {
  const base = `/rails/${encodeURIComponent(name)}`;

  async function correct(row, action) {
    const reason = await reasonFor(t(`rails.${action}.title`), t(`rails.${action}`), "primary");
    if (reason === null) return;
    try {
      await call("POST", `${base}/differences/${row.difference_id}/corrections`, { body: { action, reason } });
      announce(t("asked"));
    } catch (refusal) {
      if (refusal.status === undefined) throw refusal;
      announce(words(refusal), "bad");
    }
    list.reload();
  }

  const list = pagedTable({
    caption: t("rails.differences"), none: t("rails.differences.none"), load: (cursor) => get(`${base}/differences`, { state: state === "all" ? "" : state, cursor, limit: 20 }), columns: [
      { label: t("number"), cell: (row) => row.difference_id }, { label: t("day"), cell: (row) => day(row.day) }, { label: t("rails.difference"), cell: (row) => word("difference", row.kind) },
      { label: t("amount"), kind: "number", cell: (row) => money(row.amount) }, { label: t("rails.items"), kind: "long", cell: (row) => h("details", {}, h("summary", {}, t("show")), anything(row.items), anything(row.proposal)) },
      { label: t("state"), cell: (row) => badge("difference_state", row.state) },
      { label: t("do"), cell: (row) => (row.state === "open" ? h("div", { class: "actions" }, button(t("rails.correct"), () => correct(row, "correct")), button(t("rails.accept"), () => correct(row, "accept")))
        : row.approval_id ? h("a", { href: `#/approvals/${row.approval_id}` }, t("approvals.one", { n: row.approval_id })) : "–") },
    ],
  });
  const states = [...parameterChoices("/rails/{name}/differences", "state"), "all"];
  const views = states.map((each) => [each, word("difference_state", each), `#${base}/differences?state=${each}`]);
  const run = (path, label, done) => form({
    fields: [{ name: "day", label: t("day"), kind: "date", required: true, value: session().business_date }], label, inline: true, kind: "",
    submit: (body, key) => call("POST", `${base}/${path}`, { body, key }), done,
  });
  return {
    title: t("rails.differences"),
    node: h("div", {}, heading(`${word("rail", name)}: ${t("rails.differences")}`),
      h("div", { class: "pair" }, card(t("rails.reconcile"), run("reconciliations", t("rails.reconcile.run"), (report) => {
        announce(t("rails.reconciled", { rows: report.rows, matched: report.matched, differences: report.differences }));
        list.reload();
      })), card(t("rails.settle"), run("settlements", t("rails.settle.ask"), (answer) => {
        announce(t("asked"));
        if (answer.approval_id) go(`/approvals/${answer.approval_id}`);
      }))),
      tabs(t("state"), views, state), list.node),
  };
}
