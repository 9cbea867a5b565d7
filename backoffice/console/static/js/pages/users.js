// Users: who works here, and with which roles.

import { call, get } from "../api.js";
import { h } from "../dom.js";
import { form } from "../form.js";
import { moment } from "../format.js";
import { announce, callout, card, details, heading, linkButton } from "../parts.js";
import { go } from "../router.js";
import { may, session } from "../session.js";
import { pagedTable } from "../table.js";
import { t, word } from "../texts.js";

export const ROLES = [
  "teller", "relationship_manager", "product_manager", "operations", "risk_officer", "compliance", "auditor", "administrator", "channel",
];
const roleOptions = () => ROLES.map((role) => [role, word("role", role)]);
const rolesOf = (user) => user.roles.map((role) => word("role", role)).join(t("list.comma"));
const activeWord = (user) => (user.active ? t("users.active") : t("users.inactive"));

export function usersPage() {
  const list = pagedTable({
    caption: t("users.caption"), load: (cursor) => get("/users", { cursor, limit: 25 }), href: (row) => `#/users/${row.user_id}`,
    columns: [
      { label: t("users.name"), cell: (row) => row.name },
      { label: t("users.full_name"), cell: (row) => row.full_name },
      { label: t("users.branch"), cell: (row) => row.branch || "–" },
      { label: t("users.roles"), cell: rolesOf },
      { label: t("users.codes"), cell: (row) => (row.one_time_codes ? t("on") : t("off")) },
      { label: t("state"), cell: (row) => h("span", { class: `badge ${row.active ? "good" : "bad"}` }, activeWord(row)) },
    ],
  });
  const action = may("POST", "/users") ? linkButton(t("users.new"), "#/users/new", "primary") : null;
  return { title: t("users.title"), node: h("div", {}, heading(t("users.title"), action), list.node) };
}

export function newUserPage() {
  const fields = [
    { name: "name", label: t("users.name"), required: true, max: 32, hint: t("users.name.hint") },
    { name: "full_name", label: t("users.full_name"), required: true, max: 100 },
    { name: "branch", label: t("users.branch"), max: 32 },
    { name: "password", label: t("users.password"), kind: "password", required: true, max: 256, hint: t("users.password.hint"), autocomplete: "new-password" },
    { name: "roles", label: t("users.roles"), kind: "checks", required: true, options: roleOptions() },
  ];
  return {
    title: t("users.new"),
    node: h("div", {}, heading(t("users.new")), card(t("users.data"), form({
      fields, label: t("users.create"), submit: (body, key) => call("POST", "/users", { body, key }),
      done: (user) => {
        announce(t("users.created", { name: user.name }));
        go(`/users/${user.user_id}`);
      },
    }))),
  };
}

export async function userPage({ id }) {
  const user = await get(`/users/${encodeURIComponent(id)}`);
  const self = user.user_id === session().user.user_id;
  const change = may("PATCH", "/users/{user_id}") && !self ? card(t("users.change"), form({
    fields: [
      { name: "branch", label: t("users.branch"), max: 32, value: user.branch },
      { name: "active", label: t("state"), kind: "select", required: true, value: String(user.active), options: [["true", t("users.active")], ["false", t("users.inactive")]] },
      { name: "roles", label: t("users.roles"), kind: "checks", required: true, options: roleOptions(), value: user.roles },
    ],
    label: t("save"),
    submit: ({ branch = "", active, roles }) => call("PATCH", `/users/${user.user_id}`, { body: { branch, active: active === "true", roles }, version: user.version }),
    done: () => {
      announce(t("saved"));
      go(`/users/${user.user_id}`);
    },
  })) : null;
  return {
    title: user.full_name,
    node: h("div", {}, heading(user.full_name), self ? callout("info", t("users.self")) : null,
      card(t("users.data"), details([
        [t("users.name"), user.name], [t("users.full_name"), user.full_name], [t("users.branch"), user.branch], [t("users.roles"), rolesOf(user)],
        [t("users.codes"), user.one_time_codes ? t("on") : t("off")], [t("state"), activeWord(user)],
        [t("users.created_at"), moment(user.created_at)], [t("users.locked_until"), user.locked_until && moment(user.locked_until)],
      ])), change),
  };
}
