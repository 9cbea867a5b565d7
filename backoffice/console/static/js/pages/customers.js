// Customers: one of them from all sides, masked until somebody says why not; made and changed.

import { call, get } from "../api.js";
import { reasonFor } from "../dialog.js";
import { h, replace } from "../dom.js";
import { filters, form } from "../form.js";
import { account, day, moment, money } from "../format.js";
import { announce, attempt, badge, button, callout, card, details, heading, linkButton, refused } from "../parts.js";
import { go } from "../router.js";
import { may, session } from "../session.js";
import { pagedTable, rowsTable } from "../table.js";
import { language, t, word } from "../texts.js";

const text = (name, label, value, more = {}) => ({ name, label, value, max: 200, ...more });

const RISKS = ["1", "2", "3", "4", "5"].map((level) => [level, `C${level}`]);

// What the address says becomes the query of a search; a number alone opens the customer.
function queryOf(query) {
  const given = Object.fromEntries(["text", "kind", "status", "region", "phone", "certificate", "sort"].filter((name) => query[name]).map((name) => [name, query[name]]));
  if (query.risk_level) given.risk_level = Number(query.risk_level);
  if (query.tags) given.tags = tags(query.tags);
  if (query.product) given.products = [query.product];
  if (query.least || query.most) given.deposits = { ...(query.least ? { least: query.least } : {}), ...(query.most ? { most: query.most } : {}) };
  return given;
}

export function customersPage(_, query) {
  const choices = (name, values) => values.map((value) => [value, word(name, value)]);
  const fields = [
    { name: "text", label: t("customers.name"), value: query.text, max: 64, hint: t("customers.text.hint") },
    { name: "number", label: t("customers.number"), kind: "account", max: 19, hint: t("customers.number.hint") },
    { name: "kind", label: t("customers.kind"), kind: "select", none: t("all"), value: query.kind, options: choices("customer_kind", ["person", "enterprise"]) },
    { name: "status", label: t("state"), kind: "select", none: t("all"), value: query.status, options: choices("customer_state", ["prospect", "active", "dormant", "frozen", "closed"]) },
    { name: "risk_level", label: t("customers.risk"), kind: "select", none: t("all"), value: query.risk_level, options: RISKS },
    { name: "product", label: t("customers.has"), kind: "select", none: t("all"), value: query.product, options: choices("account_kind", ["demand", "term", "notice", "wealth", "card", "loan"]) },
    { name: "region", label: t("customers.region"), value: query.region, max: 12, hint: t("customers.region.prefix") },
    { name: "tags", label: t("customers.tags"), value: query.tags, max: 100 },
    { name: "least", label: t("customers.deposits.least"), value: query.least, max: 20 },
    { name: "most", label: t("customers.deposits.most"), value: query.most, max: 20 },
    { name: "phone", label: t("customers.phone"), value: query.phone, max: 32, hint: t("customers.whole") },
    { name: "certificate", label: t("customers.certificate_number"), value: query.certificate, max: 64, hint: t("customers.whole") },
    { name: "sort", label: t("customers.sort"), kind: "select", value: query.sort || "newest", options: choices("customer_sort", ["newest", "oldest", "deposits", "investments", "loans"]) },
  ];
  const asked = queryOf(query);
  const list = pagedTable({
    caption: t("customers.caption"), none: t("customers.none"), href: (row) => `#/customers/${row.customer_id}`,
    load: (cursor) => call("POST", "/customers/search", { body: { ...asked, limit: 25, ...(cursor ? { cursor } : {}) } }), columns: [
      { label: t("customers.number"), kind: "code", cell: (row) => String(row.customer_id) },
      { label: t("customers.name"), cell: (row) => row.name },
      { label: t("customers.kind"), cell: (row) => word("customer_kind", row.kind) },
      { label: t("users.branch"), cell: (row) => row.branch },
      { label: t("customers.risk"), cell: (row) => (row.risk_level ? `C${row.risk_level}` : "") },
      { label: t("customers.tags"), cell: (row) => row.tags.join(t("list.comma")) },
      { label: t("customers.deposits"), kind: "number", cell: (row) => money(row.deposits) },
      { label: t("customers.investments"), kind: "number", cell: (row) => money(row.investments) },
      { label: t("state"), cell: (row) => badge("customer_state", row.status) },
    ],
  });
  const action = may("POST", "/customers") ? linkButton(t("customers.new"), "#/customers/new", "primary") : null;
  return {
    title: t("customers.title"),
    node: h("div", {}, heading(t("customers.title"), action), h("p", { class: "lead" }, t("customers.lead")),
      filters(fields, ({ number, ...values }) => (number ? go(`/customers/${number}`) : go("/customers", values))), list.node),
  };
}

