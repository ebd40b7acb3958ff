import { Feed, type Transport } from "./feed.js";
import type { GapPayload, Payloads } from "./wire.js";

/** An event of a topic, or a `gap` among them: then what was missed is gone and a snapshot follows. */
export interface TopicEvent<N extends string = string, D = unknown> {
  topic: string;
  name: N;
  data: D;
  /** Where it stands; hand it to `since` to go on after it. A `gap` has none. */
  cursor: string | undefined;
  /** It is not live: it is part of a snapshot or was missed. */
  replayed: boolean;
}

/** Any of the events `E`, told apart by `name`. */
export type AnyEvent<E> = { [N in keyof E & string]: TopicEvent<N, E[N]> }[keyof E & string];

/** Functions for events by name; `*` gets those that have none of their own. */
export type Handlers<E> = { [N in keyof E & string]?: (data: E[N], event: TopicEvent<N, E[N]>) => void } & {
  "*"?: (event: TopicEvent) => void;
};

export interface SubscribeOptions<E = Payloads> {
  /** A cursor: begin after it. Without it the snapshot comes first. */
  since?: string;
  /** The only event names that are wanted. */
  events?: readonly string[];
  /** Callbacks. With them there is nothing to iterate over. */
  on?: Handlers<E>;
  /** The gateway refused the subscription for good. Without it a refusal ends the iteration with the error. */
  onError?: (error: Error) => void;
  /** Closes the subscription when it aborts. */
  signal?: AbortSignal;
  /** Ends after the first event of these names, for instance `["completed"]`. */
  until?: readonly string[];
  /** Most events that wait for the iteration; then reading rests and later goes on by cursor. Default 1,000. */
  bufferMax?: number;
}

/**
 * One subscription, to iterate over or with callbacks. It survives lost connections: it goes on after the last event it
 * handed out, each event comes once and in order, and what cannot be had any more is announced by a `gap`.
 */
export class Subscription<E = Payloads> implements AsyncIterable<AnyEvent<E>> {
  /** Resolves when the gateway has confirmed for the first time, rejects when it refuses. */
  readonly ready: Promise<void>;
  readonly #transport: Transport;
  readonly #feed: Feed;
  readonly #options: SubscribeOptions<E>;
  #waiting: AnyEvent<E>[] = [];
  #wake: (() => void) | undefined;
  #stop: (() => void) | undefined;
  #isClosed = false;
  #error: Error | undefined;

  constructor(transport: Transport, topic: string, options: SubscribeOptions<E> = {}) {
    this.#transport = transport;
    this.#options = options;
    let resolve!: () => void;
    let reject!: (error: Error) => void;
    this.ready = new Promise<void>((yes, no) => ((resolve = yes), (reject = no)));
    this.ready.catch(() => {});
    const hand = (name: string, data: unknown, cursor: string | undefined, replayed: boolean): void =>
      this.#hand({ topic, name, data, cursor, replayed } as AnyEvent<E>);
    this.#feed = new Feed(topic, options.events, options.since, {
      begun: (gap?: GapPayload) => gap && hand("gap", gap, undefined, false),
      event: hand,
      joined: resolve,
      failed: (error) => {
        reject(error);
        this.#error = error;
        this.close();
        options.onError?.(error);
      },
    });
    options.signal?.addEventListener("abort", () => this.close());
    if (options.signal?.aborted) this.close();
    else this.#stop = transport.open(this.#feed);
  }

  get topic(): string {
    return this.#feed.topic;
  }

  /** Where it is; nothing before the first event. */
  get cursor(): string | undefined {
    return this.#feed.cursor;
  }

  #hand(event: AnyEvent<E>): void {
    if (this.#isClosed) return;
    const { on, until, bufferMax = 1000 } = this.#options;
    if (on) {
      const own = on[event.name as keyof E & string] as ((data: unknown, event: AnyEvent<E>) => void) | undefined;
      if (own) own(event.data, event);
      else on["*"]?.(event);
    } else {
      this.#waiting.push(event);
      this.#wake?.();
      if (this.#waiting.length >= bufferMax) this.#rest();
    }
    if (until?.includes(event.name)) this.close();
  }

  #rest(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  /** Ends it. Events that wait can still be read. */
  close(): void {
    this.#isClosed = true;
    this.#rest();
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<AnyEvent<E>, void, undefined> {
    try {
      for (;;) {
        const event = this.#waiting.shift();
        if (event) yield event;
        else if (this.#error) throw this.#error;
        else if (this.#isClosed) return;
        else {
          this.#stop ??= this.#transport.open(this.#feed);
          // What came while it was opened is there already.
          if (!this.#waiting.length && !this.#isClosed) await new Promise<void>((wake) => (this.#wake = wake));
        }
      }
    } finally {
      this.close();
    }
  }
}
