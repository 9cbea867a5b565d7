// The catalogue, comparison side by side, and sale: suitability checked by the API, risks confirmed by the customer.

import { call, get } from "../api.js";
import { barChart, lineChart } from "../chart.js";
import { confirmed } from "../dialog.js";
import { h, replace } from "../dom.js";
import { filters, form } from "../form.js";
import { account, day, money } from "../format.js";
import { announce, anything, badge, button, callout, card, details, heading, linkButton, tabs } from "../parts.js";
import { go } from "../router.js";
import { may, parameterChoices } from "../session.js";
import { pagedTable, rowsTable } from "../table.js";
import { language, t, word } from "../texts.js";

const nameOf = (row) => (language() === "zh" ? row.name_zh : row.name_en);
const level = (row) => `R${row.risk_level}`;

function views(chosen) {
  return tabs(t("products.title"), [
    ["list", t("products.catalogue"), "#/products"], ["compare", t("products.compare"), "#/products/compare"],
    ...(may("POST", "/sales/purchases") ? [["sell", t("sales.sell"), "#/sell"]] : []), ...(may("GET", "/sales/orders") ? [["orders", t("sales.orders"), "#/orders"]] : []),
  ], chosen);
}

export function productsPage(_, query) {
  const list = pagedTable({
    caption: t("products.caption"), href: (row) => `#/products/${row.product_id}/${row.version}`,
    load: (cursor) => get("/products", { kind: query.kind, state: query.state, text: query.text, cursor, limit: 25 }), columns: [
      { label: t("products.id"), kind: "code", cell: (row) => row.product_id }, { label: t("products.name"), cell: nameOf }, { label: t("payments.kind"), cell: (row) => word("account_kind", row.kind) },
      { label: t("products.version"), kind: "number", cell: (row) => row.version }, { label: t("products.risk"), cell: level },
      { label: t("products.minimum"), kind: "number", cell: (row) => money(row.minimum) }, { label: t("products.left"), kind: "number", cell: (row) => money(row.left) },
      { label: t("state"), cell: (row) => badge("product_state", row.state) },
    ],
  });
  const worded = (group, name) => parameterChoices("/products", name).map((value) => [value, word(group, value)]);
  const fields = [
    { name: "text", label: t("parameters.text"), value: query.text, max: 64 },
    { name: "kind", label: t("payments.kind"), kind: "select", none: t("all"), value: query.kind, options: worded("account_kind", "kind") },
    { name: "state", label: t("state"), kind: "select", none: t("all"), value: query.state, options: worded("product_state", "state") },
  ];
  return { title: t("products.title"), node: h("div", {}, heading(t("products.title")), views("list"), filters(fields, (values) => go("/products", values)), list.node) };
}

export async function productPage({ id, version }) {
  const row = await get(`/products/${encodeURIComponent(id)}/versions/${encodeURIComponent(version)}`);
  const sell = row.state === "on_sale" && may("POST", "/sales/purchases") ? linkButton(t("sales.sell"), `#/sell?product=${row.product_id}`, "primary") : null;
  return {
    title: nameOf(row),
    node: h("div", {}, heading(nameOf(row), sell), card(t("users.data"), details([
      [t("products.id"), row.product_id], [t("products.version"), row.version], [t("payments.kind"), word("account_kind", row.kind)], [t("state"), badge("product_state", row.state)],
      [t("products.risk"), level(row)], [t("products.minimum"), money(row.minimum)], [t("products.quota"), row.quota && money(row.quota)], [t("products.left"), row.left && money(row.left)],
      [t("products.issuer"), row.issuer], [t("products.sale_from"), row.sale_from], [t("products.sale_to"), row.sale_to],
    ])), card(t("accounts.terms"), anything(row.terms))),
  };
}

async function onSale() {
  return (await get("/products", { state: "on_sale", limit: 200 })).items;
}