async function choicesOf(kind) {
  const [kinds, branches] = await Promise.all([get("/certificate-kinds"), get("/branches")]);
  const name = (each) => (language() === "zh" ? each.zh : each.en);
  return {
    certificates: kinds.items.filter((each) => each.of === kind || each.of === "" || each.of === "both").map((each) => [each.kind, name(each)]),
    branches: branches.items.filter((each) => each.active).map((each) => [each.branch, `${each.branch} ${language() === "zh" ? each.name_zh : each.name_en}`]),
  };
}

function tags(value) {
  return value ? value.split(/[,，、\s]+/).filter(Boolean) : [];
}

const personal = (person, row = {}) => (person ? [
  text("phone", t("customers.phone"), row.phone), text("email", t("customers.email"), row.email), text("address", t("customers.address"), row.address),
  text("occupation", t("customers.occupation"), row.occupation),
] : [
  text("legal_representative", t("customers.legal_representative"), row.legal_representative), text("contact", t("customers.contact"), row.contact),
  text("phone", t("customers.phone"), row.phone), text("email", t("customers.email"), row.email), text("address", t("customers.address"), row.address),
  text("industry", t("customers.industry"), row.industry, { max: 64 }),
]);

export async function newCustomerPage(_, { kind = "person" }) {
  const person = kind !== "enterprise";
  const { certificates, branches } = await choicesOf(person ? "person" : "enterprise");
  const fields = [
    text("name", t("customers.name"), "", { required: true, max: 100 }),
    { name: "certificate.kind", label: t("customers.certificate_kind"), kind: "select", required: true, value: certificates[0]?.[0], options: certificates },
    text("certificate.number", t("customers.certificate_number"), "", { required: true, max: 64 }),
    { name: "certificate.until", label: t("customers.certificate_until"), kind: "date", hint: t("customers.certificate_until.hint") },
    { name: "branch", label: t("users.branch"), kind: "select", required: true, value: session().user.branch, options: branches },
    ...personal(person),
    text("region", t("customers.region"), "", { max: 12, hint: t("customers.region.hint") }), text("tags", t("customers.tags"), "", { hint: t("customers.tags.hint") }),
  ];
  const views = h("nav", { class: "tabs", "aria-label": t("customers.kind") }, ["person", "enterprise"].map((name) =>
    h("a", { href: `#/customers/new?kind=${name}`, "aria-current": (name === "person") === person ? "page" : undefined }, word("customer_kind", name))));
  return {
    title: t("customers.new"),
    node: h("div", {}, heading(t("customers.new")), views, card(t("users.data"), form({
      fields, label: t("customers.create"),
      submit: (values, key) => call("POST", "/customers", { body: { ...values, kind: person ? "person" : "enterprise", tags: tags(values.tags) }, key }),
      done: (made) => {
        announce(t("customers.created", { n: made.customer_id }));
        go(`/customers/${made.customer_id}`);
      },
    }))),
  };
}

