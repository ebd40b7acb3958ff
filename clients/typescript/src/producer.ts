/** Publish to a tidings gateway, from Node or anything with `fetch`. */
import { Http, isPassing, patience, pause, Refused, topicPath, type Access } from "./http.js";
import type { Answer, BatchAnswer, BatchEntry, Problem, Receipt } from "./wire.js";

export type ProducerOptions = Access & {
  /** How long to gather events before they are sent, in milliseconds. Default 2; what gathers meanwhile goes together. */
  lingerMs?: number;
  /** Most events of one request. Default 500. */
  batchMax?: number;
  /** Most events that wait; one more is refused at once. Default 10,000. */
  queueMax?: number;
  /** How long to try again while the gateway is away or refuses for now, in milliseconds. Default 60,000. */
  patienceMs?: number;
};

/** What may be said of an event besides its data. */
export type PublishOptions = Partial<Pick<BatchEntry, "class" | "key" | "terminal" | "attempt">> & {
  /** The same key and event again is the same event, for 24 hours. Without one each publish has its own. */
  idempotencyKey?: string;
};

/** A question to the users of a session. */
export interface Question {
  question: string;
  /** Whatever helps to answer it. */
  context?: unknown;
  /** JSON Schema of the answer. */
  schema?: unknown;
  /** The answer that is taken at expiry. */
  default?: unknown;
  /** When it expires, ISO 8601. */
  expiresAt?: string;
}

interface Waiting {
  json: string;
  until: number;
  resolve(receipt: Receipt): void;
  reject(error: unknown): void;
}

/** Most bytes of one request, well below the gateway's bound. */
const BYTES_MAX = 4 << 20;

/**
 * Publishes events. They are sent in batches and in order, each with an idempotency key, and again when the gateway is
 * away or refuses for now, so each is in the log once. (Of a batch that is refused in part, the refused come later.)
 */
export class Producer {
  readonly #http: Http;
  readonly #options: Required<Pick<ProducerOptions, "lingerMs" | "batchMax" | "queueMax" | "patienceMs">>;
  #waiting: Waiting[] = [];
  #sending: Promise<void> | undefined;
  #isClosed = false;

  constructor(url: string, { lingerMs = 2, batchMax = 500, queueMax = 10_000, patienceMs = 60_000, ...access }: ProducerOptions = {}) {
    this.#http = new Http(url, access);
    this.#options = { lingerMs, batchMax, queueMax, patienceMs };
  }

  /** Publishes an event; bytes are published as bytes. Resolves with the receipt when the gateway's log holds it. */
  publish(topic: string, name: string, data: unknown = {}, { idempotencyKey, ...more }: PublishOptions = {}): Promise<Receipt> {
    const { queueMax, patienceMs } = this.#options;
    if (this.#isClosed) return Promise.reject(new Error("producer closed"));
    if (this.#waiting.length >= queueMax) {
      return Promise.reject(new Refused("queue_full", `${queueMax} events wait: await receipts`));
    }
    const payload = data instanceof Uint8Array ? { data_base64: base64(data) } : { data };
    const entry: BatchEntry = { topic, name, ...payload, ...more, idempotency_key: idempotencyKey ?? crypto.randomUUID() };
    return new Promise((resolve, reject) => {
      this.#waiting.push({ json: JSON.stringify(entry), until: Date.now() + patienceMs, resolve, reject });
      this.#sending ??= this.#send();
    });
  }

  /** Asks a question in a session and waits for the answer, or its default. Rejects with `clarification_expired`. */
  async ask(sessionId: string, question: Question, signal?: AbortSignal): Promise<Answer> {
    const topic = `session:${sessionId}`;
    const clarificationId = crypto.randomUUID();
    await this.publish(topic, "clarification", { clarificationId, ...question });
    for (let attempt = 0; ; ) {
      try {
        const path = `${topicPath(topic)}/clarifications/${clarificationId}/answer?wait=30s`;
        const response = await this.#http.ask(path, { signal: signal ?? null });
        if (response.status === 200) return (await response.json()) as Answer;
        attempt = 0;
      } catch (error) {
        if (signal?.aborted || !isPassing(error)) throw error;
        await pause(patience(attempt++, error), signal);
      }
    }
  }

  /** Resolves when everything published so far has its receipt or its refusal. */
  async flush(): Promise<void> {
    while (this.#sending) await this.#sending;
  }

  /** Sends what waits, then takes nothing more. */
  async close(): Promise<void> {
    await this.flush();
    this.#isClosed = true;
  }

  async #send(): Promise<void> {
    await pause(this.#options.lingerMs);
    let { batchMax } = this.#options;
    for (let attempt = 0; this.#waiting.length; ) {
      const batch = this.#take(batchMax);
      const again: Waiting[] = [];
      let refusal: unknown;
      const settle = (one: Waiting, error: unknown): void => {
        if (!isPassing(error) || Date.now() >= one.until) return one.reject(error);
        again.push(one);
        refusal = error;
      };
      try {
        const body = `[${batch.map((one) => one.json).join()}]`;
        const response = await this.#http.ask("/v1/events", { method: "POST", body });
        const answers = (await response.json()) as BatchAnswer;
        for (const [n, one] of batch.entries()) {
          const answer = answers[n] as Receipt | Problem;
          if ("seq" in answer) one.resolve(answer);
          else settle(one, new Refused(answer.code, answer.detail, answer.status, undefined, { ...answer }));
        }
      } catch (error) {
        if (error instanceof Refused && error.status === 413 && batch.length > 1) {
          batchMax = batch.length >> 1;
          again.push(...batch);
        } else {
          for (const one of batch) settle(one, error);
        }
      }
      this.#waiting.unshift(...again);
      attempt = refusal ? attempt + 1 : 0;
      if (refusal) await pause(patience(attempt, refusal));
    }
    // At once, not in a later turn: what is published from now on starts the next run.
    this.#sending = undefined;
  }

  #take(batchMax: number): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const { json } of this.#waiting) {
      bytes += json.length;
      if (count > 0 && (count >= batchMax || bytes > BYTES_MAX)) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }
}

function base64(data: Uint8Array): string {
  let text = "";
  for (const byte of data) text += String.fromCharCode(byte);
  return btoa(text);
}

export { Refused, type Access } from "./http.js";
export type { Answer, Receipt } from "./wire.js";
