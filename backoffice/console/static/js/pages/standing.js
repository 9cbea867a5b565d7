// Standing orders: made, stopped, and what became of their dates.

import { call, get } from "../api.js";
import { confirmed, reasonFor } from "../dialog.js";
import { h } from "../dom.js";
import { filters, form } from "../form.js";
import { account, day, moment, money } from "../format.js";
import { announce, badge, button, card, details, heading, linkButton, tabs } from "../parts.js";
import { go } from "../router.js";
import { choices, may, parameterChoices } from "../session.js";
import { pagedTable, rowsTable } from "../table.js";
import { t, word } from "../texts.js";
import { outsideFields } from "./pay.js";

const rhythm = (row) => t(`standing.rhythm.${row.every}`, { n: row.step, day: row.on_day });
const payee = (row) => (row.to_account ? account(row.to_account) : row.outside ? `${row.outside.name} ${row.outside.account}` : "–");

export function standingsPage(_, query) {
  const list = pagedTable({
    caption: t("standing.caption"), href: (row) => `#/standing-orders/${row.standing_id}`,
    load: (cursor) => get("/standing-orders", { account: query.account, customer: query.customer, state: query.state, cursor, limit: 25 }),
    columns: [
      { label: t("number"), cell: (row) => row.standing_id }, { label: t("pay.from"), kind: "code", cell: (row) => account(row.from_account) },
      { label: t("pay.to"), kind: "code", cell: payee }, { label: t("amount"), kind: "number", cell: (row) => money(row.amount) }, { label: t("standing.rhythm"), cell: rhythm },
      { label: t("standing.next"), cell: (row) => day(row.next_due) }, { label: t("state"), cell: (row) => badge("standing_state", row.state) },
    ],
  });
  const states = parameterChoices("/standing-orders", "state").map((state) => [state, word("standing_state", state)]);
  const fields = [
    { name: "account", label: t("account"), kind: "account", value: query.account, max: 40 },
    { name: "state", label: t("state"), kind: "select", none: t("all"), value: query.state, options: states },
  ];
  const action = may("POST", "/standing-orders") ? linkButton(t("standing.new"), "#/standing-orders/new", "primary") : null;
  return { title: t("standing.title"), node: h("div", {}, heading(t("standing.title"), action), filters(fields, (values) => go("/standing-orders", values)), list.node) };
}

export function newStandingPage(_, query) {
  const outside = query.to === "outside";
  const options = (group, member) => choices("StandingIn", member).map((value) => [value, word(group, value)]);
  const payees = outside ? outsideFields() : [{ name: "to_account", label: t("pay.to"), kind: "account", required: true, max: 40 }];
  const fields = [
    { name: "from_account", label: t("pay.from"), kind: "account", required: true, max: 40 }, ...payees,
    { name: "amount", label: t("amount"), kind: "money", required: true, max: 24 }, { name: "purpose", label: t("payments.purpose"), max: 140 },
    { name: "every", label: t("standing.every"), kind: "select", required: true, value: "month", options: options("every", "every") },
    { name: "step", label: t("standing.step"), kind: "number", min: 1, value: 1, hint: t("standing.step.hint") },
    { name: "on_day", label: t("standing.on_day"), kind: "number", min: 1, value: 1, hint: t("standing.on_day.hint") },
    { name: "first_on", label: t("standing.first_on"), kind: "date", required: true }, { name: "last_on", label: t("standing.last_on"), kind: "date" },
    { name: "roll", label: t("standing.roll"), kind: "select", required: true, value: "following", options: options("roll", "roll") },
    { name: "retries", label: t("standing.retries"), kind: "number", min: 0, value: 0, hint: t("standing.retries.hint") },
    { name: "on_failure", label: t("standing.on_failure"), kind: "select", required: true, value: "skip", options: options("on_failure", "on_failure") },
  ];
  const views = [["house", t("standing.house"), "#/standing-orders/new"], ["outside", t("standing.outside"), "#/standing-orders/new?to=outside"]];
  const summary = (values) => details([
    [t("pay.from"), account(values.from_account)], [t("pay.to"), values.to_account ? account(values.to_account) : `${values.outside.name} ${account(values.outside.account)}`],
    [t("amount"), money(values.amount)], [t("standing.rhythm"), rhythm(values)], [t("standing.first_on"), values.first_on],
  ]);
  return {
    title: t("standing.new"),
    node: h("div", {}, heading(t("standing.new")), tabs(t("pay.payee"), views, outside ? "outside" : "house"), card(t("standing.data"), form({
      fields, label: t("pay.check"), confirm: (values) => confirmed(t("standing.confirm"), summary(values), t("standing.create")),
      submit: (values, key) => call("POST", "/standing-orders", { body: outside ? { ...values, rail: "interbank" } : values, key }),
      done: (made) => {
        announce(t("saved"));
        go(`/standing-orders/${made.standing_id}`);
      },
    }))),
  };
}

export async function standingPage({ id }) {
  const order = await get(`/standing-orders/${encodeURIComponent(id)}`);

  async function stop() {
    const reason = await reasonFor(t("standing.stop.title"), t("standing.stop"), "danger");
    if (reason === null) return;
    try {
      await call("POST", `/standing-orders/${order.standing_id}/stop`, { body: { reason }, version: order.version });
      announce(t("standing.stopped"));
    } catch (refusal) {
      if (refusal.status === undefined) throw refusal;
      announce([refusal.message, refusal.detail].filter(Boolean).join(" · "), "bad");
    }
    go(`/standing-orders/${order.standing_id}`);
  }

  const actions = order.state === "active" && may("POST", "/standing-orders/{standing_id}/stop") ? button(t("standing.stop"), stop, "danger") : null;
  const history = rowsTable({
    caption: t("standing.history"), plain: true, rows: order.history, none: t("standing.history.none"), href: (row) => (row.payment ? `#/payments/${row.payment}` : null), columns: [
      { label: t("standing.nominal"), cell: (row) => day(row.nominal_on) }, { label: t("standing.due"), cell: (row) => day(row.due_on) },
      { label: t("standing.attempt"), kind: "number", cell: (row) => row.attempt }, { label: t("state"), cell: (row) => badge("run_state", row.state) },
      { label: t("payments.number"), kind: "code", cell: (row) => row.payment || "–" }, { label: t("reason"), kind: "long", cell: (row) => word("reason", row.reason) || "–" },
    ],
  });
  return {
    title: t("standing.one", { n: order.standing_id }),
    node: h("div", {}, heading(t("standing.one", { n: order.standing_id }), actions), card(t("standing.data"), details([
      [t("pay.from"), account(order.from_account)], [t("pay.to"), payee(order)], [t("amount"), h("strong", { class: "figure" }, money(order.amount))], [t("payments.purpose"), order.purpose],
      [t("standing.rhythm"), rhythm(order)], [t("standing.first_on"), order.first_on], [t("standing.last_on"), order.last_on], [t("standing.roll"), word("roll", order.roll)],
      [t("standing.next"), order.next_due], [t("standing.runs"), order.runs], [t("state"), badge("standing_state", order.state)], [t("reason"), order.reason], [t("payments.made_at"), moment(order.made_at)],
    ])), card(t("standing.history"), history)),
  };
}
