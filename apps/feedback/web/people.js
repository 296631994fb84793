// Signing in and out, and one's own account: second factor, API keys, password.
"use strict";

const SIGN_IN_PROBLEMS = {
  denied: "The sign-in was not finished.",
  expired: "The sign-in took too long. Please try again.",
  failed: "The provider's answer could not be used. Please try again.",
  refused: "This account may not sign in here. Ask an administrator.",
  unreachable: "The provider cannot be reached at the moment. Please try again later.",
};

const account = { button: $("account-btn"), modal: $("account-modal") };
const signIn = { modal: $("sign-in-modal"), form: $("sign-in-form"), registering: false };

// ---- A notice that stays until it is dealt with

function notice(text, offer = false) {
  $("notice").hidden = !text;
  $("notice-text").textContent = text;
  $("notice-sign-in-btn").hidden = !offer;
}

// ---- Signing in

function drawSignIn() {
  const codeShown = !$("sign-in-code-part").hidden;
  const registering = signIn.registering;
  $("sign-in-title").textContent = registering ? "Create an account" : "Sign in";
  $("sign-in-submit-btn").textContent = registering ? "Create the account" : "Sign in";
  $("sign-in-password").autocomplete = registering ? "new-password" : "current-password";
  $("sign-in-password-hint").hidden = !registering;
  $("sign-in-switch-btn").textContent = registering ? "I have an account" : "Create an account";
  $("sign-in-switch-btn").hidden = !session.register || codeShown;
  $("sign-in-providers").hidden = session.providers.length === 0 || registering || codeShown;
  $("sign-in-providers").replaceChildren(
    ...session.providers.map(({ name, start }) => make("a", { class: "btn", href: start }, `Sign in with ${name}`)),
  );
}

function showCode(shown) {
  $("sign-in-code-part").hidden = !shown;
  $("sign-in-code").required = shown;
  if (!shown) $("sign-in-code").value = "";
}

function signInError(text, field = null) {
  $("sign-in-error").textContent = text;
  for (const id of ["sign-in-email", "sign-in-password", "sign-in-code"])
    $(id).setAttribute("aria-invalid", String(field === id));
  if (field) $(field).focus();
}

function openSignIn(why = "") {
  signIn.registering = false;
  showCode(false);
  signInError("");
  $("sign-in-why").textContent = why;
  $("sign-in-why").hidden = !why;
  $("sign-in-password").value = "";
  if (session.user) $("sign-in-email").value = session.user.email;
  drawSignIn();
  openDialog(signIn.modal);
  ($("sign-in-email").value ? $("sign-in-password") : $("sign-in-email")).focus();
}

function signedIn(body) {
  takeSession(body);
  notice("");
  closeDialog(signIn.modal);
  toast(`Signed in as ${body.user.email}`);
  document.dispatchEvent(new Event("signed"));
}

async function submitSignIn(event) {
  event.preventDefault();
  const email = $("sign-in-email").value.trim();
  const password = $("sign-in-password").value;
  const code = $("sign-in-code").value.trim();
  const button = $("sign-in-submit-btn");
  if (!email) return signInError("Please enter your e-mail address.", "sign-in-email");
  if (!password) return signInError("Please enter your password.", "sign-in-password");
  if ($("sign-in-code").required && !code) return signInError("Please enter the code.", "sign-in-code");
  busy(button, true);
  try {
    const path = signIn.registering ? "/auth/register" : "/auth/login";
    signedIn((await send("POST", path, { email, password, ...(code && { code }) })).body);
  } catch (problem) {
    if (problem.body?.totp_required) {
      const first = $("sign-in-code-part").hidden;
      showCode(true);
      drawSignIn();
      $("sign-in-code").value = "";
      signInError(first ? "" : problem.message, first ? null : "sign-in-code");
      $("sign-in-code").focus();
    } else {
      signInError(problem.message, problem.status === 401 ? "sign-in-password" : null);
    }
  } finally {
    busy(button, false);
  }
}

async function signOut(everywhere) {
  try {
    await send("POST", "/auth/logout", { everywhere });
  } catch (problem) {
    if (problem.status !== 401) return accountError(problem); // 401: it was over already
  }
  closeDialog(account.modal);
  try {
    await loadSession({ left: true });
  } catch {
    // the next look at the list finds out
  }
  notice("");
  toast(everywhere ? "Signed out everywhere" : "Signed out");
  document.dispatchEvent(new Event("signed"));
}

