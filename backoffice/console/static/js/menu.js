// All pages: where they are, who sees them, and their shortcuts.

import { showKeys } from "./keys.js";
import { accountPage } from "./pages/me.js";
import { approvalPage, approvalsPage } from "./pages/approvals.js";
import { auditPage } from "./pages/audit.js";
import { bulkBatchPage, bulkPage } from "./pages/bulk.js";
import { accountDetailPage } from "./pages/accounts.js";
import { changeCustomerPage, customerPage, customersPage, newCustomerPage } from "./pages/customers.js";
import { homePage } from "./pages/home.js";
import { noticesPage } from "./pages/notices.js";
import { parameterPage, parametersPage } from "./pages/parameters.js";
import { payPage } from "./pages/pay.js";
import { paymentPage, paymentsPage } from "./pages/payments.js";
import { differencesPage, railPage, railsPage } from "./pages/rails.js";
import { comparePage, ordersPage, productPage, productsPage, sellPage, suitabilityPage } from "./pages/products.js";
import { newStandingPage, standingPage, standingsPage } from "./pages/standing.js";
import { statementPage } from "./pages/statement.js";
import { newUserPage, userPage, usersPage } from "./pages/users.js";
import { go, route } from "./router.js";
import { may } from "./session.js";
import { t } from "./texts.js";

const sees = (method, path) => () => may(method, path);

// Groups of [text, address, who sees it, shortcut].
export const MENU = [
  ["menu.work", [
    ["home.title", "/", () => true, "g h"],
    ["approvals.title", "/approvals", sees("GET", "/approvals"), "g a"],
    ["notices.title", "/notices", sees("GET", "/notices"), "g n"],
  ]],
  ["menu.customers", [
    ["customers.title", "/customers", sees("GET", "/customers/{customer_id}"), "g c"],
  ]],
  ["menu.products", [
    ["products.title", "/products", sees("GET", "/products"), "g d"],
  ]],
  ["menu.money", [
    ["pay.title", "/pay", sees("POST", "/payments/deposits"), "g m"],
    ["payments.title", "/payments", sees("GET", "/payments"), "g p"],
    ["statement.title", "/statement", sees("GET", "/accounts/{number}/statement"), "g s"],
    ["standing.title", "/standing-orders", sees("GET", "/standing-orders"), "g o"],
    ["bulk.title", "/bulk", sees("GET", "/bulk-payments"), "g b"],
    ["rails.title", "/rails", sees("GET", "/rails"), "g r"],
  ]],
  ["menu.control", [
    ["parameters.title", "/parameters", sees("GET", "/parameters"), "g v"],
    ["audit.title", "/audit", sees("GET", "/audit"), "g l"],
    ["users.title", "/users", sees("GET", "/users"), "g u"],
  ]],
];

export function registerAreas() {
  route("/", homePage);
  route("/me", accountPage);
  route("/notices", noticesPage);
  route("/approvals", approvalsPage, sees("GET", "/approvals"));
  route("/approvals/:id", approvalPage, sees("GET", "/approvals/{approval_id}"));
  route("/customers", customersPage, sees("GET", "/customers/{customer_id}"));
  route("/customers/new", newCustomerPage, sees("POST", "/customers"));
  route("/customers/:id", customerPage, sees("GET", "/customers/{customer_id}"));
  route("/customers/:id/change", changeCustomerPage, sees("PATCH", "/customers/{customer_id}"));
  route("/customers/:id/suitability", suitabilityPage, sees("GET", "/customers/{customer_id}/suitability"));
  route("/products", productsPage, sees("GET", "/products"));
  route("/products/compare", comparePage, sees("POST", "/products/comparison"));
  route("/products/:id/:version", productPage, sees("GET", "/products/{product_id}/versions/{version}"));
  route("/sell", sellPage, sees("POST", "/sales/purchases"));
  route("/orders", ordersPage, sees("GET", "/sales/orders"));
  route("/accounts/:number", accountDetailPage, sees("GET", "/accounts/{number}"));
  route("/bulk", bulkPage, sees("GET", "/bulk-payments"));
  route("/bulk/:id", bulkBatchPage, sees("GET", "/bulk-payments/{batch_id}"));
  route("/pay", payPage, sees("POST", "/payments/deposits"));
  route("/payments", paymentsPage, sees("GET", "/payments"));
  route("/payments/:number", paymentPage, sees("GET", "/payments/{number}"));
  route("/statement", statementPage, sees("GET", "/accounts/{number}/statement"));
  route("/standing-orders", standingsPage, sees("GET", "/standing-orders"));
  route("/standing-orders/new", newStandingPage, sees("POST", "/standing-orders"));
  route("/standing-orders/:id", standingPage, sees("GET", "/standing-orders/{standing_id}"));
  route("/rails", railsPage, sees("GET", "/rails"));
  route("/rails/:name", railPage, sees("GET", "/rails/{name}"));
  route("/rails/:name/differences", differencesPage, sees("GET", "/rails/{name}/differences"));
  route("/parameters", parametersPage, sees("GET", "/parameters"));
  route("/parameters/:name", parameterPage, sees("GET", "/parameters"));
  route("/audit", auditPage, sees("GET", "/audit"));
  route("/users", usersPage, sees("GET", "/users"));
  route("/users/new", newUserPage, sees("POST", "/users"));
  route("/users/:id", userPage, sees("GET", "/users/{user_id}"));
}

export function seen() {
  return MENU.map(([group, pages]) => [group, pages.filter(([, , allowed]) => allowed())]).filter(([, pages]) => pages.length);
}

export function shortcuts(frame) {
  const ways = seen().flatMap(([, pages]) => pages).map(([text, address, , keys]) => [keys, t(text), () => go(address)]);
  return [["/", t("find.title"), () => frame.find()], ["?", t("keys.title"), showKeys], ...ways];
}