function compared(found) {
  const rated = found.items.filter((item) => item.effective_annual_rate !== null);
  // Numbers place bars and curves; what is written beside them are the API's decimals.
  const bars = rated.map((item) => ({ label: item.product_id, value: Number(item.effective_annual_rate), text: `${item.effective_annual_rate} %` }));
  const curves = rated.filter((item) => item.points.length > 1).map((item) => [h("h3", {}, nameOf(item)), lineChart({
    title: t("products.course", { name: nameOf(item) }), heads: [t("day"), t("products.worth")],
    points: item.points.map((point) => ({ label: point.day, value: Number(point.worth.amount), text: money(point.worth) })),
  })]);
  return [rowsTable({
    caption: t("products.compared", { on: found.on }), rows: found.items, columns: [
      { label: t("products.name"), cell: nameOf }, { label: t("payments.kind"), cell: (row) => word("account_kind", row.kind) }, { label: t("products.risk"), cell: level },
      { label: t("products.rate"), kind: "number", cell: (row) => (row.effective_annual_rate === null ? "–" : `${row.effective_annual_rate} %`) },
      { label: t("products.basis"), cell: (row) => (row.basis ? word("basis", row.basis) : word("not_compared", row.reason)) },
      { label: t("products.gain"), kind: "number", cell: (row) => money(row.gain) }, { label: t("payments.fee"), kind: "number", cell: (row) => money(row.fees) }, { label: t("products.ends"), cell: (row) => day(row.ends) },
    ],
  }), bars.length ? card(t("products.rate"), barChart({ title: t("products.rate"), heads: [t("products.name"), t("products.rate")], points: bars })) : null,
  curves.length ? card(t("products.worth"), curves) : null];
}

export async function comparePage() {
  const offered = (await onSale()).filter((row) => row.currency === "CNY"); // one amount, one currency
  const place = h("div", { "aria-live": "polite" });
  const fields = [
    { name: "amount", label: t("amount"), kind: "money", required: true, value: "10000" }, { name: "months", label: t("products.months"), kind: "number", required: true, value: 12, min: 1 },
    { name: "products", label: t("products.title"), kind: "checks", required: true, options: offered.map((row) => [row.product_id, `${nameOf(row)} (${level(row)})`]) },
  ];
  return {
    title: t("products.compare"),
    node: h("div", {}, heading(t("products.title")), views("compare"), card(t("products.compare"), form({
      fields, label: t("products.compare"), submit: (body) => call("POST", "/products/comparison", { body }), done: (found) => replace(place, compared(found)),
    })), place),
  };
}

const CONFIRMABLE = { risk_warning: "risk_warning_confirmed", elderly_confirmation: "second_look" };

// Send; what the customer may confirm is asked for and sent again, anything else stays a refusal.
async function buy(body, key) {
  try {
    return await call("POST", "/sales/purchases", { body, key });
  } catch (refusal) {
    if (refusal.code !== "not_suitable") throw refusal;
    const findings = refusal.document.findings;
    refusal.detail = findings.map((each) => word("finding", each)).join(t("list.comma"));
    if (findings.some((each) => !(each in CONFIRMABLE))) throw refusal;
    const agreed = await confirmed(t("sales.warning"), findings.map((each) => h("p", {}, t(`sales.warning.${each}`))), t("sales.warning.agree"), "danger");
    if (!agreed) throw refusal;
    const said = Object.fromEntries(findings.map((each) => [CONFIRMABLE[each], true]));
    return call("POST", "/sales/purchases", { body: { ...body, ...said }, key: `${key}-confirmed` });
  }
}