// ---- One's own account

function accountError(problem) {
  $("account-error").textContent = problem.message;
  const stale = /sign in again/.test(problem.message) || problem.status === 401;
  $("account-again-btn").hidden = !stale;
  $("account-error").scrollIntoView({ block: "nearest" });
}

// Runs what a button stands for; what goes wrong is told in the dialog.
async function act(button, what) {
  $("account-error").textContent = "";
  $("account-again-btn").hidden = true;
  busy(button, true);
  try {
    return await what();
  } catch (problem) {
    accountError(problem);
    return undefined;
  } finally {
    busy(button, false);
  }
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied");
  } catch {
    const chosen = window.getSelection();
    chosen.selectAllChildren(button.parentElement.querySelector("[data-copy]"));
    toast("Chosen: copy it with Ctrl+C");
  }
}

function forgetSecrets() {
  for (const id of ["totp-setup", "recovery-box", "key-new"]) $(id).hidden = true;
  for (const id of ["totp-qr", "recovery-list"]) $(id).replaceChildren();
  for (const id of ["totp-secret", "key-text"]) $(id).textContent = "";
  $("totp-uri").removeAttribute("href");
  for (const input of account.modal.querySelectorAll("input:not([type=checkbox])")) input.value = "";
}

function drawAccount() {
  const user = session.user;
  account.button.hidden = session.auth === "off";
  account.button.textContent = user ? user.email : "Sign in";
  account.button.title = user ? `Your account: ${user.email}` : "";
  account.button.setAttribute("aria-haspopup", "dialog");
  if (!user) return;
  $("account-email").textContent = user.email;
  $("account-role").textContent = session.roles.join(", ");
  $("account-admin").hidden = !["jobs:admin", "users:admin", "audit:read"].some(may);
  $("totp-state").textContent = user.totp ? "On: signing in asks for a code." : "Off: the password alone is enough.";
  $("totp-on-btn").hidden = user.totp || !$("totp-setup").hidden;
  $("totp-change").hidden = !user.totp;
}

function openAccount() {
  if (!session.user) return openSignIn();
  forgetSecrets();
  $("account-error").textContent = "";
  $("account-again-btn").hidden = true;
  drawAccount();
  openDialog(account.modal);
  $("account-title").focus();
  loadKeys();
  return undefined;
}

// The code as people read it out: in fours.
const inFours = (text) => text.replace(/(.{4})(?=.)/g, "$1 ");

async function enroll() {
  const { body } = await send("POST", "/auth/totp/enroll", {});
  $("totp-setup").hidden = false;
  $("totp-secret").textContent = inFours(body.secret);
  $("totp-uri").href = body.uri;
  const picture = qrSvg(body.uri);
  $("totp-qr").replaceChildren(...(picture ? [picture] : []));
  drawAccount();
  $("totp-code").focus();
}

function showRecovery(codes) {
  $("totp-setup").hidden = true;
  $("totp-qr").replaceChildren();
  $("totp-secret").textContent = "";
  $("recovery-list").replaceChildren(...codes.map((code) => make("li", {}, make("code", {}, code))));
  $("recovery-box").hidden = false;
  $("recovery-title").focus();
}

async function confirmTotp(event) {
  event.preventDefault();
  await act($("totp-confirm-btn"), async () => {
    const { body } = await send("POST", "/auth/totp/confirm", { code: $("totp-code").value.trim() });
    $("totp-code").value = "";
    await loadSession();
    showRecovery(body.recovery_codes);
    drawAccount();
  });
}

const totpChangeCode = () => ({ code: $("totp-change-code").value.trim() });

async function newRecovery() {
  const { body } = await send("POST", "/auth/totp/recovery", totpChangeCode());
  $("totp-change-code").value = "";
  showRecovery(body.recovery_codes);
}

async function endTotp() {
  const { body } = await send("POST", "/auth/totp/disable", totpChangeCode());
  forgetSecrets();
  takeSession(body);
  toast("The second factor is off");
}

// ---- API keys