function facts(row) {
  const rating = row.risk_level ? t("customers.risk.level", { level: `C${row.risk_level}`, until: day(row.risk_until) }) : t("customers.risk.none");
  return details([
    [t("customers.name"), row.name], [t("customers.kind"), word("customer_kind", row.kind)], [t("state"), badge("customer_state", row.status)],
    [t("customers.certificate_number"), `${word("certificate", row.certificate.kind)} ${row.certificate.number}`], [t("customers.certificate_until"), row.certificate.until],
    [t("customers.birth_date"), row.birth_date], [t("customers.gender"), word("gender", row.gender)], [t("customers.nationality"), row.nationality],
    [t("customers.phone"), row.phone], [t("customers.email"), row.email], [t("customers.address"), row.address], [t("customers.occupation"), row.occupation],
    [t("customers.legal_representative"), row.legal_representative], [t("customers.contact"), row.contact], [t("customers.industry"), row.industry],
    [t("users.branch"), row.branch], [t("customers.region"), row.region], [t("customers.tags"), row.tags.join(t("list.comma"))],
    [t("customers.risk"), rating], [t("customers.grade"), row.grade], [t("customers.review_due"), row.review_due], [t("approvals.made_at"), moment(row.made_at)],
  ]);
}

async function accountsCard(id, path) {
  if (!may("GET", "/customers/{customer_id}/accounts")) return null;
  let list;
  try {
    const { items } = await get(`${path}/accounts`);
    list = rowsTable({
      caption: t("accounts.caption"), plain: true, rows: items, none: t("accounts.none"), href: (row) => `#/accounts/${row.number}`, columns: [
        { label: t("account"), kind: "code", cell: (row) => account(row.number) }, { label: t("payments.kind"), cell: (row) => word("account_kind", row.kind) },
        { label: t("accounts.product"), cell: (row) => row.product_id }, { label: t("statement.balance"), kind: "number", cell: (row) => money(row.balance) },
        { label: t("accounts.available"), kind: "number", cell: (row) => money(row.available) }, { label: t("state"), cell: (row) => badge("account_state", row.status) },
      ],
    });
  } catch (refusal) {
    if (refusal.status === undefined) throw refusal;
    list = refused(refusal); // without the ledger the rest of the page is still of use
  }
  const opening = may("POST", "/customers/{customer_id}/accounts") ? h("details", {}, h("summary", {}, t("accounts.open")), form({
    fields: [text("product_id", t("accounts.product"), "", { required: true, max: 32 })], label: t("accounts.open"), inline: true, kind: "",
    submit: (body, key) => call("POST", `${path}/accounts`, { body, key }),
    done: (made) => {
      announce(t("accounts.opened", { number: account(made.number) }));
      go(`/customers/${id}`);
    },
  })) : null;
  return card(t("accounts.title"), list, opening);
}

function paymentsCard(id) {
  if (!may("GET", "/payments")) return null;
  return card(t("payments.title"), pagedTable({
    caption: t("payments.caption"), plain: true, none: t("customers.no_payments"), href: (row) => `#/payments/${row.number}`,
    load: (cursor) => get("/payments", { customer: id, cursor, limit: 8 }), columns: [
      { label: t("payments.number"), kind: "code", cell: (row) => row.number }, { label: t("payments.business_date"), cell: (row) => row.business_date },
      { label: t("payments.kind"), cell: (row) => word("payment_kind", row.kind) }, { label: t("amount"), kind: "number", cell: (row) => money(row.amount) },
      { label: t("state"), cell: (row) => badge("payment_state", row.state) },
    ],
  }).node);
}

function standingCard(id) {
  if (!may("GET", "/standing-orders")) return null;
  return card(t("standing.title"), pagedTable({
    caption: t("standing.caption"), plain: true, none: t("customers.no_standing"), href: (row) => `#/standing-orders/${row.standing_id}`,
    load: (cursor) => get("/standing-orders", { customer: id, cursor, limit: 5 }), columns: [
      { label: t("number"), cell: (row) => row.standing_id }, { label: t("amount"), kind: "number", cell: (row) => money(row.amount) },
      { label: t("standing.next"), cell: (row) => day(row.next_due) }, { label: t("state"), cell: (row) => badge("standing_state", row.state) },
    ],
  }).node);
}

