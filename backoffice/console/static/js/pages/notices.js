// Notices for this user and the user's roles.

import { call, get } from "../api.js";
import { h } from "../dom.js";
import { moment } from "../format.js";
import { anything, button, heading } from "../parts.js";
import { pagedTable } from "../table.js";
import { t, word } from "../texts.js";

export function noticesPage() {
  const list = pagedTable({
    caption: t("notices.caption"), none: t("notices.none"), load: (cursor) => get("/notices", { cursor, limit: 20 }),
    columns: [
      { label: t("notices.at"), cell: (row) => moment(row.made_at) },
      { label: t("notices.kind"), cell: (row) => word("notice_kind", row.kind) },
      { label: t("notices.detail"), kind: "long", cell: (row) => anything(row.detail) },
      {
        label: t("notices.read"), cell: (row) => (row.read_at ? moment(row.read_at) : button(t("notices.mark"), async () => {
          await call("PUT", `/notices/${row.notice_id}/read`);
          list.reload();
        })),
      },
    ],
  });
  return { title: t("notices.title"), node: h("div", {}, heading(t("notices.title")), list.node) };
}
