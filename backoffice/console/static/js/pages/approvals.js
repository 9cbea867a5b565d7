// What waits for a second person.

import { call, get, newKey } from "../api.js";
import { confirmed, reasonFor } from "../dialog.js";
import { h } from "../dom.js";
import { moment } from "../format.js";
import { announce, anything, badge, button, callout, card, details, heading, tabs } from "../parts.js";
import { go } from "../router.js";
import { choices, holds, session } from "../session.js";
import { pagedTable } from "../table.js";
import { t, word } from "../texts.js";

export function approvalsPage(_, { state = "open" }) {
  const list = pagedTable({
    caption: t("approvals.caption"), none: t("approvals.none"), href: (row) => `#/approvals/${row.approval_id}`,
    load: (cursor) => get("/approvals", { state: state === "all" ? "" : state, cursor, limit: 20 }),
    columns: [
      { label: t("number"), cell: (row) => row.approval_id },
      { label: t("approvals.kind"), cell: (row) => word("approval_kind", row.kind) },
      { label: t("approvals.summary"), kind: "long", cell: (row) => row.summary },
      { label: t("approvals.maker"), cell: (row) => row.maker_name },
      { label: t("approvals.made_at"), cell: (row) => moment(row.made_at) },
      { label: t("state"), cell: (row) => badge("approval_state", row.state) },
    ],
  });
  const views = [...choices("ApprovalOut", "state"), "all"].map((name) => [name, word("approval_state", name), `#/approvals?state=${name}`]);
  return { title: t("approvals.title"), node: h("div", {}, heading(t("approvals.title")), tabs(t("state"), views, state), list.node) };
}

export async function approvalPage({ id }) {
  const row = await get(`/approvals/${encodeURIComponent(id)}`);
  const title = t("approvals.one", { n: row.approval_id });
  const mine = row.maker === session().user.user_id;
  const open = row.state === "open";
  const key = newKey();

  async function send(path, body, words) {
    try {
      await call("POST", `/approvals/${row.approval_id}/${path}`, { body, key: `${key}-${path}-${body?.approve ?? ""}` });
      announce(words);
    } catch (refusal) {
      if (refusal.status === undefined) throw refusal;
      announce([refusal.message, refusal.detail].filter(Boolean).join(" · "), "bad");
    }
    go(`/approvals/${row.approval_id}`);
  }

  const approve = async () => {
    if (await confirmed(t("approvals.approve.ask"), h("p", {}, row.summary), t("approvals.approve"))) {
      await send("decision", { approve: true }, t("approvals.approved"));
    }
  };
  const reject = async () => {
    const reason = await reasonFor(t("approvals.reject.ask"), t("approvals.reject"), "danger");
    if (reason !== null) await send("decision", { approve: false, reason }, t("approvals.rejected"));
  };
  const withdraw = async () => {
    if (await confirmed(t("approvals.withdraw.ask"), h("p", {}, row.summary), t("approvals.withdraw"), "danger")) {
      await send("withdrawal", undefined, t("approvals.withdrawn"));
    }
  };
  const decides = open && !mine && holds(row.permission);
  const actions = [
    decides && button(t("approvals.reject"), reject, "danger"), decides && button(t("approvals.approve"), approve, "primary"),
    open && mine && button(t("approvals.withdraw"), withdraw),
  ];
  return {
    title,
    node: h("div", {}, heading(title, actions),
      open && mine ? callout("info", t("approvals.mine")) : null,
      open && !mine && !decides ? callout("info", t("approvals.not_yours", { permission: word("permission", row.permission) })) : null,
      card(t("approvals.request"), details([
        [t("approvals.kind"), word("approval_kind", row.kind)], [t("approvals.summary"), row.summary], [t("approvals.subject"), row.subject],
        [t("approvals.maker"), row.maker_name], [t("approvals.made_at"), moment(row.made_at)], [t("state"), badge("approval_state", row.state)],
        [t("approvals.checker"), row.checker_name], [t("approvals.decided_at"), row.decided_at && moment(row.decided_at)], [t("reason"), row.reason],
      ])),
      card(t("approvals.payload"), anything(row.payload)),
      row.result ? card(t("approvals.result"), anything(row.result)) : null),
  };
}