export async function customerPage({ id }) {
  const path = `/customers/${encodeURIComponent(id)}`;
  const row = await get(path);
  const place = h("div", {}, facts(row));

  async function unmask() {
    const reason = await reasonFor(t("customers.unmask.title"), t("customers.unmask"));
    if (reason === null) return;
    await attempt(async () => {
      const clear = await call("POST", `${path}/unmasking`, { body: { reason } });
      replace(place, callout("wait", t("customers.in_clear")), facts(clear));
    });
  }

  const state = (status) => async () => {
    const reason = await reasonFor(t(`customers.to.${status}`), t(`customers.to.${status}`), status === "frozen" ? "danger" : "primary");
    if (reason === null) return;
    if (await attempt(() => call("PUT", `${path}/status`, { body: { status, reason }, version: row.version }))) announce(t("saved"));
    go(`/customers/${row.customer_id}`);
  };
  const ask = (what) => async () => {
    const reason = await reasonFor(t(`customers.ask.${what}`), t(`customers.${what}`), "danger");
    if (reason === null) return;
    await attempt(async () => {
      const approval = await call("POST", `${path}/${what}`, { body: { reason } });
      announce(t("asked"));
      go(`/approvals/${approval.approval_id}`);
    });
  };
  const writes = may("PATCH", "/customers/{customer_id}");
  const freezes = may("POST", "/customers/{customer_id}/closure");
  const living = row.status !== "closed";
  const actions = [
    may("POST", "/customers/{customer_id}/unmasking") ? button(t("customers.unmask"), unmask) : null,
    writes && ["prospect", "dormant"].includes(row.status) ? button(t("customers.to.active"), state("active"), "primary") : null,
    freezes && living && row.status !== "frozen" ? button(t("customers.to.frozen"), state("frozen"), "danger") : null,
    freezes && row.status === "frozen" ? button(t("customers.release"), ask("release")) : null,
    freezes && living ? button(t("customers.closure"), ask("closure"), "danger") : null,
    row.kind === "person" && may("GET", "/customers/{customer_id}/suitability") ? linkButton(t("suitability.title"), `#/customers/${row.customer_id}/suitability`) : null,
    row.status === "active" && may("POST", "/sales/purchases") ? linkButton(t("sales.sell"), `#/sell?customer=${row.customer_id}`) : null,
    writes && living ? linkButton(t("users.change"), `#/customers/${row.customer_id}/change`) : null,
  ];
  return {
    title: row.name,
    node: h("div", {}, heading(t("customers.one", { n: row.customer_id }), actions),
      row.merged_into ? callout("info", h("a", { href: `#/customers/${row.merged_into}` }, t("customers.merged", { n: row.merged_into }))) : null,
      card(t("users.data"), place), await accountsCard(row.customer_id, path), paymentsCard(row.customer_id), standingCard(row.customer_id)),
  };
}

export async function changeCustomerPage({ id }) {
  const path = `/customers/${encodeURIComponent(id)}`;
  const row = await get(path);
  const { branches } = await choicesOf(row.kind);
  // What is masked is not offered for change: only what is typed anew is sent.
  const fields = [
    text("name", t("customers.name"), "", { max: 100 }), ...personal(row.kind === "person").map((field) => (field.name === "industry" ? { ...field, value: row.industry } : field)),
    { name: "branch", label: t("users.branch"), kind: "select", required: true, value: row.branch, options: branches },
    text("region", t("customers.region"), row.region, { max: 12, hint: t("customers.region.hint") }), text("tags", t("customers.tags"), row.tags.join(" "), { hint: t("customers.tags.hint") }),
  ];
  return {
    title: t("customers.change", { n: row.customer_id }),
    node: h("div", {}, heading(t("customers.change", { n: row.customer_id })), callout("info", t("customers.change.words")), card(t("users.data"), form({
      fields, label: t("save"), submit: (values) => call("PATCH", path, { body: { ...values, tags: tags(values.tags) }, version: row.version }),
      done: () => {
        announce(t("saved"));
        go(`/customers/${row.customer_id}`);
      },
    }))),
  };
}