export async function sellPage(_, query) {
  const offered = (await onSale()).filter((row) => ["term", "notice", "wealth", "fund"].includes(row.kind));
  const place = h("div", {});
  const fields = [
    { name: "customer_id", label: t("customers.number"), kind: "account", required: true, value: query.customer, max: 19 },
    { name: "product_id", label: t("accounts.product"), kind: "select", required: true, value: query.product, options: offered.map((row) => [row.product_id, `${nameOf(row)} (${level(row)})`]) },
    { name: "paying_account", label: t("pay.from"), kind: "account", required: true, max: 40 }, { name: "amount", label: t("amount"), kind: "money", required: true },
  ];

  function shown(order) {
    const good = order.state === "confirmed";
    replace(place, h("section", { class: "card", tabindex: "-1" }, callout(good ? "good" : order.state === "failed" ? "bad" : "wait", h("strong", {}, word("order_result", order.state)), order.reason ? h("p", {}, word("reason", order.reason)) : null), details([
      [t("sales.number"), order.number], [t("accounts.product"), order.product_id], [t("amount"), money(order.amount)], [t("payments.fee"), money(order.fee)], [t("sales.holding"), account(order.holding_account)],
    ]), h("div", { class: "form-buttons" }, button(t("pay.another"), begin, "primary"))));
    place.firstChild.focus();
  }

  function begin() {
    replace(place, card(t("sales.sell"), form({
      fields, label: t("pay.check"), done: shown,
      confirm: (values) => confirmed(t("pay.confirm"), details([
        [t("customers.number"), values.customer_id], [t("accounts.product"), values.product_id], [t("pay.from"), account(values.paying_account)], [t("amount"), h("strong", { class: "figure" }, money(values.amount))],
      ]), t("pay.send")), submit: (values, key) => buy({ ...values, customer_id: Number(values.customer_id) }, key),
    })));
  }

  begin();
  return { title: t("sales.sell"), node: h("div", {}, heading(t("products.title")), views("sell"), h("p", { class: "lead" }, t("sales.lead")), place) };
}

export function ordersPage(_, query) {
  const list = pagedTable({
    caption: t("sales.caption"), load: (cursor) => get("/sales/orders", { customer_id: query.customer, cursor, limit: 25 }), columns: [
      { label: t("sales.number"), kind: "code", cell: (row) => row.number }, { label: t("payments.kind"), cell: (row) => word("sale_kind", row.kind) },
      { label: t("customers.title"), cell: (row) => h("a", { href: `#/customers/${row.customer_id}` }, row.customer_id) }, { label: t("accounts.product"), cell: (row) => row.product_id },
      { label: t("amount"), kind: "number", cell: (row) => money(row.amount) }, { label: t("day"), cell: (row) => row.on_day }, { label: t("state"), cell: (row) => badge("sale_state", row.state) },
    ],
  });
  return { title: t("sales.orders"), node: h("div", {}, heading(t("products.title")), views("orders"), list.node) };
}

export async function suitabilityPage({ id }) {
  const path = `/customers/${encodeURIComponent(id)}/suitability`;
  const [paper, history] = await Promise.all([get("/suitability/questionnaire"), get(path)]);
  const said = (each) => (language() === "zh" ? each.zh : each.en);
  const fields = paper.questions.map((question) => ({
    name: `answers.${question.key}`, label: said(question), kind: "select", required: true, options: question.answers.map((each) => [each.key, said(each)]),
  }));
  const levels = rowsTable({
    caption: t("suitability.history"), plain: true, rows: history.items, none: t("customers.risk.none"), columns: [
      { label: t("day"), cell: (row) => row.on_day }, { label: t("customers.risk"), cell: (row) => `C${row.level}` }, { label: t("suitability.points"), kind: "number", cell: (row) => row.points },
    ],
  });
  return {
    title: t("suitability.title"),
    node: h("div", {}, heading(t("suitability.title")), h("p", { class: "lead" }, h("a", { href: `#/customers/${id}` }, t("customers.one", { n: id }))), card(t("suitability.history"), levels),
      may("POST", "/customers/{customer_id}/suitability") ? card(t("suitability.questions"), form({
        fields, label: t("suitability.send"), submit: (body, key) => call("POST", path, { body, key }),
        done: (made) => {
          announce(t("suitability.level", { level: `C${made.level}` }));
          go(`/customers/${id}/suitability`);
        },
      })) : null),
  };
}
