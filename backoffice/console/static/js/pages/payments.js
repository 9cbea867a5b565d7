// Payments, and one of them with everything that has happened to it.

import { call, get } from "../api.js";
import { reasonFor } from "../dialog.js";
import { h } from "../dom.js";
import { filters, form } from "../form.js";
import { account, isZero, moment, money } from "../format.js";
import { announce, badge, button, card, details, heading, linkButton } from "../parts.js";
import { go } from "../router.js";
import { may, parameterChoices } from "../session.js";
import { pagedTable, rowsTable } from "../table.js";
import { t, word } from "../texts.js";
import { outcome } from "./pay.js";

const other = (row) => (row.outside ? `${row.outside.name} ${row.outside.account}` : null);
const worded = (group, values) => values.map((value) => [value, word(group, value)]);

export function paymentsPage(_, query) {
  const list = pagedTable({
    caption: t("payments.caption"), href: (row) => `#/payments/${row.number}`,
    load: (cursor) => get("/payments", { account: query.account, customer: query.customer, state: query.state, kind: query.kind, rail: query.rail, first_day: query.first_day, last_day: query.last_day, cursor, limit: 25 }),
    columns: [
      { label: t("payments.number"), kind: "code", cell: (row) => row.number },
      { label: t("payments.business_date"), cell: (row) => row.business_date },
      { label: t("payments.kind"), cell: (row) => word("payment_kind", row.kind) },
      { label: t("pay.from"), kind: "code", cell: (row) => (row.from_account ? account(row.from_account) : "–") },
      { label: t("pay.to"), kind: "code", cell: (row) => (row.to_account ? account(row.to_account) : other(row) || "–") },
      { label: t("amount"), kind: "number", cell: (row) => money(row.amount) },
      { label: t("state"), cell: (row) => badge("payment_state", row.state) },
    ],
  });
  const fields = [
    { name: "account", label: t("account"), kind: "account", value: query.account, max: 40 },
    { name: "kind", label: t("payments.kind"), kind: "select", none: t("all"), value: query.kind, options: worded("payment_kind", parameterChoices("/payments", "kind")) },
    { name: "state", label: t("state"), kind: "select", none: t("all"), value: query.state, options: worded("payment_state", parameterChoices("/payments", "state")) },
    { name: "first_day", label: t("from_day"), kind: "date", value: query.first_day },
    { name: "last_day", label: t("to_day"), kind: "date", value: query.last_day },
  ];
  const action = may("POST", "/payments/deposits") ? linkButton(t("pay.title"), "#/pay", "primary") : null;
  return { title: t("payments.title"), node: h("div", {}, heading(t("payments.title"), action), filters(fields, (values) => go("/payments", values)), list.node) };
}

function refundCard(payment) {
  return card(t("payments.refund"), form({
    fields: [
      { name: "amount", label: t("amount"), kind: "money", currency: payment.amount.currency, required: true },
      { name: "reason", label: t("reason"), kind: "textarea", required: true, max: 500 },
    ],
    label: t("payments.refund.ask"), submit: (body, key) => call("POST", `/payments/${payment.number}/refunds`, { body, key }),
    done: (approval) => {
      announce(t("asked"));
      go(`/approvals/${approval.approval_id}`);
    },
  }));
}

export async function paymentPage({ number }) {
  const payment = await get(`/payments/${encodeURIComponent(number)}`);

  async function reverse() {
    const reason = await reasonFor(t("payments.reverse.title"), t("payments.reverse"), "danger");
    if (reason === null) return;
    try {
      const approval = await call("POST", `/payments/${payment.number}/reversals`, { body: { reason } });
      announce(t("asked"));
      go(`/approvals/${approval.approval_id}`);
    } catch (refusal) {
      if (refusal.status === undefined) throw refusal;
      announce([refusal.message, refusal.detail].filter(Boolean).join(" · "), "bad");
    }
  }

  const captured = payment.state === "captured";
  const actions = [
    button(t("refresh"), () => go(`/payments/${payment.number}`)),
    captured && may("POST", "/payments/{number}/reversals") ? button(t("payments.reverse"), reverse, "danger") : null,
  ];
  const events = rowsTable({
    caption: t("payments.events"), plain: true, rows: payment.events, columns: [
      { label: t("payments.at"), cell: (row) => moment(row.at) }, { label: t("payments.event"), cell: (row) => word("event_kind", row.kind) },
      { label: t("amount"), kind: "number", cell: (row) => money(row.amount) }, { label: t("payments.outcome"), cell: (row) => badge("outcome", row.outcome) },
      { label: t("reason"), kind: "long", cell: (row) => word("reason", row.reason) || "–" }, { label: t("payments.source"), cell: (row) => row.source },
    ],
  });
  const postings = rowsTable({
    caption: t("payments.postings"), plain: true, rows: payment.postings, columns: [
      { label: t("payments.debit"), kind: "code", cell: (row) => row.debit_account || "–" }, { label: t("payments.credit"), kind: "code", cell: (row) => row.credit_account || "–" },
      { label: t("amount"), kind: "number", cell: (row) => (row.amount ? money(row.amount) : t("payments.all_held")) },
      { label: t("payments.code"), kind: "number", cell: (row) => row.code }, { label: t("payments.status"), cell: (row) => word("posting_status", row.status) || t("payments.on_its_way") },
    ],
  });
  const part = (label, value) => [label, isZero(value) ? null : money(value)];
  return {
    title: t("payments.one", { number: payment.number }),
    node: h("div", {}, heading(t("payments.one", { number: payment.number }), actions), outcome(payment),
      card(t("payments.data"), details([
        [t("payments.kind"), word("payment_kind", payment.kind)], [t("payments.channel"), word("channel", payment.channel)], [t("state"), badge("payment_state", payment.state)],
        [t("amount"), h("strong", { class: "figure" }, money(payment.amount))], part(t("payments.held"), payment.authorised), part(t("payments.booked"), payment.captured),
        part(t("payments.refunded"), payment.refunded), part(t("payments.fee"), payment.fee),
        [t("pay.from"), payment.from_account && accountLink(payment.from_account)], [t("pay.to"), payment.to_account && accountLink(payment.to_account)],
        [t("pay.payee"), other(payment)], [t("pay.bank"), payment.outside?.bank], [t("payments.purpose"), payment.purpose], [t("payments.rail"), word("rail", payment.rail)],
        [t("payments.rail_reference"), payment.rail_reference], [t("payments.business_date"), payment.business_date], [t("payments.value_date"), payment.value_date],
        [t("payments.made_at"), moment(payment.made_at)], [t("users.branch"), payment.branch], [t("reason"), payment.reason_text],
      ])),
      card(t("payments.events"), events), card(t("payments.postings"), postings),
      (captured || payment.state === "partly_refunded") && may("POST", "/payments/{number}/refunds") && payment.kind !== "deposit" ? refundCard(payment) : null),
  };
}

function accountLink(number) {
  return may("GET", "/accounts/{number}") ? h("a", { href: `#/accounts/${number}` }, account(number)) : account(number);
}
