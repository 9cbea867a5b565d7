// Who did or saw what.

import { get } from "../api.js";
import { h } from "../dom.js";
import { filters } from "../form.js";
import { moment } from "../format.js";
import { heading } from "../parts.js";
import { go } from "../router.js";
import { pagedTable } from "../table.js";
import { t, word } from "../texts.js";

export function auditPage(_, query) {
  // A day begins at midnight where the user is.
  const since = query.since ? new Date(`${query.since}T00:00:00`).toISOString() : undefined;
  const list = pagedTable({
    caption: t("audit.caption"),
    load: (cursor) => get("/audit", { subject: query.subject, user: query.user, action: query.action, since, cursor, limit: 25 }),
    columns: [
      { label: t("audit.entry"), cell: (row) => row.entry },
      { label: t("audit.at"), cell: (row) => moment(row.at) },
      { label: t("audit.user"), cell: (row) => row.user_name },
      { label: t("audit.action"), cell: (row) => h("span", { title: row.action }, word("action", row.action)) },
      { label: t("audit.subject"), kind: "code", cell: (row) => row.subject },
      { label: t("audit.detail"), kind: "long code", cell: (row) => row.detail },
      { label: t("audit.address"), cell: (row) => row.address },
    ],
  });
  const fields = [
    { name: "user", label: t("audit.user"), value: query.user, max: 64 },
    { name: "action", label: t("audit.action"), value: query.action, hint: t("audit.action.hint"), max: 100 },
    { name: "subject", label: t("audit.subject"), value: query.subject, hint: t("audit.subject.hint"), max: 200 },
    { name: "since", label: t("audit.since"), value: query.since, kind: "date" },
  ];
  return {
    title: t("audit.title"),
    node: h("div", {}, heading(t("audit.title")), h("p", { class: "lead" }, t("audit.lead")), filters(fields, (values) => go("/audit", values)), list.node),
  };
}
