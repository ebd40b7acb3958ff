import type { Problem } from "./wire.js";

/** Where the gateway is and who is asking. */
export interface Access {
  /** Bearer token, or a function that gets a fresh one for each connection or request. */
  token?: string | (() => string | undefined | Promise<string | undefined>);
  /** An API key of a producer. Never put one into a page. */
  apiKey?: string;
  /** In place of the global `fetch`. */
  fetch?: typeof fetch;
}

/** The gateway said no. `code` is for programs; the message says what to do. */
export class Refused extends Error {
  override readonly name = "Refused";
  constructor(
    /** The reason, from a closed set: `topic_invalid`, `clarification_answered`, ... */
    readonly code: string,
    message: string,
    /** The HTTP status, if it was an HTTP exchange. */
    readonly status?: number,
    /** After how many seconds it is worth another try, if it is. */
    readonly retryAfter?: number,
    /** Everything the gateway said. */
    readonly body?: Partial<Problem> & Record<string, unknown>,
  ) {
    super(message);
  }
}

export class Http {
  readonly base: string;
  constructor(
    url: string,
    readonly access: Access,
  ) {
    this.base = url.replace(/\/+$/, "");
  }

  async token(): Promise<string | undefined> {
    const { token } = this.access;
    return typeof token === "function" ? token() : token;
  }

  /** One exchange; anything but success throws {@link Refused}, no answer at all what `fetch` throws. */
  async ask(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    const token = await this.token();
    if (token) headers.set("authorization", `Bearer ${token}`);
    if (this.access.apiKey) headers.set("x-api-key", this.access.apiKey);
    if (init.body) headers.set("content-type", "application/json");
    const response = await (this.access.fetch ?? fetch)(this.base + path, { ...init, headers });
    if (response.ok) return response;
    const body = (await response.json().catch(() => ({}))) as Partial<Problem> & Record<string, unknown>;
    const retryAfter = response.headers.get("retry-after");
    throw new Refused(
      body.code ?? `http_${response.status}`,
      body.detail ?? String(body["error"] ?? response.statusText),
      response.status,
      retryAfter ? Number(retryAfter) : undefined,
      body,
    );
  }
}

export const topicPath = (topic: string): string => `/v1/topics/${encodeURIComponent(topic)}`;

/** Whether the same request may succeed later: no answer at all, or one that says so. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof Refused)) return true;
  const { status = 0, code } = error;
  return status >= 500 || status === 408 || status === 429 || code === "idempotency_key_in_flight";
}

/** How long to wait before try number `attempt` (from 0), in milliseconds: doubled each time, with jitter. */
export function patience(attempt: number, error?: unknown): number {
  const asked = error instanceof Refused ? (error.retryAfter ?? 0) * 1000 : 0;
  return Math.max(asked, Math.min(5000, 100 * 2 ** attempt) * (0.5 + Math.random() / 2));
}

/** Waits; wakes early, without an error, when the signal aborts. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });
}
