// Requests to Headgate's API. A failure is always an ApiError with the problem the API answered.
import { keep, over, token } from "./session";
import type { Columns, LogLine, Problem } from "./types";

export class ApiError extends Error {
  problem: Problem;
  constructor(problem: Problem) {
    super(problem.detail ?? problem.title);
    this.problem = problem;
  }
}

const WAIT_MS = 60_000; // for an answer that does not stream
const within = (signal?: AbortSignal) => AbortSignal.any([...(signal ? [signal] : []), AbortSignal.timeout(WAIT_MS)]);

export function problemOf(error: unknown): Problem {
  if (error instanceof ApiError) return error.problem;
  const title = "Headgate does not answer";
  if (error instanceof TypeError) return { title, status: 0 }; // what fetch says of a network
  if (error instanceof DOMException && error.name === "TimeoutError") return { title: `${title} within ${WAIT_MS / 1000} s`, status: 0 };
  return { title, status: 0, detail: error instanceof Error ? error.message : String(error) };
}

async function failure(answer: Response): Promise<ApiError> {
  let problem: Problem = { title: answer.statusText || "an error", status: answer.status };
  try {
    const body = await answer.json();
    problem = body.status === "error" ? { ...problem, title: body.errorType, detail: body.error, code: body.code } : { ...problem, ...body };
  } catch {
    // not JSON: the status says enough
  }
  return new ApiError(problem);
}

export interface Ask {
  method?: string;
  body?: unknown;
  form?: URLSearchParams;
  signal?: AbortSignal;
  headers?: Record<string, string>;
  token?: string; // instead of the one in use
}

export async function request(path: string, ask: Ask = {}): Promise<Response> {
  const headers: Record<string, string> = { ...ask.headers };
  const used = ask.token ?? token.peek();
  if (used) headers.Authorization = `Bearer ${used}`;
  let body: BodyInit | undefined;
  if (ask.form) body = ask.form;
  else if (ask.body !== undefined) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(ask.body);
  }
  const answer = await fetch(path, { method: ask.method ?? (body ? "POST" : "GET"), headers, body, signal: ask.signal, cache: "no-store" });
  if (answer.ok) return answer;
  const error = await failure(answer);
  // A token that is no longer good signs out, and the login page says why: but only if it is still the one in use.
  if (answer.status === 401 && used && used === token.peek()) {
    over.value = error.problem;
    keep("", false);
  }
  throw error;
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await request(path, { signal: within(signal) })).json();
}

export async function post<T>(path: string, body: unknown = {}): Promise<T> {
  return (await request(path, { method: "POST", body, signal: within() })).json();
}

export const pathOf = (app: string) => `/v1/apps/${encodeURIComponent(app)}`;

export interface ColumnsAsk {
  queries: string[];
  startMs: number;
  endMs: number;
  stepMs: number;
}

export async function columns(ask: ColumnsAsk, signal?: AbortSignal): Promise<Columns> {
  const form = new URLSearchParams();
  for (const query of ask.queries) form.append("query", query);
  form.set("start", String(ask.startMs / 1000));
  form.set("end", String(ask.endMs / 1000));
  form.set("step", String(ask.stepMs / 1000));
  return (await request("/v1/columns", { form, signal: within(signal) })).json();
}

// Lines of a body as they come; `line` is called with every whole one.
export async function lines(answer: Response, line: (text: string) => void): Promise<void> {
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop()!;
    for (const part of parts) line(part);
  }
}

export async function readLog(query: Record<string, string>, signal?: AbortSignal): Promise<LogLine[]> {
  const out: LogLine[] = [];
  await lines(await request(`/v1/logs?${new URLSearchParams(query)}`, { signal }), (text) => {
    if (text) out.push(JSON.parse(text));
  });
  return out;
}
