// Signing in: with a token, or with the one-time code that `headgate open` put into the address.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { problemOf, request } from "../lib/api";
import { place } from "../lib/route";
import { keep, over, session } from "../lib/session";
import type { Problem, Session } from "../lib/types";
import { Trouble } from "../ui/bits";

export function Login() {
  const problem = useSignal<Problem | null>(null);
  const busy = useSignal(false);
  const token = useRef<HTMLInputElement>(null);
  const remember = useRef<HTMLInputElement>(null);
  const code = place.value.query.get("code");

  const enter = (value: string, stay: boolean) => {
    session.value = null;
    keep(value, stay);
    const next = place.peek().query.get("next");
    location.hash = place.peek().path[0] === "login" ? (next?.startsWith("/") ? `#${next}` : "#/overview") : location.hash;
  };
  const withCode = async (used: string) => {
    // The code is spent; it does not stay in the history.
    history.replaceState(null, "", "#/login");
    busy.value = true;
    try {
      // Without the token of whoever was signed in before: a wrong code signs nobody out.
      const answer = await request("/v1/session", { method: "POST", body: { code: used }, token: "" });
      enter(((await answer.json()) as Session & { token: string }).token, false);
    } catch (error) {
      problem.value = problemOf(error);
    } finally {
      busy.value = false;
    }
  };
  const withToken = async (e: Event) => {
    e.preventDefault();
    const value = token.current!.value.trim();
    if (!value || busy.peek()) return;
    busy.value = true;
    problem.value = null;
    try {
      await (await request("/v1/session", { token: value })).text(); // a body that nobody reads keeps its connection
      enter(value, remember.current!.checked);
    } catch (error) {
      problem.value = problemOf(error);
    } finally {
      busy.value = false;
    }
  };
  useEffect(() => token.current!.focus(), []);
  useEffect(() => {
    document.title = "Sign in · Headgate";
    if (code) void withCode(code);
  }, [code]);
  return (
    <main class="login" id="main" tabIndex={-1}>
      <form class="card" onSubmit={withToken}>
        <h1>Headgate</h1>
        <label class="field">
          Token
          <input ref={token} type="password" autocomplete="current-password" spellcheck={false} autofocus required placeholder="hgt_…" />
        </label>
        <label class="check">
          <input ref={remember} type="checkbox" /> Stay signed in on this machine
        </label>
        {(problem.value ?? over.value) && <Trouble problem={(problem.value ?? over.value)!} />}
        <p class="buttons">
          <button type="submit" class="primary" disabled={busy}>
            Sign in
          </button>
        </p>
        <p class="hint">
          <code>headgate open</code> prints an address that signs in by itself. A token that only looks is made with{" "}
          <code>headgate token create NAME --role viewer</code>.
        </p>
      </form>
    </main>
  );
}
