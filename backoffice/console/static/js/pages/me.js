// One's own account: rights, and one-time codes.

import { call } from "../api.js";
import { h, replace } from "../dom.js";
import { form } from "../form.js";
import { announce, button, callout, card, details, heading } from "../parts.js";
import { resume, session } from "../session.js";
import { t, word } from "../texts.js";

function codes() {
  const place = h("div", {});

  async function begin() {
    const made = await call("POST", "/me/one-time-codes");
    replace(place, h("p", {}, t("me.codes.scan")),
      details([[t("me.codes.secret"), h("code", {}, made.secret.replace(/(.{4})(?=.)/g, "$1 "))], [t("me.codes.address"), h("a", { href: made.address }, made.address)]]),
      form({
        fields: [{ name: "code", label: t("logon.code"), required: true, max: 6, autocomplete: "one-time-code" }], label: t("me.codes.confirm"),
        submit: ({ code }) => call("PUT", "/me/one-time-codes", { body: { secret: made.secret, code } }),
        done: async () => {
          await resume();
          replace(place, callout("good", t("me.codes.done")));
          announce(t("me.codes.done"));
        },
      }));
    place.querySelector("input").focus();
  }

  replace(place, h("p", {}, session().user.one_time_codes ? t("me.codes.on") : t("me.codes.off")),
    button(session().user.one_time_codes ? t("me.codes.again") : t("me.codes.begin"), begin, "primary"));
  return place;
}

export function accountPage() {
  const { user, permissions, idle_minutes: minutes } = session();
  return {
    title: t("me.title"),
    node: h("div", {}, heading(t("me.title")),
      card(t("users.data"), details([
        [t("users.name"), user.name], [t("users.full_name"), user.full_name], [t("users.branch"), user.branch],
        [t("users.roles"), user.roles.map((role) => word("role", role)).join(t("list.comma"))], [t("me.idle"), t("me.idle.minutes", { n: minutes })],
      ])),
      card(t("me.codes"), codes()),
      card(t("me.permissions"), h("ul", { class: "columns" }, permissions.map((each) => h("li", {}, word("permission", each))))),
      card(t("me.more"), h("p", {}, h("a", { href: "/api/docs", target: "_blank", rel: "noopener" }, t("me.api"))))),
  };
}
