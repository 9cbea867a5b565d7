// What waits for whoever has logged on.

import { get } from "../api.js";
import { barChart } from "../chart.js";
import { h } from "../dom.js";
import { count, money } from "../format.js";
import { badge, card, empty, heading, linkButton } from "../parts.js";
import { holds, may, session } from "../session.js";
import { rowsTable } from "../table.js";
import { t, word } from "../texts.js";

const MOST = 200;

async function approvals() {
  const { items, next } = await get("/approvals", { state: "open", limit: MOST });
  const mine = session().user.user_id;
  const decide = items.filter((item) => item.maker !== mine && holds(item.permission));
  const asked = items.filter((item) => item.maker === mine);
  return [
    tile(t("home.to_decide"), number(decide.length, next), "#/approvals", decide.length > 0),
    tile(t("home.asked"), number(asked.length, next), "#/approvals"),
  ];
}

function number(found, next) {
  return next ? t("home.at_least", { n: count(found) }) : count(found);
}

function tile(label, value, href, wait = false) {
  return h("a", { class: `tile ${wait ? "wait" : ""}`, href }, h("span", { class: "tile-value" }, value), h("span", { class: "tile-label" }, label));
}

async function notices() {
  const { items, next } = await get("/notices", { limit: MOST });
  const unread = items.filter((item) => !item.read_at).length;
  return [tile(t("home.unread"), number(unread, next), "#/notices", unread > 0)];
}

async function rails() {
  const { items } = await get("/rails");
  const stuck = items.reduce((sum, rail) => sum + rail.given_up, 0);
  return [tile(t("home.stuck"), count(stuck), "#/rails", stuck > 0)];
}

async function payments() {
  const { items, next } = await get("/payments", { day: session().business_date, limit: MOST });
  const kinds = [...new Set(items.map((item) => item.kind))].sort();
  const points = kinds.map((kind) => {
    const value = items.filter((item) => item.kind === kind).length;
    return { label: word("payment_kind", kind), value, text: count(value) };
  });
  const newest = rowsTable({
    caption: t("home.newest"), rows: items.slice(0, 6), href: (row) => `#/payments/${row.number}`, columns: [
      { label: t("payments.number"), cell: (row) => row.number },
      { label: t("payments.kind"), cell: (row) => word("payment_kind", row.kind) },
      { label: t("amount"), kind: "number", cell: (row) => money(row.amount) },
      { label: t("state"), cell: (row) => badge("payment_state", row.state) },
    ],
  });
  const title = next ? t("home.last_payments", { n: MOST }) : t("home.payments_today");
  return items.length
    ? card(title, barChart({ title, heads: [t("payments.kind"), t("count")], points }), newest)
    : card(title, empty(t("home.no_payments")));
}

export async function homePage() {
  const tiles = await Promise.all([
    may("GET", "/approvals") ? approvals() : [], may("GET", "/notices") ? notices() : [], may("GET", "/rails") ? rails() : [],
  ]);
  const ways = [
    may("POST", "/payments/deposits") && linkButton(t("pay.title"), "#/pay", "primary"),
    may("POST", "/users") && linkButton(t("users.new"), "#/users/new", "primary"),
  ];
  const title = t("home.hello", { name: session().user.full_name });
  return {
    title: t("home.title"),
    node: h("div", {}, heading(title, ways), h("p", { class: "lead" }, session().user.roles.map((role) => word("role", role)).join(t("list.comma"))),
      h("div", { class: "tiles" }, tiles), may("GET", "/payments") ? await payments() : null),
  };
}