function drawKey(key) {
  const day = (text) => drawTime(make("time"), text);
  const revoke = sureButton("Revoke", key.name, (button) =>
    act(button, async () => {
      await send("DELETE", `/auth/keys/${key.id}`).catch((problem) => {
        if (problem.status !== 404) throw problem;
      });
      toast("The key is revoked");
      await loadKeys();
      $("key-name").focus();
    }));
  return make("li", { class: "key" },
    make("div", { class: "key-what" },
      make("strong", {}, key.name), " ", make("code", {}, `${key.hint}…`),
      make("div", { class: "quiet" },
        "made ", day(key.created_at), key.expires_at ? ", ends " : ", does not end", key.expires_at ? day(key.expires_at) : null,
        key.used_at ? ", last used " : ", never used", key.used_at ? day(key.used_at) : null),
      make("div", { class: "quiet" }, key.scopes.join(", "))),
    revoke);
}

async function loadKeys() {
  try {
    const { body } = await call("/auth/keys");
    $("key-list").replaceChildren(...body.map(drawKey));
    $("key-none").hidden = body.length > 0;
  } catch (problem) {
    accountError(problem);
  }
}

async function makeKey(event) {
  event.preventDefault();
  await act($("key-make-btn"), async () => {
    const name = $("key-name").value.trim();
    const days = Number($("key-days").value);
    if (!name) {
      $("key-name").focus();
      throw new Refused("Please give the key a name.");
    }
    const { body } = await send("POST", "/auth/keys", {
      name,
      ...(days && { days }),
      ...($("key-read").checked && { scopes: ["feedback:read"] }),
    });
    $("key-name").value = "";
    $("key-text").textContent = body.key;
    $("key-new").hidden = false;
    await loadKeys();
    $("key-copy-btn").focus();
  });
}

async function newPassword(event) {
  event.preventDefault();
  await act($("password-btn"), async () => {
    const { body } = await send("POST", "/auth/password", { password: $("password-new").value });
    $("password-new").value = "";
    takeSession(body);
    toast("The password is changed; all other sessions have ended");
  });
}

// ---- Wiring

account.button.addEventListener("click", openAccount);
signIn.form.addEventListener("submit", submitSignIn);
$("sign-in-switch-btn").addEventListener("click", () => {
  signIn.registering = !signIn.registering;
  signInError("");
  drawSignIn();
  $("sign-in-email").focus();
});
$("notice-sign-in-btn").addEventListener("click", () => openSignIn());
$("notice-close-btn").addEventListener("click", () => notice(""));
$("sign-out-btn").addEventListener("click", (event) => act(event.currentTarget, () => signOut(false)));
$("sign-out-all-btn").addEventListener("click", (event) => act(event.currentTarget, () => signOut(true)));
$("account-again-btn").addEventListener("click", () => openSignIn());
$("totp-on-btn").addEventListener("click", (event) => act(event.currentTarget, enroll));
$("totp-confirm-form").addEventListener("submit", confirmTotp);
$("totp-codes-btn").addEventListener("click", (event) => act(event.currentTarget, newRecovery));
$("totp-off-btn").addEventListener("click", (event) => act(event.currentTarget, endTotp));
$("recovery-copy-btn").addEventListener("click", (event) =>
  copy([...$("recovery-list").children].map((line) => line.textContent).join("\n"), event.currentTarget));
$("key-form").addEventListener("submit", makeKey);
$("key-copy-btn").addEventListener("click", (event) => copy($("key-text").textContent, event.currentTarget));
$("password-form").addEventListener("submit", newPassword);
wireDialog(signIn.modal, () => account.button, () => $("sign-in-password").value !== "");
wireDialog(account.modal, () => account.button);
account.modal.addEventListener("close", forgetSecrets);
signIn.modal.addEventListener("close", () => {
  $("sign-in-password").value = "";
  showCode(false);
});
document.addEventListener("session", ({ detail }) => {
  if (detail.ended) {
    closeDialog(account.modal);
    notice("Your session has ended.", true);
  }
  drawAccount();
});

{
  const here = new URL(location.href);
  const problem = SIGN_IN_PROBLEMS[here.searchParams.get("sign_in")];
  if (here.searchParams.has("sign_in")) {
    here.searchParams.delete("sign_in");
    history.replaceState(null, "", here);
  }
  if (problem) notice(problem, true);
}
