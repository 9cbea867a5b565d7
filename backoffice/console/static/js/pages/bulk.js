// Files of payments: sent, with findings line by line, and what became of each item.

import { call, download, get } from "../api.js";
import { h } from "../dom.js";
import { form } from "../form.js";
import { count, day, moment, money } from "../format.js";
import { announce, attempt, badge, button, callout, card, details, heading, tabs } from "../parts.js";
import { go } from "../router.js";
import { may, parameterChoices } from "../session.js";
import { pagedTable } from "../table.js";
import { t, word } from "../texts.js";

const findings = (rows) => (rows.length ? h("ul", { class: "plain" }, rows.map((each) => h("li", {}, `${each.field ? `${each.field}: ` : ""}${each.words}`))) : "–");

export function bulkPage() {
  const upload = may("POST", "/bulk-payments") ? card(t("bulk.send"), h("p", { class: "hint" }, t("bulk.send.words")), form({
    fields: [
      { name: "file", label: t("bulk.file"), kind: "file", accept: ".xml,application/xml", required: true },
      { name: "linked", label: t("bulk.linked"), kind: "select", required: true, value: "false", options: [["false", t("bulk.linked.no")], ["true", t("bulk.linked.yes")]] },
      { name: "rail", label: t("payments.rail"), kind: "select", none: t("bulk.rail.none"), options: [["interbank", word("rail", "interbank")]] },
    ],
    label: t("bulk.send"),
    submit: async ({ file, linked, rail }, key) => call("POST", "/bulk-payments", { file: new Blob([await file.arrayBuffer()], { type: "application/xml" }), query: { linked, rail }, key }),
    done: (batch) => {
      announce(word("batch_state", batch.state), batch.state === "refused" ? "bad" : "good");
      go(`/bulk/${batch.batch_id}`);
    },
  })) : null;
  const list = pagedTable({
    caption: t("bulk.caption"), href: (row) => `#/bulk/${row.batch_id}`, load: (cursor) => get("/bulk-payments", { cursor, limit: 20 }), columns: [
      { label: t("number"), cell: (row) => row.batch_id }, { label: t("bulk.message"), kind: "code", cell: (row) => row.message_id || "–" },
      { label: t("bulk.items"), kind: "number", cell: (row) => t("bulk.accepted", { accepted: count(row.accepted), items: count(row.items) }) },
      { label: t("amount"), kind: "number", cell: (row) => row.totals.map(money).join(" + ") || "–" }, { label: t("payments.made_at"), cell: (row) => moment(row.made_at) },
      { label: t("state"), cell: (row) => badge("batch_state", row.state) },
    ],
  });
  return { title: t("bulk.title"), node: h("div", {}, heading(t("bulk.title")), upload, list.node) };
}

export async function bulkBatchPage({ id }, { state = "all" }) {
  const path = `/bulk-payments/${encodeURIComponent(id)}`;
  const batch = await get(path);
  const file = (name) => button(t(`bulk.${name}`), () => attempt(() => download(`${path}/${name}.xml`, {}, `${name}-${batch.batch_id}.xml`)));
  const items = pagedTable({
    caption: t("bulk.items"), plain: true, load: (cursor) => get(`${path}/items`, { state: state === "all" ? "" : state, cursor, limit: 25 }),
    href: (row) => (row.payment ? `#/payments/${row.payment}` : null), columns: [
      { label: t("bulk.place"), cell: (row) => row.place + 1 }, { label: t("bulk.line"), kind: "number", cell: (row) => row.line || "–" },
      { label: t("pay.payee"), kind: "long", cell: (row) => `${row.to_name} ${row.to_account}`.trim() || "–" }, { label: t("amount"), kind: "number", cell: (row) => money(row.amount) },
      { label: t("day"), cell: (row) => day(row.day) }, { label: t("state"), cell: (row) => badge("item_state", row.state) },
      { label: t("bulk.findings"), kind: "long", cell: (row) => (row.reasons.length ? findings(row.reasons) : word("reason", row.reason) || "–") },
    ],
  });
  const views = ["all", ...parameterChoices("/bulk-payments/{batch_id}/items", "state")].map((name) => [name, word("item_state", name), `#/bulk/${batch.batch_id}?state=${name}`]);
  const actions = [button(t("refresh"), () => go(`/bulk/${batch.batch_id}`)), file("status"), file("interbank"), file("notification")];
  return {
    title: t("bulk.one", { n: batch.batch_id }),
    node: h("div", {}, heading(t("bulk.one", { n: batch.batch_id }), actions),
      batch.reasons.length ? callout("bad", h("strong", {}, t("bulk.findings")), findings(batch.reasons)) : null,
      batch.state === "waiting" && batch.approval_id ? callout("wait", h("a", { href: `#/approvals/${batch.approval_id}` }, t("pay.waits_approval"))) : null,
      card(t("users.data"), details([
        [t("state"), badge("batch_state", batch.state)], [t("bulk.message"), batch.message_id], [t("bulk.sender"), batch.sender], [t("bulk.format"), batch.message],
        [t("bulk.items"), t("bulk.accepted", { accepted: count(batch.accepted), items: count(batch.items) })], [t("amount"), batch.totals.map(money).join(" + ")],
        [t("bulk.linked"), batch.linked ? t("bulk.linked.yes") : t("bulk.linked.no")], [t("payments.made_at"), moment(batch.made_at)], [t("bulk.done_at"), batch.done_at && moment(batch.done_at)],
      ])), tabs(t("state"), views, state), items.node),
  };
}
