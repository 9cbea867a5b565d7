// An account's statement: lines with the balance after each, as a curve, and as files of ISO 20022.

import { download, get } from "../api.js";
import { lineChart } from "../chart.js";
import { h } from "../dom.js";
import { filters } from "../form.js";
import { account, moment, money } from "../format.js";
import { announce, button, card, details, heading, refused } from "../parts.js";
import { go } from "../router.js";
import { may, session } from "../session.js";
import { rowsTable } from "../table.js";
import { t } from "../texts.js";

function monthBegin(text) {
  return `${text.slice(0, 8)}01`;
}

function files(number, from, to) {
  const save = (kind) => async () => {
    try {
      await download(`/accounts/${number}/${kind}.xml`, { from, to }, `${kind}-${number}-${from}-${to}.xml`);
    } catch (refusal) {
      announce(refusal.message, "bad");
    }
  };
  return [button("camt.053", save("statement"), "", { title: t("statement.camt053") }), button("camt.054", save("notifications"), "", { title: t("statement.camt054") })];
}

async function shown(number, from, to) {
  let paper;
  try {
    paper = await get(`/accounts/${encodeURIComponent(number)}/statement`, { from, to });
  } catch (refusal) {
    if (refusal.status === undefined) throw refusal;
    return refused(refusal);
  }
  const last = paper.lines.length - 1;
  // Numbers only place the curve; what is written beside it are the API's decimals.
  const points = [{ label: paper.first_day, value: Number(paper.opening.amount), text: money(paper.opening) },
    ...paper.lines.map((line) => ({ label: line.at.slice(5, 10), value: Number(line.balance.amount), text: money(line.balance) }))];
  return h("div", {},
    card(t("statement.of", { number: account(paper.account) }),
      details([[t("statement.opening"), money(paper.opening)], [t("statement.closing"), h("strong", { class: "figure" }, money(paper.closing))], [t("statement.days"), `${paper.first_day} – ${paper.last_day}`], [t("statement.lines"), last + 1]]),
      last >= 0 ? lineChart({ title: t("statement.course"), heads: [t("day"), t("statement.balance")], points, steps: true }) : null),
    rowsTable({
      caption: t("statement.caption"), rows: paper.lines, none: t("statement.none"), href: (row) => (row.payment && may("GET", "/payments/{number}") ? `#/payments/${row.payment}` : null), columns: [
        { label: t("statement.at"), cell: (row) => moment(row.at) }, { label: t("statement.other"), kind: "long", cell: (row) => row.other || "–" },
        { label: t("payments.purpose"), kind: "long", cell: (row) => row.purpose || "–" },
        { label: t("amount"), kind: "number", cell: (row) => h("span", { class: row.amount.amount.startsWith("-") ? "debit" : "credit" }, money(row.amount)) },
        { label: t("statement.balance"), kind: "number", cell: (row) => money(row.balance) },
      ],
    }));
}

export async function statementPage(_, query) {
  const to = query.to || session().business_date;
  const from = query.from || monthBegin(to);
  const fields = [
    { name: "account", label: t("account"), kind: "account", required: true, value: query.account, max: 40 },
    { name: "from", label: t("from_day"), kind: "date", value: from, required: true }, { name: "to", label: t("to_day"), kind: "date", value: to, required: true },
  ];
  const number = (query.account || "").replace(/\s/g, "");
  return {
    title: t("statement.title"),
    node: h("div", {}, heading(t("statement.title"), number ? files(number, from, to) : null), h("p", { class: "lead" }, t("statement.lead")),
      filters(fields, (values) => go("/statement", values)), number ? await shown(number, from, to) : null),
  };
}
