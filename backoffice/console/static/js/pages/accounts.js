// One account: what stands on it, and its states.

import { call, get } from "../api.js";
import { confirmed, reasonFor } from "../dialog.js";
import { h } from "../dom.js";
import { account, day, isZero, money } from "../format.js";
import { announce, anything, attempt, badge, button, card, details, heading, linkButton } from "../parts.js";
import { go } from "../router.js";
import { may } from "../session.js";
import { t, word } from "../texts.js";

export async function accountDetailPage({ number }) {
  const path = `/accounts/${encodeURIComponent(number)}`;
  const row = await get(path);
  const again = () => go(`/accounts/${row.number}`);

  const state = (status) => async () => {
    const reason = await reasonFor(t(`accounts.to.${status}`), t(`accounts.to.${status}`), "danger");
    if (reason === null) return;
    if (await attempt(() => call("PUT", `${path}/status`, { body: { status, reason }, version: row.version }))) announce(t("saved"));
    again();
  };

  async function release() {
    const reason = await reasonFor(t("accounts.release.title"), t("accounts.release"));
    if (reason === null) return;
    await attempt(async () => {
      const approval = await call("POST", `${path}/release`, { body: { reason } });
      announce(t("asked"));
      go(`/approvals/${approval.approval_id}`);
    });
  }

  async function close() {
    if (!(await confirmed(t("accounts.close.title"), h("p", {}, account(row.number)), t("accounts.close"), "danger"))) return;
    if (await attempt(() => call("POST", `${path}/closure`))) announce(t("saved"));
    again();
  }

  const freezes = may("PUT", "/accounts/{number}/status");
  const stopped = row.status === "frozen" || row.status === "stopped";
  const actions = [
    may("GET", "/accounts/{number}/statement") ? linkButton(t("statement.title"), `#/statement?account=${row.number}`) : null,
    may("GET", "/payments") ? linkButton(t("payments.title"), `#/payments?account=${row.number}`) : null,
    freezes && row.status === "open" ? [button(t("accounts.to.stopped"), state("stopped"), "danger"), button(t("accounts.to.frozen"), state("frozen"), "danger")] : null,
    freezes && stopped ? button(t("accounts.release"), release) : null,
    may("POST", "/accounts/{number}/closure") && row.status === "open" && isZero(row.balance) ? button(t("accounts.close"), close, "danger") : null,
    may("POST", "/payments/deposits") && row.status === "open" ? linkButton(t("pay.title"), `#/pay?account=${row.number}`, "primary") : null,
  ];
  const held = isZero(row.held) ? null : money(row.held);
  const owner = may("GET", "/customers/{customer_id}") ? h("a", { href: `#/customers/${row.customer_id}` }, t("customers.one", { n: row.customer_id })) : row.customer_id;
  return {
    title: account(row.number),
    node: h("div", {}, heading(t("statement.of", { number: account(row.number) }), actions), card(t("users.data"), details([
      [t("statement.balance"), h("strong", { class: "figure" }, money(row.balance))], [t("accounts.available"), money(row.available)], [t("payments.held"), held],
      [t("state"), badge("account_state", row.status)], [t("payments.kind"), word("account_kind", row.kind)], [t("accounts.product"), `${row.product_id} (${row.product_version})`],
      [t("accounts.owner"), owner], [t("users.branch"), row.branch], [t("accounts.opened_on"), day(row.opened_on)], [t("accounts.matures_on"), row.matures_on], [t("accounts.closed_on"), row.closed_on],
    ])), Object.keys(row.terms).length ? card(t("accounts.terms"), anything(row.terms)) : null),
  };
}
