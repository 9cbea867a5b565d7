// Logging on.

import { form } from "../form.js";
import { h } from "../dom.js";
import { logOn } from "../session.js";
import { brand, languageSwitch } from "../shell.js";
import { t } from "../texts.js";

export function logonPage(done, again) {
  const fields = [
    { name: "name", label: t("logon.name"), required: true, max: 64, autocomplete: "username" },
    { name: "password", label: t("logon.password"), kind: "password", required: true, max: 256, autocomplete: "current-password" },
    { name: "code", label: t("logon.code"), hint: t("logon.code.hint"), max: 10, autocomplete: "one-time-code" },
  ];
  const submit = ({ name, password, code = "" }) => logOn(name, password, code);
  return h("main", { class: "alone" },
    h("div", { class: "logon" },
      h("div", { class: "logon-head" }, brand(), languageSwitch(again)),
      h("h1", {}, t("logon.title")),
      form({ fields, label: t("logon.title"), submit, done }),
      h("p", { class: "hint" }, t("logon.notice"))));
}
