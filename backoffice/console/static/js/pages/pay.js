// Making a payment: cash in, cash out, within the house, to another bank. Nothing is sent before it has been confirmed.

import { call, get } from "../api.js";
import { confirmed } from "../dialog.js";
import { h, replace } from "../dom.js";
import { form } from "../form.js";
import { account, money } from "../format.js";
import { badge, button, callout, card, details, heading, linkButton, tabs } from "../parts.js";
import { may } from "../session.js";
import { t, word } from "../texts.js";

const purpose = () => ({ name: "purpose", label: t("payments.purpose"), max: 140 });
const amount = () => ({ name: "amount", label: t("amount"), kind: "money", required: true, max: 24 });
const accountField = (name, label, value) => ({ name, label, kind: "account", required: true, max: 40, value });

export const outsideFields = () => [
  { name: "outside.name", label: t("pay.payee_name"), required: true, max: 140 },
  { name: "outside.account", label: t("pay.payee_account"), kind: "account", required: true, max: 40 },
  { name: "outside.bank.member", label: t("pay.member"), required: true, max: 14, hint: t("pay.member.hint") },
  { name: "outside.bank.name", label: t("pay.bank"), max: 140 },
];

const KINDS = {
  deposit: {
    path: "/payments/deposits", fields: (query) => [accountField("account", t("pay.to"), query.account), amount(), purpose()],
  },
  withdrawal: {
    path: "/payments/withdrawals", fields: (query) => [accountField("account", t("pay.from"), query.account), amount(), purpose()],
  },
  transfer: {
    path: "/payments/transfers",
    fields: (query) => [accountField("from_account", t("pay.from"), query.account), accountField("to_account", t("pay.to"), query.to), amount(), purpose()],
  },
  interbank: {
    path: "/payments/transfers", fields: (query) => [accountField("from_account", t("pay.from"), query.account), ...outsideFields(), amount(), purpose()],
    more: { rail: "interbank" },
  },
};

function summary(kind, values) {
  return details([
    [t("payments.kind"), t(`pay.kind.${kind}`)],
    [t("pay.from"), values.from_account ? account(values.from_account) : kind === "withdrawal" ? account(values.account) : null],
    [t("pay.to"), values.to_account ? account(values.to_account) : kind === "deposit" ? account(values.account) : null],
    [t("pay.payee_name"), values.outside?.name], [t("pay.payee_account"), values.outside && account(values.outside.account)],
    [t("pay.member"), values.outside?.bank.member], [t("amount"), h("strong", { class: "figure" }, money(values.amount))], [t("payments.purpose"), values.purpose],
  ]);
}

// What became of it, in words: done, refused with the reason, or still on its way.
export function outcome(payment) {
  if (payment.state === "declined") return callout("bad", h("strong", {}, t("pay.declined")), h("p", {}, payment.reason_text));
  if (payment.approval_id && payment.state === "created") {
    return callout("wait", h("strong", {}, t("pay.waits_approval")), h("p", {}, h("a", { href: `#/approvals/${payment.approval_id}` }, t("approvals.one", { n: payment.approval_id }))));
  }
  if (payment.state === "captured") return callout("good", h("strong", {}, t("pay.captured")));
  return callout("wait", h("strong", {}, t("pay.under_way")), h("p", {}, t("pay.under_way.words")));
}

export async function payPage(_, query) {
  const kind = query.kind in KINDS ? query.kind : "deposit";
  const { path, fields, more } = KINDS[kind];
  const views = Object.keys(KINDS).map((name) => [name, t(`pay.kind.${name}`), `#/pay?kind=${name}`]);
  const place = h("div", {});

  function begin() {
    replace(place, card(t(`pay.kind.${kind}`), form({
      fields: fields(query), label: t("pay.check"), confirm: (values) => confirmed(t("pay.confirm"), summary(kind, values), t("pay.send")),
      submit: (values, key) => call("POST", path, { body: { ...values, ...more }, key }), done: shown,
    })));
  }

  async function refresh(number) {
    shown(await get(`/payments/${number}`));
  }

  function shown(payment) {
    const waiting = !["captured", "declined"].includes(payment.state);
    replace(place, h("section", { class: "card", tabindex: "-1" }, outcome(payment), details([
      [t("payments.number"), may("GET", "/payments/{number}") ? h("a", { href: `#/payments/${payment.number}` }, payment.number) : payment.number],
      [t("payments.kind"), word("payment_kind", payment.kind)], [t("pay.from"), payment.from_account && account(payment.from_account)],
      [t("pay.to"), payment.to_account && account(payment.to_account)], [t("amount"), h("strong", { class: "figure" }, money(payment.amount))],
      [t("payments.fee"), money(payment.fee)], [t("state"), badge("payment_state", payment.state)], [t("payments.business_date"), payment.business_date],
    ]), h("div", { class: "form-buttons" },
      waiting && may("GET", "/payments/{number}") ? button(t("refresh"), () => refresh(payment.number)) : null, button(t("pay.another"), begin, "primary"))));
    place.firstChild.focus();
  }

  begin();
  const list = may("GET", "/payments") ? linkButton(t("payments.title"), "#/payments") : null;
  return { title: t("pay.title"), node: h("div", {}, heading(t("pay.title"), list), tabs(t("payments.kind"), views, kind), place) };
}
